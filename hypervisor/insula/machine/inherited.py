"""The descriptors that one start of QEMU inherits: made for it, closed in this process when it has been spawned."""

import os
import socket
from pathlib import Path

from insula.lent import open_lent


class Inherited:
    """Used as a context: leaving closes whatever is still open."""

    def __init__(self) -> None:
        self.descriptors: list[int] = []
        self._stack: list[int] = []

    def __enter__(self) -> "Inherited":
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._stack:
            os.close(descriptor)

    def pipe(self) -> tuple[int, int]:
        read, write = os.pipe2(os.O_CLOEXEC)
        self._stack += [read, write]
        self.descriptors.append(write)
        return read, write

    async def lend(self, path: Path) -> int:
        descriptor = await open_lent(path)
        self._stack.append(descriptor)
        self.descriptors.append(descriptor)
        return descriptor

    def stub(self) -> int:
        """A file of a page of zeros, in the place of one that is named but never used."""
        descriptor = os.memfd_create("stub", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, 4096)
        os.fchmod(descriptor, 0o444)
        self._stack.append(descriptor)
        self.descriptors.append(descriptor)
        return descriptor

    def listen(self, path: Path) -> int:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(path))
        listening.listen(1)
        descriptor = listening.detach()
        self._stack.append(descriptor)
        self.descriptors.append(descriptor)
        return descriptor

    def close_one(self, descriptor: int) -> None:
        os.close(descriptor)
        self._stack.remove(descriptor)
        self.descriptors.remove(descriptor)
