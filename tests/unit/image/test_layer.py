"""Layers: what is kept, what is refused, and how one lies over another. Disks are read by unsquashfs."""

import io
import os
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest
from image_tars import Listed, file, folder, link, list_disk, make_tar, read_file, symlink

from insula.errors import InvalidArgument
from insula.image.decompress import Uncompressed
from insula.image.layer import Limits, NeedsLower, Tree
from insula.image.squashfs import UNUSED, data_size, finish_image, start_image


def convert(
    path: Path, *layers: bytes, lowest: bool = True, limits: Limits | None = None
) -> dict[str, Listed]:
    limits = limits or Limits()
    tree = Tree(limits, lowest=lowest, merged=len(layers) > 1)
    with path.open("wb") as out:
        start_image(out)
        for number, layer in enumerate(layers, 1):
            stream = Uncompressed(io.BytesIO(layer), f"layer {number}", limits.stream)
            tree.add_layer(stream, f"layer {number}", out)
        finish_image(out, tree.root)
    assert path.stat().st_size % 4096 == 0
    return list_disk(path)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return tmp_path / "disk"


def xattr_sets(disk: Path) -> list[dict[bytes, bytes]]:
    """Each set of attributes in the disk's tables, in the order of their files' names (unsquashfs gives
    trusted.* to root alone), behind the one that no file has."""
    data = disk.read_bytes()
    (table,) = struct.unpack_from("<Q", data, 56)
    start, count, _, records = struct.unpack_from("<QIIQ", data, table)
    sets = []
    for index in range(count):
        reference, length, _ = struct.unpack_from("<QII", data, records + 2 + index * 16)
        at = start + (reference >> 16) + 2 + (reference & 0xFFFF)
        sets.append({})
        for _ in range(length):
            kind, size = struct.unpack_from("<HH", data, at)
            key = [b"user.", b"trusted.", b"security."][kind] + data[at + 4 : at + 4 + size]
            (value,) = struct.unpack_from("<I", data, at + 4 + size)
            sets[-1][key] = data[at + 8 + size : at + 8 + size + value]
            at += 8 + size + value
    assert sets.pop(0) == UNUSED
    return sets


def test_kinds_modes_and_owners_are_kept(disk: Path) -> None:
    tree = convert(
        disk,
        make_tar(
            ("d", folder(mode=0o1777)),
            ("d/f", file(b"content", mode=0o4755, uid=1000, gid=70000)),
            ("d/hard", link("d/f")),
            ("d/soft", symlink("../d/f")),
            ("abs", symlink("/etc/passwd")),
            ("c", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}),
            ("b", {"type": tarfile.BLKTYPE, "devmajor": 259, "devminor": 200}),
            ("p", {"type": tarfile.FIFOTYPE}),
            ("big-id", file(uid=4_000_000_000)),
        ),
    )
    assert tree["d"].mode == "drwxrwxrwt"
    assert tree["d/f"] == Listed("-rwsr-xr-x", "1000/70000", "7", "")
    assert tree["d/hard"] == tree["d/f"]
    assert tree["d/soft"].target == "../d/f"
    assert tree["abs"].target == "/etc/passwd"
    assert (tree["c"].mode[0], tree["c"].size) == ("c", "1,3")
    assert (tree["b"].mode[0], tree["b"].size) == ("b", "259,200")
    assert tree["p"].mode[0] == "p"
    assert tree["big-id"].owner == "4000000000/0"
    assert read_file(disk, "d/hard") == b"content"


def test_file_sizes_around_the_block(disk: Path) -> None:
    sizes = [0, 1, 4095, 131071, 131072, 131073, 300000, 1 << 20]
    data = {f"f{size}": (b"0123456789abcdef" * (size // 16 + 1))[:size] for size in sizes}
    convert(disk, make_tar(*((name, file(content)) for name, content in data.items())))
    for name, content in data.items():
        assert read_file(disk, name) == content


def test_names_are_bytes(disk: Path) -> None:
    tree = convert(disk, make_tar(("caf\udce9", file(b"x")), ("ü" * 60 + "/" + "y" * 200, file(b"y"))))
    assert "caf\udce9" in tree
    assert "ü" * 60 + "/" + "y" * 200 in tree


def test_missing_parents_are_made(disk: Path) -> None:
    tree = convert(disk, make_tar(("a/b/c", file(b"x", uid=5))))
    assert tree["a/b"] == Listed("drwxr-xr-x", "0/0", tree["a/b"].size, "")


def test_last_duplicate_wins(disk: Path) -> None:
    tree = convert(
        disk,
        make_tar(
            ("a", file(b"1")), ("a", file(b"22")), ("d", folder()), ("d/x", file()), ("d", file(b"333"))
        ),
    )
    assert read_file(disk, "a") == b"22"
    assert tree["d"].size == "3" and "d/x" not in tree


def test_directory_twice_keeps_its_content(disk: Path) -> None:
    tree = convert(disk, make_tar(("d", folder()), ("d/x", file()), ("d/", folder(mode=0o700))))
    assert tree["d"].mode == "drwx------" and "d/x" in tree


def test_entry_through_a_link_goes_where_the_link_points(disk: Path) -> None:
    tree = convert(
        disk,
        make_tar(
            ("usr/bin", folder()), ("bin", symlink("usr/bin")), ("bin/sh", file(b"x")), ("l", link("bin/sh"))
        ),
    )
    assert tree["bin"].target == "usr/bin"
    assert read_file(disk, "usr/bin/sh") == b"x" and read_file(disk, "l") == b"x"


def test_entry_through_an_absolute_link_stays_inside(disk: Path) -> None:
    tree = convert(disk, make_tar(("out", symlink("/../../etc")), ("out/passwd", file(b"x"))))
    assert read_file(disk, "etc/passwd") == b"x" and tree["out"].target == "/../../etc"


def test_links_in_a_circle_are_refused(disk: Path) -> None:
    with pytest.raises(InvalidArgument, match="too many symbolic links"):
        convert(disk, make_tar(("a", symlink("b")), ("b", symlink("a")), ("a/x", file())))


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([("../x", file())], "leads upwards"),
        ([("a/../../x", file())], "leads upwards"),
        ([("/etc/passwd", file())], "is absolute"),
        ([("a", link("../../etc/passwd"))], "leads upwards"),
        ([("a", link("/etc/passwd"))], "is absolute"),
        ([("a", link("missing"))], "which is not there"),
        ([("d", folder()), ("a", link("d"))], "hard link to a directory"),
        ([("a", link("."))], "hard link to a directory"),
        ([("a", symlink("../x"))], "leaves the root"),
        ([("d/a", symlink("../../x"))], "leaves the root"),
        ([("a", symlink(""))], "no usable target"),
        ([(".wh...", file())], "names no file"),
        ([("d/" + "x" * 256, file())], "more than 255 bytes"),
        ([("x/" * 2050 + "f", file())], "too long"),
    ],
)
def test_refused(disk: Path, entries: list, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why) as failure:
        convert(disk, make_tar(*entries))
    assert "\n" not in str(failure.value) and len(str(failure.value)) < 400


def test_xattrs_are_kept_but_not_overlayfs_own(disk: Path) -> None:
    capability = b"\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    headers = {
        "SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape"),
        "SCHILY.xattr.user.a": "1",
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
        "SCHILY.xattr.system.posix_acl_access": "x",
    }
    convert(
        disk,
        make_tar(("f", file(b"x", pax_headers=headers)), ("g", file(pax_headers=headers)), ("h", file())),
    )
    assert xattr_sets(disk) == [{b"security.capability": capability, b"user.a": b"1"}]


def test_a_disk_without_attributes_has_a_table_of_them(disk: Path) -> None:
    """Or listxattr would be refused by it, instead of telling that there are none."""
    convert(disk, make_tar(("f", file(b"x"))))
    assert xattr_sets(disk) == []


def test_whiteouts_of_one_layer_stay_for_overlayfs(disk: Path) -> None:
    tree = convert(
        disk,
        make_tar(
            ("d", folder()), ("d/.wh.gone", file()), ("o", folder(pax_headers={"SCHILY.xattr.user.a": "1"})), ("o/.wh..wh..opq", file()), ("o/x", file()),
            (".wh.again", file()), ("again", folder()), ("kept", file()), (".wh.kept", file()),
            (".wh..wh.plnk", folder()), (".wh..wh.plnk/1.2", file()),
        ),
        lowest=False,
    )  # fmt: skip
    assert (tree["d/gone"].mode, tree["d/gone"].size) == ("c---------", "0,0")
    assert xattr_sets(disk) == [
        {b"trusted.overlay.opaque": b"y"},
        {b"trusted.overlay.opaque": b"y", b"user.a": b"1"},
    ]
    assert tree["kept"].mode[0] == "-"
    assert not any(".wh." in name for name in tree)


def test_upper_layer_alone_says_when_it_needs_the_lower(disk: Path) -> None:
    for entries in ([("a/b", file())], [("x", link("lower"))], [("etc/.wh.passwd", file())]):
        with pytest.raises(NeedsLower):
            convert(disk, make_tar(*entries), lowest=False)


def test_merge_applies_whiteouts(disk: Path) -> None:
    lower = make_tar(
        ("d", folder(mode=0o1777, uid=7)), ("d/a", file(b"a")), ("d/b", file(b"b")), ("o", folder()),
        ("o/old", file()), ("o/deep", folder()), ("o/deep/old", file()), ("gone", folder()), ("gone/x", file()),
        ("again", folder()), ("again/old", file()), ("bin", symlink("usr/bin")), ("usr/bin", folder()),
    )  # fmt: skip
    upper = make_tar(
        ("d/.wh.a", file()), ("d/c", link("d/b")), ("o/deep", folder()), ("o/deep/new", file()),
        ("o/.wh..wh..opq", file()), (".wh.gone", file()), ("again", folder()), ("again/new", file()),
        (".wh.again", file()), ("bin/tool", file(b"t")), (".wh.never-was", file()),
    )  # fmt: skip
    tree = convert(disk, lower, upper)
    assert set(tree) == {
        ".", "d", "d/b", "d/c", "o", "o/deep", "o/deep/new", "again", "again/new", "bin", "usr", "usr/bin",
        "usr/bin/tool",
    }  # fmt: skip
    assert tree["d"] == Listed("drwxrwxrwt", "7/0", tree["d"].size, "")
    assert read_file(disk, "d/c") == b"b"


def test_whiteout_removes_a_name_whose_file_lives_on_under_another(disk: Path) -> None:
    lower = make_tar(("a", file(b"x")))
    upper = make_tar(("b", link("a")), (".wh.a", file()))
    tree = convert(disk, lower, upper)
    assert set(tree) == {".", "b"} and read_file(disk, "b") == b"x"


def test_file_replaced_above_leaves_its_other_name(disk: Path) -> None:
    tree = convert(disk, make_tar(("a", file(b"old")), ("b", link("a"))), make_tar(("a", file(b"new!"))))
    assert read_file(disk, "a") == b"new!" and read_file(disk, "b") == b"old" and len(tree) == 3


def test_entries_are_limited(disk: Path) -> None:
    layer = make_tar(*((f"f{n}", file()) for n in range(30)))
    with pytest.raises(InvalidArgument, match="layer 1 has more than 20 entries"):
        convert(disk, layer, limits=Limits(entries=20))
    with pytest.raises(InvalidArgument, match="a directory has more than 20 names"):
        convert(disk, layer, limits=Limits(names_per_directory=20))
    with pytest.raises(InvalidArgument, match="more than 20 entries"):
        convert(disk, make_tar(("a/" * 30 + "f", file())), limits=Limits(entries=20))


def test_many_names_in_one_directory(disk: Path) -> None:
    tree = convert(
        disk, make_tar(*((f"d/{n * 7919 % 30000:05}", file(str(n).encode())) for n in range(30000)))
    )
    assert len(tree) == 30002
    assert read_file(disk, f"d/{29999 * 7919 % 30000:05}") == b"29999"


def test_terabyte_said_is_refused_before_it_is_read(disk: Path) -> None:
    info = tarfile.TarInfo("zeros")
    info.size = 1 << 40
    with pytest.raises(InvalidArgument, match="would fit"):
        convert(disk, info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 16))
    assert disk.stat().st_size < 4096


def test_a_disk_tells_what_its_files_take(disk: Path) -> None:
    convert(disk, make_tar(("d", folder()), ("d/s", symlink("x"))))
    with disk.open("rb") as image:
        assert data_size(image) == 0
    files = (
        ("a", file(b"a" * 10)),
        ("b", file(os.urandom(300_000))),
        ("c", link("b")),
        ("z", file(bytes(1 << 20))),
    )
    convert(disk, make_tar(*files))
    with disk.open("rb") as image:
        assert data_size(image) == 300_010


def test_real_zeros_take_no_room(disk: Path) -> None:
    convert(disk, make_tar(("z", file(bytes(64 << 20))), ("e", file(bytes(200_000) + b"end"))))
    assert disk.stat().st_size < 300_000
    assert read_file(disk, "e") == bytes(200_000) + b"end"


@pytest.mark.parametrize("format", ["oldgnu", "gnu", "posix0.0", "posix0.1", "posix1.0"])
def test_sparse_files_of_gnu_tar(disk: Path, tmp_path: Path, format: str) -> None:
    holes = tmp_path / "holes"
    with holes.open("wb") as out:
        for offset in [0, 1 << 20, 5 << 20, *(n * 65536 + (40 << 20) for n in range(30))]:
            out.seek(offset)
            out.write(b"data at %d" % offset)
        out.truncate(1 << 40)
    name, _, version = format.partition("posix")
    kind = ["--format=posix", f"--sparse-version={version}"] if version else [f"--format={name}"]
    layer = tmp_path / "layer.tar"
    subprocess.run(["tar", *kind, "--sparse", "-C", tmp_path, "-cf", layer, "holes"], check=True)
    tree = convert(disk, layer.read_bytes())
    assert tree["holes"].size == str(1 << 40)
    assert disk.stat().st_size < 64 << 20
    head = subprocess.Popen(["unsquashfs", "-cat", disk, "holes"], stdout=subprocess.PIPE)
    assert head.stdout is not None
    with holes.open("rb") as original:
        assert head.stdout.read(50 << 20) == original.read(50 << 20)
    head.kill()
    head.stdout.close()
    head.wait()


def test_two_terabytes_of_holes_and_more_are_refused(disk: Path) -> None:
    headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(3 << 40)}
    layer = make_tar(("f", file(b"0\n" + bytes(510), pax_headers=headers)))
    with pytest.raises(InvalidArgument, match="more than 2048 GiB together"):
        convert(disk, layer)
