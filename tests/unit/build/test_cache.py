"""What a build finds again: a step's image while it is whole, and only where it may be used."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from insula.build.cache import StepCache, step_key
from insula.database import Database
from insula.events import EventBus
from insula.image.record import Image
from insula.image.reference import parse_platform
from insula.image.steps import empty_document
from insula.image.store import ImageStore
from insula.paths import Paths


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


async def test_pruning(store: tuple[ImageStore, StepCache]) -> None:
    images, cache = store
    first = await add(images, cache, None, User="a")
    named = await add(images, cache, first, User="named")
    await images.tag(named.id, "named:1")
    lost = await add(images, cache, await add(images, cache, first, User="lost"), User="lost too")
    used, held = await add(images, cache, first, User="used"), await add(images, cache, first, User="held")
    cache.held[held.id] += 1
    gone = await cache.prune(Used(used.id), every=False)  # type: ignore[arg-type]
    assert len(gone) == 2 and lost.id in gone
    assert {image.id for image in images.list(every=True)} == {first.id, named.id, used.id, held.id}
    assert await cache.find(step_key("", str({"User": "a"}), None)) is not None
    assert await cache.prune(Used(used.id), every=True) == []  # type: ignore[arg-type]
    assert await cache.find(step_key("", str({"User": "a"}), None)) is None
