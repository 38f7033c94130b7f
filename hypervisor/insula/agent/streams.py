"""One process of the guest's: its output with credit, its input, its exit (docs/protocol.md §2).

Output is iterated over and *not* acknowledged by that: whoever keeps it says `acknowledge` once it is kept,
and only then does the guest forget it and read on from the program. So at most WINDOW bytes a stream are
held here, and a guest that sends more has broken the protocol, as has one that leaves a gap; what it
repeats is cut away.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from insula.agent.connection import again
from insula.agent.messages import DATA_MAX, STDERR, STDOUT, WINDOW, Message
from insula.agent.reports import Credit, Exited, ExitKind, Output, OutputEnd
from insula.agent.requests import Ack, Input, InputEnd
from insula.errors import Conflict, InsulaError, Internal, InvalidArgument

CREDIT_MAX = 1 << 20  # how far ahead a guest may let us send
PIECES_MAX = 1_024  # pieces held apart to keep the order between the streams


class Sender(Protocol):
    """What a process sends by: the session's connection."""

    def send(self, message: Message) -> None: ...

    async def drained(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of output. stream: STDOUT or STDERR; offset: of its first byte in that stream."""

    stream: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Exit:
    """value: the exit status, or the signal's number. oom: the kernel ran out of memory while it ran.
    time_ns: the guest's clock, in nanoseconds since 1970."""

    kind: ExitKind
    value: int
    oom: bool
    core_dumped: bool
    time_ns: int


class _Stream:
    """What is known of one output stream."""

    __slots__ = ("acknowledged", "end", "received", "tail")

    def __init__(self, offset: int) -> None:
        self.received = offset
        self.acknowledged = offset
        self.end: int | None = None
        self.tail: _Piece | None = None


class _Piece:
    """Output that waits for its reader."""

    __slots__ = ("data", "offset", "stream")

    def __init__(self, stream: int, offset: int, data: bytes) -> None:
        self.stream = stream
        self.offset = offset
        self.data: bytes | bytearray = data

    def append(self, data: bytes) -> None:
        if isinstance(self.data, bytes):
            self.data = bytearray(self.data)
        self.data += data


class Process:
    """One program in the guest. Iterating over it (by one reader) gives its output as Chunks, in the order of
    arrival, and ends when all its streams have ended."""

    def __init__(self, sender: Sender, number: int, *, tty: bool, offsets: tuple[int, int] = (0, 0)) -> None:
        self.number = number
        self.tty = tty
        self._sender = sender
        self._streams = {STDOUT: _Stream(offsets[0])}
        if not tty:
            self._streams[STDERR] = _Stream(offsets[1])
        self._pieces: deque[_Piece] = deque()
        self._changed = asyncio.Event()  # of output or failure
        self._credit = asyncio.Event()  # or exit or failure
        self._input_sent = 0
        self._input_limit = 0
        self._input_ended = False
        self._exited = asyncio.Event()  # or failure
        self._exit: Exit | None = None
        self._failure: InsulaError | None = None

    # -- output

    def __aiter__(self) -> "Process":
        return self

    async def __anext__(self) -> Chunk:
        """Raises the session's failure, after what had arrived before it, unless all output has ended."""
        while not self._pieces:
            if all(stream.end is not None for stream in self._streams.values()):
                raise StopAsyncIteration
            if self._failure is not None:
                raise again(self._failure)
            self._changed.clear()
            await self._changed.wait()
        piece = self._pieces.popleft()
        stream = self._streams[piece.stream]
        if stream.tail is piece:
            stream.tail = None
        return Chunk(piece.stream, piece.offset, bytes(piece.data))

    def acknowledge(self, stream: int, offset: int) -> None:
        """All output of the stream before the offset is kept: the guest may forget it and go on.

        After the session has failed this does nothing: the guest repeats what it was not told of."""
        state = self._streams.get(stream)
        if state is None or offset > state.received:
            raise InvalidArgument(f"output of process {self.number} up to {offset} has not come")
        if offset <= state.acknowledged or self._failure is not None:
            return
        state.acknowledged = offset
        self._sender.send(Ack(self.number, stream, offset))

    def take_output(self, message: Output) -> bool:
        """Output from the guest; False if it brings nothing new. Raises Internal on a breach."""
        stream = self._stream(message.stream)
        if message.offset > stream.received:
            raise Internal(f"the guest left a gap in the output of process {self.number}")
        data = message.data[stream.received - message.offset :]
        if not data:
            return False
        if stream.received + len(data) > stream.acknowledged + WINDOW:
            raise Internal(f"the guest sent more output of process {self.number} than it may")
        if stream.end is not None:
            raise Internal(f"the guest sent output of process {self.number} after its end")
        self._keep(message.stream, stream, data)
        stream.received += len(data)
        self._changed.set()
        return True

    def _keep(self, number: int, stream: _Stream, data: bytes) -> None:
        """Small pieces are joined, for a guest may send each byte alone: to the last one if that is of the
        same stream, and where there are very many to their own stream's last one."""
        tail = stream.tail
        if tail is not None:
            last = self._pieces[-1] is tail and len(tail.data) + len(data) <= DATA_MAX
            if last or len(self._pieces) >= PIECES_MAX:
                tail.append(data)
                return
        stream.tail = _Piece(number, stream.received, data)
        self._pieces.append(stream.tail)

    def take_output_end(self, message: OutputEnd) -> bool:
        stream = self._stream(message.stream)
        if message.offset != stream.received:
            raise Internal(f"the guest ended the output of process {self.number} elsewhere than it is")
        if stream.end is not None:
            return False
        stream.end = message.offset
        self._changed.set()
        return True

    def _stream(self, number: int) -> _Stream:
        stream = self._streams.get(number)
        if stream is None:
            raise Internal(f"the guest sent a second stream of process {self.number}, which has a terminal")
        return stream

    # -- input

    async def write(self, data: bytes) -> None:
        """Sends input, waiting for credit: returns when all has been sent, or when the process has exited,
        which drops the rest as a closed pipe does. Raises Conflict after `end_input`, and the session's
        failure."""
        at = 0
        while at < len(data):
            await self._sender.drained()  # nothing below suspends before the frame is sent
            if self._failure is not None:
                raise again(self._failure)
            if self._input_ended:
                raise Conflict(f"the input of process {self.number} has been ended")
            if self._exit is not None:
                return
            size = min(len(data) - at, DATA_MAX, self._input_limit - self._input_sent)
            if size <= 0:
                self._credit.clear()
                await self._credit.wait()
                continue
            self._sender.send(Input(self.number, self._input_sent, data[at : at + size]))
            self._input_sent += size
            at += size

    async def end_input(self) -> None:
        """Closes the process's input behind what has been written. A repeat does nothing."""
        if self._failure is not None:
            raise again(self._failure)
        if not self._input_ended:
            self._input_ended = True
            self._credit.set()
            self._sender.send(InputEnd(self.number, self._input_sent))

    def restore_input(self, taken: int, limit: int) -> None:
        """Where the input stands in a process that is resumed."""
        self._input_sent, self._input_limit = taken, limit

    def take_credit(self, message: Credit) -> bool:
        if message.limit > self._input_sent + CREDIT_MAX:
            raise Internal(f"the guest asked for {message.limit} bytes of input of process {self.number}")
        if message.limit <= self._input_limit:
            return False
        self._input_limit = message.limit
        self._credit.set()
        return True

    # -- end

    async def exit(self) -> Exit:
        """How the process ended, once it has. Its output may still be on the way."""
        while self._exit is None:
            if self._failure is not None:
                raise again(self._failure)
            await self._exited.wait()
        return self._exit

    @property
    def ended(self) -> bool:
        return self._exit is not None

    def take_exit(self, message: Exited) -> bool:
        if self._exit is not None:
            return False
        self._exit = Exit(
            message.kind, message.value, message.oom, message.core_dumped, message.clock_ns
        )  # fmt: skip
        self._exited.set()
        self._credit.set()
        return True

    def fail(self, failure: InsulaError) -> None:
        """Nothing more will come."""
        if self._failure is None:
            self._failure = failure
            for event in (self._changed, self._credit, self._exited):
                event.set()
