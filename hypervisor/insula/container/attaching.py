"""Block volumes' disks: each is in one container's machine at a time, whether that runs or its files are looked at.

Held from before the machine is asked for until it is gone, so that no two machines ever have one disk.
"""

import asyncio
import logging
from contextlib import AsyncExitStack, suppress

from insula.container.mounting import is_block
from insula.container.parts import Parts
from insula.container.record import Record
from insula.errors import Conflict, InsulaError, NotFound
from insula.guest.guest import Guest

SYNC_SECONDS = 20.0
GONE_SECONDS = 10.0

log = logging.getLogger(__name__)


async def hold_disks(parts: Parts, record: Record, held: AsyncExitStack) -> None:
    """For a container that is to get its machine. Raises Conflict, with the other's name, NotFound, Unavailable."""
    for point in record.mounts:
        if is_block(point, parts.volumes):
            await _until_free(parts, point.name, record.id)
            held.enter_context(parts.volumes.held(point.name, record.id))


async def mark_disks(parts: Parts, record: Record) -> None:
    """From now on they are nobody's to fill. Raises Unavailable."""
    for point in record.mounts:
        if is_block(point, parts.volumes):
            await parts.volumes.mark_used(parts.volumes.find(point.name))


async def _until_free(parts: Parts, name: str, id: str) -> None:
    """A machine that only stands by for the files of a container that does not run makes way; that of one whose
    removal is over is about to be gone."""
    holder = parts.volumes.holder(name)
    if holder in ("", id):
        return
    shown, ends = holder[:12], True
    try:
        other = parts.registry.find(holder)
        shown, ends = other.record.name, not other.is_live
        if ends:
            await other.file_guest.end()
    except NotFound:
        pass  # it is being created, or has been removed
    if ends:
        with suppress(TimeoutError):
            async with asyncio.timeout(GONE_SECONDS):
                await parts.volumes.until_let_go(name)
    if parts.volumes.holder(name) not in ("", id):
        raise Conflict(
            f"volume {name} is attached to container {shown}: a block volume is in one container at a time",
            f"stop {shown} first, or use a volume without type=block",
        )


async def let_go_of_disks(guest: Guest, id: str) -> None:
    """Before a machine is killed that has any: whatever runs in its guest has ended, and the disks hold everything
    that was written. What takes too long or fails is told in the log."""
    if guest.session.failure is not None or not any(
        name.startswith("block") for name in guest.record.get("disks", ())
    ):
        return
    try:
        async with asyncio.timeout(SYNC_SECONDS):
            await guest.resume()  # it may be paused
            await guest.session.stop()
    except (InsulaError, TimeoutError) as error:
        log.warning("container %s: its block volumes may not be synced: %s", id[:12], error)
