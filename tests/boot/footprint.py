"""What a daemon holds on the host: processes, descriptors, files, mounts. Taken before and after, for leak tests."""

import contextlib
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from daemon_fixture import DaemonProcess
from insula.network.namespace import name_of

SETTLE = 30.0
STILL = 5


@dataclass(frozen=True)
class Footprint:
    """Equal before and after, once the pool is as full as it was."""

    processes: tuple[tuple[str, int], ...]
    descriptors: tuple[tuple[str, int], ...]
    machines: int
    containers: tuple[str, ...]
    staging: tuple[str, ...]
    spares: int
    mounts: int


def take_footprint(daemon: DaemonProcess) -> Footprint:
    return Footprint(
        counted(name for _, name in processes_of(daemon)),
        counted(kind_of(link) for link in descriptors_of(daemon.pid)),
        len(names_in(daemon.run / "machines")),
        names_in(daemon.home / "containers"),
        names_in(daemon.home / "staging"),
        len(names_in(daemon.home / "writable")),
        sum(
            str(daemon.home.parent) in line for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ),
    )


def take_still(daemon: DaemonProcess) -> Footprint:
    """The footprint once it has stayed the same for a while: a client's last connection may close a moment later."""
    deadline, same = time.monotonic() + SETTLE, 0
    last = take_footprint(daemon)
    while same < STILL and time.monotonic() < deadline:
        time.sleep(0.2)
        now = take_footprint(daemon)
        same = same + 1 if now == last else 0
        last = now
    return last


def settle(daemon: DaemonProcess, before: Footprint, platforms: tuple[str, ...]) -> Footprint:
    """The footprint once it is as before, or what it still is when it should long have been."""
    deadline = time.monotonic() + SETTLE
    while True:
        fill(daemon, platforms)
        after = take_footprint(daemon)
        if after == before or time.monotonic() > deadline:
            return after
        time.sleep(0.2)


def fill(daemon: DaemonProcess, platforms: tuple[str, ...]) -> None:
    """Until the pool is full."""
    for platform in platforms:
        answer = daemon.request("POST", f"/insula/pool/fill?platform={platform}")
        assert answer.status == 200 and answer.json()["Ready"] > 0, answer.body


def counted(names: object) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(names).items()))  # type: ignore[call-overload]


def names_in(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in folder.iterdir())) if folder.exists() else ()


def processes_of(daemon: DaemonProcess) -> list[tuple[int, str]]:
    """Every process that runs in a jail of this state root, makes one, belongs to the network of this run directory
    (whichever daemon began it), or is the daemon's child."""
    root = str(daemon.home.parent).encode()
    network = [name_of(daemon.run).encode(), *daemon.network_spaces()]
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            status = (entry / "stat").read_text().rpartition(")")[2].split()
            name = (entry / "comm").read_text().strip()
            command = (entry / "cmdline").read_bytes()
            child = daemon.process is not None and int(status[1]) == daemon.pid
            jailed = name.startswith(("qemu", "bwrap", "setpriv", "prlimit")) and (
                root in (entry / "mountinfo").read_bytes() or root in command
            )
            if child or jailed or any(mark in command for mark in network):
                found.append((int(entry.name), "zombie" if status[0] == "Z" else name))
    return found


def descriptors_of(pid: int) -> list[str]:
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(os.readlink(entry))
    return links


def kind_of(link: str) -> str:
    """`socket:[123]` → `socket`; a path without what differs from one machine to the next."""
    if not link.startswith("/"):
        return link.partition(":[")[0]
    if link.startswith("/memfd:"):
        return link.partition("-")[0]
    path = Path(link)
    return "slot" if path.name.isdecimal() else path.name.partition("-")[0]
