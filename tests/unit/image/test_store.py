"""The store: load, import, lookups, tags, removal, what a killed daemon leaves, and that the loop stays free."""

import asyncio
import gzip
import json
import sys
import threading

import pytest
import zstandard
from image_tars import as_stream, docker_archive, file, folder, list_disk, make_tar, read_file

from insula.database import Database
from insula.errors import Conflict, InvalidArgument, NotFound
from insula.events import EventBus
from insula.image.archive import Loaded
from insula.image.change import Change
from insula.image.store import ImageStore
from insula.paths import Paths

ROOTFS = make_tar(
    ("etc", folder()), ("etc/hello", file(b"hello")), ("bin", folder()), ("bin/sh", file(mode=0o755))
)


async def load(store: ImageStore, archive: bytes, platform: str | None = None) -> list[str]:
    return [str(e) async for e in store.load(as_stream(archive), platform) if isinstance(e, Loaded)]


def files(paths: Paths) -> set[str]:
    folders = (paths.blobs, paths.layer_disks, paths.staging)
    return {str(path) for folder in folders for path in folder.rglob("*") if path.is_file()}


async def test_load_then_find_then_open(store: ImageStore, paths: Paths) -> None:
    said = await load(
        store, docker_archive([ROOTFS], tags=["my/app:1"], config={"Cmd": ["sh"], "Env": ["A=b"]})
    )
    assert said == ["Loaded image: my/app:1"]
    image = store.find("my/app:1")
    assert store.find("docker.io/my/app:1") == store.find(image.id) == store.find(image.id[7:19]) == image
    assert (image.config.cmd, image.config.env, str(image.platform)) == (("sh",), ("A=b",), "linux/amd64")
    assert image.repo_tags == ("my/app:1",)
    async with store.open_rootfs(image) as rootfs:
        assert len(rootfs.layers) == 1
        assert read_file(rootfs.layers[0], "etc/hello") == b"hello"
        assert rootfs.layers[0].stat().st_size % 4096 == 0
    assert not list(paths.staging.iterdir())


async def test_image_without_tag_is_named_by_id(store: ImageStore) -> None:
    assert await load(store, docker_archive([ROOTFS])) == [f"Loaded image ID: {store.list()[0].id}"]


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress])
async def test_compressed_layers_and_archives(store: ImageStore, compress) -> None:
    archive = docker_archive([compress(ROOTFS)], diff_ids=[ROOTFS], tags=["a:1"])
    assert await load(store, compress(archive)) == ["Loaded image: a:1"]
    async with store.open_rootfs(store.find("a:1")) as rootfs:
        assert read_file(rootfs.layers[0], "etc/hello") == b"hello"


async def test_gzip_of_several_members(store: ImageStore) -> None:
    parts = b"".join(gzip.compress(ROOTFS[at : at + 700]) for at in range(0, len(ROOTFS), 700))
    await load(store, docker_archive([parts], diff_ids=[ROOTFS], tags=["a:1"]))
    assert store.find("a:1").config.diff_ids


async def test_platforms_of_one_tag(store: ImageStore) -> None:
    archive = docker_archive([ROOTFS], tags=["m:1"], platforms=["amd64", "arm64", "s390x"])
    assert await load(store, archive) == ["Loaded image: m:1"]
    assert store.platforms("m:1") == ("linux/amd64", "linux/arm64", "linux/s390x")
    assert store.find("m:1", "linux/arm64/v8").config.architecture == "arm64"
    with pytest.raises(
        NotFound, match="has no platform linux/ppc64le, only linux/amd64, linux/arm64, linux/s390x"
    ):
        store.find("m:1", "linux/ppc64le")
    assert len(store.list()) == 3 and len({image.disks for image in store.list()}) == 1


async def test_load_of_one_platform(store: ImageStore) -> None:
    archive = docker_archive([ROOTFS], tags=["m:1"], platforms=["amd64", "arm64"])
    await load(store, archive, "arm64")
    assert store.platforms("m:1") == ("linux/arm64",)
    with pytest.raises(InvalidArgument, match="no image for linux/386"):
        await load(store, archive, "386")


async def test_unknown_and_ambiguous_names(store: ImageStore) -> None:
    for text, shown in {
        "foo": "foo:latest",
        "x/y:2": "x/y:2",
        "sha256:" + "0" * 64: "sha256:" + "0" * 64,
    }.items():
        with pytest.raises(NotFound, match=f"^No such image: {shown}$"):
            store.find(text)
    with pytest.raises(NotFound, match="No such image"):
        store.find("../../etc/passwd")
    archives = [docker_archive([ROOTFS], config={"Cmd": [str(n)]}) for n in range(600)]
    seen: dict[str, str] = {}
    for archive in archives:
        digits = json.loads(archive[archive.index(b'[{"Config') :].partition(b"\0")[0])[0]["Config"][:4]
        if digits in seen:
            break
        seen[digits] = archive
    else:
        pytest.fail("no two ids begin alike")
    for twin in (archive, seen[digits]):
        await load(store, twin)
    with pytest.raises(InvalidArgument, match="ambiguous: 2 images"):
        store.find(digits)


async def test_tag_and_remove(store: ImageStore, paths: Paths) -> None:
    empty = files(paths)
    await load(store, docker_archive([ROOTFS], tags=["a:1"]))
    await store.tag("a:1", "registry:5000/b")
    image = store.find("registry:5000/b:latest")
    assert image.repo_tags == ("a:1", "registry:5000/b:latest")
    with pytest.raises(Conflict, match="referenced in multiple repositories"):
        await store.remove(image.id)
    assert [r.untagged for r in await store.remove("a:1", in_use={image.id})] == ["a:1"]
    with pytest.raises(Conflict, match="a container is using"):
        await store.remove("registry:5000/b", in_use={image.id})
    with pytest.raises(Conflict, match="cannot be forced"):
        await store.remove(image.id, in_use={image.id}, force=True)
    removed = await store.remove("registry:5000/b")
    assert [(r.untagged, r.deleted) for r in removed] == [("registry:5000/b:latest", ""), ("", image.id)]
    assert files(paths) == empty and store.list() == ()
    with pytest.raises(NotFound):
        await store.remove("a:1")


async def test_remove_of_one_platform_by_id_keeps_the_tag_of_the_others(store: ImageStore) -> None:
    await load(store, docker_archive([ROOTFS], tags=["m:1"], platforms=["amd64", "arm64"]))
    await store.remove(store.find("m:1", "arm64").id)
    assert store.platforms("m:1") == ("linux/amd64",)
    async with store.open_rootfs(store.find("m:1")) as rootfs:
        assert rootfs.layers[0].exists()


async def test_loading_a_tag_anew_leaves_the_old_image_untagged(store: ImageStore) -> None:
    await load(store, docker_archive([ROOTFS], tags=["a:1"]))
    old = store.find("a:1").id
    await load(store, docker_archive([ROOTFS], tags=["a:1"], config={"Cmd": ["x"]}))
    assert store.find("a:1").id != old and store.find(old).repo_tags == ()
    assert [image.id for image in store.list({"dangling": ["true"]})] == [old]
    assert [image.repo_tags for image in store.list({"reference": ["a"]})] == [("a:1",)]
    with pytest.raises(InvalidArgument, match="invalid filter"):
        store.list({"colour": ["red"]})


async def test_import_with_changes(store: ImageStore) -> None:
    change = Change(
        "imported:1", "linux/arm64", "by hand", ('CMD ["sh", "-l"]', "ENV A=b C='d e'", "EXPOSE 80")
    )
    image = await store.import_(as_stream(gzip.compress(ROOTFS)), change)
    assert (image.config.cmd, image.config.env) == (("sh", "-l"), ("A=b", "C=d e"))
    assert (str(image.platform), image.repo_tags, image.comment) == (
        "linux/arm64",
        ("imported:1",),
        "by hand",
    )
    assert image.config.exposed_ports == ("80/tcp",)
    with pytest.raises(InvalidArgument, match="RUN is not a valid change command"):
        await store.import_(as_stream(ROOTFS), Change(changes=("RUN x",)))


async def test_import_beside_other_platforms(store: ImageStore) -> None:
    for platform in ("linux/amd64", "linux/arm64"):
        await store.import_(as_stream(ROOTFS), Change("a:1", platform, beside=True))
    assert store.platforms("a:1") == ("linux/amd64", "linux/arm64")
    await store.import_(as_stream(ROOTFS), Change("a:1", "linux/386"))
    assert store.platforms("a:1") == ("linux/386",)
    with pytest.raises(InvalidArgument, match="not a usable tar"):
        await store.import_(as_stream(b"x" * 2000), Change("a:1", "linux/amd64"))
    assert store.platforms("a:1") == ("linux/386",)


async def test_deep_images_have_their_lowest_layers_merged(store: ImageStore) -> None:
    layers = [make_tar((f"f{n}", file(str(n).encode())), ("same", file(str(n).encode()))) for n in range(12)]
    await load(store, docker_archive(layers, tags=["deep"]))
    async with store.open_rootfs(store.find("deep")) as rootfs:
        assert len(rootfs.layers) == 8
        assert set(list_disk(rootfs.layers[0])) == {".", "same", "f0", "f1", "f2", "f3", "f4"}
        assert read_file(rootfs.layers[0], "same") == b"4"
        assert set(list_disk(rootfs.layers[7])) == {".", "same", "f11"}


async def test_layer_that_needs_those_below_is_merged_with_them(store: ImageStore) -> None:
    layers = [make_tar(("d", folder(mode=0o1777))), make_tar(("d/x", file(b"x"))), make_tar(("top", file()))]
    await load(store, docker_archive(layers, tags=["a"]))
    async with store.open_rootfs(store.find("a")) as rootfs:
        assert [set(list_disk(disk)) for disk in rootfs.layers] == [{".", "d", "d/x"}, {".", "top"}]
        assert list_disk(rootfs.layers[0])["d"].mode == "drwxrwxrwt"


async def test_image_of_no_layers_has_an_empty_disk(store: ImageStore) -> None:
    await load(store, docker_archive([], tags=["scratch-like"]))
    async with store.open_rootfs(store.find("scratch-like")) as rootfs:
        assert [set(list_disk(disk)) for disk in rootfs.layers] == [{"."}]


async def test_missing_disks_are_made_again_and_held(store: ImageStore, paths: Paths) -> None:
    await load(store, docker_archive([ROOTFS], tags=["a:1"]))
    image = store.find("a:1")
    for disk in paths.layer_disks.iterdir():
        disk.unlink()
    async with store.open_rootfs(image) as rootfs:
        assert read_file(rootfs.layers[0], "etc/hello") == b"hello"
        await store.remove("a:1")
        assert rootfs.layers[0].exists()
    await load(store, docker_archive([ROOTFS], tags=["b:1"], config={"Cmd": ["x"]}))
    await store.remove("b:1")
    assert not list(paths.layer_disks.iterdir())


async def test_next_daemon_finds_images_and_removes_leftovers(paths: Paths) -> None:
    async def opened() -> tuple[ImageStore, Database]:
        database = Database(paths.database)
        await database.open()
        store = ImageStore(paths, database, EventBus())
        await store.open()
        return store, database

    store, database = await opened()
    await load(store, docker_archive([ROOTFS], tags=["a:1"]))
    image, kept = store.find("a:1"), files(paths)
    await database.close()
    (paths.staging / "image-0011").write_bytes(b"half")
    (paths.blobs / "sha256" / ("0" * 64)).write_bytes(b"no record")
    (paths.layer_disks / "x-v1.squashfs").write_bytes(b"no record")
    (paths.staging / "of-another-part").write_bytes(b"kept")
    store, database = await opened()
    assert store.find("a:1") == image
    assert files(paths) == kept | {str(paths.staging / "of-another-part")}
    await load(store, docker_archive([ROOTFS], tags=["damaged:1"], config={"Cmd": ["x"]}))
    (paths.blobs / "sha256" / store.find("damaged:1").id[7:]).write_bytes(b"damaged")
    await database.close()
    store, database = await opened()
    assert [found.id for found in store.list()] == [image.id]
    with pytest.raises(NotFound):
        store.find("damaged:1")
    await database.close()


async def test_load_cut_off_leaves_nothing(store: ImageStore, paths: Paths) -> None:
    before = files(paths)
    archive = docker_archive([ROOTFS + bytes(30 << 20)], tags=["a:1"])
    for steps in (1, 5, 20, 40, 80):
        task = asyncio.create_task(load(store, archive))
        for _ in range(steps):
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if store.list():
            await store.remove("a:1")
        assert files(paths) == before


async def test_loads_at_a_time_make_each_disk_once(store: ImageStore, paths: Paths) -> None:
    archives = [docker_archive([ROOTFS], tags=[f"a:{n}"], config={"Cmd": [str(n)]}) for n in range(6)]
    await asyncio.gather(*(load(store, archive) for archive in archives))
    assert len(list(paths.layer_disks.iterdir())) == 1
    assert len(store.list()) == 6


async def test_no_file_is_touched_on_the_event_loops_thread(store: ImageStore, paths: Paths) -> None:
    touched: list[str] = []
    loop_thread, watching = threading.get_ident(), True

    def audit(event: str, arguments: tuple) -> None:
        watched = watching and event in ("open", "os.rename", "os.remove", "os.listdir", "os.scandir")
        if watched and threading.get_ident() == loop_thread and str(arguments[0]).startswith(str(paths.home)):
            touched.append(f"{event} {arguments[0]}")

    sys.addaudithook(audit)
    await load(store, docker_archive([ROOTFS], tags=["a:1"]))
    await store.import_(as_stream(ROOTFS), Change("b:1"))
    async with store.open_rootfs(store.find("a:1")):
        pass
    await store.remove("a:1")
    watching = False
    assert touched == []
