"""Frames to bytes and back (docs/protocol.md §1), with no I/O: `feed(bytes) -> frames`, `encode`.

A `Feed` takes the stream in pieces of any size and gives the whole frames, looking for the next magic after
anything invalid. What that may cost is bounded, since a hostile guest chooses the bytes: after RUBBISH_MAX
bytes skipped or checksummed in vain it gives up (Internal). While it *hunts* for one frame (a connection's
WELCOME) an incomplete frame does not hold up what follows: it may be the torn end of an earlier connection,
whose rest never comes.
"""

import struct
import zlib
from dataclasses import dataclass

from insula.errors import Internal, InvalidArgument

PAYLOAD_MAX = 262_144
RUBBISH_MAX = 8 << 20

MAGIC = b"INSL"
_HEADER = struct.Struct("<4sIIHHI")  # magic, length, epoch, type, reserved, checksum


@dataclass(frozen=True, slots=True)
class Frame:
    type: int
    epoch: int
    payload: bytes


def encode(type_: int, epoch: int, payload: bytes) -> bytes:
    """One frame. Raises InvalidArgument if the payload is too long for one."""
    if len(payload) > PAYLOAD_MAX:
        raise InvalidArgument(f"a message to the agent of {len(payload)} bytes ({PAYLOAD_MAX} at most)")
    bare = _HEADER.pack(MAGIC, len(payload), epoch, type_, 0, 0)
    return b"".join((bare[:16], zlib.crc32(payload, zlib.crc32(bare)).to_bytes(4, "little"), payload))


class Feed:
    """The reader of one stream. `skipped` counts the bytes that belonged to no frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted: tuple[int, int] | None = None
        self._spent = 0
        self.skipped = 0

    def hunt(self, type_: int, epoch: int) -> None:
        """Gives nothing but one frame of this type and epoch; what follows it is read as usual."""
        self._wanted = type_, epoch

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with these bytes. Raises Internal on too much rubbish."""
        self._buffer += data
        frames: list[Frame] = []
        at = self._hunt(frames) if self._wanted is not None else 0
        while self._wanted is None:
            start = self._find_magic(at)
            self._skip(start - at)
            at, found = self._read(start)
            if found is None:
                if at == start:
                    break  # incomplete
                self._skip(1)
                continue
            frames.append(found)
        del self._buffer[:at]
        return frames

    def _hunt(self, frames: list[Frame]) -> int:
        """Looks for the wanted frame at every magic; gives where the bytes still needed begin."""
        at, keep = 0, -1
        while (start := self._find_magic(at)) + _HEADER.size <= len(self._buffer):
            self._spend(_HEADER.size)  # each place is looked at again with every piece that comes
            at, found = self._read(start)
            if found is not None and (found.type, found.epoch) == self._wanted:
                frames.append(found)
                self._wanted = None
                return at
            if at == start:
                keep = start if keep < 0 else keep
                at = start + 1
        keep = start if keep < 0 else keep
        self._spend(keep)
        return keep

    def _find_magic(self, at: int) -> int:
        """Where the next magic is, or may yet be completed by what follows."""
        buffer = self._buffer
        start = buffer.find(MAGIC, at)
        if start >= 0:
            return start
        for length in (3, 2, 1):
            if len(buffer) - length >= at and buffer.endswith(MAGIC[:length]):
                return len(buffer) - length
        return len(buffer)

    def _read(self, start: int) -> tuple[int, Frame | None]:
        """Where the frame at a magic ends, and it; else None, and `start` (incomplete) or start + 1."""
        buffer = self._buffer
        if start + _HEADER.size > len(buffer):
            return start, None
        magic, length, epoch, type_, reserved, checksum = _HEADER.unpack_from(buffer, start)
        if length > PAYLOAD_MAX or reserved:
            return start + 1, None
        end = start + _HEADER.size + length
        if end > len(buffer):
            return start, None
        payload = bytes(memoryview(buffer)[start + _HEADER.size : end])
        bare = _HEADER.pack(magic, length, epoch, type_, 0, 0)
        if zlib.crc32(payload, zlib.crc32(bare)) != checksum:
            self._spend(length)
            return start + 1, None
        return end, Frame(type_, epoch, payload)

    def _skip(self, count: int) -> None:
        self.skipped += count
        self._spend(count)

    def _spend(self, count: int) -> None:
        self._spent += count
        if self._spent > RUBBISH_MAX:
            raise Internal("the guest sends rubbish instead of frames")
