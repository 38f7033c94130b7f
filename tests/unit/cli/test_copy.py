"""cp, diff and export: what goes where, against the real API over plain agents, whose files are this host's."""

import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from insula.cli.copy import split


@pytest.fixture
async def box(real: Any, tmp_path: Path) -> Any:
    """A container, by its name, with some files "in" it; and a local folder."""
    (tmp_path / "in" / "dir").mkdir(parents=True)
    (tmp_path / "in" / "dir" / "f").write_text("content")
    (tmp_path / "in" / "file").write_text("alone")
    (tmp_path / "in" / "link").symlink_to("dir")
    (tmp_path / "out").mkdir()
    await real.plain.daemon.create("true", name="box")
    return real


def listed(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*")}


@pytest.mark.parametrize(
    ("word", "parts"),
    [("a:/b", ("a", "/b")), ("/a:b", ("", "/a:b")), ("./a:b", ("", "./a:b")), ("a", ("", "a")), ("-", ("", "-")),
     ("a:", ("a", "")), ("a:b:c", ("a", "b:c"))],
)  # fmt: skip
def test_which_side_is_the_container(word: str, parts: tuple[str, str]) -> None:
    assert split(word) == parts


OUT = [
    ("file", "new", {"new"}), ("file", ".", {"file"}), ("file", "there", {"there"}), ("file", "sub", {"sub", "sub/file"}),
    ("dir", "new", {"new", "new/f"}), ("dir", "new/", {"new", "new/f"}), ("dir", "sub", {"sub", "sub/dir", "sub/dir/f"}),
    ("dir/.", "sub", {"sub", "sub/f"}), ("dir/.", "new", {"new", "new/f"}), ("dir/", "sub", {"sub", "sub/dir", "sub/dir/f"}),
    ("link", "new", {"new"}), ("link/", "new", {"new", "new/f"}), ("link/.", "sub", {"sub", "sub/f"}),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target", "found"), OUT)
async def test_where_it_goes_out(box: Any, tmp_path: Path, source: str, target: str, found: set[str]) -> None:
    out = tmp_path / "out"
    if target == "there":
        (out / "there").write_text("old")
    if target == "sub":
        (out / "sub").mkdir()
    ran = await box.insula("cp", f"box:{tmp_path}/in/{source}", f"{out}/{target}")
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    assert listed(out) == found
    if source == "link":
        assert (out / "new").readlink() == Path("dir")


IN = [
    ("file", "new", {"new"}), ("file", "sub", {"sub", "sub/file"}), ("file", "sub/", {"sub", "sub/file"}),
    ("dir", "new", {"new", "new/f"}), ("dir", "new/", {"new", "new/f"}), ("dir", "sub", {"sub", "sub/dir", "sub/dir/f"}),
    ("dir/.", "sub", {"sub", "sub/f"}), ("dir/.", "new", {"new", "new/f"}), ("link", "new", {"new"}),
    ("link/", "sub", {"sub", "sub/link", "sub/link/f"}), ("file", "tosub", {"sub", "sub/file", "tosub"}),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target", "found"), IN)
async def test_where_it_goes_in(box: Any, tmp_path: Path, source: str, target: str, found: set[str]) -> None:
    out = tmp_path / "out"
    if "sub" in target:
        (out / "sub").mkdir()
    if target == "tosub":
        (out / "tosub").symlink_to("sub")
    ran = await box.insula("cp", f"{tmp_path}/in/{source}", f"box:{out}/{target}")
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    assert listed(out) == found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("box:IN/dir", "IN/file"), "cannot copy directory"), (("box:IN/file", "OUT/none/"), "no such directory: OUT/none/"),
        (("box:IN/file", "OUT/a/b"), "does not exist"), (("box:IN/none", "OUT"), "Could not find the file IN/none"),
        (("IN/none", "box:OUT"), "no such file or directory"), (("IN/dir", "box:IN/file"), "cannot copy directory"),
        (("IN/file", "box:OUT/none/"), "no such directory"), (("IN/file/", "box:OUT"), "not a directory"),
        (("IN/file", "box:OUT/no/where"), "Could not find the file OUT/no"), (("-", "box:IN/file"), "must be a directory"),
        (("box:IN/file", "OUT/dir"), "cannot overwrite directory"),
    ],
)  # fmt: skip
async def test_what_cannot_be_copied(box: Any, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "out" / "dir" / "file").mkdir(parents=True)

    def filled(text: str) -> str:
        return text.replace("IN", f"{tmp_path}/in").replace("OUT", f"{tmp_path}/out")

    ran = await box.insula("cp", *map(filled, words), input=b"")
    assert ran.status == 1 and filled(said) in ran.err


async def test_streams_and_links_and_owners(box: Any, tmp_path: Path) -> None:
    packed = await box.plain.ask(f"/containers/box/archive?path={tmp_path}/in/dir")
    with tarfile.open(fileobj=io.BytesIO(packed[1])) as archive:
        assert archive.getnames() == ["dir", "dir/f"]
    ran = await box.insula("cp", "-", f"box:{tmp_path}/out", input=packed[1])
    assert ran.status == 0 and listed(tmp_path / "out") == {"dir", "dir/f"}
    assert (await box.insula("cp", "-L", f"box:{tmp_path}/in/link", f"{tmp_path}/out/L")).status == 0
    assert (tmp_path / "out" / "L" / "f").read_text() == "content"
    assert (await box.insula("cp", "-aL", f"{tmp_path}/in/link", f"box:{tmp_path}/out/M")).status == 0
    assert (tmp_path / "out" / "M" / "f").read_text() == "content"


async def test_what_a_file_is_stays(box: Any, tmp_path: Path) -> None:
    tree = tmp_path / "in" / "tree"
    (tree / "closed").mkdir(parents=True)
    (tree / "closed" / "f").write_text("x")
    os.utime(tree / "closed" / "f", ns=(5, 1_234_567_890_123_456_789))
    (tree / "closed").chmod(0o555)
    (tree / "a").write_text("one")
    os.link(tree / "a", tree / "b")
    os.mkfifo(tree / "pipe")
    (tree / "set").write_text("")
    (tree / "set").chmod(0o4711)
    assert (await box.insula("cp", str(tree), f"box:{tmp_path}/out/there")).status == 0
    assert (await box.insula("cp", f"box:{tmp_path}/out/there", f"{tmp_path}/out/back")).status == 0
    back = tmp_path / "out" / "back"
    there = tmp_path / "out" / "there"
    assert (there / "closed" / "f").stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert int((back / "closed" / "f").stat().st_mtime) == 1_234_567_890
    assert stat.S_IMODE((back / "closed").stat().st_mode) == 0o555
    assert (back / "a").samefile(back / "b") and (there / "a").samefile(there / "b")
    assert (back / "pipe").is_fifo()
    assert stat.S_IMODE((there / "set").stat().st_mode) == 0o4711
    assert stat.S_IMODE((back / "set").stat().st_mode) == 0o711  # not without -a


async def test_a_sparse_file_comes_out_sparse(box: Any, tmp_path: Path) -> None:
    with (tmp_path / "in" / "sparse").open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(b"middle")
    assert (await box.insula("cp", f"box:{tmp_path}/in/sparse", f"{tmp_path}/out")).status == 0
    status = (tmp_path / "out" / "sparse").stat()
    assert status.st_size == 1 << 40 and status.st_blocks < 1 << 12
    with (tmp_path / "out" / "sparse").open("rb") as file:
        file.seek(1 << 39)
        assert file.read(6) == b"middle"


# -- a daemon, or a guest behind it, that means harm


def hostile(*members: tuple[str, bytes, str]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            archive.addfile(info)
    return file.getvalue()


def answered(data: bytes) -> bytes:
    told = "eyJuYW1lIjoiZCIsInNpemUiOjAsIm1vZGUiOjIxNDc0ODQxNDEsIm10aW1lIjoiIiwibGlua1RhcmdldCI6IiJ9"  # d, a directory
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\nX-Docker-Container-Path-Stat: {told}\r\n\r\n"
    return head.encode() + data


@pytest.mark.parametrize(
    "members",
    [
        [("d/../../x", tarfile.REGTYPE, "")], [("/x", tarfile.REGTYPE, "")], [("other", tarfile.REGTYPE, "")],
        [("d", tarfile.DIRTYPE, ""), ("d/l", tarfile.SYMTYPE, "OUTSIDE"), ("d/l/x", tarfile.REGTYPE, "")],
        [("d", tarfile.SYMTYPE, "OUTSIDE"), ("d/x", tarfile.REGTYPE, "")],
        [("d", tarfile.DIRTYPE, ""), ("d/h", tarfile.LNKTYPE, "d/../../secret")],
        [("d", tarfile.DIRTYPE, ""), ("d/l", tarfile.SYMTYPE, "OUTSIDE"), ("d/h", tarfile.LNKTYPE, "d/l/secret")],
    ],
)  # fmt: skip
def test_an_archive_reaches_nothing_outside_its_target(
    engine: Any, tmp_path: Path, members: list[tuple[str, bytes, str]]
) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    (outside / "secret").write_text("s")
    named = [(name, kind, link.replace("OUTSIDE", str(outside))) for name, kind, link in members]
    engine.on("GET /containers/c/archive", answered(hostile(*named)))
    assert engine.insula("cp", "c:/d", str(target)).status == 1
    assert listed(outside) == {"secret"} and (outside / "secret").stat().st_nlink == 1
    assert not (tmp_path / "x").exists()


def test_devices_are_left_out_and_told(engine: Any, tmp_path: Path) -> None:
    engine.on("GET ", answered(hostile(("d", tarfile.DIRTYPE, ""), ("d/null\x1b[2J", tarfile.CHRTYPE, ""))))
    ran = engine.insula("cp", "c:/d", str(tmp_path / "new"))
    assert ran.status == 0 and "is a device" in ran.err and "\x1b" not in ran.err
    assert listed(tmp_path / "new") == set()


@pytest.mark.parametrize("data", [b"", b"rubbish" * 200, hostile(("d/f", tarfile.REGTYPE, ""))[:100]])
def test_a_damaged_archive(engine: Any, tmp_path: Path, data: bytes) -> None:
    engine.on("GET ", answered(data))
    assert engine.insula("cp", "c:/d", str(tmp_path)).status == 1


# -- diff, export


def test_diff(engine: Any, answer: Callable[..., bytes]) -> None:
    engine.on("GET /containers/c/changes", answer([{"Path": "/a", "Kind": 1}, {"Path": "/b\x1b", "Kind": 0}]))
    ran = engine.insula("diff", "c")
    assert ran.out.splitlines()[0] == "A /a" and "\x1b" not in ran.out
    engine.answers[:] = [("GET ", answer(None))]
    assert engine.insula("container", "diff", "c").out == ""


def test_commit(engine: Any, answer: Callable[..., bytes]) -> None:
    engine.on("POST /commit", answer({"Id": "sha256:0"}, 201))
    words = ("-a", "me", "-m", "why", "-c", "CMD x", "-c", "USER y", "--pause=false", "c", "host:5000/a:1")
    assert engine.insula("commit", *words).out == "sha256:0\n"
    assert engine.insula("commit", "c").status == 0
    assert engine.targets == [
        "POST /commit?container=c&repo=host%3A5000%2Fa&tag=1&author=me&comment=why&changes=CMD%20x&changes=USER%20y&pause=0",
        "POST /commit?container=c&pause=1",
    ]


def test_export(engine: Any, tmp_path: Path) -> None:
    engine.on("GET /containers/c/export", answered(b"archive"))
    assert engine.insula("export", "c").out == "archive"
    assert engine.insula("export", "-o", str(tmp_path / "a.tar"), "c").status == 0
    assert (tmp_path / "a.tar").read_bytes() == b"archive" and listed(tmp_path) >= {"a.tar"}
    assert engine.insula("export", "-o", str(tmp_path / "no" / "a.tar"), "c").status == 1
