"""The jail around running machines, from outside: what the host's kernel says of QEMU, and of two of them."""

import asyncio
import errno
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from guest_fixture import boot, open_guests, request
from jail_inside import IS_ROOT, as_id, attempts, run

from boot_paths import fresh_run, provisioned_home
from insula.guest.guest import Guest
from insula.machine.jail import FIRST_ID, ID_RANGE, OPEN_FILES, THREADS
from insula.machine.platform import host_platform
from insula.machine.slots import SLOTS
from probe_program import probe

pytestmark = pytest.mark.boot

OWNERS_CAPABILITIES = sum(1 << number for number in (0, 1, 3, 4, 27))
"""chown, dac_override, fowner, fsetid, mknod, of its own user name space."""
NAME_SPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")


@pytest.fixture
async def machines() -> AsyncIterator[tuple[Guest, Guest]]:
    """Two that run, each having run something."""
    platform = host_platform().name
    with fresh_run() as folder:
        async with open_guests(provisioned_home(), run=folder) as guests:
            async with guests.open(request(platform)) as one, guests.open(request(platform)) as other:
                for guest in (one, other):
                    assert (await boot(guest, "count", "0", "1")).lines == ["line 0"]
                yield one, other


def status(guest: Guest) -> dict[str, str]:
    lines = Path(f"/proc/{guest.machine.pid}/status").read_text().splitlines()
    return {name: rest.strip() for name, _, rest in (line.partition(":") for line in lines)}


async def test_qemu_is_confined(machines: tuple[Guest, Guest]) -> None:
    for guest in machines:
        seen = status(guest)
        assert seen["Seccomp"] == "2", "a filter is on"
        assert seen["NoNewPrivs"] == "1"
        most = OWNERS_CAPABILITIES if IS_ROOT else 0
        for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(seen[name], 16) & ~most == 0, (name, seen[name])
        assert seen["Groups"] in ("", "65534")
        assert seen["NSpid"].split()[-1] == "1"
        assert os.getsid(guest.machine.pid) not in (os.getsid(0), 0)
        for space in NAME_SPACES:
            own = os.readlink(f"/proc/{guest.machine.pid}/ns/{space}")
            assert own != os.readlink(f"/proc/self/ns/{space}")


async def test_each_machine_is_somebody_else(machines: tuple[Guest, Guest]) -> None:
    one, other = (status(guest)["Uid"].split() for guest in machines)
    assert len(set(one)) == len(set(other)) == 1
    if IS_ROOT:
        assert one != other
        for ids in (one, other):
            assert int(ids[0]) in range(FIRST_ID, FIRST_ID + SLOTS * ID_RANGE, ID_RANGE)
    else:
        assert one == other == [str(os.geteuid())] * 4
    for space in NAME_SPACES:
        mine, its = (os.readlink(f"/proc/{guest.machine.pid}/ns/{space}") for guest in machines)
        assert mine != its


async def test_its_limits_are_set(machines: tuple[Guest, Guest]) -> None:
    text = Path(f"/proc/{machines[0].machine.pid}/limits").read_text()
    limits = {line[:26].strip(): line[26:].split()[:2] for line in text.splitlines()}
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max open files"] == [str(OPEN_FILES)] * 2
    if IS_ROOT:
        assert limits["Max processes"] == [str(THREADS)] * 2


async def test_its_files_are_its_own(machines: tuple[Guest, Guest]) -> None:
    """Nothing but the jail's root is mounted, and no descriptor leads to what is another's."""
    for guest in machines:
        pid = guest.machine.pid
        mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
        places = {mount[4] for mount in mounts}
        assert not [place for place in places if place != "/" and not place.startswith(("/dev", "/proc"))]
        root = next(mount for mount in mounts if mount[4] == "/")
        assert "/jails/" in root[3] and "ro" in root[5].split(",")
        held = {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
        files = {name for name in held if name.startswith("/") and not name.startswith(("/dev/", "/memfd:"))}
        known = re.compile(
            r".*/(share|kernel|initramfs-\w+-\w+|state|probe-\w+\.squashfs|insula-slots/\d+)( \(deleted\))?"
        )
        assert not [name for name in files if not known.fullmatch(name)]
        assert len(list(Path(f"/proc/{pid}/fd").iterdir())) < OPEN_FILES // 2


async def test_one_machine_cannot_touch_another(machines: tuple[Guest, Guest]) -> None:
    """Even where it could name it: a program with one's id and none of its walls tries the other."""
    if IS_ROOT:
        victim, attacker = machines[0].machine, int(status(machines[1])["Uid"].split()[0])
        argv = [*as_id(attacker), str(probe(host_platform().name)), "attack", str(victim.pid)]
        tried = attempts(await asyncio.to_thread(run, argv))
        del tried["everybody"]  # those of its own id, the other machine
        assert set(tried.values()) <= {errno.EPERM, errno.EACCES}
    else:  # one id for all: the name spaces are what keeps them apart (test_jail.py asks from inside)
        assert status(machines[0])["NSpid"].split()[-1] == status(machines[1])["NSpid"].split()[-1] == "1"
    for guest in machines:
        assert (await boot(guest, "count", "0", "1")).lines == ["line 0"]
