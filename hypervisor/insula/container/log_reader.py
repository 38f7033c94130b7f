"""The reading end of a log: a cursor that survives rotation and compression, and where the last n entries begin.

A cursor holds the file that it reads open, so a rotation under it takes nothing away; it goes on with the next
file that is still there. Everything here blocks: call it in a thread, one call at a time for each cursor.
"""

import gzip
import logging
import mmap
import os
from typing import BinaryIO

from insula.container.log_entry import LINE_MAX, LogEntry, decode_entry
from insula.container.log_file import LogFile
from insula.container.log_rotation import DAMAGED, find_generations, open_generation

BATCH = 1 << 18

log = logging.getLogger(__name__)


class LogCursor:
    """A place in a log. generation: of the file being read, -1 before there is one."""

    def __init__(self, log: LogFile) -> None:
        self._log = log
        self._file: BinaryIO | None = None
        self._rest = b""
        self.generation = -1

    def open_tail(self, entries: int) -> None:
        """To where the last so many entries begin. Without it, reading starts at the oldest."""
        youngest = self._log.find_generation()
        for generation in range(youngest, -1, -1):
            if not self._open(generation):
                if generation == youngest:
                    continue
                return
            found = self._skip_to_tail(entries)
            entries -= found
            if entries <= 0:
                return

    def _skip_to_tail(self, entries: int) -> int:
        """How many of so many last entries the open file has; it is then read on from the first of them."""
        assert self._file is not None
        if not isinstance(self._file, gzip.GzipFile):
            found, place = _find_tail(self._file, entries)
            self._file.seek(place)
            return found
        total = 0
        while block := self._read_block():
            total += block.count(b"\n")
        self._file.seek(0)
        self._skip(total - min(entries, total))
        return min(entries, total)

    def _skip(self, entries: int) -> None:
        """Passes over so many entries of a file that can only be read through."""
        while entries > 0 and (block := self._read_block()):
            count = block.count(b"\n")
            if count < entries:
                entries -= count
                continue
            at = 0
            for _ in range(entries):
                at = block.index(b"\n", at) + 1
            self._rest = block[at:]
            return

    def read(self) -> list[LogEntry]:
        """The next entries, some; empty at the log's present end."""
        self._log.find_generation()
        while True:
            if self._file is None and not self._open_next():
                return []
            current = self.generation == self._log.generation
            data = b"" if b"\n" in self._rest else self._read_block()
            if not data and b"\n" not in self._rest and (current or not self._open_next()):
                return []
            lines = (self._rest + data).split(b"\n")
            self._rest = lines.pop()
            entries = [entry for line in lines if (entry := decode_entry(line)) is not None]
            if entries:
                return entries

    def _read_block(self) -> bytes:
        """Of a damaged compressed file, what can be read of it."""
        assert self._file is not None
        try:
            return self._file.read(BATCH)
        except DAMAGED as error:
            log.warning("%s.%d.gz is damaged: %s", self._log.path, self.generation, error)
            return b""

    def _open_next(self) -> bool:
        """Goes on to the next younger file that is there."""
        youngest = (
            self._log.find_generation()
        )  # before looking: what is rotated meanwhile is then found twice
        older = [item for item in find_generations(self._log.path) if self.generation < item < youngest]
        return any(self._open(generation) for generation in (*older, youngest))

    def _open(self, generation: int) -> bool:
        """The file of a generation, which a rotation may give its lasting name at any moment."""
        path = self._log.path
        file = open_generation(path, generation) or self._open_youngest(generation)
        file = file or open_generation(path, generation)
        if file is None:
            return False
        self.close()
        self._file, self._rest, self.generation = file, b"", generation
        return True

    def _open_youngest(self, generation: int) -> BinaryIO | None:
        """The file being written, if it is of this generation."""
        if generation != self._log.generation:
            return None
        try:
            file = self._log.path.open("rb")
        except FileNotFoundError:
            return None
        if generation == self._log.generation:
            return file
        file.close()  # perhaps already the next one's
        return None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _find_tail(file: BinaryIO, entries: int) -> tuple[int, int]:
    """How many of so many last entries are in the file, and where the first of them begins."""
    size = os.fstat(file.fileno()).st_size
    if size == 0 or entries <= 0:
        return 0, size
    with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
        found, place = 0, data.rfind(b"\n") + 1
        while place > 0:
            begin = data.rfind(b"\n", max(0, place - LINE_MAX), place - 1) + 1
            found += 1
            if found > entries:
                return entries, place
            place = begin
        return found, 0
