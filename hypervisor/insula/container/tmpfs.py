"""The options of a tmpfs, as `--tmpfs /run:rw,size=64m,mode=1777` has them, into mount(2)'s flags and data.

Options that mean nothing for a tmpfs are refused by name, as is anything that would not be one, and so are targets
that would take the container's own kernel file systems away.
"""

import os
import re
from dataclasses import dataclass

from insula.errors import InvalidArgument

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_SYNCHRONOUS, MS_DIRSYNC = 1, 2, 4, 8, 16, 128
MS_NOATIME, MS_NODIRATIME, MS_RELATIME, MS_STRICTATIME = 1 << 10, 1 << 11, 1 << 21, 1 << 24
FLAGS = {
    "ro": (MS_RDONLY, True), "rw": (MS_RDONLY, False),
    "nosuid": (MS_NOSUID, True), "suid": (MS_NOSUID, False),
    "nodev": (MS_NODEV, True), "dev": (MS_NODEV, False),
    "noexec": (MS_NOEXEC, True), "exec": (MS_NOEXEC, False),
    "sync": (MS_SYNCHRONOUS, True), "async": (MS_SYNCHRONOUS, False), "dirsync": (MS_DIRSYNC, True),
    "noatime": (MS_NOATIME, True), "atime": (MS_NOATIME, False),
    "nodiratime": (MS_NODIRATIME, True), "diratime": (MS_NODIRATIME, False),
    "relatime": (MS_RELATIME, True), "norelatime": (MS_RELATIME, False),
    "strictatime": (MS_STRICTATIME, True), "nostrictatime": (MS_STRICTATIME, False),
    "defaults": (0, True),
}  # fmt: skip
DATA = {
    "size": re.compile(r"\d{1,19}([kKmMgG%]?)"),
    "mode": re.compile(r"[0-7]{1,5}"),
    "uid": re.compile(r"\d{1,10}"),
    "gid": re.compile(r"\d{1,10}"),
    "nr_inodes": re.compile(r"\d{1,19}[kKmMgG]?"),
    "nr_blocks": re.compile(r"\d{1,19}[kKmMgG]?"),
}
TAKEN = ("/dev", "/dev/pts", "/dev/console")


@dataclass(frozen=True, slots=True)
class Tmpfs:
    """One tmpfs to mount."""

    target: str
    flags: int
    data: str


def check_target(target: str) -> None:
    """Raises InvalidArgument for what nothing can be mounted on. The words on /proc are runc's."""
    if not target.startswith("/"):
        raise InvalidArgument(f"invalid mount path: '{target[:200]}' mount path must be absolute")
    path = normal_path(target)
    if path == "/":
        raise InvalidArgument("invalid specification: destination can't be '/'")
    if path == "/proc":
        raise InvalidArgument('"/proc" cannot be mounted because it is not of type proc')
    if path.startswith("/proc/"):
        raise InvalidArgument(f'"{path[:200]}" cannot be mounted because it is inside /proc')
    if path in TAKEN:
        raise InvalidArgument(
            f'"{path}" cannot be mounted over', "the container's devices and terminals are there"
        )


def normal_path(path: str) -> str:
    """Without `.`, `..` and doubled slashes."""
    return os.path.normpath("/" + path.lstrip("/"))


def parse_tmpfs(target: str, options: str) -> Tmpfs:
    """Docker's defaults are nosuid, nodev, noexec and relatime. Raises InvalidArgument."""
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME
    data: dict[str, str] = {}
    for option in filter(None, options.split(",")):
        name, equals, value = option.partition("=")
        if not equals and name in FLAGS:
            bit, on = FLAGS[name]
            flags = flags | bit if on else flags & ~bit
        elif equals and name in DATA and DATA[name].fullmatch(value):
            data[name] = value
        else:
            raise InvalidArgument(f"invalid tmpfs option {option[:80]!r} for {target[:200]}")
    return Tmpfs(normal_path(target), flags, ",".join(f"{name}={value}" for name, value in data.items()))
