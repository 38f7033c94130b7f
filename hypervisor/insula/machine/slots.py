"""Slots: which of the machines' ids each QEMU of a root daemon has; no two machines of a host have one.

A slot is a file that is locked (flock, shared) twice: by the daemon that owns the machine, and by QEMU itself, which
inherits a descriptor. So it is taken as long as the machine lives, whatever happens to its daemon, and the kernel
lets it go when both are gone. To take one needs the exclusive lock, which nobody gets while either is held: other
daemons on the host share the folder. A QEMU that was taken over can drop its own lock, not its daemon's.
"""

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path

from insula.errors import Unavailable

SLOTS = 4096


class Slot:
    """One that is taken. Owned by whoever took or kept it."""

    def __init__(self, number: int, own: int, lent: int | None) -> None:
        self.number = number
        self._own = own
        self.lent = lent
        """The descriptor for QEMU to inherit, until it has."""

    def inherited(self) -> None:
        """QEMU has its own now, or never will."""
        if self.lent is not None:
            os.close(self.lent)
            self.lent = None

    def free(self) -> None:
        """Lets go of the daemon's lock: the slot is free when the machine has ended too."""
        self.inherited()
        os.close(self._own)


def take_slot(folder: Path) -> Slot:
    """A slot that no machine of this host has. Raises Unavailable if all are taken, or none can be locked."""
    first = secrets.randbelow(SLOTS)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for step in range(SLOTS):
            if (slot := _try(folder, (first + step) % SLOTS)) is not None:
                return slot
    except OSError as error:
        raise Unavailable(f"no id can be locked for a machine in {folder}: {error.strerror}") from error
    raise Unavailable(f"all {SLOTS} ids for machines are taken", f"files below {folder} tell by whom (fuser)")


def keep_slot(folder: Path, number: int) -> Slot:
    """The slot of an adopted machine, which it holds itself. Raises Unavailable."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        own = _open(folder, number)
        fcntl.flock(own, fcntl.LOCK_SH)  # waits for nothing but another's attempt to take it
    except OSError as error:
        raise Unavailable(f"the id of a machine cannot be locked in {folder}: {error.strerror}") from error
    return Slot(number, own, None)


def _open(folder: Path, number: int) -> int:
    return os.open(folder / str(number), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try(folder: Path, number: int) -> Slot | None:
    """Exclusive first, then shared by two: between the two steps another may have it, and then it is another's."""
    opened: list[int] = []
    with suppress(BlockingIOError):
        opened.append(_open(folder, number))
        fcntl.flock(opened[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(opened[0], fcntl.LOCK_SH | fcntl.LOCK_NB)
        opened.append(_open(folder, number))
        fcntl.flock(opened[1], fcntl.LOCK_SH | fcntl.LOCK_NB)
        return Slot(number, opened[0], opened[1])
    for descriptor in opened:
        os.close(descriptor)
    return None
