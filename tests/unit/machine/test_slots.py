"""Slots are one machine's each, over daemons and over their death: locks of real processes."""

import subprocess
from pathlib import Path

import pytest

from insula.errors import Unavailable
from insula.machine import slots
from insula.machine.slots import Slot, keep_slot, take_slot


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of three slots."""
    monkeypatch.setattr(slots, "SLOTS", 3)
    return tmp_path / "slots"


def start_machine(slot: Slot) -> subprocess.Popen[bytes]:
    """Something that has inherited a slot as QEMU does, and runs until it is killed."""
    assert slot.lent is not None
    child = subprocess.Popen(["sleep", "1000"], pass_fds=[slot.lent])
    slot.inherited()
    return child


def test_no_two_have_one(folder: Path) -> None:
    taken = [take_slot(folder) for _ in range(3)]
    assert {slot.number for slot in taken} == {0, 1, 2}
    with pytest.raises(Unavailable, match="all 3 ids"):
        take_slot(folder)
    taken[1].free()
    again = take_slot(folder)
    assert again.number == taken[1].number
    for slot in (taken[0], taken[2], again):
        slot.free()


def test_a_machine_keeps_its_slot_without_its_daemon_until_it_ends(folder: Path) -> None:
    slot = take_slot(folder)
    machine = start_machine(slot)
    slot.free()  # as the daemon's death does
    others = [take_slot(folder) for _ in range(2)]
    with pytest.raises(Unavailable):
        take_slot(folder)
    adopted = keep_slot(folder, slot.number)
    machine.kill()
    machine.wait()
    with pytest.raises(Unavailable):  # its daemon has not let go yet
        take_slot(folder)
    adopted.free()
    again = take_slot(folder)
    assert again.number == slot.number
    for each in (*others, again):
        each.free()


def test_a_machine_that_drops_its_lock_frees_nothing_while_its_daemon_lives(folder: Path) -> None:
    slot = take_slot(folder)
    assert slot.lent is not None
    subprocess.run(["flock", "--unlock", str(slot.lent)], pass_fds=[slot.lent], check=True)
    others = [take_slot(folder) for _ in range(2)]
    with pytest.raises(Unavailable):
        take_slot(folder)
    for each in (slot, *others):
        each.free()


def test_a_folder_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="file"):
        take_slot(tmp_path / "file" / "slots")
