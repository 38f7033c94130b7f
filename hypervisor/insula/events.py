"""What has happened, for whoever asks: `docker events`, waiters, the restart policy.

Up-flow without callbacks: a part publishes, a listener iterates. A listener that does not keep up loses its
subscription (its iterator raises Unavailable), never the publisher's time or the daemon's memory.
The bus keeps the last HISTORY events for `since`.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from insula.errors import Unavailable

HISTORY = 1000
BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class Event:
    """One event. type: 'container', 'image', …; action: Docker's word ('start', 'die', …); actor: the id of
    what it happened to; attributes: strings only; time_ns: Unix time in nanoseconds."""

    type: str
    action: str
    actor: str
    attributes: dict[str, str]
    time_ns: int = field(default_factory=time.time_ns)


class Subscription:
    """An endless iterator of events, from `EventBus.subscribe`."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event] = asyncio.Queue(BACKLOG)
        self._overrun = False

    def offer(self, event: Event) -> None:
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self._overrun = True

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """Raises Unavailable once this listener has fallen BACKLOG events behind."""
        if self._overrun and self._queue.empty():
            raise Unavailable(f"this listener fell {BACKLOG} events behind", "subscribe again")
        return await self._queue.get()


class EventBus:
    """Publishes events to any number of subscriptions. For the event loop's thread only."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._history: deque[Event] = deque(maxlen=HISTORY)

    def publish(self, event: Event) -> None:
        self._history.append(event)
        for subscription in self._subscriptions:
            subscription.offer(event)

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        subscription = Subscription()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def history(self) -> list[Event]:
        """The events kept, oldest first."""
        return list(self._history)
