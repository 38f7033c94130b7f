"""What the cache of builds holds, and which of it is to go: `builder prune`, with Docker's filters, and `system df`.

There are two kinds of entries: images of steps, which are no more than untagged images with a key, and the volumes
of cache mounts. Nothing goes that a named image, a container or a running build needs.
"""

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass

from insula.build.cache import StepCache
from insula.build.cache_mounts import LABEL
from insula.container.containers import Containers
from insula.errors import Conflict, NotFound
from insula.image.record import Image
from insula.image.store import ImageStore
from insula.volume.volume import Volume
from insula.volume.volumes import Volumes

STEP_KIND, MOUNT_KIND = "regular", "exec.cachemount"


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """id: an image's or a volume's; description: what was run; size: bytes of its own, beside its parent's; shared:
    whether an image with a name stands on it; times in Unix nanoseconds."""

    id: str
    kind: str
    description: str
    size: int
    created_ns: int
    used_ns: int
    parent: str = ""
    in_use: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class CacheFilter:
    """Which entries go. until_ns: those that were used before; the tuples: any of their values, empty for all; flags:
    None for both; keep: no more, the longest unused first, once there are at most so many bytes."""

    until_ns: int = 0
    ids: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()
    in_use: bool | None = None
    shared: bool | None = None
    keep: int = 0

    @property
    def is_empty(self) -> bool:
        return self == CacheFilter()

    def takes(self, entry: CacheEntry) -> bool:
        if self.until_ns and entry.used_ns > self.until_ns:
            return False
        pairs = (
            (self.ids, entry.id), (self.parents, entry.parent), (self.kinds, entry.kind),
            (self.descriptions, entry.description),
        )  # fmt: skip
        if any(wanted and value not in wanted for wanted, value in pairs):
            return False
        flags = ((self.in_use, entry.in_use), (self.shared, entry.shared))
        return not any(wanted is not None and wanted != value for wanted, value in flags)


class CachePrune:
    """Of one daemon's builds."""

    def __init__(
        self, cache: StepCache, containers: Containers, images: ImageStore, volumes: Volumes
    ) -> None:
        self._cache = cache
        self._containers = containers
        self._images = images
        self._volumes = volumes

    async def entries(self) -> list[CacheEntry]:
        """The longest unused first."""
        found = [*await self._steps(), *[await self._mount(volume) for volume in self._mounts()]]
        return sorted(found, key=lambda entry: entry.used_ns)

    async def prune(self, wanted: CacheFilter, *, every: bool) -> tuple[list[str], int]:
        """The ids of the images and volumes that are gone, and the bytes of the volumes. every: volumes too, and the
        steps that stay, because something needs them, are forgotten."""
        images = await self._prune_steps(wanted)
        volumes: list[str] = []
        freed = 0
        if every or wanted.kinds or wanted.ids:
            volumes, freed = await self._prune_mounts(wanted)
        await self._cache.forget(every=every and wanted.is_empty)
        return [*images, *volumes], freed

    async def _prune_steps(self, wanted: CacheFilter) -> list[str]:
        """From the last steps down, as nothing else stands on those; where one has to stay, its parents do."""
        gone: list[str] = []
        while True:
            entries = await self._steps()
            parents = {image.parent for image in self._images.list(every=True)}
            left = sum(entry.size for entry in entries) - wanted.keep
            count = len(gone)
            for entry in sorted(entries, key=lambda entry: entry.used_ns):
                loose = entry.id not in parents and not entry.shared and not entry.in_use
                if loose and wanted.takes(entry) and (not wanted.keep or left > 0):
                    removed = await self._remove(entry.id)
                    left -= entry.size if removed else 0
                    gone += removed
            if len(gone) == count:
                return gone

    async def _remove(self, id: str) -> list[str]:
        in_use = self._containers.images_in_use() | self._cache.in_use()
        try:
            removed = await self._images.remove(id, in_use=in_use, parents=False)
        except (Conflict, NotFound):  # somebody uses it since, or it went as another one's parent
            return []
        return [step.deleted for step in removed if step.deleted]

    async def _prune_mounts(self, wanted: CacheFilter) -> tuple[list[str], int]:
        gone, freed = [], 0
        for volume in self._mounts():
            entry = await self._mount(volume)
            if not wanted.takes(entry):
                continue
            try:
                await self._volumes.remove(volume.name)
            except (Conflict, NotFound):  # a step has it
                continue
            gone.append(volume.name)
            freed += entry.size
        return gone, freed

    # -- what there is

    async def _steps(self) -> list[CacheEntry]:
        images = {image.id: image for image in self._images.list(every=True)}
        used = await self._cache.used()
        named = _with_parents((image for image in images.values() if image.repo_tags), images)
        in_use = self._containers.images_in_use() | self._cache.in_use()
        return [
            _entry(image, images.get(image.parent), used[image.id], id in in_use, id in named)
            for id, image in images.items()
            if id in used and not image.repo_tags
        ]

    def _mounts(self) -> list[Volume]:
        return [volume for volume in self._volumes.all() if LABEL in volume.spec.labels]

    async def _mount(self, volume: Volume) -> CacheEntry:
        size = max(0, await self._volumes.size(volume))
        used = await asyncio.to_thread(_touched, volume)
        words = f"cached mount {volume.spec.labels[LABEL]}"
        in_use = bool(self._volumes.users(volume.name))
        return CacheEntry(volume.name, MOUNT_KIND, words, size, used, used, in_use=in_use)


def _entry(image: Image, parent: Image | None, used_ns: int, in_use: bool, shared: bool) -> CacheEntry:
    words = str(image.config.history[-1].get("created_by", "")) if image.config.history else ""
    size = max(0, image.size - parent.size) if parent is not None else image.size
    return CacheEntry(
        image.id, STEP_KIND, words, size, image.loaded_at, max(used_ns, image.loaded_at), image.parent, in_use, shared
    )  # fmt: skip


def _with_parents(images: Iterable[Image], known: dict[str, Image]) -> set[str]:
    found: set[str] = set()
    for image in images:
        one: Image | None = image
        while one is not None and one.id not in found:
            found.add(one.id)
            one = known.get(one.parent)
    return found


def _touched(volume: Volume) -> int:
    """When a step last had it: `cache_mounts` touches the folder that it lies in."""
    try:
        return os.stat(volume.mountpoint.parent).st_mtime_ns
    except OSError:
        return 0
