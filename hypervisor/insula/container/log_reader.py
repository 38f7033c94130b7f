"""The reading end of a log: a cursor that survives rotation, and where the last n lines begin.

A cursor holds the file that it reads open, so a rotation under it takes nothing away; it goes on with the next
file that is still there. Everything here blocks: call it in a thread, one call at a time for each cursor.
"""

import mmap
import os
from typing import BinaryIO

from insula.container.log_file import TAIL_BLOCK, LogEntry, LogFile, find_generations, read_entry, rotated

BATCH = 1 << 18


class LogCursor:
    """A place in a log. generation: of the file being read, -1 before there is one."""

    def __init__(self, log: LogFile) -> None:
        self._log = log
        self._file: BinaryIO | None = None
        self._rest = b""
        self.generation = -1

    def open_tail(self, lines: int) -> None:
        """To where the last so many lines begin. Without it, reading starts at the oldest entry."""
        for generation in range(self._log.generation, -1, -1):
            if not self._open(generation):
                if generation == self._log.generation:
                    continue
                return
            assert self._file is not None
            found, place = _find_tail(self._file, lines)
            self._file.seek(place)
            lines -= found
            if lines <= 0:
                return

    def read(self) -> list[LogEntry]:
        """The next entries, some; empty at the log's present end."""
        while True:
            if self._file is None and not self._open_next():
                return []
            assert self._file is not None
            current = self.generation == self._log.generation
            data = self._file.read(BATCH)
            if not data and (current or not self._open_next()):
                return []
            lines = (self._rest + data).split(b"\n")
            self._rest = lines.pop()
            entries = [entry for line in lines if (entry := read_entry(line)) is not None]
            if entries:
                return entries

    def _open_next(self) -> bool:
        """Goes on to the next younger file that is there."""
        older = [item for item in find_generations(self._log.path) if item > self.generation]
        return any(self._open(generation) for generation in (*older, self._log.generation))

    def _open(self, generation: int) -> bool:
        """The file of a generation, which a rotation may give its lasting name at any moment."""
        name = rotated(self._log.path, generation)
        for path in (name, self._log.path, name) if generation >= self._log.generation else (name,):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                continue
            if path is not name and name.exists():
                file.close()  # perhaps already the next one's
                continue
            self.close()
            self._file, self._rest, self.generation = file, b"", generation
            return True
        return False

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _find_tail(file: BinaryIO, lines: int) -> tuple[int, int]:
    """How many of so many last lines are in the file, and where the first of them begins. A line of output may
    be several entries: those that do not end it end otherwise than in an escaped newline."""
    size = os.fstat(file.fileno()).st_size
    if size == 0 or lines <= 0:
        return 0, size
    with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
        found, place = 0, data.rfind(b"\n") + 1
        while place > 0:
            begin = data.rfind(b"\n", max(0, place - TAIL_BLOCK), place - 1) + 1
            found += 1
            if found > lines:
                return lines, place
            place = begin
        return found, 0
