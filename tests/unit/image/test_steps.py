"""A build's images: kept step by step, hidden while others stand on them, made whole when they are run."""

from pathlib import Path

import pytest
from image_tars import as_stream, docker_archive, file, folder, make_tar, read_file

from insula.errors import InvalidArgument
from insula.image.record import Image
from insula.image.reference import parse_platform
from insula.image.steps import empty_document
from insula.image.store import ImageStore
from insula.paths import Paths

PLATFORM = parse_platform("linux/amd64")
LAYER = make_tar(("etc", folder()), ("etc/hello", file(b"content")))
SECOND = make_tar(("etc", folder()), ("etc/more", file(b"more")), ("etc/.wh.hello", file()))


async def step(store: ImageStore, parent: Image | None, tar: bytes | None, **config: object) -> Image:
    document = {**empty_document(PLATFORM), "config": config}
    async with store.steps.staging() as path:
        layer = await store.steps.receive(as_stream(tar), path) if tar is not None else None
        return await store.steps.add(parent, layer, document)


async def test_steps_become_an_image(store: ImageStore, paths: Paths) -> None:
    first = await step(store, None, LAYER)
    second = await step(store, first, None, User="me")
    third = await step(store, second, SECOND)
    assert [len(image.layers) for image in (first, second, third)] == [1, 1, 2]
    assert (second.parent, third.parent) == (first.id, second.id)
    assert first.layers[0].digest == first.layers[0].diff_id == first.config.diff_ids[0]
    assert not list(paths.layer_disks.iterdir()) and not list(paths.staging.iterdir())
    assert [image.id for image in store.list()] == [third.id]
    assert len(store.list(every=True)) == 3
    whole = await store.steps.complete(third)
    assert len(whole.disks) == 2 == len(list(paths.layer_disks.iterdir()))
    async with store.open_rootfs(store.find(third.id)) as rootfs:
        assert read_file(rootfs.layers[0], "etc/hello") == b"content"
    assert await step(store, second, SECOND) == store.find(third.id)  # the same again is the same


async def test_a_layer_without_anything_is_none(store: ImageStore) -> None:
    first = await step(store, None, LAYER)
    assert (await step(store, first, bytes(1024), User="x")).layers == first.layers


async def test_nothing_is_an_image_too(store: ImageStore) -> None:
    async with store.open_rootfs(store.steps.scratch(PLATFORM)) as rootfs:
        assert len(rootfs.layers) == 1
    assert store.list(every=True) == ()


async def test_what_is_damaged_is_not_whole_and_heals(store: ImageStore, paths: Paths) -> None:
    first = await step(store, None, LAYER)
    blob = paths.blobs / "sha256" / first.layers[0].digest.removeprefix("sha256:")
    assert await store.steps.is_whole(first)
    blob.write_bytes(LAYER[:512])
    assert not await store.steps.is_whole(first)
    await step(store, None, LAYER, User="again")
    assert blob.read_bytes() == LAYER and await store.steps.is_whole(first)
    blob.unlink()
    assert not await store.steps.is_whole(first)
    await step(store, None, LAYER, User="and again")
    blob.write_bytes(LAYER.replace(b"content", b"CONTENT"))
    with pytest.raises(InvalidArgument, match="digest"):
        await store.steps.complete(first)


async def test_removal_takes_the_steps_along_that_nobody_needs(store: ImageStore) -> None:
    first = await step(store, None, LAYER)
    second = await step(store, first, SECOND)
    left, right = await step(store, second, None, User="l"), await step(store, second, None, User="r")
    await store.tag(left.id, "left:1")
    await store.tag([right], "right:1")
    removed = await store.remove("left:1")
    assert [r.deleted for r in removed] == ["", left.id]
    removed = await store.remove("right:1", in_use=frozenset({first.id}))
    assert [r.deleted for r in removed] == ["", right.id, second.id]
    assert [image.id for image in store.list(every=True)] == [first.id]
    third = await step(store, first, None, User="x")
    assert [r.deleted for r in await store.remove(third.id, parents=False)] == [third.id]
    assert [image.id for image in store.list()] == [first.id]


async def test_one_tag_of_several_platforms(store: ImageStore) -> None:
    [_ async for _ in store.load(as_stream(docker_archive([LAYER], tags=["x:1"])))]
    amd = store.find("x:1")
    other = {**empty_document(parse_platform("linux/arm64"))}
    arm = await store.steps.add(None, None, other)
    await store.tag([amd, arm], "both:1")
    assert store.platforms("both:1") == ("linux/amd64", "linux/arm64")


async def test_a_later_daemon_finds_them(store: ImageStore, paths: Paths, tmp_path: Path) -> None:
    first = await step(store, None, LAYER)
    from insula.database import Database
    from insula.events import EventBus

    database = Database(paths.database)
    await database.open()
    later = ImageStore(paths, database, EventBus())
    await later.open()
    assert later.find(first.id).layers == first.layers and await later.steps.is_whole(first)
    async with later.open_rootfs(later.find(first.id)) as rootfs:
        assert len(rootfs.layers) == 1
    assert later.find(first.id).disks
    await later.close()
    await database.close()
