"""What comes out is read by Python's own tarfile and by GNU tar."""

import asyncio
import io
import subprocess
import tarfile
from collections.abc import AsyncIterator

import pytest

from insula.agent.tar import HOLE_MIN, tar_from_tree
from insula.agent.tree import END, Entry, Kind
from insula.errors import Internal

GIGANTIC = 1 << 40


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def archived(*parts: Entry | bytes, root: bytes = b"", size: int = 1000) -> bytes:
    stream = b"".join(part if isinstance(part, bytes) else part.encode() for part in (*parts, END))
    out = [piece async for piece in tar_from_tree(pieces(stream, size), root)]
    assert all(out)  # an empty piece would end a chunked answer
    return b"".join(out)


def members(archive: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        return {member.name: member for member in tar}


def content(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


async def test_every_kind() -> None:
    archive = await archived(
        Entry(Kind.DIRECTORY),
        Entry(Kind.DIRECTORY, path=b"d", mode=0o1777, uid=1000, gid=4_000_000_000),
        Entry(
            Kind.FILE,
            path=b"d/f",
            mode=0o4755,
            size=5,
            extents=((0, 5),),
            mtime_seconds=9,
            mtime_nanoseconds=5,
        ),
        b"hello",
        Entry(Kind.SYMBOLIC_LINK, path=b"l", link=b"../x"),
        Entry(Kind.HARD_LINK, path=b"h", link=b"d/f"),
        Entry(Kind.CHARACTER_DEVICE, path=b"c", major=1, minor=3),
        Entry(Kind.BLOCK_DEVICE, path=b"b", major=8, minor=1 << 19),
        Entry(Kind.FIFO, path=b"p"),
        Entry(Kind.SOCKET, path=b"s"),
    )
    got = members(archive)
    assert list(got) == ["d", "d/f", "l", "h", "c", "b", "p"]
    assert (got["d"].isdir(), got["d"].mode, got["d"].uid, got["d"].gid) == (
        True,
        0o1777,
        1000,
        4_000_000_000,
    )
    assert (got["d/f"].mode, got["d/f"].size, got["d/f"].pax_headers["mtime"]) == (0o4755, 5, "9.000000005")
    assert content(archive, "d/f") == content(archive, "h") == b"hello"
    assert (got["l"].issym(), got["l"].linkname) == (True, "../x")
    assert (got["h"].islnk(), got["h"].linkname) == (True, "d/f")
    assert (got["c"].ischr(), got["c"].devmajor, got["c"].devminor) == (True, 1, 3)
    assert (got["b"].isblk(), got["b"].devminor, got["p"].isfifo()) == (True, 1 << 19, True)


async def test_the_root_has_the_name_that_is_asked_for() -> None:
    file = Entry(Kind.FILE, path=b"f")
    archive = await archived(
        Entry(Kind.DIRECTORY), file, Entry(Kind.HARD_LINK, path=b"g", link=b"f"), root=b"etc"
    )
    assert list(members(archive)) == ["etc", "etc/f", "etc/g"]
    assert members(archive)["etc/g"].linkname == "etc/f"
    assert list(members(await archived(Entry(Kind.FILE, size=1, extents=((0, 1),)), b"x", root=b"name"))) == [
        "name"
    ]


async def test_long_and_odd_names_and_attributes() -> None:
    long, odd = b"d/" * 700 + b"f", "ü".encode() + b"\xff\n"
    archive = await archived(
        Entry(Kind.FILE, path=long, xattrs=((b"user.a", b"=\n"), (b"user.b", b""))),
        Entry(Kind.SYMBOLIC_LINK, path=odd, link=long),
    )
    got = members(archive)
    assert got[long.decode()].pax_headers["SCHILY.xattr.user.a"] == "=\n"
    assert got[odd.decode("utf-8", "surrogateescape")].linkname == long.decode()


@pytest.mark.parametrize(
    ("seconds", "nanoseconds", "text"), [(-1, 0, "-1.0"), (-1, 5, "-0.999999995"), (0, 1, "0.000000001")]
)
async def test_times_around_1970(seconds: int, nanoseconds: int, text: str) -> None:
    archive = await archived(
        Entry(Kind.FIFO, path=b"p", mtime_seconds=seconds, mtime_nanoseconds=nanoseconds)
    )
    assert members(archive)["p"].pax_headers["mtime"].rstrip("0") == text.rstrip("0")


@pytest.mark.parametrize("size", [1, 512, 65_536])
async def test_small_holes_are_zeros_and_large_ones_a_map(size: int) -> None:
    extents = ((3, 2), (70_000, 1))
    archive = await archived(
        Entry(Kind.FILE, path=b"small", size=80_000, extents=extents), b"abc",
        Entry(Kind.FILE, path=b"large", size=HOLE_MIN + 80_000, extents=extents), b"def",
        Entry(Kind.FILE, path=b"hole", size=GIGANTIC), Entry(Kind.FIFO, path=b"last"), size=size,
    )  # fmt: skip
    assert content(archive, "small") == bytes(3) + b"ab" + bytes(69_995) + b"c" + bytes(9_999)
    assert content(archive, "large") == bytes(3) + b"de" + bytes(69_995) + b"f" + bytes(HOLE_MIN + 9_999)
    assert members(archive)["hole"].size == GIGANTIC
    assert list(members(archive))[-1] == "last"
    assert len(archive) < 100_000


async def test_gnu_tar_reads_it_too() -> None:
    archive = await archived(
        Entry(Kind.FILE, path=b"hole", size=GIGANTIC, extents=((GIGANTIC - 1, 1),)), b"x",
        Entry(Kind.DIRECTORY, path=b"n" * 200, uid=1 << 31), Entry(Kind.FILE, path=b"f", size=1, extents=((0, 1),)), b"y",
    )  # fmt: skip
    listed = await asyncio.to_thread(
        subprocess.run,
        ["tar", "-tvf", "-", "--numeric-owner"],
        input=archive,
        capture_output=True,
        check=True,
        timeout=60,
    )
    rows = [line.split() for line in listed.stdout.decode().splitlines()]
    assert [(row[1], row[2], row[-1]) for row in rows] == [
        ("0/0", str(GIGANTIC), "hole"), (f"{1 << 31}/0", "0", "n" * 200 + "/"), ("0/0", "1", "f"),
    ]  # fmt: skip
    assert listed.stderr == b""


@pytest.mark.parametrize("cut", [1, 4, 30, 64])
async def test_a_tree_that_ends_in_the_middle_is_refused(cut: int) -> None:
    whole = Entry(Kind.FILE, path=b"f", size=2, extents=((0, 2),)).encode() + b"ab" + END.encode()
    with pytest.raises(Internal, match="ends in the middle"):
        async for _ in tar_from_tree(pieces(whole[:-cut], 7)):
            pass
