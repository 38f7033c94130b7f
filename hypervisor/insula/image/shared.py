"""Long work that several may ask for at a time: done once, for all of them.

It ends early only when nobody waits for it any more; whoever gives up waits until it has ended and cleaned up.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedWork(Generic[T]):
    """What is being done, by key."""

    def __init__(self) -> None:
        self.running: dict[str, asyncio.Task[T]] = {}
        self._waiting: Counter[asyncio.Task[T]] = Counter()

    async def run(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
        """The result of the work of that key: this one's, or one's that is under way."""

        async def begin() -> T:
            return await work()

        task = self.running.get(key)
        if task is None or task.cancelling():
            task = asyncio.create_task(begin(), name=f"shared {key[:24]}")
            self.running[key] = task
        self._waiting[task] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task]
                await self._end(key, task)

    async def _end(self, key: str, task: asyncio.Task[T]) -> None:
        """After the last who waited: what nobody wants any more ends, with what it wrote."""
        if self.running.get(key) is task:
            del self.running[key]
        task.cancel()
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()

    async def close(self) -> None:
        """Ends what still runs."""
        tasks = list(self.running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
