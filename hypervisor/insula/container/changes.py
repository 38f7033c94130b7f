"""What a container has changed in its image's files: `docker diff`, out of the overlay's upper directory. Pure.

The guest tells each entry of the upper directory with what the layers below have in its place. Left out is what the
agent itself puts there at a start to mount upon; Docker has those in a layer of their own, below the container's. A
directory that was only copied up for what is in it is not a change by itself, but is told before an addition or a
removal in it.
"""

import posixpath
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import IntEnum

from insula.agent.tree import Entry, Kind, Lower, TreeReader, lower_of
from insula.errors import Unavailable

OURS = frozenset({"proc", "dev", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf"})
ENTRIES_MAX = 1_000_000
BYTES_MAX = 128 << 20
OPAQUE = (b"trusted.overlay.opaque", b"y")


class ChangeKind(IntEnum):
    MODIFIED = 0
    ADDED = 1
    DELETED = 2


@dataclass(frozen=True, slots=True)
class Change:
    """path: from the container's root."""

    path: str
    kind: ChangeKind


class Changes:
    """Takes the entries of an upper directory, each after the directory that it is in; `list` has the changes."""

    def __init__(self) -> None:
        self._told: dict[str, ChangeKind] = {}
        self._only_time: set[str] = set()  # directories of which nothing but the time differs
        self._ours: set[str] = set()  # directories in which something of ours was made
        self._bytes = 0

    def take(self, entry: Entry) -> None:
        """Raises Unavailable beyond what can be told."""
        path = entry.path.decode("utf-8", "surrogateescape")
        if not path:
            return
        self._bytes += len(path)
        if len(self._told) >= ENTRIES_MAX or self._bytes > BYTES_MAX:
            raise Unavailable("the container has changed more files than can be listed", "export it")
        lower = lower_of(entry)
        parent = posixpath.dirname(path)
        if path in OURS and lower is None:
            self._ours.add(parent)
            return
        kind = _kind_of(entry, lower)
        if kind is None:
            return
        if kind is ChangeKind.MODIFIED and lower is not None and _is_only_on_the_way(entry, lower):
            if _same_time(entry, lower):
                return
            self._only_time.add(path)
        self._told[path] = kind
        if kind is not ChangeKind.MODIFIED and parent:
            self._only_time.discard(parent)
            self._told.setdefault(parent, ChangeKind.MODIFIED)

    def list(self) -> list[Change]:
        parents = {posixpath.dirname(path) for path in self._told}
        for path in self._ours:
            made = self._told.get(path) is ChangeKind.ADDED  # /etc of an image without one, for /etc/hosts
            if path in self._only_time or (made and path not in parents):
                self._told.pop(path, None)
        return [Change(f"/{path}", self._told[path]) for path in sorted(self._told)]


def _kind_of(entry: Entry, lower: Lower | None) -> ChangeKind | None:
    """None: a whiteout of what was never there."""
    if is_whiteout(entry):
        return ChangeKind.DELETED if lower is not None else None
    if lower is None:
        return ChangeKind.ADDED
    if is_opaque(entry) and lower.kind is Kind.DIRECTORY:
        return ChangeKind.DELETED  # and made anew, which Docker tells in this way
    return ChangeKind.MODIFIED


def is_whiteout(entry: Entry) -> bool:
    return entry.kind is Kind.CHARACTER_DEVICE and entry.major == entry.minor == 0


def is_opaque(entry: Entry) -> bool:
    return entry.kind is Kind.DIRECTORY and OPAQUE in entry.xattrs


def _is_only_on_the_way(entry: Entry, lower: Lower) -> bool:
    """Whether it is a directory that differs in its time at most."""
    same = (entry.mode, entry.uid, entry.gid) == (lower.mode, lower.uid, lower.gid)
    return same and entry.kind is lower.kind is Kind.DIRECTORY


def _same_time(entry: Entry, lower: Lower) -> bool:
    return (entry.mtime_seconds, entry.mtime_nanoseconds) == (lower.mtime_seconds, lower.mtime_nanoseconds)


async def read_changes(upper: AsyncIterator[bytes]) -> list[Change]:
    """Of the stream of an upper directory, by path."""
    changes = Changes()
    async for entry in TreeReader(upper):
        changes.take(entry)
    return changes.list()
