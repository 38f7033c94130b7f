"""How one container stands: its record, its status, who waits for it, and what is told of it.

The status changes by the table of moves only (state.py); the record is what of it the next daemon will read.
"""

import asyncio
from dataclasses import replace
from typing import Any

from insula.container.parts import Parts
from insula.container.record import CONTAINER, Record
from insula.container.state import LIVE, Move, move
from insula.container.waiting import Waiting


class Standing:
    """What every part of a container's life reads and changes. For the event loop's thread only."""

    def __init__(self, parts: Parts, record: Record) -> None:
        self.parts = parts
        self.record = record
        self.status = record.status
        self.waiting = Waiting()
        self.begun = asyncio.Event()

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def is_live(self) -> bool:
        """Whether a run is under way, its beginning and its end included, or the restart policy has one to come."""
        return self.status in LIVE

    def move(self, operation: Move) -> None:
        """Makes a move. Raises Conflict or NotModified, in the operation's words, if the table has none."""
        self.status = move(self.status, operation, self.id)

    def check(self, operation: Move) -> None:
        """Raises what `move` would."""
        move(self.status, operation, self.id)

    def wake(self) -> None:
        """Those who wait on `begun`: the next run has begun, or come to nothing."""
        self.begun.set()
        self.begun.clear()

    def publish(self, action: str, **attributes: str) -> None:
        self.parts.publish(self.record, action, attributes)

    async def save(self, record: Record) -> None:
        """The record at once, the database's before it returns."""
        self.record = record
        document = record.to_document()
        await self.parts.database.run(lambda t: t.put(CONTAINER, record.id, document))

    async def change(self, **fields: Any) -> None:
        """Saves the record as it is now but for these fields."""
        await self.save(replace(self.record, **fields))

    def save_soon(self, record: Record) -> None:
        """Without waiting: the database's thread does one after the other."""
        self.record = record
        task = asyncio.ensure_future(self.save(record))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
