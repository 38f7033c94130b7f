"""`docker wait`: who waits for what of one container."""

import asyncio
from enum import StrEnum

from insula.container.state import ExitState


class WaitCondition(StrEnum):
    NOT_RUNNING = "not-running"
    NEXT_EXIT = "next-exit"
    REMOVED = "removed"


class Waiting:
    """Futures that are set by an exit or a removal."""

    def __init__(self) -> None:
        self._futures: list[tuple[WaitCondition, asyncio.Future[ExitState]]] = []

    def register(self, condition: WaitCondition) -> asyncio.Future[ExitState]:
        future: asyncio.Future[ExitState] = asyncio.get_running_loop().create_future()
        self._futures = [item for item in self._futures if not item[1].done()]
        self._futures.append((condition, future))
        return future

    def on_exit(self, exit: ExitState) -> None:
        self._set(exit, WaitCondition.NEXT_EXIT, WaitCondition.NOT_RUNNING)

    def on_removed(self, exit: ExitState) -> None:
        self._set(exit, *WaitCondition)

    def on_kept(self, exit: ExitState) -> None:
        """A removal has failed; the exit says why."""
        self._set(exit, WaitCondition.REMOVED)

    def _set(self, exit: ExitState, *conditions: WaitCondition) -> None:
        for condition, future in self._futures:
            if condition in conditions and not future.done():
                future.set_result(exit)
