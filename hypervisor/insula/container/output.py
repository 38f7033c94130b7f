"""A process's output on its way to those who are attached.

Each follower has a queue of its own. One that falls more than BEHIND bytes back stops being fed and reads on
from the log instead, until it has caught up; so it neither blocks the program nor fills the memory. Offsets
decide, so the change-over loses nothing and repeats nothing. Where nothing is logged there is no such way out:
the program waits for the slowest follower, as with Docker.

What has been published but is not in the log yet (at most what the guest may send unacknowledged) is kept here:
that is what a follower needs to come back from the log to the live stream.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from insula.container.log_file import LogFile
from insula.container.log_reader import LogCursor
from insula.container.logs import Changes
from insula.thread import in_thread

BEHIND = 1 << 20

_Piece = tuple[int, int, int, bytes]  # order of arrival, stream, offset, data


class Output:
    """One process's output. log: None if it is not logged. Offsets count as the log's do, over all runs."""

    def __init__(self, log: LogFile | None = None) -> None:
        self.log = log
        self.logged = Changes()
        self.published = [0, 0]
        self.base = (0, 0)
        self.ended_runs = 0
        self.taken = 0
        self._unlogged: dict[int, deque[_Piece]] = {1: deque(), 2: deque()}
        self._order = 0
        self._followers: set[Follower] = set()
        self._room = asyncio.Event()

    def begin(self, ends: tuple[int, int], base: tuple[int, int]) -> None:
        """A run begins (or goes on), its streams at these offsets; the process's own offsets count from base."""
        self.published = list(ends)
        self.base = base
        for pieces in self._unlogged.values():
            pieces.clear()
        for follower in self._followers:
            follower.begin(ends)

    def publish(self, stream: int, data: bytes) -> None:
        """Gives a piece to every follower; the caller logs it next."""
        offset = self.published[stream - 1]
        self.published[stream - 1] += len(data)
        if self.log is not None:
            self._order += 1
            self._unlogged[stream].append((self._order, stream, offset, data))
        for follower in self._followers:
            follower.take(stream, offset, data)

    def on_logged(self) -> None:
        """The log has grown."""
        assert self.log is not None
        for stream, pieces in self._unlogged.items():
            while pieces and pieces[0][2] + len(pieces[0][3]) <= self.log.ends[stream - 1]:
                pieces.popleft()
        self.logged.notify()

    def drop_last(self, stream: int) -> None:
        """What was published last will not be logged."""
        self._unlogged[stream].pop()

    def unlogged(self) -> list[_Piece]:
        """In the order of arrival."""
        return sorted((*self._unlogged[1], *self._unlogged[2]), key=lambda piece: piece[0])

    def end(self) -> None:
        """The run is over, and all of its output is in the log. Followers end, those too that waited for a run."""
        self.ended_runs += 1
        self.logged.notify()
        for follower in self._followers:
            follower.wake()

    async def has_room(self) -> None:
        """Without a log: returns when no follower is too far behind. With one, while the oldest file of the log
        is about to go: when no follower needs it any more."""
        while self._blocked():
            self._room.clear()
            await self._room.wait()

    def _blocked(self) -> bool:
        if self.log is None:
            return any(follower.size > BEHIND for follower in self._followers)
        if self.log.limits.buffer is not None:
            return False  # the program waits for nobody
        oldest = self.log.generation - self.log.limits.files + 1
        return self.log.rotates_next() and any(f.needs(oldest) for f in self._followers)

    def check_room(self) -> None:
        """A follower has taken something."""
        self.taken += 1
        self._room.set()

    def follow(self, *, replay: bool, live: bool) -> "Follower":
        """A follower from now on, or with replay from the log's beginning. Without live it ends where the log
        ends. `close` it."""
        follower = Follower(self, replay=replay, live=live)
        self._followers.add(follower)
        return follower

    def forget(self, follower: "Follower") -> None:
        self._followers.discard(follower)
        self._room.set()


class Follower:
    """One reader's place: iterate over it for (stream, data)."""

    def __init__(self, output: Output, *, replay: bool, live: bool) -> None:
        self._output = output
        self._live = live
        self._queue: deque[tuple[int, bytes]] = deque()
        self._wake = asyncio.Event()
        self._behind = replay and output.log is not None
        self._wanted = [0, 0] if self._behind else list(output.published)
        self._cursor: LogCursor | None = None
        self._run = output.ended_runs
        self.size = 0

    def begin(self, ends: tuple[int, int]) -> None:
        if not self._behind:
            self._wanted = list(ends)

    def take(self, stream: int, offset: int, data: bytes) -> None:
        if self._behind or not self._live:
            return
        if self._output.log is not None and self.size > BEHIND:
            self._behind = True
            return
        self._queue.append((stream, data))
        self.size += len(data)
        self._wanted[stream - 1] = offset + len(data)
        self._wake.set()

    def needs(self, generation: int) -> bool:
        """Whether a file of the log as old as that is still to be read."""
        if not self._behind or not self._live:
            return False
        return self._cursor is None or self._cursor.generation <= generation

    def wake(self) -> None:
        self._wake.set()

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        while True:
            while self._queue:
                stream, data = self._queue.popleft()
                self.size -= len(data)
                self._output.check_room()
                yield stream, data
            if self._behind:
                async for piece in self._catch_up():
                    yield piece
            elif self._output.ended_runs > self._run or not self._live:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _catch_up(self) -> AsyncIterator[tuple[int, bytes]]:
        """Reads the log until it holds nothing more, then takes its place in the live stream."""
        log = self._output.log
        assert log is not None
        if self._cursor is None:
            self._cursor = LogCursor(log)
        changed = self._output.logged.register()
        try:
            while True:
                changed.clear()
                kept = log.ends
                entries = await in_thread(self._cursor.read)
                self._output.check_room()
                for entry in entries:
                    if fresh := self._cut(entry.stream, entry.end - len(entry.data), entry.data):
                        yield entry.stream, fresh
                if entries:
                    continue
                # What had been kept and yet cannot be read was taken away under us: there is a gap.
                self._wanted = [max(pair) for pair in zip(self._wanted, kept, strict=True)]
                if self._rejoin():
                    return
                await changed.wait()
        finally:
            self._output.logged.forget(changed)

    def _cut(self, stream: int, offset: int, data: bytes) -> bytes:
        """What of a piece has not been delivered."""
        fresh = data[max(0, self._wanted[stream - 1] - offset) :]
        self._wanted[stream - 1] = max(self._wanted[stream - 1], offset + len(data))
        return fresh

    def _rejoin(self) -> bool:
        """At the log's end, if it has not grown meanwhile: all that is missing has not been logged yet."""
        log = self._output.log
        assert log is not None
        if any(wanted < end for wanted, end in zip(self._wanted, log.ends, strict=True)):
            return False
        self._behind = False
        if self._live:
            for _, stream, offset, data in self._output.unlogged():
                if fresh := self._cut(stream, offset, data):
                    self._queue.append((stream, fresh))
                    self.size += len(fresh)
        return True

    def close(self) -> None:
        self._output.forget(self)
        if self._cursor is not None:
            self._cursor.close()
