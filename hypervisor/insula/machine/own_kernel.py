"""A kernel that a user names by its path on this host: checked, unpacked as its platform's is, kept by content.

It is read once, as a bounded regular file, and what boots is the copy, so that nothing changes under a template. The
modules of the platform's package go with it only if it is of their very version; else it has to have built in what a
guest needs (virtio over MMIO, ext4, squashfs, overlayfs). Refused: what holds no Linux kernel for the platform.
"""

import hashlib
import lzma
import os
import re
import stat
import zlib
from pathlib import Path

import zstandard

from insula.errors import Internal, InvalidArgument
from insula.machine.kernel import OwnKernel, decompressed, decompressed_kernel
from insula.machine.platform import Platform
from insula.paths import Paths

FILE_MAX = 256 << 20
KEPT = 8
BROKEN = (ValueError, EOFError, IndexError, zlib.error, lzma.LZMAError, zstandard.ZstdError)
VERSION = re.compile(rb"Linux version (\S{1,100}) ")


def keep_own_kernel(paths: Paths, platform: Platform, path: Path) -> OwnKernel:
    """Blocks: for a thread. Raises InvalidArgument."""
    image = _read(path)
    try:
        kernel = decompressed_kernel(image) if platform.decompress_kernel else image
        found = VERSION.search(kernel if platform.decompress_kernel else decompressed(kernel))
    except (*BROKEN, Internal, OSError) as error:
        raise InvalidArgument(f"{path} is no kernel for {platform.name}: {error}") from error
    if found is None:
        raise InvalidArgument(f"{path} is no kernel for {platform.name}: it names no Linux version")
    digest = hashlib.sha256(kernel).hexdigest()
    target = paths.kernels / f"own-{platform.debian}-{digest[:32]}"
    if not target.exists():
        part = paths.staging / f"{target.name}-{os.urandom(4).hex()}"
        part.write_bytes(kernel)
        part.chmod(0o644)
        part.rename(target)
        _evict(paths, target)
    os.utime(target)
    return OwnKernel(target, digest, found[1].decode(errors="replace"))


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"the kernel {path} cannot be read: {error}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > FILE_MAX:
        os.close(descriptor)
        raise InvalidArgument(f"the kernel {path} is no file of at most {FILE_MAX >> 20} MiB")
    with os.fdopen(descriptor, "rb") as file:
        return file.read(FILE_MAX)


def _evict(paths: Paths, new: Path) -> None:
    """Those used last stay; a machine that runs has its own open."""
    kept = sorted(paths.kernels.glob("own-*"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in kept[KEPT:]:
        if file != new:
            file.unlink(missing_ok=True)
