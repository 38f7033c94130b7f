"""What the API asks of registries: pull, push, log in, describe, search.

One object a daemon; it holds what pulls share (downloads under way, the system's certificates). Each operation has a
client of its own, with the credentials of whoever asked: nothing of them is kept.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, replace
from typing import Any

from insula import errors
from insula.errors import InvalidArgument, NotFound, Unavailable
from insula.image.manifest import Descriptor, parse_config, parse_index, parse_manifest
from insula.image.reference import DEFAULT_DOMAIN, ImagePlatform, Reference, parse_reference
from insula.image.registry.challenge import NOBODY, Credentials
from insula.image.registry.client import RegistryClient, open_client
from insula.image.registry.documents import fetch_blob, fetch_manifest
from insula.image.registry.download import Downloads
from insula.image.registry.origin import HUB_INDEX, Origin, RegistrySettings, find_origin, parse_mirror
from insula.image.registry.patience import Patience
from insula.image.registry.progress import Line, Lines
from insula.image.registry.pull import Pull, Wanted, is_image
from insula.image.registry.push import Push, find_neighbours
from insula.image.registry.refusal import Refused, explain, explain_pull
from insula.image.store import ImageStore
from insula.thread import in_thread

TAGS_MAX = 1000
LIST_MAX = 4 << 20
PAGES_MAX = 100
SEARCH_MOST = 100


@dataclass(frozen=True, slots=True)
class Described:
    """What a registry has under a reference: its descriptor, and the platforms."""

    descriptor: Descriptor
    platforms: tuple[ImagePlatform, ...]


class Registries:
    """All registries, for one store."""

    def __init__(
        self, store: ImageStore, settings: RegistrySettings | None = None, patience: Patience | None = None
    ) -> None:
        """Raises InvalidArgument for a mirror that is no address."""
        self.settings = settings or RegistrySettings()
        self._store = store
        self._patience = patience or Patience()
        self._downloads = Downloads(store.blobs, store.leftovers)
        self._certificates: ssl.SSLContext | None = None
        if self.settings.mirror:
            parse_mirror(self.settings.mirror)

    async def close(self) -> None:
        """Ends what is under way."""
        await self._downloads.close()

    async def _open(
        self, domain: str, credentials: Credentials, scopes: Sequence[str] = (), *, mirrored: bool = True
    ) -> AbstractAsyncContextManager[RegistryClient]:
        """mirrored: a mirror may answer for the Hub. It is not told who we are there."""
        settings = self.settings if mirrored else replace(self.settings, mirror="")
        told = NOBODY if domain == DEFAULT_DOMAIN and settings.mirror else credentials
        return await self._open_origin(find_origin(domain, settings), told, scopes)

    async def _open_origin(
        self, origin: Origin, credentials: Credentials, scopes: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[RegistryClient]:
        if self._certificates is None:
            self._certificates = await in_thread(ssl.create_default_context)
        return open_client(origin, self._certificates, self._patience, credentials, scopes)

    # -- pull and push

    async def pull(
        self, reference: Reference, wanted: Wanted, credentials: Credentials, *, all_tags: bool = False
    ) -> AsyncGenerator[Line, None]:
        """`docker pull`: lines of progress; the images are there when they end. all_tags: every one that the
        repository has.

        Raises NotFound, Unavailable, Forbidden, InvalidArgument."""
        lines = Lines()

        async def work() -> None:
            scope = f"repository:{reference.path}:pull"
            async with await self._open(reference.domain, credentials, (scope,)) as client:
                tags = await list_tags(client, reference) if all_tags else (reference,)
                for one in tags:
                    await Pull(client, self._store, self._downloads, one, lines).run(wanted)

        async with aclosing(lines.follow(asyncio.create_task(work()))) as followed:
            async for line in followed:
                yield line

    async def push(
        self, reference: Reference, credentials: Credentials, wanted: ImagePlatform | None = None,
        *, all_tags: bool = False,
    ) -> AsyncGenerator[Line, None]:  # fmt: skip
        """`docker push`: lines of progress. all_tags: every tag that the store has of the repository.

        Raises NotFound, Unavailable, Forbidden, InvalidArgument."""
        references = self._store.catalog.tags_in(reference.name) if all_tags else [reference]
        if not references or references[0].canonical not in self._store.catalog.tags:
            raise NotFound(
                f"An image does not exist locally with the tag: {reference.familiar_name}",
                "`docker tag` gives an image a further name",
            )
        lines = Lines()

        async def work() -> None:
            neighbours = find_neighbours(self._store.catalog, references)
            scopes = [f"repository:{reference.path}:pull,push"]
            scopes += [f"repository:{path}:pull" for path in sorted(set(neighbours.values()))]
            async with await self._open(reference.domain, credentials, scopes, mirrored=False) as client:
                await Push(client, self._store, lines, neighbours, wanted).run(references)

        async with aclosing(lines.follow(asyncio.create_task(work()))) as followed:
            async for line in followed:
                yield line

    # -- questions

    async def log_in(self, domain: str, credentials: Credentials) -> None:
        """Returns if the registry believes that it is us. Raises Denied, Unavailable."""
        async with await self._open(domain, credentials, mirrored=False) as client:
            try:
                await client.read(client.url("/v2/"), LIST_MAX)
            except Refused as refused:
                raise explain(refused) from refused

    async def describe(self, reference: Reference, credentials: Credentials) -> Described:
        """What the registry has under a reference. Raises NotFound, Unavailable, Forbidden, InvalidArgument."""
        scope = f"repository:{reference.path}:pull"
        async with await self._open(reference.domain, credentials, (scope,)) as client:
            try:
                top = await fetch_manifest(client, reference.path, reference.digest or reference.tag)
                descriptor = Descriptor(top.media_type, top.digest, len(top.data))
                if top.is_index:
                    entries = parse_index(top.data, "the index")
                    found = tuple(e.platform for e in entries if e.platform is not None and is_image(e))
                    return Described(descriptor, found)
                manifest = parse_manifest(top.data, "the manifest")
                raw = await fetch_blob(client, reference.path, manifest.config, "the image's config")
                return Described(descriptor, (parse_config(raw).platform,))
            except Refused as refused:
                raise explain_pull(refused, reference) from refused

    async def search(self, term: str, most: int, credentials: Credentials) -> list[dict[str, Any]]:
        """Docker's search: dicts of name, description, star_count, is_official, is_automated.

        Only the Hub and registries of its kind have it. Raises NotImplemented for the others, Unavailable."""
        domain, origin = self._find_index(term)
        words = term.removeprefix(f"{domain}/")
        told = NOBODY if domain == DEFAULT_DOMAIN and self.settings.mirror else credentials
        async with await self._open_origin(origin, told) as client:
            url = client.url("/v1/search").with_query({"q": words, "n": str(most)})
            try:
                raw, _ = await client.read(url, LIST_MAX)
                results = json.loads(raw)["results"][:most]
                return [checked_result(result) for result in results]
            except Refused as refused:
                if refused.status in (404, 405, 501):
                    raise errors.NotImplemented(
                        f"the registry {origin.authority} has no search",
                        f"look at its own pages, or ask for {words} by name",
                    ) from refused
                raise explain(refused) from refused
            except (ValueError, RecursionError, KeyError, TypeError) as error:
                raise Unavailable(f"the registry {origin.authority} gave no usable search result") from error

    def _find_index(self, term: str) -> tuple[str, Origin]:
        """Who is asked: the registry that the term begins with, else the Hub's index, or the mirror."""
        first, slash, _ = term.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost") and first != DEFAULT_DOMAIN:
            return first, find_origin(first, self.settings)
        if self.settings.mirror:
            return DEFAULT_DOMAIN, parse_mirror(self.settings.mirror)
        return DEFAULT_DOMAIN, Origin(HUB_INDEX)


def checked_result(result: Any) -> dict[str, Any]:
    """One result of a search, its fields of their types. Raises TypeError, ValueError."""
    return {
        "name": str(result["name"])[:255],
        "description": str(result.get("description") or "")[:4096],
        "star_count": int(result.get("star_count") or 0),
        "is_official": bool(result.get("is_official")),
        "is_automated": bool(result.get("is_automated")),
    }


async def list_tags(client: RegistryClient, reference: Reference) -> list[Reference]:
    """All tags of a repository, page by page. Raises NotFound, Unavailable, InvalidArgument."""
    found: list[Reference] = []
    url = client.url(f"/v2/{reference.path}/tags/list")
    try:
        for _ in range(PAGES_MAX):
            raw, headers = await client.read(url, LIST_MAX)
            tags = json.loads(raw).get("tags") or []
            found += [parse_reference(f"{reference.name}:{tag}") for tag in tags]
            if len(found) > TAGS_MAX:
                raise InvalidArgument(f"{reference.familiar_name} has more than {TAGS_MAX} tags")
            link = headers.get("Link", "").partition(">")[0].removeprefix("<")
            if not link:
                break
            url = client.url(link)
    except Refused as refused:
        raise explain_pull(refused, reference) from refused
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise Unavailable(f"the registry gave no list of the tags of {reference.familiar_name}") from error
    if not found:
        raise NotFound(f"repository {reference.familiar_name} has no tags")
    return found
