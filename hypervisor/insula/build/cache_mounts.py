"""`RUN --mount=type=cache`: folders that outlive the build, as volumes of Insula's own, mounted into a stage's
machine when a step first wants them; new ones are given the files of another stage or image, if they are to have any.

They are volumes like any others, so `volume ls` shows them and all that is said of volumes holds; their label
tells what they are for, and `builder prune --all` removes them. Which id a Dockerfile uses is anybody's choice:
it is hashed before it becomes a name.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from itertools import count

from insula.agent.boot_document import Mount
from insula.agent.tree import Entry, Kind
from insula.build.copying import Copy, Item
from insula.build.running import FILLED, CacheMount
from insula.container.mount_point import MountPoint
from insula.container.mounting import place_mounts
from insula.container.parts import Parts
from insula.container.spec import ContainerSpec
from insula.errors import Conflict, InvalidArgument, NotFound
from insula.machine.shares import put_share
from insula.volume.volume import VolumeSpec

LABEL = "insula.build-cache"
PLACES_MAX = 60
"""A machine has 64."""

Fill = Callable[[Mount, str, Sequence[Item]], Awaitable[None]]
"""Writes items into a folder below a mount that is there for this alone."""


Base = Callable[[CacheMount], Awaitable[Copy]]
"""What is in a new cache at first, of one that says so."""


async def no_base(cache: CacheMount) -> Copy:
    raise InvalidArgument(f"there are no files for the cache {cache.id[:200]}")


class Places:
    """What one machine has been given. A folder that it has keeps its place."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._taken: dict[tuple[str, str, bool], str] = {}

    @property
    def is_full(self) -> bool:
        """Whether there may be no room for what one more step wants."""
        return len(self._taken) > PLACES_MAX // 2

    @asynccontextmanager
    async def mounted(
        self, machine: int, spec: ContainerSpec, caches: Iterable[CacheMount], fill: Fill, base: Base
    ) -> AsyncIterator[tuple[Mount, ...]]:
        """Their mounts, for one step; nobody removes the volumes meanwhile, and nobody else has those that are to
        be had alone. machine: its process. Raises InsulaError."""
        async with AsyncExitStack() as held:
            yield tuple([await self._mount(machine, spec, cache, (fill, base), held) for cache in caches])

    async def _mount(
        self,
        machine: int,
        spec: ContainerSpec,
        cache: CacheMount,
        making: tuple[Fill, Base],
        held: AsyncExitStack,
    ) -> Mount:
        volumes = self._parts.volumes
        name = f"build-cache-{hashlib.sha256(cache.id.encode(errors='surrogateescape')).hexdigest()[:24]}"
        if cache.sharing == "private":
            name = next(f"{name}-{n}" for n in count() if not volumes.filling(f"{name}-{n}").locked())
        unfinished: list[str] = []
        held.push_async_callback(self._remove, unfinished)  # once this claims it no more
        held.enter_context(volumes.claimed(name))
        if cache.sharing != "shared":
            await held.enter_async_context(volumes.filling(name))
        async with volumes.filling(f"{name} is made"):
            if not volumes.has(name):
                unfinished.append(name)
                await self._make(machine, spec, cache, name, making)
                unfinished.clear()
        await asyncio.to_thread(os.utime, volumes.find(name).mountpoint.parent)  # when it was last used
        point = MountPoint("volume", cache.target, name=name, read_only=cache.read_only, no_copy=True)
        return await self.place(machine, spec, point)

    async def _make(
        self, machine: int, spec: ContainerSpec, cache: CacheMount, name: str, making: tuple[Fill, Base]
    ) -> None:
        """Raises InvalidArgument, InsulaError."""
        fill, base = making
        items: list[Item] = []
        if cache.from_:
            copy = await base(cache)
            if copy.single:
                raise InvalidArgument(f"the source of a cache mount is no folder: {cache.source[:200]}")
            items = copy.items
        if not cache.is_plain:
            items = [*items, Item(Entry(Kind.DIRECTORY, cache.mode, cache.uid, cache.gid))]
        await self._parts.volumes.create(VolumeSpec(name, labels={LABEL: cache.id[:200]}))
        if items:
            inside = await self.place(machine, spec, MountPoint("volume", FILLED, name=name, no_copy=True))
            await fill(inside, FILLED, items)

    async def _remove(self, names: list[str]) -> None:
        for name in names:
            with suppress(Conflict, NotFound):
                await self._parts.volumes.remove(name)

    async def place(self, machine: int, spec: ContainerSpec, point: MountPoint) -> Mount:
        """A volume's mount, at a place of the machine that is its own from now on. Raises InsulaError."""
        (placed,) = await place_mounts(spec, (point,), self._parts.volumes)
        share = placed.share
        assert share is not None
        key = point.name, point.subpath, point.read_only
        if key not in self._taken:
            share = replace(share, place=len(self._taken))
            await put_share(machine, share)
            self._taken[key] = f"{share.tag}:{share.name}"
        return replace(placed.mount, source=self._taken[key])
