"""A container's log on disk, in Docker's json-file form, and the record of which output has been kept.

Each line (log_entry.py) says where the streams stand behind it. So the last whole line says where to go on, and a
torn one is cut off; this holds over rotation and compression (log_rotation.py), whatever instant a writer dies at.

An entry is a line, or 16 KiB of one, as with Docker: the rest of a line is held back, and not acknowledged,
until it is whole or the stream ends. Growth is bounded. Everything here blocks: call it in a thread, one call at
a time; only `compress` may run beside the others.
"""

import logging
import os
import time
from pathlib import Path
from typing import BinaryIO

from insula.container.log_entry import (
    ENTRY_MAX,
    LINE_MAX,
    decode_ends,
    encode_attributes,
    encode_entry,
)
from insula.container.log_options import LogLimits
from insula.container.log_rotation import (
    BLOCK,
    DAMAGED,
    compress,
    drop,
    find_generations,
    open_generation,
    rotated,
    tidy,
)
from insula.errors import Unavailable

MODE = 0o600

log = logging.getLogger(__name__)


class LogFile:
    """The writing end. `ends`: how far each stream has been kept; `generation`: of the file being written,
    each rotation begins another; -1 until it has been looked for."""

    def __init__(self, path: Path, limits: LogLimits) -> None:
        self.path = path
        self.limits = limits
        self.ends = (0, 0)
        self.generation = -1
        self._attributes = ""
        self._encoded = [0, 0]
        self._fd = -1
        self._size = 0
        self._partial = {1: bytearray(), 2: bytearray()}
        self._partial_time = {1: 0, 2: 0}
        self._unwritten: list[tuple[bytes, tuple[int, int]]] = []  # lines, and the ends behind each
        self._stopped = False

    def open(self, attributes: dict[str, str]) -> tuple[int, int]:
        """Recovers, and makes the file if it is not there. attributes: of the entries from now on.

        Raises Unavailable."""
        self._attributes = encode_attributes(attributes)
        self._stopped = False
        try:
            ends = self.recover()
            self._open_file()
        except OSError as error:
            raise self._unavailable(error) from error
        return ends

    def recover(self) -> tuple[int, int]:
        """Undoes what was left half done, cuts off a torn last entry, and reads where the log ends. No file: it
        ends at 0. Forgets what was taken and is not written."""
        self.close()
        self._partial = {1: bytearray(), 2: bytearray()}
        self._unwritten.clear()
        tidy(self.path, self.limits.files - 1)
        older = find_generations(self.path)
        self.generation = older[-1] + 1 if older else 0
        ends = _cut_torn(self.path)
        for generation in reversed(older) if ends is None else ():
            ends = _read_ends(self.path, generation)
            if ends is not None:
                break
        self.ends = ends or (0, 0)
        self._encoded = list(self.ends)
        return self.ends

    def find_generation(self) -> int:
        """That of the file being written, or that would be."""
        if self.generation < 0:
            older = find_generations(self.path)
            self.generation = older[-1] + 1 if older else 0
        return self.generation

    def write(self, chunks: list[tuple[int, bytes]]) -> None:
        """Takes output; what is whole of it is written by this and by `write_on`. Raises as that."""
        for stream, data in chunks:
            self._split(stream, data)
        self.write_on()

    def skip(self, stream: int, count: int) -> None:
        """So many bytes of a stream are lost: what is held of it becomes an entry, and the ends go on behind them,
        with the next `write`."""
        self._take_held(stream)
        self._encoded[stream - 1] += count
        self._unwritten.append((b"", (self._encoded[0], self._encoded[1])))

    def flush(self) -> None:
        """The streams have ended: takes the unfinished last lines. Raises as `write_on`."""
        for stream in self._partial:
            self._take_held(stream)
        self.write_on()

    def write_on(self) -> None:
        """Writes of what was taken as much as one file takes, and moves `ends`: until `unwritten` is false.

        Raises Unavailable; what is not written then still waits to be."""
        if not self._unwritten:
            return
        try:
            if self._fd >= 0 and self._size >= self.limits.size:
                self._rotate()
            self._open_file()
            batch, size = [], self._size
            for line, _ in self._unwritten:
                batch.append(line)
                size += len(line)
                if size >= self.limits.size:
                    break
            self._append(b"".join(batch))
        except OSError as error:
            raise self._unavailable(error) from error
        self.ends = self._unwritten[len(batch) - 1][1]
        del self._unwritten[: len(batch)]

    @property
    def unwritten(self) -> bool:
        """Whether there is something that `write_on` would write."""
        return bool(self._unwritten)

    @property
    def holds(self) -> bool:
        """Whether there is something to flush."""
        return any(self._partial.values())

    def _unavailable(self, error: OSError) -> Unavailable:
        return Unavailable(f"cannot write the log {self.path}: {error.strerror}")

    def _split(self, stream: int, data: bytes) -> None:
        """The clock is read for every line, so that no two that came at once have one time: `since` would take
        what stands before it for its like."""
        part = self._partial[stream]
        if not part:
            self._partial_time[stream] = time.time_ns()
        part += data
        at = 0
        while True:
            newline = part.find(b"\n", at, at + ENTRY_MAX)
            end = newline + 1 if newline >= 0 else at + ENTRY_MAX
            if end > len(part):
                break
            self._take_entry(stream, bytes(part[at:end]))
            self._partial_time[stream] = time.time_ns()
            at = end
        del part[:at]

    def _take_held(self, stream: int) -> None:
        if part := self._partial[stream]:
            self._take_entry(stream, bytes(part))
            part.clear()

    def _take_entry(self, stream: int, data: bytes) -> None:
        self._encoded[stream - 1] += len(data)
        ends = (self._encoded[0], self._encoded[1])
        line = encode_entry(stream, data, self._partial_time[stream], ends, self._attributes)
        self._unwritten.append((line, ends))

    def rotates_next(self) -> bool:
        """Whether `write_on` drops the oldest file, so that a reader behind may have to be waited for."""
        return self._size >= self.limits.size

    def _append(self, data: bytes) -> None:
        """All of it, or nothing. Raises OSError."""
        before = os.fstat(self._fd).st_size  # somebody may have emptied it
        try:
            written = 0
            while written < len(data):
                written += os.write(self._fd, memoryview(data)[written:])
        except OSError:
            os.ftruncate(self._fd, before)
            raise
        self._size = before + len(data)

    def _open_file(self) -> None:
        if self._fd < 0:
            self.find_generation()
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._fd = os.open(self.path, flags, MODE)
            self._size = os.fstat(self._fd).st_size

    # -- rotation

    def _rotate(self) -> None:
        self.close()
        self.path.rename(rotated(self.path, self.generation))
        self.generation += 1  # before there is a new file: that is how a reader knows which one it has opened
        drop(self.path, self.limits.files - 1)

    def compress(self) -> None:
        """Compresses the full files, oldest first. Ends early, in good order, after `stop_compressing`."""
        for generation in find_generations(self.path):
            if self._stopped or not rotated(self.path, generation).exists():
                continue
            try:
                compress(self.path, generation, lambda: self._stopped)
            except FileNotFoundError:  # dropped meanwhile: as good as compressed
                pass
            except OSError as error:
                log.warning("%s is not compressed: %s", rotated(self.path, generation), error.strerror)
                return
            if generation <= self.generation - self.limits.files:
                drop(self.path, self.limits.files - 1)

    def stop_compressing(self) -> None:
        """From any thread; `open` allows it again."""
        self._stopped = True

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._size = 0


def _cut_torn(path: Path) -> tuple[int, int] | None:
    """Where the file being written ends, once its torn last line is cut off. None if it says nothing."""
    try:
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - 2 * LINE_MAX)
            file.seek(start)
            tail = file.read()
            whole = tail.rfind(b"\n") + 1
            if whole < len(tail):
                file.truncate(start + whole)
    except FileNotFoundError:
        return None
    return _last_ends(tail[:whole])


def _last_ends(tail: bytes) -> tuple[int, int] | None:
    """Of the last line that is an entry (others may have written here)."""
    for line in reversed(tail.splitlines()):
        if (ends := decode_ends(line)) is not None:
            return ends
    return None


def _read_ends(path: Path, generation: int) -> tuple[int, int] | None:
    """Where a full file ends."""
    file = open_generation(path, generation)
    if file is None:
        return None
    with file:
        return _last_ends(_read_tail(file))


def _read_tail(file: BinaryIO) -> bytes:
    """The end of a file that may be compressed, so that it can only be read through."""
    tail = b""
    try:
        while block := file.read(BLOCK):
            tail = (tail + block)[-2 * LINE_MAX :]
    except DAMAGED:
        pass  # what could be read counts
    return tail[: tail.rfind(b"\n") + 1]
