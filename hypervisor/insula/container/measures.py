"""What runs in containers and what they use: asked of their guests, when somebody looks."""

from collections.abc import AsyncIterable, Iterator
from contextlib import contextmanager

from insula.agent.process_table import ProcessTable
from insula.container.lifecycle import Container
from insula.container.registry import Registry
from insula.container.state import Move
from insula.container.stats import Sample
from insula.container.waiting import WaitCondition


class Measures:
    """Of all containers. References are as everywhere; each method raises NotFound."""

    def __init__(self, registry: Registry[Container]) -> None:
        self._registry = registry

    async def processes(self, reference: str) -> ProcessTable:
        """Raises Conflict if it does not run, or is paused."""
        container = self._registry.find(reference)
        table = await container.handles(Move.TOP).guest.session.processes()
        container.publish("top")
        return table

    async def usage(self, reference: str) -> Sample:
        """What it uses now; an empty sample if it does not run."""
        return await self._registry.find(reference).stats.take()

    @contextmanager
    def follow_usage(self, reference: str) -> Iterator[AsyncIterable[Sample]]:
        """A sample every second, until the container is removed; a slow reader misses some."""
        container = self._registry.find(reference)
        place = container.stats.follow(container.waiting.register(WaitCondition.REMOVED))
        try:
            yield place
        finally:
            place.close()
