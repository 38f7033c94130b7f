"""The disk of a block volume: a sparse file with an ext4 of its own, which one machine at a time mounts, and the
host never does. Made with its volume; it grows by being made longer, and its file system follows in the machine that
mounts it next.

Nothing of what a guest has written to it is ever read here.
"""

import os
import re
from pathlib import Path

from insula import process
from insula.errors import InvalidArgument

SIZE_MIN, SIZE_MAX = 16 << 20, 1023 << 30
"""Bytes. A smaller one is a journal in the main; a machine shows disks of just under a tebibyte."""
SIZE = re.compile(r"(\d{1,15})(\.\d{1,9})? ?([kmgt]?)(?:i?b)?", re.ASCII)
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
MEBIBYTE = 1 << 20
MKFS_TIMEOUT = 120.0
OPTIONS = ("-F", "-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard")
"""What mkfs leaves empty is empty in a sparse file already."""
NEW = "_new"
"""Beside the disk, until the first machine has had it."""


def read_size(text: str) -> int:
    """`10G`, `120m`, bytes, up to the next MiB. Raises InvalidArgument."""
    matched = SIZE.fullmatch(text.strip().lower())
    if matched is None:
        raise InvalidArgument(f"invalid size of a block volume: '{text[:80]}'", "size=10G, say")
    unit = UNITS[matched[3]]
    size = int(matched[1]) * unit + int(float(matched[2] or 0) * unit)
    size = -(-size // MEBIBYTE) * MEBIBYTE
    if not SIZE_MIN <= size <= SIZE_MAX:
        raise InvalidArgument(f"a block volume cannot have the size {text[:80]}: 16 MiB to 1023 GiB")
    return size


async def make_disk(path: Path, size: int) -> None:
    """Raises OSError, Unavailable without mkfs."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)
    path.with_name(NEW).touch(0o600)
    await process.run([process.tool("mkfs.ext4"), *OPTIONS, str(path)], timeout=MKFS_TIMEOUT)


def grow_disk(path: Path, size: int) -> None:
    """Blocking. It is never made shorter. Raises OSError."""
    if size > path.stat().st_size:
        os.truncate(path, size)


def is_new(path: Path) -> bool:
    """Whether no machine has had it. Blocking."""
    return path.with_name(NEW).exists()


def mark_used(path: Path) -> None:
    """Blocking. Raises OSError."""
    path.with_name(NEW).unlink(missing_ok=True)


def measure_disk(path: Path) -> int:
    """Bytes that it really takes on the host. Blocking."""
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0
