"""The mounter: a small program beside the daemon that makes user name spaces and puts mounts into running jails.

Both need system calls that no process with threads may make, so each request is done by a child of its own that ends
with it; a mount then belongs to the machine's mount name space alone and goes with it. The host's own table of mounts
is never touched, so whoever dies, nothing is left there.

    daemon ── {"do": …} ──▶ mounter        one packet each; the answer is `ok`, with a descriptor perhaps, or
    daemon ◀── answer ───── mounter        `STEP ERRNO`; the socket's end ends it

Run by path (machine/shares.py), without the package. It trusts the daemon, and of a machine nothing but the place to
mount on, which lies in a root that the machine cannot change.
"""

import array
import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

PACKET = 1 << 16
CLONE_NEWNS, CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH = 1, 4
RDONLY, NOSUID, NODEV, NOEXEC, IDMAP = 1, 2, 4, 8, 0x0010_0000
MS_PRIVATE = 1 << 18
NS_GET_USERNS = 0xB701
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442  # the same on every architecture

libc = ctypes.CDLL(None, use_errno=True)
Request = dict[str, Any]


class Failed(Exception):
    """What could not be done, and the errno."""

    def __init__(self, step: str, number: int) -> None:
        super().__init__(step, number)
        self.step = step
        self.number = number


def check(step: str, result: int) -> int:
    if result < 0:
        raise Failed(step, ctypes.get_errno())
    return result


def call(step: str, number: int, *words: Any) -> int:
    return check(step, libc.syscall(ctypes.c_long(number), *words))


def enter(step: str, descriptor: int, kind: int) -> None:
    check(step, libc.setns(descriptor, kind))


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


# -- ids


def make_ids(request: Request, answer: socket.socket) -> None:
    """A user name space of a range of ids, whose root may make no further ones. Owned by the first of them."""
    first, count = request["first"], request["count"]
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(first, first, first)
        os.setresuid(first, first, first)
        check("unshare", libc.unshare(CLONE_NEWUSER))
        theirs.send(b"made")
        if theirs.recv(8) == b"mapped":
            write("/proc/sys/user/max_user_namespaces", "0")
            space = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            socket.send_fds(answer, [b"ok"], [space])
            os._exit(0)
        os._exit(1)
    theirs.close()
    if ours.recv(8) != b"made":
        raise Failed("unshare", 1)
    for name in ("uid_map", "gid_map"):
        write(f"/proc/{child}/{name}", f"0 {first} {count}")
    ours.send(b"mapped")
    if os.waitpid(child, 0)[1] != 0:
        raise Failed("user name space", 1)


# -- mounts


def take_source(request: Request, space: int | None) -> int:
    """The source as a detached mount. space: the user name space whose ids it shall show, or None."""
    if os.geteuid() != 0:
        user, group = os.geteuid(), os.getegid()
        check("unshare", libc.unshare(CLONE_NEWUSER | CLONE_NEWNS))
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{user} {user} 1")
        write("/proc/self/gid_map", f"{group} {group} 1")
    source = os.open(request["source"], os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    status = os.fstat(source)
    if [status.st_dev, status.st_ino] != request["identity"]:
        raise Failed("source", 116)  # ESTALE: another one since it was checked
    everything = AT_RECURSIVE if request["recursive"] else 0
    tree = call(
        "open_tree", OPEN_TREE, source, b"", OPEN_TREE_CLONE | os.O_CLOEXEC | AT_EMPTY_PATH | everything
    )
    wanted = NOSUID | NODEV | NOEXEC
    change_tree("mount_setattr", tree, everything, struct.pack("=QQQQ", wanted, 0, MS_PRIVATE, 0))
    if request["read_only"]:
        depth = everything if request["deep_read_only"] else 0
        change_tree("read-only", tree, depth, struct.pack("=QQQQ", RDONLY, 0, 0, 0))
    if space is not None:
        change_tree("idmap", tree, everything, struct.pack("=QQQQ", IDMAP, 0, 0, space))
    return tree


def change_tree(step: str, tree: int, everything: int, change: bytes) -> None:
    call(step, MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH | everything, change, len(change))


def put_mount(request: Request, answer: socket.socket) -> None:
    """Two processes: one sees the source, the other the place; neither sees both."""
    of_machine = f"/proc/{request['pid']}/ns"
    mounts = os.open(f"{of_machine}/mnt", os.O_RDONLY | os.O_CLOEXEC)
    ours, theirs = socket.socketpair()
    taker = os.fork()
    if taker == 0:
        space = os.open(f"{of_machine}/user", os.O_RDONLY | os.O_CLOEXEC) if os.geteuid() == 0 else None
        run_child(lambda: socket.send_fds(theirs, [b"ok"], [take_source(request, space)]), theirs)
    theirs.close()
    said, more, _, _ = ours.recvmsg(PACKET, socket.CMSG_LEN(4), socket.MSG_CMSG_CLOEXEC)
    os.waitpid(taker, 0)
    trees = array.array("i", b"".join(data for _, _, data in more))
    if not trees:
        answer.send(said or b"mounter 5")
        return
    if os.geteuid() != 0:
        enter("setns", fcntl.ioctl(mounts, NS_GET_USERNS), CLONE_NEWUSER)
    enter("setns", mounts, CLONE_NEWNS)
    place = os.fsencode(request["place"])
    call("move_mount", MOVE_MOUNT, trees[0], b"", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH)
    answer.send(b"ok")


# -- the loop

WORK = {"ids": make_ids, "mount": put_mount}


def run_child(work: Callable[[], object], answer: socket.socket) -> None:
    """Ends this process; what fails is told."""
    try:
        work()
    except Failed as failed:
        answer.send(f"{failed.step} {failed.number}".encode())
    except OSError as error:
        answer.send(f"{'source' if error.filename else 'mounter'} {error.errno}".encode())
    except BaseException:
        answer.send(b"mounter 5")
        os._exit(1)
    os._exit(0)


def main(daemon: socket.socket) -> None:
    while packet := daemon.recv(PACKET):
        request = json.loads(packet)
        child = os.fork()
        if child == 0:
            run_child(lambda: WORK[request["do"]](request, daemon), daemon)  # noqa: B023 - it ends there
        os.waitpid(child, 0)


if __name__ == "__main__":
    with socket.socket(fileno=0) as end:
        main(end)
    sys.exit(0)
