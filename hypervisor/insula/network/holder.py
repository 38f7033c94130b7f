"""The process that holds the network's name spaces: makes them, says so, and becomes a sleeper of a few pages.

Run by namespace.py as `python -m insula.network.holder READY NAME ID`: READY is the descriptor on which it says
`ready` or what failed, NAME what it is called afterwards, ID whose the name spaces are where the caller is root.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys

CLONE_NEWUSER, CLONE_NEWNET = 0x1000_0000, 0x4000_0000  # sched.h
PR_SET_DUMPABLE = 4  # prctl.h
SIOCSIFFLAGS, IFF_UP = 0x8914, 1  # if.h


def main() -> None:
    ready, name, number = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    try:
        make_namespaces(number)
    except OSError as error:
        os.write(ready, f"{error.filename or ''} {error.strerror}".strip().encode())
        raise SystemExit(1) from error
    os.write(ready, b"ready")
    os.close(ready)
    os.execv("/usr/bin/sleep", [name, "infinity"])


def make_namespaces(number: int) -> None:
    """Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(number, number, number)
        os.setresuid(number, number, number)
        libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # the change of id took its own /proc files away
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "user name space:")
    for file, content in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{file}", "w") as out:
            out.write(content)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


if __name__ == "__main__":
    main()
