"""What the API stands on: the parts that it may ask, and the host as a protocol.

The machines are none of the API's business; what `doctor`, `info` and the pool's verbs need of them comes through
`Host`, which the daemon fills in.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from insula.build.builds import Builds
from insula.container.containers import Containers
from insula.events import EventBus
from insula.image.registry.registries import Registries
from insula.image.store import ImageStore
from insula.network.networks import Networks
from insula.paths import Paths
from insula.volume.volumes import Volumes


@dataclass(frozen=True, slots=True)
class DoctorRow:
    """One line of `doctor`. state: 'ok', 'warning' or 'missing'; hint: what to do, or empty."""

    subject: str
    state: str
    text: str
    hint: str = ""

    def to_document(self) -> dict[str, str]:
        return {"Subject": self.subject, "State": self.state, "Text": self.text, "Hint": self.hint}


class Host(Protocol):
    """What the daemon tells and does beyond containers and images."""

    def info(self) -> dict[str, Any]:
        """Pool, templates, accelerators: plain JSON."""

    async def doctor(self) -> Sequence[DoctorRow]:
        """Everything that the host has and lacks."""

    def bootstrap(self, what: str, platforms: Sequence[str]) -> AsyncIterator[str]:
        """Makes base images, one line of progress at a time. Raises InvalidArgument, Unavailable."""

    async def fill_pool(self, platform: str) -> int:
        """Returns, with their number, once a platform's clones are ready. Raises InvalidArgument."""

    def loop_delays(self) -> dict[str, Any]:
        """How late the event loop has been, since the last time this was asked."""

    async def walls(self) -> list[str]:
        """Which walls stand between a container and the host, in Docker's form of security options."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The parts, as the handlers reach them."""

    paths: Paths
    events: EventBus
    images: ImageStore
    networks: Networks
    volumes: Volumes
    containers: Containers
    builds: Builds
    host: Host
    id: str
    registries: Registries
