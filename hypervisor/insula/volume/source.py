"""The source of a mount on the host, looked at when it is used: its links followed once, its identity noted.

Whoever mounts it compares the identity, so what is put in its place meanwhile is not mounted. A path below a volume
is another matter: guests have written what lies there, so it is walked with openat2(RESOLVE_IN_ROOT) and no link
leads out of the volume.
"""

import ctypes
import errno
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from insula.errors import InvalidArgument, NotImplemented, Unavailable

OPENAT2 = 437  # the same on every architecture
RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_IN_ROOT = 2, 4, 16
AT_FDCWD = -100
PATH_MAX = 4095

libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Source:
    """path: absolute, without links; identity: device and inode number; socket: a socket's mode, user and group."""

    path: Path
    identity: tuple[int, int]
    is_folder: bool
    socket: tuple[int, int, int] | None = None


def find_source(path: Path, below: str = "") -> Source:
    """Blocking. below: a path within it that may lead nowhere else. Raises InvalidArgument, NotImplemented,
    Unavailable."""
    try:
        descriptor = os.open(os.path.realpath(path), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if below:
                descriptor = _replace(descriptor, _open_below(descriptor, below))
            status = os.fstat(descriptor)
            real = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        if below:
            raise InvalidArgument(
                f"cannot access path {path}/{below[:200]}: no such file or directory"
            ) from None
        raise InvalidArgument(f"bind source path does not exist: {path}") from None
    except OSError as error:
        raise Unavailable(f"the mount's source {path} cannot be used: {error.strerror}") from error
    identity = status.st_dev, status.st_ino
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFSOCK and not below:
        owned = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
        return Source(real, identity, is_folder=False, socket=owned)
    if kind not in (stat.S_IFDIR, stat.S_IFREG):
        raise NotImplemented(  # noqa: F901 - our error, not Python's constant
            f"{path} cannot be mounted: a machine takes folders, plain files and sockets only, no pipes or devices"
        )
    return Source(real, identity, kind == stat.S_IFDIR)


def _replace(old: int, new: int) -> int:
    os.close(old)
    return new


def _open_below(root: int, below: str) -> int:
    """Raises OSError; the root stays open then."""
    return _openat2(root, below, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def open_unlinked(path: Path) -> int:
    """A descriptor (O_PATH) of what an absolute path names if no part of it is a link. Blocking. Raises OSError."""
    return _openat2(AT_FDCWD, str(path), RESOLVE_NO_SYMLINKS)


def _openat2(root: int, name: str, resolve: int) -> int:
    how = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC, 0, resolve)
    path = os.fsencode(name)
    if len(path) > PATH_MAX:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    found = int(libc.syscall(ctypes.c_long(OPENAT2), root, path, how, ctypes.c_size_t(len(how))))
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found
