"""The few shapes that everything on the wire is made of: integers, strings, bytes, lists.

Packing trusts its caller (the specs validate themselves where they are built). Unpacking trusts nobody: a
`Reader` never reads beyond its payload, bounds every length and count before it takes memory for it, and
refuses bytes that are left over. What is malformed is Internal: the peer broke the protocol.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from insula.errors import Internal, InvalidArgument

Item = TypeVar("Item")

U8 = struct.Struct("<B")
U16 = struct.Struct("<H")
U32 = struct.Struct("<I")
U64 = struct.Struct("<Q")
I32 = struct.Struct("<i")
I64 = struct.Struct("<q")

U8_MAX, U16_MAX, U32_MAX, U64_MAX = 0xFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
LIST_MAX = 4_096  # items of a list for which docs/protocol.md names no limit


def pack_bytes(data: bytes) -> bytes:
    return U32.pack(len(data)) + data


def encode_text(text: str) -> bytes:
    """A string's bytes. Names from images need not be UTF-8: those bytes travel as Python's surrogates."""
    return text.encode("utf-8", "surrogateescape")


def pack_string(text: str) -> bytes:
    return pack_bytes(encode_text(text))


def pack_list(items: Iterable[bytes]) -> bytes:
    """A list of items that are packed already."""
    packed = list(items)
    return U32.pack(len(packed)) + b"".join(packed)


def pack_strings(items: Iterable[str]) -> bytes:
    return pack_list(pack_string(item) for item in items)


@contextmanager
def malformed(what: str) -> Iterator[None]:
    """What a spec refuses to hold is, where it came from the wire, the peer's breach (Internal)."""
    try:
        yield
    except (InvalidArgument, ValueError) as error:
        raise Internal(f"a malformed {what}: {error}") from error


class Reader:
    """A bounded cursor over one payload. Every method raises Internal on what does not fit."""

    __slots__ = ("_at", "_data", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._at = 0
        self._what = what

    def fail(self, why: str) -> Internal:
        return Internal(f"a malformed {self._what}: {why}")

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        at, self._at = self._at, self._at + layout.size
        if self._at > len(self._data):
            raise self.fail("it is too short")
        return layout.unpack_from(self._data, at)

    def _one(self, layout: struct.Struct) -> int:
        return self.unpack(layout)[0]

    def u8(self) -> int:
        return self._one(U8)

    def u16(self) -> int:
        return self._one(U16)

    def u32(self) -> int:
        return self._one(U32)

    def u64(self) -> int:
        return self._one(U64)

    def i32(self) -> int:
        return self._one(I32)

    def i64(self) -> int:
        return self._one(I64)

    def raw(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        at, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise self.fail("it is too short")
        return self._data[at : self._at]

    def data(self, limit: int) -> bytes:
        size = self.u32()
        if size > limit:
            raise self.fail(f"a field of {size} bytes ({limit} at most)")
        return self.raw(size)

    def string(self, limit: int) -> str:
        data = self.data(limit)
        if 0 in data:
            raise self.fail("a NUL in a string")
        return data.decode("utf-8", "surrogateescape")

    def items(self, item: Callable[[], Item], limit: int = LIST_MAX) -> tuple[Item, ...]:
        count = self.u32()
        if count > limit or count > len(self._data) - self._at:  # no item is smaller than a byte
            raise self.fail(f"a list of {count} items")
        return tuple(item() for _ in range(count))

    def rest(self) -> bytes:
        """All that is left."""
        return self.raw(len(self._data) - self._at)

    def end(self) -> None:
        if self._at != len(self._data):
            raise self.fail(f"{len(self._data) - self._at} bytes too many")


# -- checks of the specs, where they are built


def check_number(what: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, int) or not low <= value <= high:
        raise InvalidArgument(f"{what} is {value!r} ({low} to {high} is possible)")


def check_text(what: str, text: str, limit: int, *, empty: bool = True) -> None:
    if not isinstance(text, str) or "\0" in text:
        raise InvalidArgument(f"{what} is not a string without NUL: {text!r:.100}")
    try:
        size = len(encode_text(text))
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{what} is not text that has an encoding: {text!r:.100}") from error
    if size > limit or (not empty and not size):
        raise InvalidArgument(
            f"{what} has {size} bytes ({limit} at most{'' if empty else ', and not empty'})"
        )


def check_bytes(what: str, data: bytes, limit: int) -> None:
    if not isinstance(data, bytes) or len(data) > limit:
        raise InvalidArgument(f"{what} is not at most {limit} bytes")


def check_count(what: str, items: tuple[object, ...], limit: int = LIST_MAX) -> None:
    if not isinstance(items, tuple) or len(items) > limit:
        raise InvalidArgument(f"{what} are not a tuple of at most {limit}")


def check_texts(what: str, items: tuple[str, ...], count: int, size: int) -> None:
    check_count(what, items, count)
    for item in items:
        check_text(f"one of the {what}", item, size)


def check_flags(what: str, flags: int, known: int) -> None:
    check_number(what, flags, 0, U32_MAX)
    if flags & ~known:
        raise InvalidArgument(f"{what} are {int(flags):#x}, of which {int(flags) & ~known:#x} means nothing")
