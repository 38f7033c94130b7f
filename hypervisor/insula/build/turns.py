"""Independent stages at the same time, told one after the other.

A stage begins when those that it takes from are done, a few at a time. What it tells is sent at once if all stages
above it are over, and kept until then if not, so that the stream reads as if they had been built in their order: that
is what clients know. A stage that has told too much waits for its turn; one that fails has it at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from insula.build.messages import Send

AT_ONCE = 4
KEPT_MAX = 4_000
"""Lines; each is what a program has written at once, or a step's own."""


class Turn:
    """What one stage tells."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._kept: deque[dict[str, Any]] = deque()
        self._begun = asyncio.Event()

    async def send(self, line: dict[str, Any]) -> None:
        if self._begun.is_set():
            await self._send(line)
            return
        self._kept.append(line)
        if len(self._kept) > KEPT_MAX:
            await self._begun.wait()

    async def begin(self) -> None:
        """Sends what was kept; from now on nothing is."""
        while self._kept:
            await self._send(self._kept.popleft())
        self._begun.set()


class Turns:
    """Of the stages of one build. needs: which others each takes from."""

    def __init__(self, order: Sequence[int], needs: Mapping[int, Sequence[int]], send: Send) -> None:
        self._order = order
        self._needs = needs
        self._send = send
        self._done = {index: asyncio.Event() for index in order}
        self._slots = asyncio.Semaphore(AT_ONCE)

    @property
    def left(self) -> list[int]:
        """Those that are not done."""
        return [index for index in self._order if not self._done[index].is_set()]

    async def run(self, do: Callable[[int, Turn], Awaitable[None]]) -> None:
        """do: builds a stage. The first failure ends the others, and is raised."""
        turns = [Turn(self._send) for _ in self._order]
        try:
            async with asyncio.TaskGroup() as group:
                for index, turn in zip(self._order, turns, strict=True):
                    group.create_task(self._one(index, turn, do), name=f"stage {index}")
                for index, turn in zip(self._order, turns, strict=True):
                    await turn.begin()
                    await self._done[index].wait()
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _one(self, index: int, turn: Turn, do: Callable[[int, Turn], Awaitable[None]]) -> None:
        for need in self._needs[index]:
            await self._done[need].wait()
        async with self._slots:
            try:
                await do(index, turn)
            except Exception:
                await turn.begin()
                raise
        self._done[index].set()

    async def wait(self, index: int) -> bool:
        """For a stage that a stage being built takes from unforeseen (an ONBUILD trigger says so); False if it is not
        among those that are built. Who waits makes room."""
        if index not in self._done:
            return False
        if not self._done[index].is_set():
            self._slots.release()
            try:
                await self._done[index].wait()
            finally:
                await self._slots.acquire()
        return True
