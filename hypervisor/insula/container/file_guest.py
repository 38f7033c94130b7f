"""A guest for the files of a container that does not run: its disks are mounted in it, and nothing of it is started.

Opened when it is first needed, shared by all who need it at the same time, and kept for a moment after the last of
them, since clients ask several things in a row. A start and a removal end it first: what was written is on the disk
then, and no two machines ever have the same disk. They wait for who is at it, but not for one that gets nowhere. A
start goes on with its machine, where that is such as the container has to have.
The record knows nothing of it: should the daemon die, the next one kills its machine as nobody's.
"""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

from insula.agent.session import Session
from insula.container.attaching import hold_disks, mark_disks
from insula.container.filling import fill_volumes
from insula.container.mounting import place_mounts
from insula.container.plan import make_files_plan
from insula.container.standing import Standing
from insula.container.visit import Visit
from insula.errors import Conflict, InsulaError, Unavailable
from insula.guest.guest import Guest
from insula.guest.request import GuestRequest

LINGER = 2.0
"""Seconds that it is kept for the next request."""
SYNC_SECONDS = 60.0
PATIENCE = 10.0
"""Seconds without a byte moved, after which a copy is broken off if a start or a removal waits for it."""

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Handed:
    """An idle guest with a container's disks and shares, as it was asked for. owned: ends it."""

    guest: Guest
    request: GuestRequest
    owned: AsyncExitStack


@dataclass(slots=True, eq=False)
class _Opening:
    """One guest, from its being asked for to its end."""

    ready: asyncio.Future[Session]
    visits: set[Visit] = field(default_factory=set)
    wanted: int = 0  # visits, and those who wait for one
    left: asyncio.Event = field(default_factory=asyncio.Event)  # somebody has gone, or it is to end
    ending: bool = False
    cut: bool = False  # visits are broken off
    discard: bool = False  # nothing of it matters any more
    wanted_on: bool = False  # a start takes its machine over
    handed: Handed | None = None
    task: asyncio.Task[None] | None = None


class FileGuest:
    """One container's. For the event loop's thread only."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._opening: _Opening | None = None
        self._fills = False

    async def fill(self) -> None:
        """New volumes get the image's files. To be called before anybody else knows of the container. Raises
        InsulaError."""
        self._fills = True
        try:
            async with self.visit():
                pass
        finally:
            self._fills = False

    async def over(self) -> bool:
        """Whether one was ending: it has ended when this returns, and the container's status may be another."""
        opening = self._opening
        if opening is None or opening.task is None or not opening.ending:
            return False
        await asyncio.wait((opening.task,))
        return True

    @asynccontextmanager
    async def visit(self) -> AsyncIterator[Visit]:
        """The caller has found that the container does not run and that none is ending, and has not waited since.
        Raises Unavailable for what the host lacks."""
        opening = self._opening or self._begin()
        opening.wanted += 1
        visit = None
        try:
            visit = Visit(await asyncio.shield(opening.ready))
            opening.visits.add(visit)
            yield visit
        finally:
            opening.wanted -= 1
            if visit is not None:
                opening.visits.discard(visit)
            opening.left.set()

    def _begin(self) -> _Opening:
        opening = self._opening = _Opening(asyncio.get_running_loop().create_future())
        opening.task = asyncio.create_task(self._own(opening), name=f"files of {self._standing.id[:12]}")
        return opening

    async def _own(self, opening: _Opening) -> None:
        """From its beginning to its end, whatever becomes of those who use it."""
        try:
            async with AsyncExitStack() as held:
                guest, request = await self._open(held)
                opening.ready.set_result(guest.session)
                await self._until_unwanted(opening, guest.session)
                opening.ending = True
                kept = not opening.discard and await self._sync(guest.session)
                if kept and opening.wanted_on and not opening.cut:
                    opening.handed = Handed(guest, request, held.pop_all())
        except (InsulaError, OSError, TimeoutError) as error:
            if opening.ready.done():
                log.warning("the files of container %s: %s", self._standing.id[:12], error)
            else:
                opening.ready.set_exception(error if isinstance(error, InsulaError) else _wrapped(error))
        finally:
            self._opening = None
            if not opening.ready.done():
                opening.ready.set_exception(Conflict("the container's files were let go of"))
            opening.ready.exception()  # whoever asked may have gone

    async def _open(self, held: AsyncExitStack) -> tuple[Guest, GuestRequest]:
        parts, record = self._standing.parts, self._standing.record
        rootfs = await held.enter_async_context(parts.images.open_rootfs(parts.images.find(record.image_id)))
        writable = await parts.writable.take(record.id, record.spec.storage_size)
        boot = secrets.randbelow(2**32 - 1) + 1
        await hold_disks(parts, record, held)
        placed = await place_mounts(record.spec, record.mounts, parts.volumes, filling=self._fills)
        plan = make_files_plan(record.spec, record.platform, (rootfs.layers, writable), boot, placed)
        guest = await held.enter_async_context(parts.guests.open(plan.request))
        await fill_volumes(guest.session, plan.document, placed, parts.volumes)
        await mark_disks(parts, record)
        document = replace(plan.document, clock_ns=time.time_ns(), entropy=os.urandom(256))
        await guest.session.open_files(document)
        guest.began()
        return guest, plan.request

    async def _until_unwanted(self, opening: _Opening, session: Session) -> None:
        lost = asyncio.create_task(session.lost.wait())
        try:
            while not (lost.done() or opening.cut or (opening.ending and not opening.wanted)):
                opening.left.clear()
                left = asyncio.create_task(opening.left.wait())
                idle = not opening.wanted
                done, _ = await asyncio.wait(
                    (left, lost), timeout=LINGER if idle else None, return_when=asyncio.FIRST_COMPLETED
                )
                left.cancel()
                if idle and not done and not opening.wanted:
                    return
        finally:
            lost.cancel()

    async def _sync(self, session: Session) -> bool:
        """What was written is on the disk, and the guest is idle; or it is said that it may not be."""
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                await session.stop()
        except (InsulaError, TimeoutError) as error:
            log.warning("container %s: its files may not be synced: %s", self._standing.id[:12], error)
            return False
        return True

    async def hand_over(self) -> Handed | None:
        """Returns when nobody is at the files: with the guest, if there was one, for the caller to end."""
        opening = self._opening
        if opening is None:
            return None
        opening.wanted_on = True
        try:
            await self.end()
        except BaseException:
            opening.wanted_on = False
            if opening.handed is not None:
                await asyncio.shield(opening.handed.owned.aclose())
            raise
        return opening.handed

    async def end(self, *, at_once: bool = False) -> None:
        """Returns when no guest has the container's disks. at_once: whoever is at them is broken off. Nothing new
        may begin meanwhile: the container's status sees to that."""
        opening = self._opening
        if opening is None or opening.task is None:
            return
        opening.ending = True
        opening.cut, opening.discard = opening.cut or at_once, opening.discard or at_once
        opening.left.set()
        if at_once and not opening.ready.done():
            opening.task.cancel()
        while not opening.task.done():
            before = sum(visit.moved for visit in opening.visits), len(opening.visits)
            await asyncio.wait((opening.task,), timeout=PATIENCE)
            after = sum(visit.moved for visit in opening.visits), len(opening.visits)
            if before == after and opening.visits:
                opening.cut = True
                opening.left.set()

    async def let_go(self) -> None:
        """The daemon ends: whoever is at it is broken off, what was written is synced, and the machine goes."""
        opening = self._opening
        if opening is not None and opening.task is not None:
            opening.cut = True
            if not opening.ready.done():
                opening.task.cancel()
        await self.end()


def _wrapped(error: Exception) -> Unavailable:
    return Unavailable(f"a machine for the container's files cannot be had: {error or repr(error)}")
