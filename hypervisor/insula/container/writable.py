"""The disk that takes a container's writes: an ext4 file system of its own, sparse, made before it is needed.

mkfs runs once: the blank is copied extent by extent (some 600 KB of 64 GiB), and a few copies lie ready, so that
a start only renames one. The blank is made with its inode tables marked as zeroed, which in a sparse copy is
true: so no guest kernel spends its first minutes on writing a gigabyte of zeros into every container's disk.
"""

import asyncio
import os
import secrets
from pathlib import Path

from insula import process
from insula.errors import InsulaError, Unavailable
from insula.paths import Paths

SIZE = 64 << 30
SPARES = 4
VERSION = 1  # of the options below, part of the blank's name
JOURNAL_MIB, JOURNAL_MIB_MIN, JOURNAL_SHARE = 64, 4, 16
MKFS_TIMEOUT = 120.0
OPTIONS = (
    "-F", "-q", "-m", "0", "-L", "insula", "-O", "^resize_inode",
    "-E", "lazy_itable_init=0,lazy_journal_init=1,nodiscard,packed_meta_blocks=1",
)  # fmt: skip


class WritableDisks:
    """`open` and `close` bracket its life."""

    def __init__(self, paths: Paths, spares: int = SPARES) -> None:
        self._paths = paths
        self._wanted = spares
        self._blank = paths.writable_layers / f"blank-{VERSION}-{SIZE >> 30}g.ext4"
        self._spares: list[Path] = []
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Finds what is ready and starts making the rest."""
        await asyncio.to_thread(self._find)
        self._refill()

    def _find(self) -> None:
        self._blank.parent.mkdir(mode=0o700, exist_ok=True)
        for path in self._blank.parent.iterdir():
            if path.suffix == ".part":
                path.unlink()
            elif path.suffix == ".spare":
                self._spares.append(path)

    async def take(self, container_id: str, size: int = 0) -> Path:
        """The container's own disk: made now if it has none. size: bytes, 0 for the default. Raises Unavailable."""
        path = self._paths.writable_disk(container_id)
        try:
            if size not in (0, SIZE):
                if not await asyncio.to_thread(path.exists):
                    await self._make(path, size)
                return path
            spare = self._spares.pop() if self._spares else None
            if await asyncio.to_thread(_place, spare, path):
                self._refill()
                return path
            if spare is not None:
                self._spares.append(spare)
            if not await asyncio.to_thread(path.exists):
                await self._make_blank()
                await asyncio.to_thread(self._copy, path)
        except OSError as error:
            raise Unavailable(f"cannot make the writable layer {path}: {error.strerror}") from error
        return path

    def _refill(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._fill())

    async def _fill(self) -> None:
        """A failure (no space, no mkfs) is told to whoever then needs a disk."""
        try:
            await self._make_blank()
            while len(self._spares) < self._wanted:
                spare = self._blank.with_name(f"{secrets.token_hex(8)}.spare")
                await asyncio.to_thread(self._copy, spare)
                self._spares.append(spare)
        except (OSError, InsulaError):
            pass

    async def _make_blank(self) -> None:
        if not await asyncio.to_thread(self._blank.exists):
            await self._make(self._blank, SIZE)

    async def _make(self, path: Path, size: int) -> None:
        """A new file system, whole or not at all."""
        for folder in (self._blank.parent, path.parent):
            await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        part = self._blank.with_name(f"{secrets.token_hex(8)}.part")
        options = [*OPTIONS, "-J", f"size={journal_size(size)}", str(part), f"{size >> 10}k"]
        try:
            await process.run([process.tool("mkfs.ext4"), *options], timeout=MKFS_TIMEOUT)
            # mkfs reserves what it zeroes; the copy has only what is written.
            await asyncio.to_thread(copy_sparse, part, path)
        finally:
            await asyncio.to_thread(part.unlink, missing_ok=True)

    def _copy(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy_sparse(self._blank, path)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


def journal_size(size: int) -> int:
    """In MiB, for a file system of so many bytes: a small one is not to be a journal in the main."""
    return max(JOURNAL_MIB_MIN, min(JOURNAL_MIB, (size >> 20) // JOURNAL_SHARE))


def _place(spare: Path | None, path: Path) -> bool:
    """Gives a spare to a container, unless there is none or it has a disk."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if spare is None or path.exists():
        return False
    spare.rename(path)
    return True


def copy_sparse(source: Path, target: Path) -> None:
    """Copies what a sparse file really holds; the target appears whole or not at all."""
    part = target.with_name(f"{secrets.token_hex(8)}.part")
    try:
        with source.open("rb") as reader, part.open("xb") as writer:
            os.fchmod(writer.fileno(), 0o600)
            size = os.fstat(reader.fileno()).st_size
            os.ftruncate(writer.fileno(), size)
            at = 0
            while at < size:
                try:
                    at = os.lseek(reader.fileno(), at, os.SEEK_DATA)
                except OSError:
                    break  # ENXIO: only a hole is left
                end = os.lseek(reader.fileno(), at, os.SEEK_HOLE)
                at = _copy_extent(reader.fileno(), writer.fileno(), at, end)
        part.rename(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _copy_extent(source: int, target: int, at: int, end: int) -> int:
    while at < end:
        data = os.pread(source, min(end - at, 1 << 20), at)
        if not data:
            return end
        at += os.pwrite(target, data, at)
    return at
