"""A layer's or archive's bytes, uncompressed and counted: gzip, zstd or plain, told apart by how they begin.

Reads forward only and never holds more than one chunk, whatever a few compressed bytes unfold to.
Refuses more than `limit` uncompressed bytes, damaged or truncated streams, and compressions that Docker does
not use. The SHA-256 of all that came out is kept on the way: an image names its layers by it (diff_id).
"""

import hashlib
import zlib
from typing import BinaryIO, Protocol, cast

import zstandard

from insula.errors import InvalidArgument

CHUNK = 1 << 18
ZSTD_WINDOW_MAX = 1 << 27  # what `zstd -d` itself accepts without being asked, and OCI writers stay below
REFUSED = {
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"\x04\x22\x4d\x18": "lz4",
}


class Source(Protocol):
    """Something to read from: at most n bytes, none at the end."""

    def read(self, n: int, /) -> bytes: ...


class _Prefixed:
    """A source whose first bytes were already read."""

    def __init__(self, head: bytes, source: Source) -> None:
        self._head = head
        self._source = source

    def read(self, n: int, /) -> bytes:
        if self._head:
            taken, self._head = self._head[:n], self._head[n:]
            return taken
        return self._source.read(n)


class _Gzip:
    """gzip, one member after another (some builders write one member a file)."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._member = zlib.decompressobj(wbits=31)
        self._input = b""
        self._started = False

    def read(self, n: int, /) -> bytes:
        while True:
            if self._member.eof and not self._next_member():
                return b""
            if not self._input:
                self._input = self._source.read(CHUNK)
            if not self._input:
                if self._started:
                    raise InvalidArgument("the gzip stream is truncated")
                return b""
            self._started = True
            try:
                out = self._member.decompress(self._input, n)
            except zlib.error as error:
                raise InvalidArgument(f"the gzip stream is damaged: {error}") from error
            self._input = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if out:
                return out

    def _next_member(self) -> bool:
        """After a member: True if another one follows. Zero padding after the last one is allowed."""
        rest = self._input.lstrip(b"\0")
        while not rest:
            chunk = self._source.read(CHUNK)
            if not chunk:
                self._input = b""
                return False
            rest = chunk.lstrip(b"\0")
        self._input = rest
        self._member = zlib.decompressobj(wbits=31)
        return True


class _Zstd:
    """zstd, one frame after another. The library takes a cut-off frame for the end: the tar inside tells."""

    def __init__(self, source: Source) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX)
        self._reader = decompressor.stream_reader(
            cast(BinaryIO, source), read_size=CHUNK, read_across_frames=True
        )

    def read(self, n: int, /) -> bytes:
        try:
            return self._reader.read(n)
        except zstandard.ZstdError as error:
            raise InvalidArgument(f"the zstd stream is damaged: {error}") from error


class Uncompressed:
    """The uncompressed stream. `what` names it in errors ("layer 2", "the archive")."""

    def __init__(self, source: Source, what: str, limit: int) -> None:
        """Raises InvalidArgument for a compression that is not read here."""
        head = b""
        while len(head) < 6 and (more := source.read(6 - len(head))):
            head += more
        for magic, name in REFUSED.items():
            if head.startswith(magic):
                raise InvalidArgument(f"{what} is compressed with {name}", "use gzip, zstd or no compression")
        rest = _Prefixed(head, source)
        self.compression = ""
        self._source: Source = rest
        if head.startswith(b"\x1f\x8b"):
            self.compression, self._source = "gzip", _Gzip(rest)
        elif head.startswith(b"\x28\xb5\x2f\xfd"):
            self.compression, self._source = "zstd", _Zstd(rest)
        self._what = what
        self._limit = limit
        self._hash = hashlib.sha256()
        self.position = 0

    def read(self, n: int) -> bytes:
        """Up to n bytes, none at the end. Raises InvalidArgument on damage or beyond the limit."""
        data = self._source.read(min(n, CHUNK))
        self.position += len(data)
        if self.position > self._limit:
            raise InvalidArgument(f"{self._what} unfolds to more than {self._limit >> 20} MiB")
        self._hash.update(data)
        return data

    @property
    def remaining(self) -> int:
        """How many more bytes the limit allows."""
        return self._limit - self.position

    def drain(self) -> None:
        """Reads what is left, for the digest. Raises as `read`."""
        while self.read(CHUNK):
            pass

    @property
    def digest(self) -> str:
        """`sha256:…` of what was read so far."""
        return "sha256:" + self._hash.hexdigest()


def open_uncompressed(file: BinaryIO, what: str, limit: int) -> Uncompressed:
    """The uncompressed content of an open file, from where it stands."""
    return Uncompressed(file, what, limit)
