"""A folder as a build's context: a tar, made while it is sent, without what its `.dockerignore` means.

Only names below the folder are in it, links as links; owners are root's, as with Docker. Nothing is held but one
file's piece at a time. A Dockerfile from elsewhere goes along under a name that nobody else has.
"""

import io
import os
import stat
import sys
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from insula.cli.failure import Failure
from insula.patterns import BadPattern, Ignore, read_ignore

CHUNK = 1 << 20
BLOCK = 512
IGNORE_FILE = ".dockerignore"


class Context:
    """A folder. dockerfile: the path of it as typed, or empty for the folder's own, or `-` for standard input."""

    def __init__(self, folder: str, dockerfile: str) -> None:
        """Raises Failure."""
        if not os.path.isdir(folder):
            raise Failure(f"unable to prepare context: path {folder!r} not found")
        self.folder = folder
        self._extra: bytes | None = None
        self.dockerfile = self._place(dockerfile)
        self._ignore = self._read_ignore()

    def _place(self, dockerfile: str) -> str:
        """Its name in the context."""
        if not dockerfile:
            return ""
        if dockerfile == "-":
            self._extra = sys.stdin.buffer.read()
        else:
            found = dockerfile
            if not os.path.exists(found) and os.path.exists(os.path.join(self.folder, found)):
                found = os.path.join(self.folder, found)
            inside = os.path.relpath(os.path.realpath(found), os.path.realpath(self.folder))
            if not inside.startswith(".."):
                return inside
            try:
                with open(found, "rb") as file:
                    self._extra = file.read()
            except OSError as error:
                raise Failure(f"unable to prepare context: cannot read {found}: {error.strerror}") from error
        return f".dockerfile.{os.urandom(8).hex()}"

    def _read_ignore(self) -> Ignore:
        for name in (f"{self.dockerfile}{IGNORE_FILE}" if self.dockerfile else "", IGNORE_FILE):
            path = os.path.join(self.folder, name)
            if name and os.path.isfile(path):
                try:
                    with open(path, "rb") as file:
                        return read_ignore(file.read())
                except (OSError, BadPattern) as error:
                    raise Failure(f"cannot read {path}: {error}") from error
        return Ignore(())

    def chunks(self) -> Iterator[bytes]:
        """The tar's bytes. Raises Failure."""
        if self._extra is not None:
            yield from _member(tarfile.TarInfo(self.dockerfile), io.BytesIO(self._extra), len(self._extra))
        elif self.dockerfile and self._ignore.drops(
            self.dockerfile
        ):  # the folder that it is in may not be walked
            yield from self._entry(os.path.join(self.folder, self.dockerfile), self.dockerfile)
        kept = {self.dockerfile or "Dockerfile", "dockerfile", IGNORE_FILE, f"{self.dockerfile}{IGNORE_FILE}"}
        yield from self._walk("", kept)
        yield bytes(2 * BLOCK)

    def _walk(self, folder: str, kept: set[str]) -> Iterator[bytes]:
        path = os.path.join(self.folder, folder)
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            raise Failure(f"cannot read {path}: {error.strerror}") from error
        for entry in entries:
            name = f"{folder}{entry.name}"
            is_folder = entry.is_dir(follow_symlinks=False)
            if name in kept or not self._ignore.drops(name):
                yield from self._entry(entry.path, name)
            elif is_folder and not self._ignore.keeps_any:
                continue
            if is_folder:
                yield from self._walk(f"{name}/", kept)

    def _entry(self, path: str, name: str) -> Iterator[bytes]:
        try:
            status = os.lstat(path)
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    yield from _member(info, file, os.fstat(file.fileno()).st_size)
                return
            if stat.S_ISLNK(status.st_mode):
                info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
            elif stat.S_ISDIR(status.st_mode):
                info.type = tarfile.DIRTYPE
            else:
                return  # sockets, pipes and devices have no place in a context
            yield from _member(info, io.BytesIO(), 0)
        except OSError as error:
            raise Failure(f"cannot read {path}: {error.strerror}") from error


def _member(info: tarfile.TarInfo, file: BinaryIO, size: int) -> Iterator[bytes]:
    """Exactly as many bytes as the header says, whatever becomes of the file meanwhile. Raises Failure."""
    info.size = size
    yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    left = size
    while left:
        data = file.read(min(left, CHUNK))
        if not data:
            raise Failure(f"{info.name} became shorter while it was read")
        left -= len(data)
        yield data
    yield bytes(-size % BLOCK)
