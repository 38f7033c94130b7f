"""Locks for what is made on disk once: many starts may find it missing at the same time, one makes it.

A lock is had by the path of what it guards, lives while somebody holds it or waits for it, and is this process's
alone: a state root has one daemon.
"""

import asyncio
from pathlib import Path
from weakref import WeakValueDictionary

_locks: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()


def lock_of(path: Path) -> asyncio.Lock:
    """The lock of a path, the same one for all who ask while it is in use."""
    lock = _locks.get(path)
    if lock is None:
        lock = _locks[path] = asyncio.Lock()
    return lock
