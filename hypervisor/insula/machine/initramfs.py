"""A writer of the `newc` cpio format, in which the kernel takes its initramfs.

Format: https://docs.kernel.org/driver-api/early-userspace/buffer-format.html. Every entry has inode numbers and
times that depend on nothing, so equal inputs give equal bytes. Refuses nothing: it is given trusted files only.
"""

from typing import IO

DIRECTORY, REGULAR, CHARACTER = 0o040000, 0o100000, 0o020000


class CpioWriter:
    """Writes one archive to a binary file; `close` writes the trailer."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._inode = 0

    def add_folder(self, name: str) -> None:
        self._entry(name, DIRECTORY | 0o755)

    def add_file(self, name: str, data: bytes, mode: int) -> None:
        self._entry(name, REGULAR | mode, data)

    def add_character_device(self, name: str, major: int, minor: int) -> None:
        self._entry(name, CHARACTER | 0o600, device=(major, minor))

    def close(self) -> None:
        self._entry("TRAILER!!!", 0)

    def _entry(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        links = 2 if mode & DIRECTORY else 1
        fields = (self._inode, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        self._out.write(_padded(header + encoded) + _padded(data))


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
