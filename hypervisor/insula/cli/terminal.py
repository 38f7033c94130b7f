"""The user's terminal: raw and back again on every path, its size, and the signals that reach this process.

Signals become bytes on a pipe that the stream loop waits for with everything else, so nothing is interrupted in the
middle and nothing has to be locked. Only SIGKILL can leave a terminal raw.
"""

import os
import signal
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from insula.cli.failure import Failure

FORWARDED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM,
    signal.SIGTSTP, signal.SIGCONT,
)  # fmt: skip
"""What a run without a terminal passes on to its container."""

ENDING = (signal.SIGHUP, signal.SIGTERM)
"""What ends this process even in raw mode, and must not leave the terminal raw."""

DEFAULT_KEYS = "ctrl-p,ctrl-q"


class Ended(Failure):
    """A signal ends this process; the container goes on."""

    def __init__(self, number: int) -> None:
        super().__init__("", 128 + number)


def is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def require_terminal() -> None:
    """For `-it`. Raises Failure."""
    if not is_terminal(0):
        raise Failure("the input device is not a TTY")


@contextmanager
def raw_mode(fd: int, wanted: bool = True) -> Iterator[None]:
    """Typed bytes as they come, without echo; what is no terminal is left alone."""
    if not wanted or not is_terminal(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    tty.setraw(fd, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def terminal_size() -> tuple[int, int] | None:
    """(rows, columns) of the terminal that shows the output; None without one."""
    for fd in (1, 0, 2):
        try:
            columns, rows = os.get_terminal_size(fd)
        except OSError:
            continue
        if rows and columns:
            return rows, columns
    return None


class Signals:
    """Signals as numbers read from a descriptor."""

    def __init__(self, read_end: int) -> None:
        self._read_end = read_end

    def fileno(self) -> int:
        return self._read_end

    def take(self) -> list[int]:
        try:
            return list(os.read(self._read_end, 4096))
        except BlockingIOError:
            return []


@contextmanager
def caught(numbers: Sequence[int]) -> Iterator[Signals]:
    """Collects these signals instead of what they do; afterwards they do again what they did."""
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before_fd = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    before = {number: signal.signal(number, _ignore) for number in numbers}
    try:
        yield Signals(read_end)
    finally:
        for number, action in before.items():
            signal.signal(number, action if action is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(before_fd)
        os.close(read_end)
        os.close(write_end)


def _ignore(number: int, frame: object) -> None:
    """The wake-up descriptor has it already."""


class DetachWatch:
    """Notices the detach keys in what is typed, as the daemon does: only who typed them knows it was no end.

    The daemon refuses a wrong sequence; here it just matches nothing."""

    def __init__(self, text: str) -> None:
        self._keys = parse_keys(text or DEFAULT_KEYS)
        self._matched = 0

    def feed(self, data: bytes) -> int | None:
        """Where the sequence is complete: the number of bytes up to its end; None if it is not."""
        if not self._keys:
            return None
        for number, byte in enumerate(data):
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self._matched = 0
                    return number + 1
            else:
                self._matched = 1 if byte == self._keys[0] else 0
        return None


def parse_keys(text: str) -> bytes:
    """Letters and ctrl-X, separated by commas; nothing if it is no such sequence."""
    keys = bytearray()
    for name in text.split(","):
        letter = name[5:].upper() if name.lower().startswith("ctrl-") else ""
        if len(name) == 1 and name.isascii():
            keys.append(ord(name))
        elif len(letter) == 1 and "@" <= letter <= "_":
            keys.append(ord(letter) & 0x1F)
        else:
            return b""
    return bytes(keys)
