"""What containers take of the host's disk, by what their files have allocated. Blocking: for threads.

A writable layer is an ext4 of the guest's, which the host never mounts: so its size is what the sparse file holds
beyond an empty one, the file system's own journal and tables included. What a running guest has not written back
yet (up to half a minute) is not in it; what it has deleted is given back when it discards.
"""

from collections.abc import Iterable
from pathlib import Path

from insula.paths import Paths

BLOCK = 512  # of st_blocks, whatever the file system's
FILES_MAX = 10_000


def allocated(path: Path) -> int:
    """Bytes that a file takes; 0 if it is not there."""
    try:
        return path.stat().st_blocks * BLOCK
    except FileNotFoundError:
        return 0


def measure_written(paths: Paths, ids: Iterable[str]) -> dict[str, int]:
    """Bytes that each container has written; 0 for one that was never started."""
    empty = _empty_disks(paths.writable_layers)
    return {id: _written(paths.writable_disk(id), empty) for id in ids}


def _written(disk: Path, empty: dict[int, int]) -> int:
    try:
        found = disk.stat()
    except FileNotFoundError:
        return 0
    return max(0, found.st_blocks * BLOCK - empty.get(found.st_size, 0))


def _empty_disks(folder: Path) -> dict[int, int]:
    """What an empty disk takes, by its full size."""
    found: dict[int, int] = {}
    for path in folder.glob("blank-*"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        found[status.st_size] = status.st_blocks * BLOCK
    return found


def folder_bytes(folder: Path) -> int:
    """What removing a container's folder gives back: its disk whole, its log, what was kept of a failed start."""
    total = 0
    for count, path in enumerate(folder.rglob("*")):
        if count == FILES_MAX:
            break
        total += allocated(path)
    return total
