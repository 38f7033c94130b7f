"""From a process's output to its log: what is written when, and who waits for it.

Blocking, as is the default: output counts as kept once it is in the log, and the program waits for that. With
mode=non-blocking it counts as kept once it waits here; what comes while more than the buffer's size waits is
dropped, and so is what a dying daemon had not written yet: the user has chosen that. Full files are compressed
beside the writing.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType

from insula.container.log_file import LogFile
from insula.container.output import Output
from insula.errors import Unavailable

RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Piece:
    """What waits to be written. lost: bytes of its stream that were dropped before it; taken: by the log,
    which then writes it."""

    stream: int
    data: bytes
    lost: int
    taken: bool = False


class LogKeeper:
    """The writing of one run's output; an async context manager that leaves nothing unwritten but for a full disk."""

    def __init__(self, output: Output, file: LogFile) -> None:
        self._output = output
        self._log = file
        self._waiting: deque[_Piece] = deque()
        self._size = 0
        self._lost = {1: 0, 2: 0}
        self._arrived = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._compressor: asyncio.Task[None] | None = None
        self._compressed = 0
        self._told = False

    async def __aenter__(self) -> "LogKeeper":
        if self._log.limits.buffer is not None:
            self._writer = asyncio.create_task(self._write_on())
        self._compress_soon()  # what an earlier run left
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """kind: CancelledError if the daemon ends, which waits for nothing that can be done later."""
        cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        try:
            await self._end_writer()
            if not cancelled:
                await self._flush()
        finally:
            await self._end_compressor(cancelled)
            self._log.close()

    async def keep(self, stream: int, data: bytes) -> int:
        """Returns how many bytes of the stream count as kept now, counted as the log's offsets are."""
        if self._writer is None:
            await self._write(lambda: self._log.write([(stream, data)]))
            return self._log.ends[stream - 1]
        buffer = self._log.limits.buffer or 0
        if self._waiting and self._size + len(data) > buffer:
            self._lost[stream] += len(data)
            self._output.drop_last(stream)
            self._tell(f"the log {self._log.path} is written too slowly: output is dropped")
        else:
            self._waiting.append(_Piece(stream, data, self._lost[stream]))
            self._lost[stream] = 0
            self._size += len(data)
            self._arrived.set()
        return self._output.published[stream - 1]

    # -- writing

    async def _write_on(self) -> None:
        """Writes what waits, for as long as it is not cancelled."""
        while True:
            while self._waiting:
                await self._write(partial(self._take_piece, self._waiting[0]))
                self._size -= len(self._waiting.popleft().data)
            self._arrived.clear()
            await self._arrived.wait()

    def _take_piece(self, piece: _Piece) -> None:
        """Once, whoever is still there to hear of it."""
        if not piece.taken:
            piece.taken = True
            if piece.lost:
                self._log.skip(piece.stream, piece.lost)
            self._log.write([(piece.stream, piece.data)])

    async def _end_writer(self) -> None:
        """Once more everything that waits; what cannot be written then is lost."""
        if self._writer is None:
            return
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        try:
            while self._waiting:
                await self._write(partial(self._take_piece, self._waiting[0]), patient=False)
                self._waiting.popleft()
        except Unavailable as error:
            self._tell(f"{error}; the end of its output is dropped")
            self._waiting.clear()

    async def _flush(self) -> None:
        """The unfinished last lines."""
        if not self._log.holds:
            return
        try:
            await self._write(self._log.flush, patient=self._writer is None)
        except Unavailable as error:
            self._tell(f"{error}; the end of its output is dropped")

    async def _write(self, take: Callable[[], None], *, patient: bool = True) -> None:
        """Has the log take something, and writes all of it. While the disk is full it waits, if it is patient.

        Raises Unavailable if it is not."""
        work = take
        while True:
            try:
                await self._do(work)
            except Unavailable as error:
                if not patient:
                    raise
                self._tell(f"{error}; its container waits" if self._writer is None else str(error))
                await asyncio.sleep(RETRY_SECONDS)  # for space on the disk
            if not self._log.unwritten:
                return
            await self._output.has_room()
            work = self._log.write_on

    async def _end_compressor(self, cancelled: bool) -> None:
        if self._compressor is None:
            return
        try:
            if not cancelled:
                await asyncio.shield(self._compressor)
        finally:
            self._log.stop_compressing()
            await asyncio.wait((self._compressor,))

    async def _do(self, write: Callable[[], None]) -> None:
        """In a thread, which is waited for whatever happens: two must never write one log."""
        task = asyncio.ensure_future(asyncio.to_thread(write))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait((task,))
            raise
        self._output.on_logged()
        self._compress_soon()

    def _compress_soon(self) -> None:
        idle = self._compressor is None or self._compressor.done()
        if idle and self._log.limits.compress and self._log.generation > self._compressed:
            self._compressor = asyncio.create_task(self._compress())

    async def _compress(self) -> None:
        while self._log.generation > self._compressed:
            self._compressed = self._log.generation
            await asyncio.to_thread(self._log.compress)

    def _tell(self, words: str) -> None:
        """Once a run."""
        if not self._told:
            log.error("%s", words)
            self._told = True
