"""What an upper directory says has changed."""

import struct
from dataclasses import replace

import pytest

from insula.agent.tree import LOWER, Entry, Kind, lower_of
from insula.container.changes import Changes
from insula.errors import Internal, Unavailable

DIRECTORY, FILE, DEVICE = Kind.DIRECTORY, Kind.FILE, Kind.CHARACTER_DEVICE


def lower(kind: Kind = FILE, mode: int = 0o644, seconds: int = 5) -> tuple[bytes, bytes]:
    return LOWER, struct.pack("<BIIIqIQ", kind, mode, 0, 0, seconds, 0, 0)


def entry(
    path: str, kind: Kind = FILE, *xattrs: tuple[bytes, bytes], mode: int = 0o644, at: int = 9
) -> Entry:
    return Entry(kind, path=path.encode(), mode=mode, mtime_seconds=at, xattrs=xattrs)


def told(*entries: Entry) -> list[str]:
    changes = Changes()
    for one in (entry("", DIRECTORY), *entries):
        changes.take(one)
    return [f"{'CAD'[change.kind]} {change.path}" for change in changes.list()]


def below(path: str, at: int = 5, mode: int = 0o755) -> Entry:
    """A directory that the layers below have too."""
    return entry(path, DIRECTORY, lower(DIRECTORY, 0o755), mode=mode, at=at)


def test_added_changed_and_deleted() -> None:
    found = told(
        entry("new"), entry("old", FILE, lower()), entry("gone", DEVICE, lower()), entry("never", DEVICE),
        entry("d", DIRECTORY), entry("d/in"),
    )  # fmt: skip
    assert found == ["A /d", "A /d/in", "D /gone", "A /new", "C /old"]


def test_a_device_of_the_containers_own_is_no_whiteout() -> None:
    assert told(replace(entry("n", DEVICE), major=1, minor=3)) == ["A /n"]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((below("a"), entry("a/f", FILE, lower())), ["C /a/f"]),
        ((below("a"), entry("a/f")), ["C /a", "A /a/f"]),
        ((below("a"), entry("a/f", DEVICE, lower())), ["C /a", "D /a/f"]),
        ((below("a", at=6),), ["C /a"]),
        ((below("a", mode=0o700),), ["C /a"]),
        ((entry("a", DIRECTORY, lower(FILE)),), ["C /a"]),
    ],
)
def test_a_directory_on_the_way_is_told_only_for_what_came_or_went(
    entries: tuple[Entry, ...], expected: list[str]
) -> None:
    assert told(*entries) == expected


def test_an_opaque_directory_was_removed_and_made_again() -> None:
    opaque = (b"trusted.overlay.opaque", b"y")
    assert told(entry("d", DIRECTORY, lower(DIRECTORY), opaque)) == ["D /d"]
    assert told(entry("d", DIRECTORY, opaque)) == ["A /d"]


def test_what_the_agent_mounts_upon_is_left_out() -> None:
    ours = [entry(name, DIRECTORY) for name in ("dev", "proc", "sys")]
    assert told(*ours, below("etc", at=8), entry("etc/hosts"), entry("etc/hostname")) == []
    assert told(*ours, entry("etc", DIRECTORY), entry("etc/resolv.conf")) == []
    assert told(below("etc", at=8), entry("etc/hosts"), entry("etc/own")) == ["C /etc", "A /etc/own"]
    assert told(entry("etc", DIRECTORY), entry("etc/hosts"), entry("etc/own")) == ["A /etc", "A /etc/own"]
    assert told(below("etc", mode=0o700), entry("etc/hosts")) == ["C /etc"]
    assert told(below("etc"), entry("etc/hosts", FILE, lower())) == ["C /etc/hosts"]


def test_what_a_guest_says_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("insula.container.changes.ENTRIES_MAX", 3)
    with pytest.raises(Unavailable):
        told(*(entry(str(n)) for n in range(5)))
    with pytest.raises(Internal):
        lower_of(entry("x", FILE, (LOWER, b"short")))
    with pytest.raises(Internal):
        lower_of(entry("x", FILE, (LOWER, lower(FILE)[1].replace(b"\2", b"\x63", 1))))
