from image_tars import as_stream, docker_archive, file, make_tar

from insula.image.store import ImageStore
from insula.paths import Paths

ONE, TWO, THREE = (make_tar((f"f{n}", file(bytes([n]) * 5000 * n))) for n in (1, 2, 3))


async def add(store: ImageStore, tag: str, *layers: bytes) -> str:
    async for _ in store.load(as_stream(docker_archive(list(layers), tags=[tag])), None):
        pass
    return store.find(tag).id


async def test_every_file_counts_once_and_the_total_is_what_is_on_disk(
    store: ImageStore, paths: Paths
) -> None:
    assert (await store.usage()).total == 0
    one, two = await add(store, "one:1", ONE, TWO), await add(store, "two:1", ONE, THREE)
    usage = await store.usage()
    on_disk = [p for folder in (paths.blobs, paths.layer_disks) for p in folder.rglob("*") if p.is_file()]
    assert usage.total == sum(path.stat().st_size for path in on_disk)
    assert usage.shared[one] == usage.shared[two] > 5000
    sizes = {image.id: image.size for image in store.list()}
    assert sizes[one] + sizes[two] - usage.shared[one] == usage.total
    assert all(image.disk_size < image.size for image in store.list())


async def test_an_image_alone_shares_nothing(store: ImageStore, paths: Paths) -> None:
    one = await add(store, "one:1", ONE)
    assert (await store.usage()).shared == {one: 0}
    for path in paths.layer_disks.iterdir():
        path.unlink()
    assert 0 < (await store.usage()).total < store.find(one).size  # what is missing counts nothing
