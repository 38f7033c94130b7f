"""Archives made by skopeo and umoci, old forms by hand, and hostile ones: all or nothing, in one line."""

import gzip
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from image_tars import (
    as_stream,
    docker_archive,
    file,
    folder,
    list_disk,
    make_tar,
    read_file,
    sha256,
    symlink,
)

from insula.errors import InvalidArgument
from insula.image.archive import Loaded
from insula.image.jail import JailLimits
from insula.image.layer import Limits
from insula.image.store import ImageStore
from insula.paths import Paths

ROOTFS = make_tar(("etc", folder()), ("etc/hello", file(b"hello")))


async def load(store: ImageStore, data: bytes) -> list[str]:
    return [str(e) async for e in store.load(as_stream(data)) if isinstance(e, Loaded)]


def command(*argv: object) -> None:
    subprocess.run([str(word) for word in argv], check=True, capture_output=True)


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An OCI layout of three layers by umoci: files, a whiteout, an opaque directory."""
    lay, root = tmp_path / "lay", tmp_path / "root"
    command("umoci", "init", "--layout", lay)
    command("umoci", "new", "--image", f"{lay}:base")
    (root / "etc").mkdir(parents=True)
    (root / "gone").mkdir()
    (root / "etc/a").write_text("content of a")
    os.link(root / "etc/a", root / "etc/b")
    (root / "gone/x").write_text("x")
    command("umoci", "insert", "--rootless", "--image", f"{lay}:base", root, "/")
    command("umoci", "insert", "--rootless", "--image", f"{lay}:base", "--whiteout", "/gone")
    (tmp_path / "new").mkdir()
    (tmp_path / "new/only").write_text("new")
    command("umoci", "insert", "--rootless", "--image", f"{lay}:base", "--opaque", tmp_path / "new", "/etc")
    command("umoci", "config", "--image", f"{lay}:base", "--config.cmd", "sh", "--config.user", "7:8")
    return lay


async def check_layers(store: ImageStore, reference: str) -> None:
    image = store.find(reference)
    assert (image.config.cmd, image.config.user) == (("sh",), "7:8")
    async with store.open_rootfs(image) as rootfs:
        trees = [list_disk(disk) for disk in rootfs.layers]
        assert read_file(rootfs.layers[0], "etc/b") == b"content of a"
        assert trees[1]["gone"].mode[0] == "c" and trees[1]["gone"].size == "0,0"
        assert read_file(rootfs.layers[2], "etc/only") == b"new"
        assert b"overlay.opaque\1\0\0\0y" in rootfs.layers[2].read_bytes()


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
async def test_archives_by_skopeo(store: ImageStore, layout: Path, tmp_path: Path, kind: str) -> None:
    command("skopeo", "copy", f"oci:{layout}:base", f"{kind}:{tmp_path}/a.tar:my/base:1")
    assert await load(store, (tmp_path / "a.tar").read_bytes()) == ["Loaded image: my/base:1"]
    await check_layers(store, "my/base:1")


async def test_zstd_layers_by_skopeo(store: ImageStore, layout: Path, tmp_path: Path) -> None:
    command(
        "skopeo", "copy", "--dest-compress-format", "zstd", "--dest-compress", f"oci:{layout}:base",
        f"dir:{tmp_path}/z",
    )  # fmt: skip
    command("skopeo", "copy", f"dir:{tmp_path}/z", f"oci-archive:{tmp_path}/a.tar:my/base:1")
    await load(store, (tmp_path / "a.tar").read_bytes())
    await check_layers(store, "my/base:1")


@pytest.mark.parametrize("options", ["-cf", "-czf"])
async def test_layout_by_umoci(store: ImageStore, layout: Path, tmp_path: Path, options: str) -> None:
    command("tar", "-C", layout, options, tmp_path / "a.tar", ".")
    (said,) = await load(store, (tmp_path / "a.tar").read_bytes())
    assert said.startswith("Loaded image ID: sha256:")
    await check_layers(store, said.removeprefix("Loaded image ID: "))


# -- layouts by hand


class Layout:
    """An OCI layout: blobs, and an index over them."""

    def __init__(self) -> None:
        self.members: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}

    def blob(self, data: bytes, media_type: str = "", **more: object) -> dict:
        self.members[f"blobs/sha256/{sha256(data)}"] = data
        return {"mediaType": media_type, "digest": f"sha256:{sha256(data)}", "size": len(data), **more}

    def image(self, architecture: str, layers: list[bytes], **more: object) -> dict:
        config = {"architecture": architecture, "os": "linux", "config": {}}
        config["rootfs"] = {"type": "layers", "diff_ids": [f"sha256:{sha256(layer)}" for layer in layers]}
        manifest = {
            "schemaVersion": 2,
            "config": self.blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": [self.blob(layer, "application/vnd.oci.image.layer.v1.tar") for layer in layers],
        }
        return self.blob(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json", **more)

    def index(self, manifests: list[dict], **more: object) -> dict:
        data = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
        return self.blob(data, "application/vnd.oci.image.index.v1+json", **more)

    def tar(self, manifests: list[dict]) -> bytes:
        self.members["index.json"] = json.dumps({"manifests": manifests}).encode()
        return make_tar(*((name, file(data)) for name, data in self.members.items()))


NAMED = {"annotations": {"io.containerd.image.name": "docker.io/library/multi:1"}}


async def test_nested_index_of_several_platforms(store: ImageStore) -> None:
    lay = Layout()
    images = [lay.image("amd64", [ROOTFS]), lay.image("arm64", [ROOTFS])]
    attestation = lay.image("unknown", [ROOTFS], platform={"os": "unknown", "architecture": "unknown"})
    absent = {**images[0], "digest": "sha256:" + "1" * 64, "platform": {"os": "linux", "architecture": "386"}}
    inner = lay.index([*images, attestation, absent])
    assert await load(store, lay.tar([lay.index([inner, inner], **NAMED)])) == ["Loaded image: multi:1"]
    assert store.platforms("multi:1") == ("linux/amd64", "linux/arm64")


async def test_indexes_nested_too_deep(store: ImageStore) -> None:
    lay = Layout()
    entry = lay.image("amd64", [ROOTFS])
    for _ in range(7):
        entry = lay.index([entry])
    with pytest.raises(InvalidArgument, match="nested deeper"):
        await load(store, lay.tar([entry]))


async def test_index_that_names_itself_under_a_false_digest(store: ImageStore, paths: Paths) -> None:
    lay = Layout()
    false = "sha256:" + "2" * 64
    entry = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": false, "size": 1}
    lay.members["blobs/sha256/" + "2" * 64] = json.dumps({"manifests": [entry]}).encode()
    await refused(store, paths, lay.tar([entry]), "has the digest")


async def test_old_form_of_docker(store: ImageStore) -> None:
    base, top = "a" * 64, "b" * 64
    upper = make_tar(("x", file(b"upper")))
    archive = make_tar(
        ("repositories", file(json.dumps({"old": {"1": top, "2": base}}).encode())),
        (f"{top}", folder()),
        (f"{top}/VERSION", file(b"1.0")),
        (
            f"{top}/json",
            file(json.dumps({"id": top, "parent": base, "config": {"Cmd": ["x"]}, "os": "linux"}).encode()),
        ),
        (f"{top}/layer.tar", file(upper)),
        (f"{base}/json", file(json.dumps({"id": base, "architecture": "amd64"}).encode())),
        (f"{base}/real.tar", file(ROOTFS)),
        (f"{base}/layer.tar", symlink("../" + base + "/real.tar")),
    )
    assert sorted(await load(store, archive)) == ["Loaded image: old:1", "Loaded image: old:2"]
    assert store.find("old:1").config.diff_ids == (f"sha256:{sha256(ROOTFS)}", f"sha256:{sha256(upper)}")
    assert store.find("old:1").config.cmd == ("x",)


# -- hostile archives


async def refused(store: ImageStore, paths: Paths, data: bytes, why: str) -> None:
    """A load that fails in one line and changes nothing."""
    before = sorted(path for path in paths.home.rglob("*") if path.is_file() and "insula.db" not in path.name)
    with pytest.raises(InvalidArgument, match=why) as failure:
        await load(store, data)
    assert "\n" not in str(failure.value) and len(str(failure.value)) < 600
    after = sorted(path for path in paths.home.rglob("*") if path.is_file() and "insula.db" not in path.name)
    assert after == before and store.list() == ()


GOOD = docker_archive([ROOTFS], tags=["a:1"])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no manifest.json"),
        (b"hello, this is no archive" * 100, "not a usable tar"),
        (GOOD[:700], "truncated"),
        (GOOD[:3000], "truncated|lacks|no manifest"),
        (gzip.compress(GOOD)[:-30], "truncated"),
        (gzip.compress(GOOD)[:40] + b"\xff" * 5000, "damaged|truncated"),
        (b"\xfd7zXZ\0" + bytes(100), "compressed with xz"),
        (ROOTFS, "for the tar of a root file system use import"),
        (make_tar(("manifest.json", file(b"{"))), "is not JSON"),
        (make_tar(("manifest.json", file(b"{}"))), "not a list"),
        (make_tar(("manifest.json", file(b"[]"))), "has no image"),
        (make_tar(("manifest.json", file(b"[[]]"))), "not an object"),
        (make_tar(("manifest.json", file(b"[" * 100_000))), "is not JSON"),
        (make_tar(("manifest.json", file(b" " * (5 << 20)))), "at most"),
        (make_tar(("manifest.json", file(b'[{"Config": 5}]'))), "'Config'"),
        (make_tar(("manifest.json", file(b'[{"Config": "/etc/passwd", "Layers": []}]'))), "lacks '/etc/passwd'"),
        (make_tar(("../x", file())), "leaves it"),
        (make_tar(("/x", file())), "leaves it"),
        (make_tar(("x", symlink("../../etc/shadow"))), "leaves it"),
        (make_tar(("manifest.json", symlink("b")), ("b", symlink("manifest.json"))), "circle of links"),
        (docker_archive([ROOTFS], tags=["UPPER:1"]), "must be lowercase"),
        (docker_archive([ROOTFS], tags=["a:b:c"]), "invalid reference format"),
        (docker_archive([ROOTFS], diff_ids=[b"other"]), "layer 1 has the digest"),
        (docker_archive([ROOTFS], diff_ids=[ROOTFS, ROOTFS]), "names 2 layers, its manifest 1"),
        (docker_archive([b"no tar at all" * 100]), "layer 1 is not a usable tar"),
        (docker_archive([make_tar(("../../etc/passwd", file()))]), "leads upwards"),
        (docker_archive([ROOTFS], config={"Cmd": "no list"}), "'Cmd' is not of type list"),
        (docker_archive([ROOTFS], config={"Env": [5]}), "'Env' has something that is no text"),
        (docker_archive([ROOTFS], platforms=["am/d64"]), "cannot be part of a platform"),
    ],
)  # fmt: skip
async def test_refused(store: ImageStore, paths: Paths, data: bytes, why: str) -> None:
    await refused(store, paths, data, why)


async def test_every_cut_of_an_archive_is_refused(store: ImageStore, paths: Paths) -> None:
    for end in range(0, len(GOOD.rstrip(b"\0")), 512):
        await refused(store, paths, GOOD[:end], "truncated|no manifest.json|lacks|not JSON")


async def test_one_bad_image_among_good_ones_changes_nothing(store: ImageStore, paths: Paths) -> None:
    lay = Layout()
    good = lay.image("amd64", [ROOTFS], **NAMED)
    bad = lay.image("arm64", [make_tar(("/abs", file()))], **NAMED)
    await refused(store, paths, lay.tar([good, bad]), "is absolute")


async def test_missing_and_altered_blobs(store: ImageStore, paths: Paths) -> None:
    lay = Layout()
    entry = lay.image("amd64", [ROOTFS], **NAMED)
    name = f"blobs/sha256/{sha256(ROOTFS)}"
    lay.members[name] = ROOTFS[:-1] + b"x"
    await refused(store, paths, lay.tar([entry]), "has the digest")
    del lay.members[name]
    await refused(store, paths, lay.tar([entry]), "lacks")
    await refused(store, paths, lay.tar([{**entry, "digest": "sha256:" + "3" * 64}]), "lacks every image")
    await refused(store, paths, lay.tar([{**entry, "digest": "sha512:../../x"}]), "not a sha256 digest")


async def test_duplicate_entries_are_one_image(store: ImageStore) -> None:
    lay = Layout()
    entry = lay.image("amd64", [ROOTFS], **NAMED)
    await load(store, lay.tar([entry] * 50))
    assert len(store.list()) == 1


async def test_too_many_members(store: ImageStore, paths: Paths) -> None:
    await refused(
        store, paths, make_tar(*((f"f{n}", file()) for n in range(20_001))), "more than 20000 members"
    )


async def test_huge_pax_header(store: ImageStore, paths: Paths) -> None:
    layer = make_tar(("f", file(pax_headers={"comment": "x" * (2 << 20)})))
    await refused(store, paths, docker_archive([layer]), "an extended header of .* bytes")
    await refused(store, paths, layer, "an extended header of .* bytes")


async def test_gzip_bomb_as_a_layer(store: ImageStore, paths: Paths) -> None:
    info = tarfile.TarInfo("zeros")
    info.size = 1 << 40
    bomb = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(64 << 20))
    await refused(store, paths, docker_archive([bomb], diff_ids=[b"x"]), "would fit")


async def test_stream_limit(paths: Paths, store: ImageStore) -> None:
    store.disks._limits = Limits(stream=1 << 20)
    layer = make_tar(*((f"f{n}", file(bytes(60_000))) for n in range(40)))
    await refused(
        store, paths, docker_archive([gzip.compress(layer)], diff_ids=[layer]), "more than 1 MiB|would fit"
    )


async def test_output_of_the_converter_is_limited(store: ImageStore, paths: Paths) -> None:
    store.disks._jail_limits = JailLimits(output=1 << 16)
    layer = make_tar(("f", file(os.urandom(1 << 20))))
    await refused(store, paths, docker_archive([layer]), "would have more than")
