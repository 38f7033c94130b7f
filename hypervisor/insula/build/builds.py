"""All builds of one daemon: started, cancelled by their ids, and what they leave in the cache pruned.

A build that its client has gone from is cancelled with the request; one that a killed daemon was at has left
whole images and perhaps the disk of a machine, which `open` removes.
"""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass

from insula.build.bind_mounts import remove_left
from insula.build.builder import build
from insula.build.cache import StepCache
from insula.build.cache_prune import CacheEntry, CacheFilter, CachePrune
from insula.build.messages import Send
from insula.build.options import BuildOptions
from insula.build.stage_machine import FOLDER
from insula.container.containers import Containers
from insula.errors import Conflict, InsulaError, NotFound, Unavailable
from insula.image.record import Image
from insula.image.registry.registries import Registries

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PrunedSteps:
    """ids: of the images and volumes that are gone; reclaimed: bytes."""

    ids: tuple[str, ...]
    reclaimed: int


class Builds:
    """`open` before the first build."""

    def __init__(self, containers: Containers, registries: Registries) -> None:
        self._containers = containers
        self._registries = registries
        self._parts = containers.parts
        self._cache = StepCache(self._parts.database, self._parts.images)
        self._pruning = CachePrune(self._cache, containers, self._parts.images, self._parts.volumes)
        self._running: dict[str, asyncio.Task[list[Image]]] = {}
        self._completing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Removes the disks and volumes of an earlier daemon's builds."""
        await asyncio.to_thread(self._remove_left)
        await remove_left(self._parts.volumes)

    def _remove_left(self) -> None:
        folder = self._parts.paths.container("x").parent
        for path in folder.glob(f"{FOLDER}*") if folder.exists() else ():
            shutil.rmtree(path, ignore_errors=True)

    async def close(self) -> None:
        """Nobody waits for what it ends: disks that are missing are made when they are needed."""
        for task in self._completing:
            task.cancel()
        await asyncio.gather(*self._completing, return_exceptions=True)

    async def build(self, options: BuildOptions, context: AsyncIterator[bytes], send: Send) -> None:
        """send: takes each line of the stream. Raises InsulaError; Unavailable if it is cancelled by its id."""
        if options.id in self._running:
            raise Conflict(f"a build with the id {options.id[:80]} is running")
        work = build(self._parts, self._registries, self._cache, options, context, send)
        task = asyncio.create_task(work, name="build")
        if options.id:
            self._running[options.id] = task
        try:
            for image in await asyncio.shield(task):
                self._complete_soon(image)
        except asyncio.CancelledError:
            if task.cancelled():
                raise Unavailable("the build was cancelled") from None
            await _end(task)
            raise
        finally:
            self._running.pop(options.id, None)

    def _complete_soon(self, image: Image) -> None:
        """Makes its disks while nobody waits for them; whoever runs it meanwhile waits for the same work."""
        if not image.disks:
            task = asyncio.create_task(self._complete(image), name="disks of a build")
            self._completing.add(task)
            task.add_done_callback(self._completing.discard)

    async def _complete(self, image: Image) -> None:
        try:
            await self._parts.images.steps.complete(image)
        except InsulaError as error:  # whoever runs it is told, if it is still so then
            log.warning("image %s: its disks cannot be made: %s", image.id[7:19], error)

    def images_in_use(self) -> frozenset[str]:
        """The ids of the images that running builds have made or found so far."""
        return self._cache.in_use()

    async def cancel(self, id: str) -> None:
        """Returns when it has ended. Raises NotFound."""
        task = self._running.get(id)
        if task is None:
            raise NotFound(f"no build with the id {id[:80]} is running")
        await _end(task)

    async def prune(self, wanted: CacheFilter, *, every: bool) -> PrunedSteps:
        """Of the cache: what no named image needs; every: volumes of cache mounts too, and what named images need is
        forgotten, and stays."""
        before = (await self._parts.images.usage()).total
        gone, caches = await self._pruning.prune(wanted, every=every)
        after = (await self._parts.images.usage()).total
        return PrunedSteps(tuple(gone), max(0, before - after) + caches)

    async def cached(self) -> list[CacheEntry]:
        """What the cache holds, the longest unused first."""
        return await self._pruning.entries()


async def _end(task: asyncio.Task[list[Image]]) -> None:
    """However often whoever waits is cancelled: its machine must go with it."""
    task.cancel()
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            continue
    if not task.cancelled():
        task.exception()
