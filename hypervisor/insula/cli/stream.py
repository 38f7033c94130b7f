"""Carries a hijacked connection: typed input one way, output the other, signals and sizes beside it.

One loop over everything that can become ready. The connection never blocks, since a program that echoes a lot would
otherwise wait for us while we wait for it; writing to our own stdout may, which is how a slow reader slows down the
program. The end of our input closes our half only: what the program still says is shown.
"""

import os
import select
import socket
import struct
import sys
from collections.abc import Callable, Iterator

from insula.cli.client import Connection
from insula.cli.failure import Disconnected
from insula.cli.terminal import DetachWatch, Signals

READ_SIZE = 64 << 10
HEADER = struct.Struct(">BxxxI")
STDERR, SYSTEM_ERROR = 2, 3
POLL_IN = select.POLLIN | select.POLLHUP | select.POLLERR


class Frames:
    """Takes Docker's 8-byte frames apart. A frame is passed on as it arrives, not when it is whole."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._stream = 0
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(stream, content). Raises Disconnected for what is no frame."""
        self._held += data
        while self._held:
            if not self._left:
                if len(self._held) < HEADER.size:
                    return
                self._stream, self._left = HEADER.unpack_from(self._held)
                if self._stream > SYSTEM_ERROR:
                    raise Disconnected(f"the daemon sent a frame of no known stream ({self._stream})")
                del self._held[: HEADER.size]
                continue
            content = bytes(self._held[: self._left])
            del self._held[: len(content)]
            self._left -= len(content)
            yield self._stream, content


class Output:
    """Our own stdout and stderr. framed: the stream is multiplexed."""

    def __init__(self, framed: bool, stdout: int = 1, stderr: int = 2) -> None:
        self._frames = Frames() if framed else None
        self._stdout = stdout
        self._stderr = stderr

    def write(self, data: bytes) -> None:
        """Raises BrokenPipeError once nobody reads."""
        if self._frames is None:
            write_all(self._stdout, data)
            return
        for stream, content in self._frames.feed(data):
            write_all(self._stderr if stream in (STDERR, SYSTEM_ERROR) else self._stdout, content)


def write_all(fd: int, data: bytes) -> None:
    """Also where somebody else has made the descriptor non-blocking, which is shared with their terminal."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            waiting = select.poll()
            waiting.register(fd, select.POLLOUT)
            waiting.poll()


class Stream:
    """One exchange. input_fd: None where input is not attached; on_signal: what a caught signal does."""

    def __init__(
        self,
        connection: Connection,
        output: Output,
        input_fd: int | None,
        watch: DetachWatch | None,
        signals: Signals,
        on_signal: Callable[[int], None],
    ) -> None:
        self.connection = connection
        self.output = output
        self.input_fd = input_fd
        self.watch = watch
        self.signals = signals
        self.on_signal = on_signal
        self._pending = b""
        self._detached = False

    def run(self) -> bool:
        """Until the output ends or the user detaches. True if they detached."""
        end = self.connection.socket
        end.setblocking(False)
        if held := self.connection.take(len(self.connection.buffer)):
            self.output.write(held)
        while True:
            ready = self._wait(end)
            if self.signals.fileno() in ready:
                for number in self.signals.take():
                    self.on_signal(number)
            if ready.get(end.fileno(), 0) & POLL_IN and not self._receive(end):
                return self._detached
            if self._pending:
                self._send(end)
            elif self._detached:
                return True
            elif self.input_fd in ready:
                self._read_input()

    def _wait(self, end: socket.socket) -> dict[int, int]:
        waiting = select.poll()
        waiting.register(self.signals.fileno(), select.POLLIN)
        waiting.register(end, select.POLLIN | (select.POLLOUT if self._pending else 0))
        if self.input_fd is not None and not self._pending and not self._detached:
            waiting.register(self.input_fd, select.POLLIN)
        return dict(waiting.poll(0 if self._detached and not self._pending else None))

    def _receive(self, end: socket.socket) -> bool:
        """False at the end of the output."""
        try:
            data = end.recv(READ_SIZE)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        if data:
            self.output.write(data)
        return bool(data)

    def _read_input(self) -> None:
        assert self.input_fd is not None
        try:
            data = os.read(self.input_fd, READ_SIZE)
        except BlockingIOError:
            return
        except OSError:  # a terminal that is gone
            data = b""
        if not data:
            self._end_input()
            return
        if self.watch is not None and (complete := self.watch.feed(data)) is not None:
            data = data[:complete]
            self._detached = True
        self._pending = data

    def _send(self, end: socket.socket) -> None:
        try:
            self._pending = self._pending[end.send(self._pending) :]
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self._pending = b""  # the program is gone: its last words may still come
            self.input_fd = None

    def _end_input(self) -> None:
        self.input_fd = None
        try:
            self.connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            return


def silence_stdout() -> None:
    """After nobody reads our output any more: the interpreter must not try to flush it at the end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    sys.stdout = None
