"""File trees as the agent streams them (docs/protocol.md §7): entries to bytes and back.

A tree comes from a guest and may say anything: each length and count is bounded, extents must be in order and
within the file, and names stay bytes. Nothing here touches a file system, and no path is joined or followed.
`TreeReader` reads a stream of them piece by piece, holding one entry and one piece of content.
"""

import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from insula.agent.fields import U32, Reader, malformed, pack_bytes, pack_list
from insula.agent.process_spec import PATH_MAX
from insula.errors import Internal, InvalidArgument

XATTRS_MAX, XATTR_NAME_MAX, XATTR_VALUE_MAX = 256, 255, 65_536
EXTENTS_MAX = 65_536
ENTRY_MAX = 19 << 20  # one entry without its content, with all of that
SIZE_MAX = (1 << 63) - 1

_HEAD = struct.Struct("<BIIIqIIIQ")
_EXTENT = struct.Struct("<QQ")
_LOWER = struct.Struct("<BIIIqIQ")
LOWER = b"insula.lower"


class Kind(IntEnum):
    END = 0
    DIRECTORY = 1
    FILE = 2
    SYMBOLIC_LINK = 3
    HARD_LINK = 4
    CHARACTER_DEVICE = 5
    BLOCK_DEVICE = 6
    FIFO = 7
    SOCKET = 8


class ReadFlag(IntFlag):
    ONE_FILE_SYSTEM = 1
    ONLY_ITSELF = 2
    FOLLOW = 4
    OUTSIDE = 8  # in the agent's own root
    UPPER = 16  # the overlay's upper directory
    ROOT = 32  # the container's own root, with nothing mounted over it
    BARE = 64  # without content
    LOWER = 128  # each entry with what the layers below have in its place; the tree is the upper directory
    RESOLVE = 256  # of a link at the path: where it leads to in the end


class WriteFlag(IntFlag):
    MAKE = 1
    KEEP_DIRECTORIES = 2
    OWNED = 4
    OUTSIDE = 8
    REMOVE = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of a tree. path: relative to its root, empty for the root itself. extents: (offset, length) of
    what a file stores, in order; the rest is holes."""

    kind: Kind
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime_seconds: int = 0
    mtime_nanoseconds: int = 0
    major: int = 0
    minor: int = 0
    size: int = 0
    path: bytes = b""
    link: bytes = b""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    extents: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        end = 0
        for offset, length in self.extents:
            if offset < end or not length or offset + length > self.size:
                raise InvalidArgument(f"the extents of {self.path[:100]!r} are not in order within its size")
            end = offset + length
        if self.size > SIZE_MAX or self.mode > 0o7777 or self.mtime_nanoseconds >= 1_000_000_000:
            raise InvalidArgument(f"the size, mode or time of {self.path[:100]!r} is out of range")
        if self.kind != Kind.FILE and (self.size or self.extents):
            raise InvalidArgument(f"{self.path[:100]!r} has content but is no file")
        if b"\0" in self.path + self.link or max(len(self.path), len(self.link)) > PATH_MAX:
            raise InvalidArgument(f"{self.path[:100]!r} or its target is no path")

    @property
    def stored(self) -> int:
        """Bytes of content that follow the entry."""
        return sum(length for _, length in self.extents)

    def encode(self) -> bytes:
        try:
            head = _HEAD.pack(
                self.kind, self.mode, self.uid, self.gid, self.mtime_seconds, self.mtime_nanoseconds,
                self.major, self.minor, self.size,
            )  # fmt: skip
        except struct.error as error:
            raise InvalidArgument(f"{self.path[:100]!r} has a number that is out of range") from error
        body = b"".join((
            head, pack_bytes(self.path), pack_bytes(self.link),
            pack_list(pack_bytes(name) + pack_bytes(value) for name, value in self.xattrs),
            pack_list(_EXTENT.pack(*extent) for extent in self.extents),
        ))  # fmt: skip
        if len(body) > ENTRY_MAX:
            raise InvalidArgument(f"the attributes of {self.path[:100]!r} take {len(body)} bytes")
        return U32.pack(len(body)) + body


def decode_entry(body: bytes) -> Entry:
    """The entry that is exactly this (without the size in front). Raises Internal if it is none."""
    reader = Reader(body, "tree entry")
    kind, mode, uid, gid, seconds, nanoseconds, major, minor, size = reader.unpack(_HEAD)
    path, link = reader.data(PATH_MAX), reader.data(PATH_MAX)
    xattrs = reader.items(lambda: (reader.data(XATTR_NAME_MAX), reader.data(XATTR_VALUE_MAX)), XATTRS_MAX)
    extents = reader.items(lambda: (reader.u64(), reader.u64()), EXTENTS_MAX)
    reader.end()
    try:
        return Entry(
            Kind(kind), mode, uid, gid, seconds, nanoseconds, major, minor, size, path, link, xattrs, extents
        )  # fmt: skip
    except (InvalidArgument, ValueError) as error:
        raise reader.fail(str(error)) from error


END = Entry(Kind.END, mode=0)


@dataclass(frozen=True, slots=True)
class Lower:
    """What the layers below have in an entry's place (ReadFlag.LOWER)."""

    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime_seconds: int
    mtime_nanoseconds: int
    size: int


def lower_of(entry: Entry) -> Lower | None:
    """None if there is nothing. Raises Internal if what the guest says is no such thing."""
    for name, value in entry.xattrs:
        if name == LOWER:
            with malformed("lower entry"):
                reader = Reader(value, "lower entry")
                kind, *rest = reader.unpack(_LOWER)
                reader.end()
                return Lower(Kind(kind), *rest)
    return None


class TreeReader:
    """The entries of a stream. The content of the current one is read by `content` before the next is asked
    for; what is left of it is skipped. Raises Internal on what is no tree, or ends without its end."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self._buffer = bytearray()
        self._left = 0  # of the current entry's content
        self._ended = False

    def __aiter__(self) -> AsyncIterator[Entry]:
        return self

    async def __anext__(self) -> Entry:
        async for _ in self.content():
            pass
        if self._ended:
            raise StopAsyncIteration
        size = int.from_bytes(await self._take(U32.size), "little")
        if size > ENTRY_MAX:
            raise Internal(f"the guest sent a tree entry of {size} bytes ({ENTRY_MAX} at most)")
        entry = decode_entry(await self._take(size))
        if entry.kind == Kind.END:
            self._ended = True
            raise StopAsyncIteration
        self._left = entry.stored
        return entry

    async def content(self) -> AsyncIterator[bytes]:
        """What is left of the current entry's stored content, in pieces."""
        while self._left:
            if not self._buffer:
                await self._fill()
            piece = bytes(self._buffer[: self._left])
            del self._buffer[: len(piece)]
            self._left -= len(piece)
            yield piece

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            await self._fill()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _fill(self) -> None:
        try:
            self._buffer += await anext(self._source)
        except StopAsyncIteration:
            raise Internal("the guest's tree ends in the middle") from None
