"""The empty ext4 file system that containers' writable disks are copies of, and the one of rehearsals too: what a
clone has mounted once costs it a fraction the second time, if it is of the same features and size.

mkfs runs once: a blank is copied extent by extent (some 600 KB of 64 GiB). It is made with its inode tables marked
as zeroed, which in a sparse copy is true: so no guest kernel spends its first minutes on writing a gigabyte of
zeros into every container's disk.
"""

import asyncio
import os
import secrets
from pathlib import Path

from insula import process

SIZE = 64 << 30
VERSION = 1  # of the options below, part of a blank's name
JOURNAL_MIB, JOURNAL_MIB_MIN, JOURNAL_SHARE = 64, 4, 16
MKFS_TIMEOUT = 120.0
OPTIONS = (
    "-F", "-q", "-m", "0", "-L", "insula", "-O", "^resize_inode",
    "-E", "lazy_itable_init=0,lazy_journal_init=1,nodiscard,packed_meta_blocks=1",
)  # fmt: skip


async def make_blank(path: Path, size: int, folder: Path) -> None:
    """A new file system of so many bytes, whole or not at all. folder: for what is unfinished, on the same file
    system.

    Raises OSError, Unavailable without mkfs."""
    part = folder / f"{secrets.token_hex(8)}.part"
    options = [*OPTIONS, "-J", f"size={journal_size(size)}", str(part), f"{size >> 10}k"]
    try:
        await process.run([process.tool("mkfs.ext4"), *options], timeout=MKFS_TIMEOUT)
        # mkfs reserves what it zeroes; the copy has only what is written.
        await asyncio.to_thread(copy_sparse, part, path)
    finally:
        await asyncio.to_thread(part.unlink, missing_ok=True)


def journal_size(size: int) -> int:
    """In MiB, for a file system of so many bytes: a small one is not to be a journal in the main."""
    return max(JOURNAL_MIB_MIN, min(JOURNAL_MIB, (size >> 20) // JOURNAL_SHARE))


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
