"""A container's log on disk, in Docker's json-file form, and the record of which output has been kept.

Each line is `{"log", "stream", "time", "offset"}`: the first three as Docker writes them, `offset` the two
streams' ends (stdout, stderr) after this entry, counted over all runs of the container. So the last whole line
says where to go on, and a torn one is cut off. Bytes that are no UTF-8 are kept as lone surrogates
(surrogateescape): what is read back is what was written, byte for byte.

An entry is a line, or 16 KiB of one, as with Docker: the rest of a line is held back, and not acknowledged,
until it is whole or the stream ends. Growth is bounded by default (64 MiB, twice). Everything here blocks:
call it in a thread, one call at a time.
"""

import json
import os
import re
import time
from calendar import timegm
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from insula.errors import InvalidArgument, Unavailable

ENTRY_MAX = 16_384
SIZE_DEFAULT = 64 << 20
FILES_DEFAULT = 2
FILES_MAX = 100
STREAM_NAMES = {1: "stdout", 2: "stderr"}
STREAM_NUMBERS = {name: number for number, name in STREAM_NAMES.items()}
TAIL_BLOCK = 1 << 17  # more than the longest entry: 16 KiB, each byte at most six characters in JSON
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line, or a part of one. stream: 1 stdout, 2 stderr; data ends with a newline if the line ends;
    end: the stream's offset behind it."""

    stream: int
    data: bytes
    time_ns: int
    end: int = 0


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How far a log grows: bytes a file, and how many files."""

    size: int = SIZE_DEFAULT
    files: int = FILES_DEFAULT


def make_limits(options: dict[str, str]) -> LogLimits:
    """From `--log-opt`. Raises InvalidArgument."""
    size, files = options.get("max-size"), options.get("max-file")
    limits = LogLimits()
    if size is not None:
        number, unit = size.rstrip("bBkKmMgG"), size.lower().lstrip("0123456789").rstrip("b")
        if not (number.isascii() and number.isdigit()) or unit not in UNITS or int(number) == 0:
            raise InvalidArgument(f"invalid log opt max-size: {size[:80]!r}", "such as 10m")
        limits = LogLimits(int(number) * UNITS[unit], 1)
    if files is not None:
        if not (files.isascii() and files.isdigit() and 1 <= int(files) <= FILES_MAX):
            raise InvalidArgument(f"invalid log opt max-file: {files[:80]!r}", f"1 to {FILES_MAX}")
        limits = LogLimits(limits.size, int(files))
    return limits


def rotated(path: Path, generation: int) -> Path:
    """The name of a full file, from its rotation on; no file ever has another's."""
    return path.with_name(f"{path.name}.{generation}")


def find_generations(path: Path) -> list[int]:
    """Those of the rotated files that are there, oldest first."""
    prefix = path.name + "."
    names = (item.name.removeprefix(prefix) for item in path.parent.glob(f"{path.name}.*"))
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


class LogFile:
    """The writing end. `ends`: how far each stream has been kept; `generation`: of the file being written,
    each rotation begins another."""

    def __init__(self, path: Path, limits: LogLimits) -> None:
        self.path = path
        self.limits = limits
        self.ends = (0, 0)
        self.generation = 0
        self._encoded = [0, 0]
        self._fd = -1
        self._size = 0
        self._partial = {1: bytearray(), 2: bytearray()}
        self._partial_time = {1: 0, 2: 0}

    def recover(self) -> tuple[int, int]:
        """Cuts off a torn last entry and reads where the log ends. No file: it ends at 0. Forgets held parts."""
        self.close()
        self._partial = {1: bytearray(), 2: bytearray()}
        older = find_generations(self.path)
        self.generation = older[-1] + 1 if older else 0
        for path in (self.path, *(rotated(self.path, generation) for generation in reversed(older))):
            found = self._recover(path, cut=path == self.path)
            if found is not None:
                self.ends, self._encoded = found, list(found)
                break
        return self.ends

    def _recover(self, path: Path, *, cut: bool) -> tuple[int, int] | None:
        try:
            with path.open("r+b") as file:
                size = file.seek(0, os.SEEK_END)
                start = max(0, size - 2 * TAIL_BLOCK)
                file.seek(start)
                tail = file.read()
                whole = tail.rfind(b"\n") + 1
                if cut and whole < len(tail):
                    file.truncate(start + whole)
        except FileNotFoundError:
            return None
        lines = tail[:whole].splitlines()
        return _read_ends(lines[-1]) if lines else None

    def write(self, chunks: list[tuple[int, bytes]]) -> None:
        """Keeps output: what is whole goes to disk and moves `ends`. Raises Unavailable, then nothing of it
        has been kept and the same may be written again."""
        now, held = time.time_ns(), self._copy_held()
        lines = [line for stream, data in chunks for line in self._split(stream, data, now)]
        self._put(lines, held)

    def flush(self) -> None:
        """The streams have ended: keeps the unfinished last lines."""
        held, lines = self._copy_held(), []
        for stream, part in self._partial.items():
            if part:
                lines.append(self._encode(stream, bytes(part), self._partial_time[stream]))
                part.clear()
        self._put(lines, held)

    @property
    def holds(self) -> bool:
        """Whether there is something to flush."""
        return any(self._partial.values())

    def _copy_held(self) -> dict[int, bytearray]:
        return {stream: bytearray(part) for stream, part in self._partial.items()}

    def _put(self, lines: list[bytes], held: dict[int, bytearray]) -> None:
        try:
            if lines:
                self._append(b"".join(lines))
        except OSError as error:
            self._partial, self._encoded = held, list(self.ends)
            raise Unavailable(f"cannot write the log {self.path}: {error.strerror}") from error
        self.ends = (self._encoded[0], self._encoded[1])

    def _split(self, stream: int, data: bytes, now: int) -> list[bytes]:
        part = self._partial[stream]
        if not part:
            self._partial_time[stream] = now
        part += data
        lines, at = [], 0
        while True:
            newline = part.find(b"\n", at, at + ENTRY_MAX)
            end = newline + 1 if newline >= 0 else at + ENTRY_MAX
            if end > len(part):
                break
            lines.append(self._encode(stream, bytes(part[at:end]), self._partial_time[stream]))
            self._partial_time[stream] = now
            at = end
        del part[:at]
        return lines

    def _encode(self, stream: int, data: bytes, time_ns: int) -> bytes:
        self._encoded[stream - 1] += len(data)
        text = json.dumps(data.decode("utf-8", "surrogateescape"))
        when = format_time(time_ns)
        name, ends = STREAM_NAMES[stream], f"[{self._encoded[0]},{self._encoded[1]}]"
        return f'{{"log":{text},"stream":"{name}","time":"{when}","offset":{ends}}}\n'.encode()

    def rotates_next(self) -> bool:
        """Whether the next write drops the oldest file, so that a reader behind may have to be waited for."""
        return self._size >= self.limits.size

    def _append(self, data: bytes) -> None:
        if self._fd >= 0 and self._size >= self.limits.size:
            self._rotate()
        if self._fd < 0:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._fd = os.open(self.path, flags, 0o640)
            self._size = os.fstat(self._fd).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(self._fd, memoryview(data)[written:])
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)

    def _rotate(self) -> None:
        self.close()
        self.path.rename(rotated(self.path, self.generation))
        self.generation += 1
        for generation in find_generations(self.path):
            if generation <= self.generation - self.limits.files:
                rotated(self.path, generation).unlink()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._size = 0


@lru_cache(1024)
def format_time(time_ns: int) -> str:
    """RFC 3339 with nanoseconds, as Docker's logs have it."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"


@lru_cache(1024)
def parse_time(text: str) -> int:
    """The reverse of `format_time`. Raises ValueError."""
    parts = [int(part) for part in re.split(r"[-T:]", text[:19])]
    fraction = text[20:29].rstrip("Z").ljust(9, "0")
    return timegm((*parts, 0, 0, 0)) * 1_000_000_000 + int(fraction)


def _read_ends(line: bytes) -> tuple[int, int] | None:
    try:
        out, err = json.loads(line)["offset"]
        return int(out), int(err)
    except (ValueError, KeyError, TypeError):
        return None


def read_entry(line: bytes) -> LogEntry | None:
    """One line of the file; None for what is no entry (somebody else may have written to it)."""
    try:
        entry = json.loads(line)
        stream = STREAM_NUMBERS[entry["stream"]]
        data = entry["log"].encode("utf-8", "surrogateescape")
        return LogEntry(stream, data, parse_time(entry["time"]), int(entry["offset"][stream - 1]))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None
