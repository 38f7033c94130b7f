"""Whole files, or pieces of them, uncompressed into others: gzip, bzip2, xz and zstd, as a build's context and the
archives that ADD opens may be.

They are strangers' and decoded in the converter's jail (`DiskStore.unfold`), never in the daemon, which looks at
their first bytes alone. Refused is what is damaged, or unfolds to more than 64 GiB.
"""

import bz2
import lzma
import os
import zlib
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

from insula.errors import InvalidArgument
from insula.image.decompress import open_uncompressed

CHUNK = 1 << 20
PLAIN_MAX = 64 << 30


class _Decoder(Protocol):
    def read(self, n: int, /) -> bytes: ...


def _opened(file: BinaryIO, head: bytes, what: str) -> _Decoder:
    if head.startswith(b"\xfd7zXZ"):
        return lzma.open(file)
    if head.startswith(b"BZh"):
        return bz2.open(file)
    return open_uncompressed(file, what, PLAIN_MAX)


def is_compressed(path: Path, offset: int = 0) -> bool:
    with path.open("rb") as file:
        file.seek(offset)
        return is_compressed_head(file.read(6))


def is_compressed_head(head: bytes) -> bool:
    return head.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"BZh"))


class Slice:
    """A piece of a file, to be read as one."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self._file = file
        self._left = size
        file.seek(offset)

    def read(self, n: int = -1, /) -> bytes:
        data = self._file.read(self._left if n < 0 else min(n, self._left))
        self._left -= len(data)
        return data


def unfold(file: BinaryIO, out: BinaryIO, what: str, place: tuple[int, int] | None = None) -> None:
    """Writes what a compressed file, or a piece of one (offset, size), unfolds to. Raises InvalidArgument; OSError
    for the disk's own failures."""
    size = os.fstat(file.fileno()).st_size
    offset, length = place or (0, size)
    file.seek(offset)
    head = file.read(6)
    piece = Slice(file, offset, length)
    try:
        decoder = _opened(piece, head, what)  # type: ignore[arg-type]  # it is only read forward
        written = 0
        while data := decoder.read(CHUNK):
            written += len(data)
            if written > PLAIN_MAX:
                raise InvalidArgument(f"{what} unfolds to more than {PLAIN_MAX >> 30} GiB")
            out.write(data)
    except (EOFError, lzma.LZMAError, zlib.error, zstandard.ZstdError) as error:
        raise InvalidArgument(f"{what} is damaged: {error}") from error
    except OSError as error:
        if error.errno is None:  # bz2's word for damage
            raise InvalidArgument(f"{what} is damaged: {error}") from error
        raise
