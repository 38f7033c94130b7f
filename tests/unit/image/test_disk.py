"""Disks: one converter however many ask, ended when nobody asks any more, and its failures worded."""

import asyncio
import gzip
import os
from pathlib import Path

import pytest
from image_tars import file, list_disk, make_tar

from insula.errors import InvalidArgument
from insula.image.blobs import BlobStore
from insula.image.disk import DiskStore, LayerBlob
from insula.image.jail import JailLimits
from insula.image.layer import Limits
from insula.image.manifest import digest_of
from insula.paths import Paths


@pytest.fixture
def blobs(paths: Paths) -> BlobStore:
    store = BlobStore(paths)
    store.make()
    return store


@pytest.fixture
def disks(paths: Paths, blobs: BlobStore) -> DiskStore:
    return DiskStore(paths, blobs, Limits(), JailLimits())


def add(blobs: BlobStore, layer: bytes) -> LayerBlob:
    return LayerBlob(blobs.write_bytes(gzip.compress(layer, 1)), digest_of(layer))


async def test_one_converter_for_all_who_ask(disks: DiskStore, blobs: BlobStore) -> None:
    layer = add(blobs, make_tar(("f", file(b"x"))))
    running: set[str] = set()

    async def watch() -> None:
        while True:
            running.update(disks._conversions.running)
            assert len(disks._conversions.running) <= 1
            await asyncio.sleep(0)

    watcher = asyncio.create_task(watch())
    made = await asyncio.gather(*(disks.make([layer]) for _ in range(10)))
    watcher.cancel()
    assert len(set(made)) == 1 and len(running) == 1 and not disks._conversions.running


async def test_of_two_who_ask_one_may_leave(disks: DiskStore, blobs: BlobStore, paths: Paths) -> None:
    layer = add(blobs, make_tar(("f", file(os.urandom(20 << 20)))))
    first, second = (asyncio.create_task(disks.make([layer])) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    (name,) = await second
    assert set(list_disk(disks.path(name))) == {".", "f"}
    third = asyncio.create_task(disks.make([add(blobs, make_tar(("g", file(os.urandom(20 << 20)))))]))
    await asyncio.sleep(0.05)
    third.cancel()
    with pytest.raises(asyncio.CancelledError):
        await third
    assert not disks._conversions.running and not list(paths.staging.iterdir())
    assert [path.name for path in paths.layer_disks.iterdir()] == [name]


async def test_wrong_digest_keeps_nothing(disks: DiskStore, blobs: BlobStore, paths: Paths) -> None:
    good = add(blobs, make_tar(("f", file(b"x"))))
    with pytest.raises(InvalidArgument, match=r"layer 1 has the digest .*, not sha256:000"):
        await disks.make([LayerBlob(good.digest, "sha256:" + "0" * 64)])
    assert not list(paths.layer_disks.iterdir()) and not list(paths.staging.iterdir())


@pytest.mark.parametrize(
    ("limits", "why"),
    [(JailLimits(memory=64 << 20), "too much memory"), (JailLimits(seconds=1), "processor time")],
)
async def test_limits_are_refusals(paths: Paths, blobs: BlobStore, limits: JailLimits, why: str) -> None:
    block = make_tar(("x", file()))[:512]
    layer = make_tar(*((f"d/{n:050}", file()) for n in range(60_000)))[:-10240] + block * 200_000
    with pytest.raises(InvalidArgument, match=why):
        await DiskStore(paths, blobs, Limits(), limits).make([add(blobs, layer)])
    assert not list(paths.layer_disks.iterdir()) and not list(paths.staging.iterdir())


@pytest.mark.soak
async def test_a_million_entries_and_one_are_refused(
    disks: DiskStore, blobs: BlobStore, paths: Paths
) -> None:
    block = make_tar(("x", file()))[:512]
    layer = gzip.compress(block * 1_000_001, 1)
    with pytest.raises(InvalidArgument, match="more than 1000000 entries"):
        await disks.make([LayerBlob(blobs.write_bytes(layer), digest_of(b""))])
    assert not list(Path(paths.layer_disks).iterdir())
