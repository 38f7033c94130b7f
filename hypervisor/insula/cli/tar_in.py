"""A tree of the local file system as a tar stream, for `cp` into a container.

Written header by header, so that a file of any size is never held, and one that grows or shrinks meanwhile cannot put
the archive out of step. Owners, modes, times and hard links are kept; sockets are left out, as no tar has them.
"""

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from insula.cli.failure import Failure

CHUNK = 256 << 10
BLOCK = tarfile.BLOCKSIZE
TYPES = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


class Packer:
    """Of one tree. sent: bytes of content so far."""

    def __init__(self, source: str, name: str, *, follow: bool = False) -> None:
        """name: what the tree's root is called in the archive; empty: its content alone. follow: a link at the root
        is followed."""
        self._source = Path(source)
        self._name = name
        self._follow = follow
        self._seen: dict[tuple[int, int], str] = {}
        self.sent = 0

    def chunks(self) -> Iterator[bytes]:
        """The archive. Raises Failure for what cannot be read."""
        try:
            yield from self._walk(self._source, self._name, self._follow)
        except OSError as error:
            raise Failure(f"cannot read {error.filename or self._source}: {error.strerror}") from error
        yield bytes(2 * BLOCK)

    def _walk(self, path: Path, name: str, follow: bool = False) -> Iterator[bytes]:
        status = path.stat() if follow else path.lstat()
        if name:
            yield from self._entry(path, name, status)
        if stat.S_ISDIR(status.st_mode):
            for child in sorted(os.listdir(path)):
                yield from self._walk(path / child, f"{name}/{child}" if name else child)

    def _entry(self, path: Path, name: str, status: os.stat_result) -> Iterator[bytes]:
        kind = TYPES.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return
        info = tarfile.TarInfo(name)
        info.type, info.mode = kind, stat.S_IMODE(status.st_mode)
        info.uid, info.gid = status.st_uid, status.st_gid
        info.mtime = status.st_mtime_ns // 10**9
        if fraction := status.st_mtime_ns % 10**9:
            info.pax_headers = {"mtime": f"{info.mtime}.{fraction:09d}"}
        if kind == tarfile.SYMTYPE:
            info.linkname = os.readlink(path)
        elif kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
            info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
        elif kind == tarfile.REGTYPE:
            earlier = self._earlier(status, name)
            if earlier is None:
                info.size = status.st_size
            else:
                info.type, info.linkname = tarfile.LNKTYPE, earlier
        yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        if info.size:
            yield from self._content(path, info.size)

    def _earlier(self, status: os.stat_result, name: str) -> str | None:
        """The name under which a file of several has been sent."""
        if status.st_nlink < 2:
            return None
        key = (status.st_dev, status.st_ino)
        return self._seen[key] if key in self._seen else self._seen.setdefault(key, name) and None

    def _content(self, path: Path, size: int) -> Iterator[bytes]:
        """Exactly so many bytes, for they have been announced."""
        left = size
        with path.open("rb", buffering=0) as file:
            while left and (data := file.read(min(left, CHUNK))):
                left -= len(data)
                self.sent += len(data)
                yield data
        while left:
            part = min(left, CHUNK)
            left -= part
            yield bytes(part)
        if size % BLOCK:
            yield bytes(-size % BLOCK)
