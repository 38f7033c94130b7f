"""Tar archives of strangers, read forward and bounded: ustar, pax, GNU long names, GNU and pax sparse files.

Written for this purpose because Python's tarfile keeps every member, reads extended headers of any size into
memory and guesses at damaged headers. Here every count and size has a limit, a damaged header is an error,
and names stay bytes. What an entry *means* (whiteouts, links, paths) is for the caller.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from insula.errors import InvalidArgument

BLOCK = 512
PAX_MAX = 1 << 20
NAME_MAX = 1 << 16
EXTENSIONS_MAX = 16  # extension headers in front of one entry
SPARSE_MAX = 100_000
XATTR_MAX = 1 << 16  # the kernel's XATTR_SIZE_MAX
NUMBER_MAX = 1 << 62

FILE, LINK, SYMLINK, DIRECTORY, FIFO = "file", "link", "symlink", "dir", "fifo"
CHARACTER, BLOCK_DEVICE = "char", "block"
KINDS = {
    b"0": FILE, b"\0": FILE, b"7": FILE, b"S": FILE, b"1": LINK, b"2": SYMLINK, b"3": CHARACTER,
    b"4": BLOCK_DEVICE, b"5": DIRECTORY, b"6": FIFO,
}  # fmt: skip


class Stream(Protocol):
    """What a tar is read from: `read` gives at most n bytes, none at the end."""

    position: int

    def read(self, n: int) -> bytes: ...


@dataclass(slots=True)
class Entry:
    """One member. `size`: the file's own; `extents` of a sparse file: (offset, length) of its data."""

    name: bytes
    kind: str
    mode: int
    uid: int
    gid: int
    mtime: int
    nanoseconds: int = 0  # of the mtime's second
    size: int = 0
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    extents: list[tuple[int, int]] | None = None


def shown(name: bytes) -> str:
    """A stranger's name for one line of an error message: printable and short."""
    text = name[:200].decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return repr(text[:120] + "…") if len(text) > 120 or len(name) > 200 else repr(text)


class TarReader:
    """Iterates over the entries; the data of the current one is read by `read_data` before the next is asked
    for (what is left unread is skipped). Every failure is InvalidArgument and begins with `what`."""

    def __init__(self, stream: Stream, what: str, skip: Callable[[int], None] | None = None) -> None:
        """skip: passes over that many bytes of the stream, where it can do better than to read them."""
        self._skip = skip
        self._stream = stream
        self._what = what
        self._left = 0  # of the current entry's stored data
        self._padding = 0
        self._pax: dict[bytes, bytes] = {}
        self._sparse_pairs: list[int] = []
        self._long_name: bytes | None = None
        self._long_link: bytes | None = None

    def fail(self, why: str) -> InvalidArgument:
        return InvalidArgument(f"{self._what} is not a usable tar archive: {why}")

    # -- data

    def read_exactly(self, n: int) -> bytes:
        data = self._stream.read(n)
        if len(data) == n:
            return data
        parts = [data]
        missing = n - len(data)
        while missing:
            data = self._stream.read(missing)
            if not data:
                raise self.fail("it is truncated")
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def read_data(self, n: int) -> bytes:
        """Exactly min(n, what is left) bytes of the current entry's stored data."""
        n = min(n, self._left)
        data = self.read_exactly(n) if n else b""
        self._left -= n
        return data

    def data_offset(self) -> int:
        """Where in the stream the current entry's unread data begins."""
        return self._stream.position

    def _skip_rest(self) -> None:
        left, padding = self._left, self._padding
        self._left = self._padding = 0
        if self._skip is not None:
            self._skip(left)
        else:
            while left:
                left -= len(self.read_exactly(min(left, 1 << 18)))
        while padding and (data := self._stream.read(padding)):
            padding -= len(data)  # umoci leaves out the last padding, and the end mark

    def _expect_data(self, size: int) -> None:
        self._left = size
        self._padding = -size % BLOCK

    def _read_extension(self, size: int, limit: int) -> bytes:
        if size > limit:
            raise self.fail(f"an extended header of {size} bytes ({limit} at most)")
        self._expect_data(size)
        data = self.read_data(size)
        self._skip_rest()
        return data

    # -- entries

    def __iter__(self) -> Iterator[Entry]:
        extensions = 0
        while (header := self._next_header()) is not None:
            kind = header[156:157]
            size = self._number(header[124:136], "size")
            extensions += 1
            if kind == b"x":
                self._parse_pax(self._read_extension(size, PAX_MAX))
            elif kind == b"g":
                self._expect_data(size)  # Docker ignores global headers too
                self._skip_rest()
            elif kind == b"L":
                self._long_name = self._read_extension(size, NAME_MAX).rstrip(b"\0")
            elif kind == b"K":
                self._long_link = self._read_extension(size, NAME_MAX).rstrip(b"\0")
            else:
                entry = self._make_entry(header, kind, size)
                self._pax, self._long_name, self._long_link, self._sparse_pairs = {}, None, None, []
                extensions = 0
                yield entry
                self._skip_rest()
            if extensions > EXTENSIONS_MAX:
                raise self.fail("too many extended headers in front of one entry")
        if extensions:
            raise self.fail("it ends after an extended header")

    def _next_header(self) -> bytes | None:
        """The next header block; None at the end mark, or where the stream ends without one."""
        header = self._stream.read(BLOCK)
        if not header:
            return None
        if len(header) < BLOCK:
            header += self.read_exactly(BLOCK - len(header))
        if header.count(0) == BLOCK:
            return None
        stored = self._number(header[148:156], "checksum")
        unsigned = sum(header) - sum(header[148:156]) + 8 * 32
        if stored != unsigned:
            signed = unsigned - 256 * sum(1 for b in header[:148] + header[156:] if b > 127)
            if stored != signed:
                raise self.fail("a header's checksum is wrong")
        return header

    def _make_entry(self, header: bytes, type_: bytes, size: int) -> Entry:
        if (kind := KINDS.get(type_)) is None:
            raise self.fail(f"an entry of unknown type {type_!r}")
        pax = self._pax
        name = pax.get(b"path") or self._long_name or self._ustar_name(header)
        link = pax.get(b"linkpath") or self._long_link or _text(header[157:257])
        if type_ == b"\0" and name.endswith(b"/"):
            kind = DIRECTORY
        entry = Entry(
            name=name,
            kind=kind,
            mode=self._number(header[100:108], "mode") & 0o7777,
            uid=self._id(pax.get(b"uid"), header[108:116]),
            gid=self._id(pax.get(b"gid"), header[116:124]),
            mtime=self._mtime(pax.get(b"mtime"), header[136:148]),
            nanoseconds=_nanoseconds(pax.get(b"mtime", b"")),
            link=link if kind in (LINK, SYMLINK) else b"",
        )
        if kind in (CHARACTER, BLOCK_DEVICE):
            major, minor = self._number(header[329:337], "device"), self._number(header[337:345], "device")
            if major >= 1 << 12 or minor >= 1 << 20:
                raise self.fail(f"{shown(name)} has the device number {major}:{minor}")
            entry.device = (major, minor)
        if b"size" in pax:
            size = self._decimal(pax[b"size"])
        if kind != FILE:
            size = 0 if kind in (LINK, SYMLINK, DIRECTORY, CHARACTER, BLOCK_DEVICE, FIFO) else size
        self._expect_data(size)
        entry.size = size
        self._take_xattrs(entry)
        if kind == FILE:
            self._take_sparse(entry, header, type_)
        return entry

    def _ustar_name(self, header: bytes) -> bytes:
        name = _text(header[0:100])
        if header[257:263] == b"ustar\0" and header[345]:
            return _text(header[345:500]) + b"/" + name
        return name

    # -- pax

    def _parse_pax(self, data: bytes) -> None:
        position = 0
        while position < len(data) and data[position]:
            space = data.find(b" ", position, position + 10)
            if space < 0:
                raise self.fail("a damaged pax header")
            end = position + self._decimal(data[position:space])
            if end <= space + 1 or end > len(data) or data[end - 1 : end] != b"\n":
                raise self.fail("a damaged pax header")
            key, equals, value = data[space + 1 : end - 1].partition(b"=")
            if not equals or not key:
                raise self.fail("a damaged pax header")
            if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                self._sparse_pairs.append(self._decimal(value))  # repeated: format 0.0
            else:
                self._pax[key] = value
            position = end

    def _take_xattrs(self, entry: Entry) -> None:
        for key, value in self._pax.items():
            if key.startswith(b"SCHILY.xattr."):
                name = key[13:]
                if not name or len(name) > 255 or len(value) > XATTR_MAX or b"\0" in name:
                    raise self.fail(f"an extended attribute of {shown(entry.name)} is too large")
                entry.xattrs[name] = value

    # -- sparse files

    def _take_sparse(self, entry: Entry, header: bytes, type_: bytes) -> None:
        pax = self._pax
        pairs: list[int] | None = None
        if type_ == b"S":
            pairs, entry.size = self._old_gnu_sparse(header)
        elif pax.get(b"GNU.sparse.major") == b"1":
            entry.name = pax.get(b"GNU.sparse.name", entry.name)
            entry.size = self._decimal(pax.get(b"GNU.sparse.realsize", b""))
            pairs = self._sparse_map_in_data()
        elif b"GNU.sparse.map" in pax or self._sparse_pairs:
            entry.name = pax.get(b"GNU.sparse.name", entry.name)
            entry.size = self._decimal(pax.get(b"GNU.sparse.size", b""))
            text = pax.get(b"GNU.sparse.map")
            pairs = [self._decimal(n) for n in text.split(b",")] if text else self._sparse_pairs
        if pairs is not None:
            entry.extents = self._check_extents(entry, pairs)

    def _check_extents(self, entry: Entry, pairs: list[int]) -> list[tuple[int, int]]:
        if len(pairs) % 2 or len(pairs) > 2 * SPARSE_MAX:
            raise self.fail(f"the sparse file {shown(entry.name)} has a damaged or too long map")
        extents, end, stored = [], 0, 0
        for offset, length in zip(pairs[::2], pairs[1::2], strict=True):
            if offset < end or offset + length > entry.size:
                raise self.fail(f"the sparse file {shown(entry.name)} has a damaged map")
            end = offset + length
            stored += length
            if length:
                extents.append((offset, length))
        if stored != self._left:
            raise self.fail(f"the sparse file {shown(entry.name)} has another size than its map")
        return extents

    def _old_gnu_sparse(self, header: bytes) -> tuple[list[int], int]:
        pairs: list[int] = []

        def take(block: bytes, count: int, start: int) -> None:
            for at in range(start, start + 24 * count, 24):
                if block[at] == 0:
                    return
                pairs.append(self._number(block[at : at + 12], "sparse offset"))
                pairs.append(self._number(block[at + 12 : at + 24], "sparse length"))

        take(header, 4, 386)
        more = header[482]
        while more:
            if len(pairs) > 2 * SPARSE_MAX:
                raise self.fail("a sparse file has a too long map")
            block = self.read_exactly(BLOCK)
            take(block, 21, 0)
            more = block[504]
        return pairs, self._number(header[483:495], "size")

    def _sparse_map_in_data(self) -> list[int]:
        """Format 1.0: the map is decimal lines at the start of the data, padded to a block."""
        buffer = b""

        def line() -> int:
            nonlocal buffer
            while b"\n" not in buffer:
                if len(buffer) > 64 or not self._left:
                    raise self.fail("a sparse file has a damaged map")
                buffer += self.read_data(BLOCK)
            text, _, buffer = buffer.partition(b"\n")
            return self._decimal(text)

        count = line()
        if count > SPARSE_MAX:
            raise self.fail(f"a sparse file of {count} pieces ({SPARSE_MAX} at most)")
        return [line() for _ in range(2 * count)]

    # -- numbers

    def _number(self, text: bytes, what: str) -> int:
        """A header's number: octal, or base 256 when the first bit is set."""
        if text[0] & 0x80:
            value = int.from_bytes(text, "big")
            if text[0] == 0xFF:
                value -= 1 << (8 * len(text))
            else:
                value -= 0x80 << (8 * (len(text) - 1))
        else:
            digits = text.strip(b"\0 ").partition(b"\0")[0]
            if not digits:
                return 0
            if digits.strip(b"01234567"):
                raise self.fail(f"a header's {what} is not a number")
            value = int(digits, 8)
        if what != "mtime" and not 0 <= value <= NUMBER_MAX:
            raise self.fail(f"a header's {what} is {value}")
        return value

    def _decimal(self, text: bytes) -> int:
        if not text or len(text) > 20 or not text.isdigit():
            raise self.fail(f"{shown(text)} where a number belongs")
        return int(text)

    def _id(self, pax: bytes | None, field_: bytes) -> int:
        value = self._decimal(pax) if pax is not None else self._number(field_, "owner")
        if value > 0xFFFFFFFE:
            raise self.fail(f"an owner's id is {value}")
        return value

    def _mtime(self, pax: bytes | None, field_: bytes) -> int:
        """Whole seconds; what a 32-bit time cannot hold is brought to its ends."""
        if pax is None:
            value = self._number(field_, "mtime")
        else:
            seconds = pax.partition(b".")[0]
            negative = seconds.startswith(b"-")
            value = 0 if negative else self._decimal(seconds or b"0")
        return max(0, min(value, 0xFFFFFFFF))


def _nanoseconds(pax: bytes) -> int:
    """The fraction of a time; none before 1970, which `_mtime` brings to 0."""
    digits = b"" if pax.startswith(b"-") else pax.partition(b".")[2][:9]
    return int(digits.ljust(9, b"0")) if digits.isdigit() else 0


def _text(field_: bytes) -> bytes:
    return field_.partition(b"\0")[0]
