"""What a build finds again: a step's image while it is whole, and only where it may be used; and what of it is pruned."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from insula.build.cache import StepCache, step_key
from insula.build.cache_mounts import LABEL
from insula.build.cache_prune import CacheFilter, CachePrune
from insula.database import Database
from insula.events import EventBus
from insula.image.record import Image
from insula.image.reference import parse_platform
from insula.image.steps import empty_document
from insula.image.store import ImageStore
from insula.paths import Paths
from insula.volume.volume import VolumeSpec
from insula.volume.volumes import Volumes

Pruning = tuple[Callable[..., CachePrune], Volumes]


class Used:
    """Containers, as far as the cache asks them."""

    def __init__(self, *ids: str) -> None:
        self.ids = frozenset(ids)

    def images_in_use(self) -> frozenset[str]:
        return self.ids


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[tuple[ImageStore, StepCache]]:
    paths = Paths(tmp_path / "home", tmp_path / "run")
    for folder in (paths.blobs, paths.layer_disks, paths.staging):
        folder.mkdir(parents=True)
    database = Database(paths.database)
    await database.open()
    images = ImageStore(paths, database, EventBus())
    await images.open()
    yield images, StepCache(database, images)
    await images.close()
    await database.close()


async def add(images: ImageStore, cache: StepCache, parent: Image | None, **config: Any) -> Image:
    document = {**empty_document(parse_platform("linux/amd64")), "config": config}
    image = await images.steps.add(parent, None, document)
    await cache.put(step_key(parent.id if parent else "", str(config), None), image)
    return image


def test_keys_go_by_everything() -> None:
    keys = {
        step_key("a", "b", None), step_key("a", "b", [1]), step_key("a", "c", None), step_key("x", "b", None),
        step_key("a", "b", {"n": "\udcff"}),
    }  # fmt: skip
    assert len(keys) == 5 and step_key("a", "b", {"x": 1, "y": 2}) == step_key("a", "b", {"y": 2, "x": 1})


async def test_found_while_it_is_whole(store: tuple[ImageStore, StepCache]) -> None:
    images, cache = store
    image = await add(images, cache, None, User="a")
    key = step_key("", str({"User": "a"}), None)
    assert await cache.find(key) == image and await cache.find("other") is None
    await images.remove(image.id)
    assert await cache.find(key) is None


async def test_chains(store: tuple[ImageStore, StepCache]) -> None:
    images, cache = store
    first = await add(images, cache, None, User="a")
    second = await add(images, cache, first, User="b")
    await add(images, cache, first, User="c")
    await images.tag(second.id, "named:1")
    assert cache.chain(["named:1", "nowhere"], "linux/amd64") == {first.id, second.id}
    assert cache.chain(["nowhere"], "linux/amd64") == frozenset()


@pytest.fixture
async def pruning(tmp_path: Path, store: tuple[ImageStore, StepCache]) -> AsyncIterator[Pruning]:
    paths = Paths(tmp_path / "home", tmp_path / "run")
    paths.make()
    database = Database(tmp_path / "volumes.db")
    await database.open()
    volumes = Volumes(paths, database, EventBus())
    await volumes.open()

    def prune_as(*used: str) -> CachePrune:
        return CachePrune(store[1], Used(*used), store[0], volumes)  # type: ignore[arg-type]

    yield prune_as, volumes
    await database.close()


async def test_pruning(store: tuple[ImageStore, StepCache], pruning: Pruning) -> None:
    images, cache = store
    first = await add(images, cache, None, User="a")
    named = await add(images, cache, first, User="named")
    await images.tag(named.id, "named:1")
    lost = await add(images, cache, await add(images, cache, first, User="lost"), User="lost too")
    used, held = await add(images, cache, first, User="used"), await add(images, cache, first, User="held")
    cache.held[held.id] += 1
    prune = pruning[0](used.id)
    gone, _ = await prune.prune(CacheFilter(), every=False)
    assert len(gone) == 2 and lost.id in gone
    assert {image.id for image in images.list(every=True)} == {first.id, named.id, used.id, held.id}
    assert await cache.find(step_key("", str({"User": "a"}), None)) is not None
    assert await prune.prune(CacheFilter(), every=True) == ([], 0)
    assert await cache.find(step_key("", str({"User": "a"}), None)) is None


async def test_what_is_pruned_by_filters(store: tuple[ImageStore, StepCache], pruning: Pruning) -> None:
    images, cache = store
    prune = pruning[0]()
    first = await add(images, cache, None, User="a")
    second = await add(images, cache, first, User="b")
    other = await add(images, cache, None, User="c")
    entries = {entry.id: entry for entry in await prune.entries()}
    assert set(entries) == {first.id, second.id, other.id}
    assert entries[second.id].parent == first.id and entries[second.id].kind == "regular"
    assert (await prune.prune(CacheFilter(until_ns=entries[first.id].used_ns - 1), every=True))[0] == []
    assert (await prune.prune(CacheFilter(kinds=("exec.cachemount",)), every=False))[0] == []
    assert (await prune.prune(CacheFilter(ids=(first.id,)), every=False))[0] == []  # another stands on it
    assert (await prune.prune(CacheFilter(parents=(first.id,)), every=False))[0] == [second.id]
    assert await cache.find(step_key("", str({"User": "a"}), None)) is not None
    assert (await prune.prune(CacheFilter(keep=entries[other.id].size), every=False))[0] == [first.id]
    assert {image.id for image in images.list(every=True)} == {other.id}


async def test_volumes_of_cache_mounts_are_pruned(pruning: Pruning) -> None:
    prune_as, volumes = pruning
    for name, labels in (("build-cache-1", {LABEL: "/root/.cache"}), ("mine", {})):
        await volumes.create(VolumeSpec(name, labels=labels))
    volume = volumes.find("build-cache-1")
    (volume.mountpoint / "f").write_bytes(bytes(100_000))
    os.utime(volume.mountpoint.parent, (1_000, 1_000))
    (entry,) = await prune_as().entries()
    assert (entry.id, entry.kind, entry.description) == (
        "build-cache-1",
        "exec.cachemount",
        "cached mount /root/.cache",
    )
    assert entry.used_ns == 1_000 * 10**9 and entry.size >= 100_000
    assert await prune_as().prune(CacheFilter(), every=False) == ([], 0)
    assert await prune_as().prune(CacheFilter(until_ns=999 * 10**9), every=True) == ([], 0)
    with volumes.claimed("build-cache-1"):
        assert await prune_as().prune(CacheFilter(), every=True) == ([], 0)
    gone, freed = await prune_as().prune(CacheFilter(kinds=("exec.cachemount",)), every=False)
    assert gone == ["build-cache-1"] and freed >= 100_000 and volumes.has("mine")
