from collections.abc import AsyncIterator, Callable

import pytest

from insula.agent.tree import END, ENTRY_MAX, EXTENTS_MAX, Entry, Kind, TreeReader, decode_entry
from insula.errors import Internal, InvalidArgument

FILE = Entry(Kind.FILE, path=b"f", size=9, extents=((0, 2), (4, 3)))


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


@pytest.mark.parametrize("size", [1, 3, 64, 1000])
async def test_entries_and_content_come_out_of_pieces_of_any_size(size: int) -> None:
    stream = (
        FILE.encode()
        + b"abcde"
        + Entry(Kind.DIRECTORY, path=b"d").encode()
        + FILE.encode()
        + b"vwxyz"
        + END.encode()
    )
    reader = TreeReader(pieces(stream + b"beyond the end", size))
    assert await anext(reader) == FILE
    assert b"".join([piece async for piece in reader.content()]) == b"abcde"
    assert [entry.path async for entry in reader] == [b"d", b"f"]  # its content is skipped
    assert [entry async for entry in reader] == []


@pytest.mark.parametrize("cut", range(1, 60, 7))
async def test_a_stream_without_its_end_is_refused(cut: int) -> None:
    reader = TreeReader(pieces((FILE.encode() + b"abcde")[:-cut], 8))
    with pytest.raises(Internal, match="in the middle"):
        [entry async for entry in reader]


async def test_an_entry_of_any_claimed_size_is_not_waited_for() -> None:
    reader = TreeReader(pieces((ENTRY_MAX + 1).to_bytes(4, "little"), 4))
    with pytest.raises(Internal, match="tree entry of"):
        await anext(reader)


def test_the_most_extents() -> None:
    extents = tuple((at * 2, 1) for at in range(EXTENTS_MAX))
    entry = Entry(Kind.FILE, size=2 * EXTENTS_MAX, extents=extents)
    assert decode_entry(entry.encode()[4:]) == entry
    more = Entry(Kind.FILE, size=2 * EXTENTS_MAX + 2, extents=(*extents, (2 * EXTENTS_MAX, 1)))
    with pytest.raises(Internal, match="a list of"):
        decode_entry(more.encode()[4:])


@pytest.mark.parametrize(
    "build",
    [
        lambda: Entry(Kind.FILE, size=2, extents=((0, 3),)),
        lambda: Entry(Kind.FILE, size=9, extents=((4, 2), (0, 2))),
        lambda: Entry(Kind.FILE, size=9, extents=((0, 2), (1, 2))),
        lambda: Entry(Kind.FILE, size=9, extents=((0, 0),)),
        lambda: Entry(Kind.FILE, size=1 << 63),
        lambda: Entry(Kind.DIRECTORY, size=1),
        lambda: Entry(Kind.FILE, mode=0o10000),
        lambda: Entry(Kind.FILE, mtime_nanoseconds=1_000_000_000),
        lambda: Entry(Kind.FILE, path=b"a\0b"),
        lambda: Entry(Kind.FILE, path=b"a" * 4096),
        lambda: Entry(Kind.FILE, uid=-1).encode(),
        lambda: Entry(Kind.FILE, xattrs=((b"a", bytes(ENTRY_MAX)),)).encode(),
    ],
)
def test_what_is_no_entry_is_not_built(build: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgument):
        build()
