"""Pause and unpause: a machine's processors stand still, and go on with their clock set right.

One change at a time (`settled` waits for it). The machine is changed first and the record after it: should the
daemon die in between, the next one asks the machine (lifecycle.py). A container that is adopted paused sleeps: its
agent answers nobody, so it has no session until it is woken.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from insula.container.health_watch import HealthWatch
from insula.container.holding import hold_to, what_lacks
from insula.container.spec import ContainerSpec
from insula.container.standing import Standing
from insula.container.state import Move, Status
from insula.errors import Conflict, InsulaError, NotFound
from insula.guest.guest import Guest

log = logging.getLogger(__name__)


class Pausing:
    """One container's. turn: done when the change under way is."""

    def __init__(self, standing: Standing, health: HealthWatch) -> None:
        self._health = health
        self.turn: asyncio.Future[None] | None = None
        self._standing = standing
        self._woken = asyncio.Event()
        self._spec: ContainerSpec | None = None  # what it was held to when it was paused
        self._sent: set[asyncio.Future[None]] = set()

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        self.turn = turn = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            turn.set_result(None)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """While a signal is on its way to the guest, which answers it only as long as it is not paused."""
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sent.add(answered)
        try:
            yield
        finally:
            self._sent.discard(answered)
            answered.set_result(None)

    async def signals_answered(self) -> bool:
        """Whether there were signals on their way; they have been answered when this returns."""
        if not self._sent:
            return False
        await asyncio.wait(self._sent)
        return True

    async def pause(self, guest: Guest) -> None:
        """Raises Conflict if it does not run, or ends meanwhile."""
        standing = self._standing
        standing.move(Move.PAUSE)
        with self._in_turn():
            try:
                await guest.pause()
            except InsulaError:
                if standing.status is Status.PAUSED:
                    standing.move(Move.UNPAUSE)
                raise
            if standing.status is not Status.PAUSED:
                raise Conflict(f"container {standing.id} is not running")
            self._health.end()
            self._spec = standing.record.spec
            await self._record(Status.PAUSED)
        standing.publish("pause")

    async def unpause(self, guest: Guest) -> None:
        """Returns when its clock is right again. Raises Conflict if it is not paused."""
        standing = self._standing
        standing.move(Move.UNPAUSE)
        with self._in_turn():
            try:
                await guest.resume()
            except InsulaError:
                if standing.status is Status.RUNNING:
                    standing.move(Move.PAUSE)
                raise
            try:
                await guest.set_clock()
            except InsulaError as error:
                log.warning("container %s: its clock may be behind: %s", standing.id[:12], error)
            if self._spec is not standing.record.spec:
                await self.hold(guest)
            if standing.status is Status.RUNNING:
                self._health.resume(guest.session)
                await self._record(Status.RUNNING)
                standing.publish("unpause")

    async def _record(self, status: Status) -> None:
        """What cannot be recorded has happened all the same."""
        try:
            await self._standing.change(status=status)
        except InsulaError as error:
            log.warning(
                "container %s: that it is %s is not recorded: %s", self._standing.id[:12], status, error
            )

    async def hold(self, guest: Guest) -> None:
        """It may have got other limits while it was paused."""
        spec = self._standing.record.spec
        try:
            if not what_lacks(guest, spec):
                await hold_to(guest, spec)
        except InsulaError as error:
            log.warning("container %s: it has its former limits: %s", self._standing.id[:12], error)

    async def sleep(self, guest: Guest) -> None:
        """Adopted paused: returns when it has been woken. Raises NotFound if its machine ends before."""
        standing = self._standing
        self._woken.clear()
        if standing.record.status is not Status.PAUSED:
            await self._record(Status.PAUSED)
        woken, gone = asyncio.create_task(self._woken.wait()), asyncio.create_task(guest.gone())
        try:
            await asyncio.wait((woken, gone), return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise NotFound(str(gone.result()))
        finally:
            for task in (woken, gone):
                task.cancel()
            await asyncio.gather(woken, gone, return_exceptions=True)

    async def wake(self, guest: Guest) -> None:
        """Of one that sleeps: its processors go on, and `sleep` returns."""
        with self._in_turn():
            await guest.resume()
        self._woken.set()
