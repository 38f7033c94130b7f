"""A client's archive as a tree: what its members become, what is refused, and both ends that stop."""

import asyncio
import io
import tarfile
import threading
from collections.abc import AsyncIterator

import pytest

from insula.agent.tree import Entry, Kind, TreeReader
from insula.container import unpacking
from insula.container.unpacking import Enough, unpack
from insula.errors import InvalidArgument, Unavailable


def pack(*members: tuple[str, bytes, str, bytes], format: int = tarfile.PAX_FORMAT, **pax: str) -> bytes:
    """Of (name, type, link, content)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as archive:
        for name, kind, link, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size, info.pax_headers = kind, link, len(content), pax
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


async def pieces(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def unpacked(data: bytes) -> list[tuple[Entry, bytes]]:
    sent = bytearray()

    async def send(piece: bytes) -> None:
        sent.extend(piece)

    await unpack(pieces(data), send)

    async def source() -> AsyncIterator[bytes]:
        yield bytes(sent)

    reader = TreeReader(source())
    return [(entry, b"".join([piece async for piece in reader.content()])) async for entry in reader]


async def test_members_become_entries() -> None:
    found = await unpacked(
        pack(
            ("./", tarfile.DIRTYPE, "", b""), ("d/", tarfile.DIRTYPE, "", b""), ("/d/../f", tarfile.REGTYPE, "", b"x" * 3000),
            ("d/h", tarfile.LNKTYPE, "./f", b""), ("s", tarfile.SYMTYPE, "../../out", b""), ("p", tarfile.FIFOTYPE, "", b""),
            **{"SCHILY.xattr.user.a": "b", "mtime": "7.25"},
        )
    )  # fmt: skip
    kinds = [(entry.path, entry.kind, entry.link, len(content)) for entry, content in found]
    assert kinds == [
        (b"d", Kind.DIRECTORY, b"", 0), (b"f", Kind.FILE, b"", 3000), (b"d/h", Kind.HARD_LINK, b"f", 0),
        (b"s", Kind.SYMBOLIC_LINK, b"../../out", 0), (b"p", Kind.FIFO, b"", 0),
    ]  # fmt: skip
    assert found[1][0].xattrs == ((b"user.a", b"b"),)
    assert (found[1][0].mtime_seconds, found[1][0].mtime_nanoseconds) == (7, 250_000_000)


@pytest.mark.parametrize(
    "member",
    [
        ("../f", tarfile.REGTYPE, "", b""), ("a/../../f", tarfile.REGTYPE, "", b""), ("..", tarfile.DIRTYPE, "", b""),
        ("f", tarfile.LNKTYPE, "../x", b""), ("f", tarfile.LNKTYPE, "", b""), ("f", tarfile.LNKTYPE, "./", b""),
        ("f", tarfile.SYMTYPE, "", b""), ("n" * 256, tarfile.REGTYPE, "", b""), ("a/" * 2500, tarfile.REGTYPE, "", b""),
    ],
)  # fmt: skip
async def test_what_leads_out_or_is_no_name_is_refused(member: tuple[str, bytes, str, bytes]) -> None:
    with pytest.raises(InvalidArgument):
        await unpacked(pack(member))


@pytest.mark.parametrize("data", [b"no archive" * 100, b"\x1f\x8b" + b"\0" * 600, b"BZh" + b"9" * 600])
async def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        await unpacked(data)


async def test_nothing_at_all_is_an_empty_archive() -> None:
    assert await unpacked(b"") == []


async def test_members_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "ENTRIES_MAX", 3)
    with pytest.raises(InvalidArgument, match="more than 3 members"):
        await unpacked(pack(*((f"{n}", tarfile.REGTYPE, "", b"") for n in range(4))))


def threads() -> int:
    return sum(thread.name == "unpacking" for thread in threading.enumerate())


async def test_a_guest_that_has_enough_ends_it() -> None:
    async def send(piece: bytes) -> None:
        raise Enough

    await unpack(pieces(pack(("f", tarfile.REGTYPE, "", b"x" * 1_000_000))), send)


async def test_a_guest_that_fails_is_what_is_told() -> None:
    async def send(piece: bytes) -> None:
        raise Unavailable("gone")

    with pytest.raises(Unavailable, match="gone"):
        await unpack(pieces(pack(("f", tarfile.REGTYPE, "", b"x" * 1_000_000))), send)


@pytest.mark.parametrize("stuck", ["client", "guest"])
async def test_one_that_is_broken_off_leaves_no_thread(stuck: str) -> None:
    begun = asyncio.Event()

    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def silent() -> AsyncIterator[bytes]:
        yield b"\0"
        await wait()

    async def send(piece: bytes) -> None:
        await wait()

    big = pack(("f", tarfile.REGTYPE, "", b"x" * 1_000_000))
    task = asyncio.create_task(unpack(silent() if stuck == "client" else pieces(big), send))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while threads():  # noqa: ASYNC110 - it is ending
        await asyncio.sleep(0.01)
