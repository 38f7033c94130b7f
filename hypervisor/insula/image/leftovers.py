"""Whole layers of pulls that were cut off: kept for the next try, a day at most, whatever becomes of the daemon.

A layer is noted once its blob is whole. It is forgotten when an image has it, for then the image holds it, and when
its day is over, for then it is garbage.
"""

import time

from insula.database import Database, Transaction

LEFTOVER = "leftover"
SECONDS = 24 * 3600


class Leftovers:
    """Digests of blobs that no image needs yet."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._until: dict[str, float] = {}

    async def open(self) -> None:
        """Reads what an earlier daemon noted."""
        found = await self._database.run(lambda t: t.all(LEFTOVER))
        self._until = {digest: float(document["until"]) for digest, document in found.items()}

    async def note(self, digest: str) -> None:
        until = time.time() + SECONDS
        await self._database.run(lambda t: t.put(LEFTOVER, digest, {"until": until}))
        self._until[digest] = until

    async def forget(self, needed: set[str]) -> set[str]:
        """Drops what images need and what is too old; gives the rest."""
        now = time.time()
        gone = [d for d, until in self._until.items() if d in needed or not now < until <= now + SECONDS]

        def write(transaction: Transaction) -> None:
            for digest in gone:
                transaction.delete(LEFTOVER, digest)

        if gone:
            await self._database.run(write)
        for digest in gone:
            self._until.pop(digest, None)  # somebody else may have done it
        return set(self._until)
