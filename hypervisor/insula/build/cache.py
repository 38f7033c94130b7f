"""Which steps have been done before: the key of a step → the image that it made.

A key is of everything that a step depends on: the image before it, its words with all variables replaced, the
content of the files it copies, its build arguments. An image that is no longer there, or is not whole, is no
answer and is forgotten; the step is then done again.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection
from typing import Any

from insula.container.containers import Containers
from insula.database import Database, Transaction
from insula.errors import Conflict, InsulaError, NotFound
from insula.image.record import Image
from insula.image.store import ImageStore

STEP = "build-step"
VERSION = 1


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
        return image

    async def put(self, key: str, image: Image) -> None:
        await self._database.run(lambda t: t.put(STEP, key, {"image": image.id}))

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

    async def prune(self, containers: Containers, *, every: bool) -> list[str]:
        """Removes the images of steps that no named image and no container needs, and forgets them; every: forgets
        the others too. The ids that are gone."""
        records = await self._database.run(lambda t: t.all(STEP))
        made = {str(record["image"]) for record in records.values()}
        gone: list[str] = []
        while leaves := self._leaves(made, self._in_use(containers)):
            before = len(gone)
            for id in leaves:
                try:
                    removed = await self._images.remove(id, in_use=self._in_use(containers))
                except (Conflict, NotFound):  # somebody uses it since, or it went as another one's parent
                    continue
                gone += [step.deleted for step in removed if step.deleted]
            if len(gone) == before:
                break
        left = {image.id for image in self._images.list(every=True)}
        forgotten = [key for key, record in records.items() if every or record["image"] not in left]

        def forget(transaction: Transaction) -> None:
            for key in forgotten:
                transaction.delete(STEP, key)

        await self._database.run(forget)
        return gone

    def in_use(self) -> frozenset[str]:
        """The images that builds hold."""
        return frozenset(id for id, count in self.held.items() if count > 0)

    def _in_use(self, containers: Containers) -> frozenset[str]:
        return containers.images_in_use() | self.in_use()

    def _leaves(self, made: set[str], in_use: frozenset[str]) -> list[str]:
        images = self._images.list(every=True)
        parents = {image.parent for image in images}
        return [
            image.id
            for image in images
            if image.id in made and not image.repo_tags and image.id not in parents and image.id not in in_use
        ]
