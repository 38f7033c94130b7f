"""`docker logs`: what has been kept of a container's output, chosen by tail, since, until and stream, and followed.

Reads only the log on disk, in a thread, a bounded batch at a time: however slow the reader is, the container
and the daemon's memory do not notice. A reader that goes away waits for its thread first: that may be opening the
very file that is to be closed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

from insula.container.log_entry import LogEntry as LogEntry
from insula.container.log_file import LogFile
from insula.container.log_reader import LogCursor
from insula.thread import in_thread


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What to read. tail: the last so many entries, None for all; since_ns, until_ns: Unix time, 0 is none."""

    stdout: bool = True
    stderr: bool = True
    tail: int | None = None
    since_ns: int = 0
    until_ns: int = 0
    follow: bool = False

    def wants(self, entry: LogEntry) -> bool:
        return self.stdout if entry.stream == 1 else self.stderr


class Changes:
    """Wakes whoever waits for something to grow or end."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Event] = set()

    def notify(self) -> None:
        for waiter in self._waiters:
            waiter.set()

    def register(self) -> asyncio.Event:
        """An event that every `notify` sets; `forget` it afterwards."""
        event = asyncio.Event()
        self._waiters.add(event)
        return event

    def forget(self, event: asyncio.Event) -> None:
        self._waiters.discard(event)


async def read_logs(
    file: LogFile, query: LogQuery, changes: Changes, is_live: Callable[[], bool]
) -> AsyncIterator[LogEntry]:
    """The entries of a query. With follow it ends once `is_live` is false and everything has been read, or the
    moment `until` is past. Entries are in the order in which they were kept, which for two streams is not quite
    that of their times: so the first one since the moment brings all that follow it, as with Docker."""
    cursor = LogCursor(file)
    changed = changes.register()
    begun = not query.since_ns
    try:
        if query.tail is not None:
            await in_thread(cursor.open_tail, query.tail)
        while True:
            changed.clear()
            live = query.follow and is_live() and not _is_past(query.until_ns)
            for entry in (entries := await in_thread(cursor.read)):
                begun = begun or entry.time_ns >= query.since_ns
                if query.until_ns and entry.time_ns > query.until_ns:
                    return
                if begun and query.wants(entry):
                    yield entry
            if not entries:
                if not live:
                    return
                await _wait(changed, query.until_ns)
    finally:
        changes.forget(changed)
        cursor.close()


def _is_past(until_ns: int) -> bool:
    return bool(until_ns) and until_ns < time.time_ns()


async def _wait(changed: asyncio.Event, until_ns: int) -> None:
    """For the log to change, or for `until`."""
    left = (until_ns - time.time_ns()) / 1e9 if until_ns else None
    with suppress(TimeoutError):
        async with asyncio.timeout(left):
            await changed.wait()
