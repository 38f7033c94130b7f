"""The outer tar of an image archive: found by name, read in place, never unpacked.

A name in the archive is only a key here, not a path on the host. A compressed archive is unfolded into one
staging file first, zeros as holes, so that members can be read by offset. Refused: `..`, absolute names,
links that lead nowhere or in circles, too many members, archives that are no tar.
"""

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from insula.errors import InvalidArgument
from insula.image import tar_reader
from insula.image.blobs import full_disk
from insula.image.decompress import CHUNK, Uncompressed
from insula.image.manifest import DOCUMENT_MAX, digest_of
from insula.image.tar_reader import TarReader, shown

MEMBERS_MAX = 20_000
UNFOLDED_MAX = 64 << 30
LINKS_MAX = 8
WHAT = "the image archive"


class _FileStream:
    """An open file as TarReader wants it: data is skipped by seeking."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self.position = 0

    def read(self, n: int) -> bytes:
        data = self._file.read(n)
        self.position += len(data)
        return data

    def skip(self, n: int) -> None:
        if self.position + n > self._size:
            raise InvalidArgument(f"{WHAT} is truncated")
        self.position += n
        self._file.seek(self.position)


class OuterArchive:
    """The members of an open archive. Blocking throughout: for a thread."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        """Reads the headers. Raises InvalidArgument."""
        self._file = file
        self._members: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        stream = _FileStream(file, size)
        reader = TarReader(stream, WHAT, skip=stream.skip)
        for count, entry in enumerate(reader):
            if count >= MEMBERS_MAX:
                raise InvalidArgument(f"{WHAT} has more than {MEMBERS_MAX} members")
            name = _key(entry.name)
            if entry.kind == tar_reader.FILE:
                if entry.extents is not None:
                    raise InvalidArgument(f"{WHAT} has the sparse member {shown(entry.name)}")
                self._members[name] = (stream.position, entry.size)
            elif entry.kind in (tar_reader.LINK, tar_reader.SYMLINK):
                self._links[name] = _link_key(name, entry)

    def has(self, name: str) -> bool:
        return self._resolve(name) in self._members

    def names(self) -> list[str]:
        return list(self._members)

    def _resolve(self, name: str) -> str:
        for _ in range(LINKS_MAX):
            if name not in self._links or name in self._members:
                return name
            name = self._links[name]
        raise InvalidArgument(f"{WHAT} has a circle of links at {shown(name.encode())}")

    def locate(self, name: str) -> tuple[BinaryIO, int]:
        """The file, standing at a member's content, and the content's size. Raises InvalidArgument."""
        member = self._members.get(self._resolve(name))
        if member is None:
            raise InvalidArgument(f"{WHAT} lacks {shown(name.encode())}")
        self._file.seek(member[0])
        return self._file, member[1]

    def read(self, name: str, digest: str | None = None) -> bytes:
        """A small member. Raises InvalidArgument if it is missing, too large, or has another digest."""
        file, size = self.locate(name)
        if size > DOCUMENT_MAX:
            raise InvalidArgument(f"{shown(name.encode())} has {size} bytes ({DOCUMENT_MAX} at most)")
        data = file.read(size)
        if len(data) != size:
            raise InvalidArgument(f"{WHAT} is truncated")
        if digest is not None and digest_of(data) != digest:
            raise InvalidArgument(f"{shown(name.encode())} has the digest {digest_of(data)}, not {digest}")
        return data


def _key(name: bytes) -> str:
    text = name.decode("utf-8", "surrogateescape")
    if len(name) > 4096 or text.startswith("/") or ".." in text.split("/"):
        raise InvalidArgument(f"{WHAT} has the member {shown(name)}, which leaves it")
    return posixpath.normpath(text)


def _link_key(name: str, entry: tar_reader.Entry) -> str:
    target = entry.link.decode("utf-8", "surrogateescape")
    if entry.kind == tar_reader.SYMLINK:
        target = posixpath.join(posixpath.dirname(name), target)
    target = posixpath.normpath(target)
    if target.startswith(("/", "../")) or target == "..":
        raise InvalidArgument(f"{WHAT} has the link {shown(entry.name)}, which leaves it")
    return target


@contextmanager
def open_archive(path: Path, plain: Path) -> Iterator[OuterArchive]:
    """The archive in `path`. plain: a staging name for its content, used if it is compressed."""
    try:
        with path.open("rb") as file:
            stream = Uncompressed(file, WHAT, UNFOLDED_MAX)
            if not stream.compression:
                file.seek(0)
                yield OuterArchive(file, path.stat().st_size)
                return
            with plain.open("xb") as out:
                _unfold(stream, out)
        with plain.open("rb") as file:
            yield OuterArchive(file, plain.stat().st_size)
    except OSError as error:
        raise full_disk(error, path.parent) from error


def _unfold(stream: Uncompressed, out: BinaryIO) -> None:
    zeros = bytes(CHUNK)
    while chunk := stream.read(CHUNK):
        if chunk == zeros[: len(chunk)]:
            out.seek(len(chunk), 1)
        else:
            out.write(chunk)
    out.truncate()
