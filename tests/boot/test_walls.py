"""The jail around the machines of containers: what each QEMU holds of the host, and what its id could do with it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from jail_inside import as_id, attempts, run
from words import BOTH, BOTH_NEW, Words

from boot_paths import PLATFORMS
from daemon_fixture import DaemonProcess
from insula.machine.platform import host_platform
from ordinary_user import ORDINARY
from probe_program import probe

pytestmark = [pytest.mark.boot, pytest.mark.platform]

CHANGES = {"write", "shrink", "grow", "punch", "map", "protect", "reopened-write", "reopened-map", "truncate"}
OWN = ("memfd:words", "memfd:stub")
"""A machine's words, and the empty file in place of a kernel that is named and never read."""


def held(pid: int) -> dict[str, Path]:
    """What each of a process's descriptors leads to, files of the host and in memory alone."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        link = os.readlink(entry)
        if link.startswith("/") and not link.startswith("/dev/"):
            found[link.removeprefix("/").removesuffix(" (deleted)")] = entry
    return found


def user_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition("\nUid:")[2].split()[0])


def changes(user: int, file: Path) -> set[str]:
    """In which ways somebody of an id, who has what a descriptor of QEMU's leads to, could change it."""
    again = os.open(file, os.O_RDONLY)
    try:
        argv = [*as_id(user), str(probe(host_platform().name)), "change", str(again)]
        tried = attempts(run(argv, pass_fds=[again]))
    finally:
        os.close(again)
    assert set(tried) >= CHANGES
    return {name for name in CHANGES if tried[name] == 0}


@BOTH
def test_a_machine_can_change_its_own_disk_and_no_other_file(docker: Words) -> None:
    ids = [docker.sleeper("--platform", platform) for platform in (*PLATFORMS, PLATFORMS[0])]
    for id in ids:
        pid = docker.state(id)["Pid"]
        files = held(pid)
        disks = [name for name in files if name.endswith(".ext4")]
        mine = {Path(name).parent.name for name in disks if "/rehearsal-" not in name}
        assert mine == {id}, "no other container's disk"
        layers = [name for name in files if name.endswith(".squashfs")]
        assert len(layers) >= 1
        for name, file in files.items():
            if name not in disks and not name.startswith(OWN):
                assert changes(user_of(pid), file) == set(), name


@BOTH
def test_kernel_and_initramfs_of_a_machine_that_booted_cold_are_as_safe(docker: Words) -> None:
    id = docker.sleeper("--isolation", "fresh")
    pid = docker.state(id)["Pid"]
    files = held(pid)
    given = [name for name in files if "/kernels/" in name]
    assert len(given) == 2, files
    for name in given:
        assert changes(user_of(pid), files[name]) == set(), name


@BOTH_NEW
def test_no_two_machines_of_a_host_have_one_id(new_daemon: Callable[..., DaemonProcess]) -> None:
    """Whosever daemon's they are, one that was killed among them. (An ordinary user's all have the user's own.)"""
    first, second = Words(new_daemon()), Words(new_daemon())
    ids = [(docker, docker.sleeper()) for docker in (first, second) for _ in range(3)]
    first.daemon.kill()
    ids += [(second, second.sleeper()) for _ in range(3)]
    first.daemon.start()
    ids += [(first, first.sleeper()) for _ in range(3)]
    users = [user_of(docker.state(id)["Pid"]) for docker, id in ids]
    assert len(set(users)) == (len(ids) if users[0] != ORDINARY else 1)
