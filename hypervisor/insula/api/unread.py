"""Whether a client has read what was written to it.

A unix socket's kernel counts what its other end has not read, and tells when that end takes something. So this waits
for exactly that, in vain for SECONDS at most: a client that takes longer sleeps, and is written to anyway.
"""

import asyncio
import fcntl
import select
import struct
import termios
from contextlib import suppress
from typing import Protocol

SECONDS = 1.0


class Socket(Protocol):
    """The end that was written to."""

    def fileno(self) -> int: ...


async def wait_until_read(end: Socket) -> None:
    """Returns once the client has read all, or is gone."""
    if not _is_unread(end):
        return
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    with select.epoll() as watch:
        watch.register(end.fileno(), select.EPOLLOUT | select.EPOLLET)  # it tells whenever some is taken
        loop.add_reader(watch.fileno(), _on_change, watch, changed)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(SECONDS):
                    while _is_unread(end):
                        await changed.wait()
                        changed.clear()
        finally:
            loop.remove_reader(watch.fileno())


def _on_change(watch: select.epoll, changed: asyncio.Event) -> None:
    watch.poll(0)
    changed.set()


def _is_unread(end: Socket) -> bool:
    try:
        return bool(struct.unpack("i", fcntl.ioctl(end.fileno(), termios.TIOCOUTQ, bytes(4)))[0])
    except (OSError, ValueError):  # closed meanwhile
        return False
