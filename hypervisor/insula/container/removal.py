"""How a container is removed: files first, the record last; what a daemon dies in, the next one finishes.

Only what does not run is removed; whoever wants more ends the run first (lifecycle.py).
"""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from insula.container.file_guest import FileGuest
from insula.container.output import Output
from insula.container.record import CONTAINER, EXEC
from insula.container.standing import Standing
from insula.container.state import Move, Status
from insula.errors import InsulaError, Internal

log = logging.getLogger(__name__)


class Removal:
    """One container's. exec_ids: of every exec that may have a record."""

    def __init__(
        self,
        standing: Standing,
        output: Output,
        exec_ids: Callable[[], Iterable[str]],
        file_guest: FileGuest,
    ) -> None:
        self.done = False
        self.takes_volumes = standing.record.spec.auto_remove
        """Whether its anonymous volumes go with it."""
        self.task: asyncio.Task[None] | None = None
        self._standing = standing
        self._output = output
        self._exec_ids = exec_ids
        self._file_guest = file_guest

    async def ask(self, *, join: bool) -> None:
        """Removes it. join: a removal under way is waited for instead of being a conflict. Raises Conflict, and
        Internal if it fails."""
        if self.task is None or self.task.done():
            self._standing.move(Move.REMOVE)
            self.task = asyncio.create_task(self._do_recorded())
        elif not join:
            self._standing.check(Move.REMOVE)
        await asyncio.shield(self.task)

    def at_end(self) -> Awaitable[None]:
        """With --rm: nothing is recorded first, for the record still says that it runs. The call itself makes the
        move, before whoever waited for the end can start it again; what it gives is awaited. A failure is logged."""
        self._standing.move(Move.REMOVE)
        return self.finish()

    async def finish(self) -> None:
        """Of what says that it is being removed, an earlier daemon's too. A failure is logged."""
        with suppress(InsulaError):
            await self._do()

    async def _do_recorded(self) -> None:
        standing = self._standing
        await standing.save(standing.record.with_status(Status.REMOVING, standing.record.exit))
        await self._do()

    async def _do(self) -> None:
        standing = self._standing
        await self._file_guest.end()
        try:
            await asyncio.to_thread(_remove_tree, standing.parts.paths.container(standing.id))
            await standing.parts.database.run(lambda t: self._delete_records(t.delete))
        except (InsulaError, OSError) as error:
            standing.move(Move.KEEP)
            log.error("container %s cannot be removed: %s", standing.id[:12], error)
            exit = replace(standing.record.exit, error=f"it cannot be removed: {error}")
            standing.waiting.on_kept(exit)
            raise Internal(f"container {standing.id[:12]} cannot be removed: {error}") from error
        self.done = True
        standing.parts.registry.forget(standing.record)
        if self.takes_volumes:
            await standing.parts.volumes.release(
                point.name for point in standing.record.mounts if point.anonymous
            )
        standing.wake()
        self._output.end()
        standing.publish("destroy")
        standing.waiting.on_removed(standing.record.exit)

    def _delete_records(self, delete: Callable[[str, str], None]) -> None:
        delete(CONTAINER, self._standing.id)
        for id in self._exec_ids():
            delete(EXEC, id)


def _remove_tree(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
