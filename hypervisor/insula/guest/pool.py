"""Clones already running, warmed up and idle, waiting to be claimed.

Wanted are clones of the host platform's default shape and of the shapes used last, bounded in machines and in
measured bytes. The pool fills when nothing has been started for a moment: a clone's warm-up costs as much
processor time as a start, and must not be in its way. A clone that dies while idle is dropped and replaced.
A daemon's end kills the idle ones: what is nobody's is not adopted.
"""

import asyncio
import logging
import time
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass

from insula.config import Config
from insula.errors import InsulaError
from insula.guest.forge import Forge, Started
from insula.machine.spec import MachineSpec

QUIET = 0.5
"""Seconds without a start before the pool fills."""
RETRY = 10.0
"""Seconds after a failure to fill."""
RECENT_SHAPES = 2

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Idle:
    """One waiting clone and everything that it holds."""

    started: Started
    held: AsyncExitStack
    spec: MachineSpec


class Pool:
    """The idle clones. `claim` never waits: it gives one or none."""

    def __init__(self, forge: Forge, config: Config) -> None:
        self._forge = forge
        self._config = config
        self._idle: list[Idle] = []
        self._wanted: deque[MachineSpec] = deque(maxlen=RECENT_SHAPES)
        self._busy = 0
        self._quiet_since = 0.0
        self._changed = asyncio.Condition()
        self._nudge = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.failure = ""

    def open(self) -> None:
        self._task = asyncio.create_task(self._keep_full())

    def want(self, spec: MachineSpec) -> None:
        """Notes a shape as used now; the one used longest ago falls out."""
        if spec in self._wanted:
            self._wanted.remove(spec)
        self._wanted.append(spec)
        self._nudge.set()

    def starting(self) -> None:
        """A start is under way: the pool keeps still."""
        self._busy += 1

    def started(self) -> None:
        self._busy -= 1
        self._quiet_since = time.monotonic()
        self._nudge.set()

    def claim(self, spec: MachineSpec) -> Idle | None:
        """A waiting clone of this shape, now the caller's to close; or None."""
        for idle in self._idle:
            if idle.spec == spec and not idle.started.session.lost.is_set():
                self._idle.remove(idle)
                return idle
        return None

    def count(self, spec: MachineSpec) -> int:
        return sum(idle.spec == spec for idle in self._idle)

    async def filled(self, spec: MachineSpec) -> int:
        """Returns, with the number, once as many clones of a shape wait as the pool keeps of it."""
        self.want(spec)
        async with self._changed:
            await self._changed.wait_for(lambda: self._share() <= self.count(spec) or bool(self.failure))
        return self.count(spec)

    def _share(self) -> int:
        """How many clones of each wanted shape."""
        return self._config.pool_machines // max(1, len(self._wanted))

    async def _keep_full(self) -> None:
        while True:
            await self._nudge.wait()
            self._nudge.clear()
            while (spec := self._next_missing()) is not None:
                await self._until_quiet()
                try:
                    await self._add(spec)
                    self.failure = ""
                except (InsulaError, TimeoutError, OSError) as error:
                    self.failure = str(error) or repr(error)
                    log.warning("the pool could not be filled: %s", self.failure)
                    async with self._changed:
                        self._changed.notify_all()
                    await asyncio.sleep(RETRY)

    async def _until_quiet(self) -> None:
        while self._busy or time.monotonic() - self._quiet_since < QUIET:  # noqa: ASYNC110 - time is the point
            await asyncio.sleep(QUIET / 4)

    def _next_missing(self) -> MachineSpec | None:
        for spec in reversed(self._wanted):
            if self.count(spec) < self._share() and self._has_room():
                return spec
        return None

    def _has_room(self) -> bool:
        return len(self._idle) < self._config.pool_machines or self._surplus() is not None

    def _surplus(self) -> Idle | None:
        """A clone that may make room for one that is missing: lost, of a shape no longer wanted, or one of more
        than its shape's share."""
        for idle in self._idle:
            wanted = idle.spec in self._wanted and not idle.started.session.lost.is_set()
            if not wanted or self.count(idle.spec) > self._share():
                return idle
        return None

    async def _add(self, spec: MachineSpec) -> None:
        await self._make_room()
        held = AsyncExitStack()
        async with held:
            started = await held.enter_async_context(self._forge.start(spec, warm=True))
            idle = Idle(started, held.pop_all(), spec)
        self._idle.append(idle)
        await self._keep_within_memory()
        async with self._changed:
            self._changed.notify_all()

    async def _make_room(self) -> None:
        """Drops what nobody wants, and of the rest as much as one more clone needs."""
        while (idle := self._surplus()) is not None:
            wanted = idle.spec in self._wanted and not idle.started.session.lost.is_set()
            if wanted and len(self._idle) < self._config.pool_machines:
                return
            self._idle.remove(idle)
            await idle.held.aclose()

    async def _keep_within_memory(self) -> None:
        """The pool's measured memory, each shared page counted in part, stays below the limit."""
        used = sum(await asyncio.gather(*(asyncio.to_thread(i.started.machine.pss) for i in self._idle)))
        if used > self._config.pool_memory and len(self._idle) > 1:
            log.info("the pool holds %d MiB, more than it may: one clone fewer", used >> 20)
            await self._idle.pop(0).held.aclose()

    def describe(self) -> list[dict[str, object]]:
        """The idle clones, for `info` and the bench."""
        return [
            {"machine": idle.started.machine.id, "platform": idle.spec.platform.name, "memory": idle.spec.memory,
             "pid": idle.started.machine.pid}
            for idle in self._idle
        ]  # fmt: skip

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for idle in self._idle:
            await idle.held.aclose()
        self._idle.clear()
