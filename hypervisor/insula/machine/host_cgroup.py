"""The host's cgroups of machines: what bounds a QEMU that its guest has taken over, where the host has version 2.

The container's own limits are its guest's cgroup, exactly; this one is around all of QEMU, and wider by what
emulation takes. It lies in the highest cgroup above the daemon's own in which the daemon may make others: the
hierarchy's root under root, the user manager's cgroup for an ordinary user where systemd has delegated it. Where
there is none (version 1 or mixed, no delegation, processes in the cgroup itself) machines go without, and
`find_parent` says why. Source: https://docs.kernel.org/admin-guide/cgroup-v2.html.
"""

import errno
import logging
import os
import select
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from insula.errors import Unavailable
from insula.machine.spec import Weights

CONTROLLERS = ("cpu", "memory", "pids")
WELCOME = ("io",)
"""Used where there is one: weights count for some of the host's schedulers of disks only."""
NAME = "insula"
OVERHEAD = 384 << 20
"""Bytes beside the guest's RAM: translated code, QEMU's own data, the files that it reads and writes."""
OWN_CPUS = 1
"""Processors beside the guest's: the threads that serve its devices."""
CPU_PERIOD_US = 100_000
TASKS = 256
WEIGHT = 100
EMPTY_TIMEOUT = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CgroupParent:
    """Where machines' cgroups are made. obstacle: why nowhere; then folder is None."""

    folder: Path | None
    obstacle: str = ""


def find_parent(proc: Path = Path("/proc/self")) -> CgroupParent:
    """Makes the parent if the host lets this process. Blocks: for a thread."""
    try:
        own, top = _own_and_top(proc)
    except (OSError, ValueError):
        return CgroupParent(None, "no hierarchy of version 2 is mounted")
    offered = _words(top / "cgroup.controllers")
    if missing := [name for name in CONTROLLERS if name not in offered]:
        return CgroupParent(None, f"version 2 has no controller {missing[0]} (version 1 may have it)")
    at = _highest_writable(own, top)
    if at is None:
        return CgroupParent(None, f"the daemon may not make cgroups in {own}")
    try:
        return CgroupParent(_make_parent(at))
    except OSError as error:
        why = "processes live in it" if error.errno == errno.EBUSY else error.strerror
        return CgroupParent(None, f"{at} takes none: {why}")


def _own_and_top(proc: Path) -> tuple[Path, Path]:
    """The cgroup of this process and the hierarchy's root, as folders."""
    for line in (proc / "mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.startswith("cgroup2 "):
            root, top = fields.split()[3], Path(fields.split()[4])
            break
    else:
        raise ValueError("no cgroup2")
    path = next(
        (line[3:] for line in (proc / "cgroup").read_text().splitlines() if line.startswith("0::")), "/"
    )
    below = os.path.relpath(path, root)
    return (top if ".." in (*below.split("/"), *path.split("/")) else top / below), top


def _highest_writable(own: Path, top: Path) -> Path | None:
    """Going up from the own cgroup: a process may be moved between two cgroups only by who may write to all above
    them, up to the one that both have above."""
    found = None
    for folder in (own, *own.parents):
        if not all(
            os.access(folder / name, os.W_OK) for name in (".", "cgroup.procs", "cgroup.subtree_control")
        ):
            return found
        found = folder
        if folder == top:
            return found
    return found


def _make_parent(at: Path) -> Path:
    parent = at / NAME
    for folder in (at, parent):
        folder.mkdir(exist_ok=True)
        given = _words(folder / "cgroup.subtree_control")
        wanted = (*CONTROLLERS, *(name for name in WELCOME if name in _words(folder / "cgroup.controllers")))
        if lacking := [f"+{name}" for name in wanted if name not in given]:
            (folder / "cgroup.subtree_control").write_text(" ".join(lacking))
    return parent


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def put_into_cgroup(parent: Path, note: Path, pid: int, memory: int, cpus: int) -> None:
    """Puts a QEMU into a new cgroup, named as its machine. note: the file in the machine's folder that says which;
    memory: the guest's RAM in MiB; cpus: the guest's processors.

    Blocks: for a thread. Raises Unavailable."""
    id = note.parent.name
    folder = parent / id
    note.write_text(str(folder))
    limits = {
        "memory.max": (memory << 20) + OVERHEAD,
        "memory.oom.group": 1,
        "pids.max": TASKS,
        "cpu.max": f"{(cpus + OWN_CPUS) * CPU_PERIOD_US} {CPU_PERIOD_US}",
    }
    try:
        if not parent.exists():
            _make_parent(parent.parent)
        folder.mkdir()
        for name, limit in limits.items():
            (folder / name).write_text(str(limit))
        with suppress(ProcessLookupError):  # its end is seen elsewhere
            (folder / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        told = f"the machine {id} cannot be put into the cgroup {folder}: {error.strerror}"
        raise Unavailable(told) from error


def weigh_cgroup(note: Path, weights: Weights) -> None:
    """Gives a machine its part of the host, of what the host weighs. Nothing happens where it has no cgroup.

    Blocks: for a thread."""
    try:
        folder = Path(note.read_text())
    except FileNotFoundError:
        return
    for name, weight in (("cpu.weight", weights.cpu), ("io.weight", weights.io)):
        try:
            (folder / name).write_text(str(weight or WEIGHT))
        except FileNotFoundError:
            continue  # the host has no such controller, or the machine has just ended
        except OSError as error:
            log.warning("%s stays as it is: %s", folder / name, error.strerror)


def was_short_of_memory(note: Path) -> bool:
    """Whether the host's kernel has killed in a machine's cgroup for want of memory, the cgroup's or its own; False
    without a cgroup. Blocks: for a thread."""
    try:
        events = (Path(note.read_text()) / "memory.events").read_text()
    except OSError:
        return False
    return any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in events.splitlines())


def leave_cgroup(note: Path) -> None:
    """Removes the cgroup of a machine that has ended, if it had one; a process on its way out is waited for. Blocks:
    for a thread."""
    try:
        folder = Path(note.read_text())
    except FileNotFoundError:
        return
    with suppress(FileNotFoundError):
        _await_empty(folder)
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno != errno.ENOENT:
                log.warning("the cgroup %s stays: %s", folder, error.strerror)


def _await_empty(folder: Path) -> None:
    """The kernel tells a change of cgroup.events by POLLPRI."""
    deadline = time.monotonic() + EMPTY_TIMEOUT
    with (folder / "cgroup.events").open() as events:
        changes = select.poll()
        changes.register(events, select.POLLPRI)
        while "populated 0" not in events.read() and time.monotonic() < deadline:
            changes.poll(EMPTY_TIMEOUT * 1000)
            events.seek(0)
