"""What a container uses, once or every second, for whoever looks.

One sampler a container, whatever the number of those who look, and none when nobody does. Each of them has a place
for one sample, the latest: who is slow misses some and holds up nobody. What does not run has an empty sample; what
is paused, or does not answer in time, has its last one again, so that nothing is used meanwhile as far as is known.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from insula.agent.usage import LinkUsage as LinkUsage
from insula.agent.usage import Usage as Usage
from insula.container.beginning import Running
from insula.container.state import Status
from insula.errors import InsulaError
from insula.machine.host_usage import HostUsage, read_host_usage

INTERVAL = 1.0
PATIENCE = 1.5  # the docker command shows nothing after two seconds without a sample


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading. usage: the guest's word, None if it does not run; qemu: the host's."""

    read_ns: int
    usage: Usage | None = None
    qemu: HostUsage | None = None


@dataclass(frozen=True, slots=True)
class Readable:
    """How a container stands, for a sampler. running: what can be asked, if it can."""

    status: Status
    running: Running | None


class Stats:
    """One container's."""

    def __init__(self, look: Callable[[], Readable]) -> None:
        self._look = look
        self._places: set[Place] = set()
        self._sampler: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[Sample] | None = None
        self._last: Sample | None = None

    async def take(self) -> Sample:
        """One sample now."""
        found = self._look()
        if found.status is Status.RUNNING and found.running is not None:
            await self._ask(found.running)
        elif found.status not in (Status.PAUSED, Status.STOPPING):
            self._last = None
        if self._last is None:
            return Sample(time.time_ns())
        return replace(self._last, read_ns=time.time_ns())

    async def _ask(self, running: Running) -> None:
        """Only one question at a time: who asks meanwhile gets its answer too."""
        if self._asking is None:
            self._asking = asyncio.create_task(_measure(running))
            self._asking.add_done_callback(self._answered)
        with suppress(TimeoutError, InsulaError):
            async with asyncio.timeout(PATIENCE):
                await asyncio.shield(self._asking)

    def _answered(self, task: asyncio.Task[Sample]) -> None:
        self._asking = None
        if not task.cancelled() and task.exception() is None:
            self._last = task.result()

    def follow(self, removed: asyncio.Future[Any]) -> "Place":
        """A place from now on, until the container is removed, as this future tells. `close` it."""
        place = Place(self, removed)
        self._places.add(place)
        if self._sampler is None:
            self._sampler = asyncio.create_task(self._sample())
        return place

    def leave(self, place: "Place") -> None:
        """The last one that looks takes the sampler with it."""
        self._places.discard(place)
        if not self._places and self._sampler is not None:
            self._sampler.cancel()
            self._sampler = None

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            sample = await self.take()
            for place in self._places:
                place.put(sample)
            await asyncio.sleep(max(0.0, began + INTERVAL - loop.time()))


class Place:
    """One reader's: iterate over it for samples, each newer than the one before, until the container is removed."""

    def __init__(self, stats: Stats, removed: asyncio.Future[Any]) -> None:
        self._stats = stats
        self._removed = removed
        self._sample: Sample | None = None
        self._changed = asyncio.Event()
        removed.add_done_callback(lambda _: self._changed.set())

    def put(self, sample: Sample) -> None:
        self._sample = sample
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[Sample]:
        while not self._removed.done():
            self._changed.clear()
            sample, self._sample = self._sample, None
            if sample is not None:
                yield sample
            else:
                await self._changed.wait()

    def close(self) -> None:
        self._removed.cancel()
        self._stats.leave(self)


async def _measure(running: Running) -> Sample:
    """Raises the session's failure. What cannot be read of QEMU, which has perhaps just ended, is left out."""
    usage = await running.guest.session.usage()
    try:
        qemu = await asyncio.to_thread(read_host_usage, running.guest.machine.pid)
    except (InsulaError, OSError):
        qemu = None
    return Sample(time.time_ns(), usage, qemu)
