"""Which steps have been done before: the key of a step → the image that it made.

A key is of everything that a step depends on: the image before it, its words with all variables replaced, the
content of the files it copies, its build arguments. An image that is no longer there, or is not whole, is no
answer and is forgotten; the step is then done again.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Collection
from typing import Any

from insula.database import Database, Transaction
from insula.errors import InsulaError
from insula.image.record import Image
from insula.image.store import ImageStore

STEP = "build-step"
VERSION = 1
USED_AGE_NS = 60_000_000_000
"""How far behind what is written of a step's last use may be."""


def step_key(before: str, words: str, depends: Any) -> str:
    """before: the id of the image so far; depends: plain JSON of what else makes a difference."""
    whole = json.dumps([VERSION, before, words, depends], sort_keys=True)
    return hashlib.sha256(whole.encode(errors="surrogateescape")).hexdigest()


class StepCache:
    """Of one state root."""

    def __init__(self, database: Database, images: ImageStore) -> None:
        self._database = database
        self._images = images
        self.held: Counter[str] = Counter()
        """The images of builds that go on."""

    async def find(self, key: str) -> Image | None:
        record = await self._database.run(lambda t: t.find(STEP, key))
        if record is None:
            return None
        try:
            image = self._images.find(str(record["image"]))
        except InsulaError:
            image = None
        if image is None or not await self._images.steps.is_whole(image):
            await self._database.run(lambda t: t.delete(STEP, key))
            return None
        if time.time_ns() - int(record.get("used", 0)) > USED_AGE_NS:
            await self.put(key, image)
        return image

    async def put(self, key: str, image: Image) -> None:
        await self._database.run(lambda t: t.put(STEP, key, {"image": image.id, "used": time.time_ns()}))

    def chain(self, references: Collection[str], platform: str) -> frozenset[str]:
        """The ids of images and of all that they were built from; of those that are here."""
        known = {image.id: image for image in self._images.list(every=True)}
        found: set[str] = set()
        for reference in references:
            try:
                image: Image | None = self._images.find(reference, platform)
            except InsulaError:
                continue  # as Docker: a cache that is not there is none
            while image is not None and image.id not in found:
                found.add(image.id)
                image = known.get(image.parent)
        return frozenset(found)

    async def used(self) -> dict[str, int]:
        """The images that answer for a step, with the moment when they last did, Unix nanoseconds."""
        records = await self._database.run(lambda t: t.all(STEP))
        found: dict[str, int] = {}
        for record in records.values():
            id = str(record["image"])
            found[id] = max(found.get(id, 0), int(record.get("used", 0)))
        return found

    async def forget(self, *, every: bool) -> None:
        """What images that are gone have answered for; every: all there is."""
        left = {image.id for image in self._images.list(every=True)}

        def forget(transaction: Transaction) -> None:
            for key, record in transaction.all(STEP).items():
                if every or record["image"] not in left:
                    transaction.delete(STEP, key)

        await self._database.run(forget)

    def in_use(self) -> frozenset[str]:
        """The images that builds hold."""
        return frozenset(id for id, count in self.held.items() if count > 0)
