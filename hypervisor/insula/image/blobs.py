"""Blobs by digest: the bytes of configs, manifests and layers as they came, each stored once.

A blob appears under its name only when it is whole, verified and on the disk: it is written beside (staging),
synced, and renamed. A full disk is Unavailable, and leaves nothing behind. All work runs in a thread.
"""

import errno
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

from insula.errors import InsulaError, InvalidArgument, Unavailable
from insula.paths import Paths
from insula.thread import in_thread

CHUNK = 1 << 20
STAGING_PREFIX = "image-"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def full_disk(error: OSError, path: Path) -> InsulaError:
    """An OSError of writing, as a failure for the user."""
    if error.errno in FULL:
        return Unavailable(f"no space left for images in {path}", "free some space, then try again")
    return Unavailable(f"cannot write to {path}: {error.strerror}")


class BlobStore:
    """The folder of blobs and the staging of everything that is written for images."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self.folder = paths.blobs / "sha256"

    def make(self) -> None:
        """Creates the folder. Blocking, as all methods here without `async`."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._paths.staging.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where a blob is, or would be."""
        algorithm, _, digits = digest.partition(":")
        if algorithm != "sha256" or len(digits) != 64 or digits.strip("0123456789abcdef"):
            raise InvalidArgument(f"{digest[:80]!r} is not a sha256 digest")
        return self.folder / digits

    def size(self, digests: Iterable[str]) -> int:
        """Bytes of some blobs together."""
        return sum(self.path(digest).stat().st_size for digest in digests)

    def has(self, digest: str) -> bool:
        return self.path(digest).exists()

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """A new name in staging; what is still there at the end is deleted."""
        path = self._paths.staging / f"{STAGING_PREFIX}{secrets.token_hex(8)}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    @asynccontextmanager
    async def staging(self) -> AsyncIterator[Path]:
        """As `staged`, from the event loop: deleting a large file takes long."""
        path = self._paths.staging / f"{STAGING_PREFIX}{secrets.token_hex(8)}"
        try:
            yield path
        finally:
            await in_thread(path.unlink, missing_ok=True)

    def write_bytes(self, data: bytes) -> str:
        """Stores a small document; gives its digest."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if not self.has(digest):
            with self.staged() as path:
                write_synced(path, data)
                path.rename(self.path(digest))
            sync_folder(self.folder)
        return digest

    def copy_from(self, source: BinaryIO, size: int, expected: str | None, what: str) -> str:
        """Stores `size` bytes of an open file from where it stands. Gives the digest.

        Raises InvalidArgument if they are fewer or another digest than expected, Unavailable if the disk is
        full."""
        if expected is not None and self.has(expected):
            return expected
        with self.staged() as path:
            try:
                with path.open("xb") as out:
                    digest = _copy_hashed(source, out, size, what)
                    if expected is not None and digest != expected:
                        raise InvalidArgument(f"{what} has the digest {digest}, not {expected}")
                    out.flush()
                    os.fsync(out.fileno())
            except OSError as error:
                raise full_disk(error, self.folder) from error
            self.keep(path, digest)
        return digest

    def take(self, path: Path, digest: str) -> None:
        """Makes a staged file the blob of a digest that it was written and hashed as; one that is there already may
        be damaged, and gives way. Raises Unavailable."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise full_disk(error, self.folder) from error
        self.keep(path, digest)

    def keep(self, staged: Path, digest: str) -> None:
        """A staged file that is whole, verified and synced becomes a blob. Raises Unavailable."""
        try:
            staged.rename(self.path(digest))
            sync_folder(self.folder)
        except OSError as error:
            raise full_disk(error, self.folder) from error

    async def read(self, digest: str) -> bytes:
        """A small blob. Raises Unavailable if it is gone."""
        try:
            return await in_thread(self.path(digest).read_bytes)
        except OSError as error:
            raise Unavailable(f"the blob {digest} cannot be read: {error.strerror}") from error

    def remove_others(self, wanted: set[str]) -> int:
        """Deletes every blob whose digest is not wanted; gives the bytes that were freed."""
        freed = 0
        for path in self.folder.iterdir():
            if f"sha256:{path.name}" not in wanted:
                freed += path.stat().st_size
                path.unlink(missing_ok=True)
        return freed

    def remove_staged(self) -> None:
        """Deletes what an earlier daemon left unfinished."""
        for path in self._paths.staging.glob(f"{STAGING_PREFIX}*"):
            path.unlink(missing_ok=True)


def _copy_hashed(source: BinaryIO, out: BinaryIO, size: int, what: str) -> str:
    hash_ = hashlib.sha256()
    left = size
    while left:
        chunk = source.read(min(CHUNK, left))
        if not chunk:
            raise InvalidArgument(f"{what} is truncated")
        hash_.update(chunk)
        out.write(chunk)
        left -= len(chunk)
    return "sha256:" + hash_.hexdigest()


def write_synced(path: Path, data: bytes) -> None:
    """Writes a new file and waits until it is on the disk."""
    try:
        with path.open("xb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise full_disk(error, path.parent) from error


def sync_folder(folder: Path) -> None:
    """Makes a rename in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
