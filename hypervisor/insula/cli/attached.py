"""A terminal, or a script's pipes, in front of one process: what run, start, attach and exec have in common.

Raw mode and signals are set before the stream runs and undone after it, whichever way it ends.
"""

import contextlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from insula.cli.client import Client, Connection
from insula.cli.failure import Failure
from insula.cli.stream import Output, Stream, silence_stdout
from insula.cli.terminal import (
    ENDING,
    FORWARDED,
    DetachWatch,
    Ended,
    Signals,
    caught,
    is_terminal,
    raw_mode,
    terminal_size,
)


class Front(NamedTuple):
    """How a process is shown. what: the path of the container or exec; forwards: signals go to the container."""

    client: Client
    what: str
    tty: bool
    stdin: bool
    keys: str = ""
    forwards: bool = False

    @contextmanager
    def signals(self) -> Iterator[Signals]:
        """From before the process starts, so that no signal is lost between."""
        with caught(self._numbers()) as signals:
            yield signals

    def _numbers(self) -> tuple[int, ...]:
        if self.tty:
            return (*ENDING, signal.SIGWINCH)
        return FORWARDED if self.forwards else ()

    def run(self, connection: Connection, signals: Signals) -> bool:
        """Carries everything until the end. True if the user detached."""
        input_fd = 0 if self.stdin else None
        typed = self.tty or bool(self.keys)
        watch = DetachWatch(self.keys) if input_fd is not None and typed else None
        with raw_mode(0, self.tty and self.stdin):
            if self.tty:
                self.resize()
            stream = Stream(connection, Output(not self.tty), input_fd, watch, signals, self.on_signal)
            try:
                return stream.run()
            except BrokenPipeError:
                silence_stdout()
                raise Ended(signal.SIGPIPE) from None
            finally:
                connection.close()

    def on_signal(self, number: int) -> None:
        if number == signal.SIGWINCH:
            self.resize()
        elif self.tty:
            raise Ended(number)
        else:
            with contextlib.suppress(Failure):  # it may have exited just now
                self.client.call("POST", f"{self.what}/kill", {"signal": signal.Signals(number).name})

    def resize(self) -> None:
        """The container's terminal gets the size of ours."""
        size = terminal_size()
        if size is None or not is_terminal(1):
            return
        with contextlib.suppress(Failure):  # it may have exited just now
            self.client.call("POST", f"{self.what}/resize", {"h": size[0], "w": size[1]})


def console_size(tty: bool) -> list[int] | None:
    """[rows, columns] for a request, so that the first prompt fits already."""
    size = terminal_size() if tty and is_terminal(1) else None
    return list(size) if size else None
