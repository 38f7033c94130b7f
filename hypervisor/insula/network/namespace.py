"""The name spaces that hold all networks: one for users, with a single id in it, and one for the network.

A process that does nothing else (`holder`) keeps them, so that netd may die without losing a bridge or a tap. As
root they belong to an id of their own, which is nobody's; else to the daemon's user. Nothing here touches the host's
own network. Refuses, by name, a host whose user name spaces are closed.
"""

import ctypes
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from insula.network.child import find_child, start_child

NETWORK_ID = 0x6FFF_0000
"""Under a root daemon: the user and group of the name spaces, below those of the machines."""

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x1000_0000, 0x4000_0000  # sched.h
MS_NOSUID, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 8, 0x4000, 0x40000  # mount.h

TUN = Path("/dev/net/tun")

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class NameSpaces:
    """The pair, by the process that holds it."""

    pid: int

    @property
    def user(self) -> Path:
        return Path(f"/proc/{self.pid}/ns/user")

    @property
    def network(self) -> Path:
        return Path(f"/proc/{self.pid}/ns/net")


def name_of(run: Path) -> str:
    """What the processes of this run directory's network are called, in their command lines."""
    return "insula-net-" + hashlib.sha256(os.fsencode(run)).hexdigest()[:12]


async def hold_namespaces(folder: Path, name: str) -> NameSpaces:
    """The name spaces of this run directory: those that are held, or new ones. Raises Unavailable."""
    file = folder / "holder.pid"
    pid = find_child(file, name) or await start_child("insula.network.holder", [name, str(NETWORK_ID)], file)
    return NameSpaces(pid)


def make_tun_reachable() -> None:
    """As root, before `enter`: gives this process a /dev/net of its own whose tun node its later id may open (the
    host's is often root's alone, and a tap belongs to the network name space that its node was opened in).
    Raises OSError."""
    if _libc.unshare(CLONE_NEWNS):
        raise _error("unshare")
    if _libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
        raise _error("mount /")
    TUN.parent.mkdir(exist_ok=True)
    if _libc.mount(b"tmpfs", os.fsencode(TUN.parent), b"tmpfs", MS_NOSUID | MS_NOEXEC, b"size=4k,mode=755"):
        raise _error(f"mount {TUN.parent}")
    os.mknod(TUN, stat.S_IFCHR | 0o666, os.makedev(10, 200))  # Documentation/admin-guide/devices.txt
    TUN.chmod(0o666)


def enter(spaces: NameSpaces) -> None:
    """Goes into both for good, as their root. What is not imported by now may be out of reach. Raises OSError."""
    descriptors = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in (spaces.user, spaces.network)]
    if os.geteuid() == 0:
        make_tun_reachable()
        os.setgroups([])
    for descriptor, kind in zip(descriptors, (CLONE_NEWUSER, CLONE_NEWNET), strict=True):
        if _libc.setns(descriptor, kind):
            raise _error("setns")
        os.close(descriptor)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
