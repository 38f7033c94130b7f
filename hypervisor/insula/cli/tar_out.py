"""A tar stream out of a container, made into local files, for `cp`.

The archive's names are a stranger's. Each is walked from the target's descriptor, part by part, and no link is
followed on the way; what the archive itself made into a link is no directory to it. Nothing replaces a directory, nor
is replaced by one. Devices are not made; set-id bits and owners are kept only if that is asked for.
"""

import os
import stat
import sys
import tarfile
from collections.abc import Iterable
from contextlib import suppress
from typing import BinaryIO, cast

from insula.cli.failure import Failure
from insula.cli.table import clean_line

CHUNK = 256 << 10
WALK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class _Stream:
    """An answer's pieces as something to read from."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = b""

    def read(self, size: int) -> bytes:
        parts = []
        while size > 0 and (self._held or (more := next(self._chunks, b""))):
            self._held = self._held or more
            parts.append(self._held[:size])
            self._held = self._held[size:]
            size -= len(parts[-1])
        return b"".join(parts)

    def drain(self) -> None:
        for _ in self._chunks:
            pass


class Unpacker:
    """Into one directory. written: bytes of content so far."""

    def __init__(self, target: str, root: str, name: str, *, keep_owners: bool = False) -> None:
        """root: what the tree's root is called in the archive (`.` and `/`: not at all); name: what it is to be
        called in the target; empty: its content is put there."""
        self._root = [part for part in root.split("/") if part not in ("", ".")]
        self._name = [name] if name else []
        self._keep_owners = keep_owners
        self._directories: list[tuple[list[str], tarfile.TarInfo]] = []
        self._target = target
        self._top = -1
        self.written = 0

    def unpack(self, chunks: Iterable[bytes]) -> None:
        """Raises Failure for what cannot be written or is no archive, and leaves then what it has made."""
        stream = _Stream(chunks)
        try:
            self._top = os.open(self._target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            with tarfile.open(
                fileobj=cast(BinaryIO, stream),
                mode="r|",
                bufsize=CHUNK,
                encoding="utf-8",
                errors="surrogateescape",
            ) as archive:
                for member in archive:
                    self._take(archive, member)
            self._finish_directories()
            stream.drain()
        except OSError as error:
            raise Failure(
                f"cannot write {clean_line(str(error.filename or self._target))}: {error.strerror}"
            ) from error
        except tarfile.TarError as error:
            raise Failure(f"the daemon's archive is damaged: {error}") from error
        finally:
            if self._top >= 0:
                os.close(self._top)

    def _place(self, name: str) -> list[str]:
        """Where a member goes, below the target. Raises Failure."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts or parts[: len(self._root)] != self._root:
            raise Failure(f"the archive has a name that leads elsewhere: {clean_line(name)!r}")
        return self._name + parts[len(self._root) :]

    def _open_parent(self, place: list[str]) -> int:
        """The directory that a member goes to, made as far as it is not there."""
        at = os.dup(self._top)
        for part in place[:-1]:
            with suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=at)
            try:
                below = os.open(part, WALK, dir_fd=at)
            finally:
                os.close(at)
            at = below
        return at

    def _take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        place = self._place(member.name)
        if not place:  # the target itself, which is there
            return
        if member.ischr() or member.isblk():
            print(f"insula: {clean_line(member.name)} is a device, and was left out", file=sys.stderr)
            return
        parent = self._open_parent(place)
        try:
            self._make(archive, member, parent, place)
        finally:
            os.close(parent)

    def _make(self, archive: tarfile.TarFile, member: tarfile.TarInfo, parent: int, place: list[str]) -> None:
        name = place[-1]
        there = _kind(parent, name)
        if there is not None and (there == stat.S_IFDIR) is not member.isdir():
            kinds = ("directory", "non-directory")
            first, second = kinds if there == stat.S_IFDIR else kinds[::-1]
            raise Failure(f"cannot overwrite {first} {clean_line('/'.join(place))!r} with {second}")
        if member.isdir():
            if there is None:
                os.mkdir(name, 0o700, dir_fd=parent)
            self._directories.append((place, member))
            return
        if there is not None:
            os.unlink(name, dir_fd=parent)
        if member.islnk():
            self._link(member, parent, name)
        elif member.issym():
            os.symlink(member.linkname, name, dir_fd=parent)
            self._finish(member, parent, name, mode=False)
        elif member.isfifo():
            os.mkfifo(name, 0o600, dir_fd=parent)
            self._finish(member, parent, name)
        else:
            self._write(archive, member, parent, name)
            self._finish(member, parent, name)

    def _link(self, member: tarfile.TarInfo, parent: int, name: str) -> None:
        place = self._place(member.linkname)
        if not place:
            raise Failure(f"the archive has a link to a directory: {clean_line(member.name)!r}")
        source = self._open_parent(place)
        try:
            os.link(place[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _write(self, archive: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
        """The holes of a sparse file are holes again."""
        source = archive.fileobj
        assert source is not None
        source.seek(member.offset_data)
        with os.fdopen(os.open(name, CREATE, 0o600, dir_fd=parent), "wb") as file:
            for offset, size in getattr(member, "sparse", None) or [(0, member.size)]:
                file.seek(offset)
                left = size
                while left:
                    data = source.read(min(left, CHUNK))
                    if not data:
                        raise tarfile.ReadError("it ends in the middle of a file")
                    file.write(data)
                    left -= len(data)
                    self.written += len(data)
            file.truncate(member.size)

    def _finish(self, member: tarfile.TarInfo, parent: int, name: str, *, mode: bool = True) -> None:
        if self._keep_owners:
            os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
        if mode:
            os.chmod(name, member.mode & (0o7777 if self._keep_owners else 0o1777), dir_fd=parent)
        moment = float(member.mtime)
        with suppress(OverflowError):
            os.utime(name, (moment, moment), dir_fd=parent, follow_symlinks=False)

    def _finish_directories(self) -> None:
        """At the end: their times change by what is put into them, and their modes may forbid that."""
        for place, member in reversed(self._directories):
            parent = self._open_parent(place)
            try:
                if _kind(parent, place[-1]) == stat.S_IFDIR:
                    self._finish(member, parent, place[-1])
            finally:
                os.close(parent)


def _kind(parent: int, name: str) -> int | None:
    """What is there, by the type bits of its mode; None if nothing is."""
    try:
        return stat.S_IFMT(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return None
