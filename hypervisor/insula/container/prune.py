"""`container prune`: which stopped containers go, and what that gives back."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from insula.container.lifecycle import Container
from insula.container.state import Status
from insula.container.usage import folder_bytes
from insula.errors import InsulaError
from insula.paths import Paths

PRUNABLE = (Status.CREATED, Status.EXITED, Status.DEAD)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PruneFilter:
    """Which of the stopped ones. until_ns: made before this moment (Unix nanoseconds, 0 is any); labels: `key` or
    `key=value`, all of them; without: not if it has all of these."""

    until_ns: int = 0
    labels: Sequence[str] = ()
    without: Sequence[str] = ()

    def takes(self, container: Container) -> bool:
        record = container.record
        return container.status in PRUNABLE and self.takes_made(record.created_ns, record.settings.labels)

    def takes_made(self, created_ns: int, labels: Mapping[str, str]) -> bool:
        """Whether it may be of that age, with these labels; for whatever is pruned."""
        if self.until_ns and created_ns > self.until_ns:
            return False
        return _has_all(labels, self.labels) and not (self.without and _has_all(labels, self.without))


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went. reclaimed: bytes of the host's disk."""

    ids: tuple[str, ...]
    reclaimed: int


async def prune_containers(containers: Iterable[Container], filter: PruneFilter, paths: Paths) -> Pruned:
    """Removes one after the other; what cannot be removed (it has just been started, say) stays."""
    ids, reclaimed = [], 0
    for container in containers:
        if not filter.takes(container):
            continue
        size = await asyncio.to_thread(folder_bytes, paths.container(container.id))
        try:
            await container.remove(discard=False)
        except InsulaError as error:
            log.warning("container %s is not pruned: %s", container.id[:12], error)
            continue
        ids.append(container.id)
        reclaimed += size
    return Pruned(tuple(ids), reclaimed)


def _has_all(labels: Mapping[str, str], wanted: Sequence[str]) -> bool:
    for text in wanted:
        key, equals, value = text.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True
