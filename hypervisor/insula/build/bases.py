"""The images that a Dockerfile names: those that are here, and those that a registry has."""

from collections.abc import Mapping
from contextlib import aclosing

from insula.build.messages import Messages
from insula.errors import NotFound
from insula.image.record import Image
from insula.image.reference import ImagePlatform, parse_reference
from insula.image.registry.challenge import NOBODY, Credentials
from insula.image.registry.pull import Wanted
from insula.image.registry.registries import Registries
from insula.image.store import ImageStore


class Bases:
    """For one build. credentials: by a registry's domain, those of whoever builds."""

    def __init__(
        self, images: ImageStore, registries: Registries, credentials: Mapping[str, Credentials]
    ) -> None:
        self._images = images
        self._registries = registries
        self._credentials = credentials

    async def find(
        self, name: str, platform: ImagePlatform, messages: Messages, *, pull: bool = False
    ) -> Image:
        """The image of a name for a platform, pulled if it is not here. pull: or in any case.

        Raises NotFound, Unavailable, Forbidden, InvalidArgument."""
        if not pull:
            try:
                return self._images.find(name, str(platform))
            except NotFound:
                pass  # it may be elsewhere
        await self._pull(name, platform, messages)
        return self._images.find(name, str(platform))

    async def _pull(self, name: str, platform: ImagePlatform, messages: Messages) -> None:
        reference = parse_reference(name)
        credentials = self._credentials.get(reference.domain, NOBODY)
        lines = self._registries.pull(reference, Wanted((platform,)), credentials)
        async with aclosing(lines) as followed:
            async for line in followed:
                if not line.total:  # how far each layer is would be most of what a log of the build says
                    await messages.pulling(line.status, line.subject)
