"""One line at the terminal for what takes longer than a second, gone again when it is done.

On stderr and only if that is a terminal: scripts see nothing of it.
"""

import select
import socket
import sys
import time

SILENT_SECONDS = 1.0
CLEAR = "\r\x1b[K"


def at_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except ValueError:
        return False


class Notice:
    """A line that is drawn over itself. Nothing is shown in the first second, nor without a terminal."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._drawn = 0.0
        self._shown = at_terminal()

    def draw(self, text: str, often: float = 0.1) -> None:
        """often: the least time between two drawings."""
        now = time.monotonic()
        if not self._shown or now - self._began < SILENT_SECONDS or now - self._drawn < often:
            return
        self._drawn = now
        sys.stderr.write(f"{CLEAR}{text[:200]}")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._drawn:
            sys.stderr.write(CLEAR)
            sys.stderr.flush()
            self._drawn = 0.0

    @property
    def seconds(self) -> int:
        return int(time.monotonic() - self._began)


def wait_readable(end: socket.socket, text: str) -> None:
    """Returns when there is something to read; tells what is waited for, and for how long."""
    if not text or not at_terminal():
        return
    waiting = select.poll()
    waiting.register(end, select.POLLIN)
    notice = Notice()
    try:
        while not waiting.poll(int(SILENT_SECONDS * 1000)):
            notice.draw(f"{text} … {notice.seconds} s")
    finally:
        notice.clear()
