"""How a run begins: brought up from nothing, or taken up from an earlier daemon's record.

Both acquire into the caller's AsyncExitStack and return the same; what fails in the middle is let go of there.
The record is saved once on the way up, with the guest's record in it, before the machine is told to boot: from
then on a later daemon finds the machine, and the machine says whether the boot was done.
"""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace

from insula.agent.session import GuestFailure
from insula.agent.streams import Process
from insula.container.attaching import hold_disks, mark_disks
from insula.container.failure import explain
from insula.container.file_guest import Handed
from insula.container.linking import find_linked
from insula.container.log_attributes import read_attributes
from insula.container.log_file import LogFile
from insula.container.mounting import note_sockets, place_mounts
from insula.container.networking import Joined
from insula.container.parts import Parts
from insula.container.plan import Choices, make_plan
from insula.container.record import Record
from insula.container.state import Status
from insula.errors import InsulaError, NotFound
from insula.guest.guest import Guest
from insula.guest.request import GuestRequest
from insula.thread import in_thread

logger = logging.getLogger(__name__)

Change = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Running:
    """The handles that exist only while it runs. joined: its place in networks; ends: where its streams stand in the
    log; base: what to add to the process's own offsets for the log's."""

    guest: Guest
    main: Process
    joined: Joined
    ends: tuple[int, int]
    base: tuple[int, int]


async def bring_up(
    parts: Parts,
    record: Record,
    log: LogFile | None,
    held: AsyncExitStack,
    change: Change,
    handed: Handed | None = None,
) -> Running:
    """A machine, booted into this container. change: saves fields of the record as it is then; handed: a guest that
    had its files, which is taken if it is as this one has to be. Raises InsulaError."""
    spec = record.spec
    if handed is not None:
        held.push_async_exit(handed.owned)
    rootfs = await held.enter_async_context(parts.images.open_rootfs(parts.images.find(record.image_id)))
    writable = await parts.writable.take(record.id, spec.storage_size)
    await hold_disks(parts, record, held)
    placed = await place_mounts(spec, record.mounts, parts.volumes)
    joined = await held.enter_async_context(Joined(parts.networks, record.id))
    joined.lease(spec, record.settings, record.name, find_linked(parts.registry, record))
    choices = Choices(
        boot=secrets.randbelow(2**32 - 1) + 1,
        main=1,
        entropy=os.urandom(256),
        leases=joined.leases,
        search=parts.networks.search,
        placed=placed,
        seccomp=await parts.filter(record.platform, spec),
    )
    plan = make_plan(spec, record.settings, record.platform, rootfs.layers, writable, choices)
    base = await open_log(record, log, held)
    try:
        guest = await _guest_for(plan.request, parts, held, handed)
    except InsulaError as error:
        await _keep_failure(parts, record, error, error.detail)
        raise
    await joined.join(guest, spec.domainname)
    note_sockets(guest.record, placed)
    await mark_disks(parts, record)
    await change(
        status=Status.STARTING, guest=guest.record, boot=choices.boot, main=choices.main, log_base=base,
        leases=joined.leases,
    )  # fmt: skip
    try:
        main = await guest.session.boot(replace(plan.document, clock_ns=time.time_ns()))
    except InsulaError as error:
        if not (isinstance(error, GuestFailure) and explain(error, ("-",), "").error is not error):
            await _keep_failure(parts, record, error, await guest.log())
        raise
    return Running(guest, main, joined, base, base)


async def _guest_for(
    request: GuestRequest, parts: Parts, held: AsyncExitStack, handed: Handed | None
) -> Guest:
    """Raises InsulaError."""
    if handed is not None and handed.request == request and handed.guest.session.failure is None:
        held.push_async_exit(handed.owned.pop_all())
        return handed.guest
    if handed is not None:
        await handed.owned.aclose()  # no two machines have one disk
    return await held.enter_async_context(parts.guests.open(request))


async def open_log(record: Record, log: LogFile | None, held: AsyncExitStack) -> tuple[int, int]:
    """Where the streams stand in the log, which is there from now on. Raises Unavailable, InvalidArgument."""
    if log is None:
        return (0, 0)
    attributes = await read_attributes(record)
    held.callback(log.close)  # a start that fails has nobody else who would
    return await in_thread(log.open, attributes)


async def reopen_log(record: Record, log: LogFile | None, held: AsyncExitStack) -> tuple[int, int]:
    """The same for a run that is under way, which does without its attributes if they cannot be had."""
    if log is None:
        return (0, 0)
    try:
        attributes = await read_attributes(record)
    except InsulaError as error:
        logger.warning("container %s: its log goes on without attributes: %s", record.id[:12], error)
        attributes = {}
    held.callback(log.close)
    return await in_thread(log.open, attributes)


async def _keep_failure(parts: Parts, record: Record, error: InsulaError, evidence: str) -> None:
    """Keeps what a failed start can be judged by, where the fault is not the program's."""
    path = parts.paths.failed_start(record.id)
    with suppress(OSError):
        await asyncio.to_thread(path.write_text, f"{error}\n\n{evidence}", errors="replace")
        error.hint = f"{error.hint}; see {path}" if error.hint else f"see {path}"


async def adopt_guest(parts: Parts, record: Record, held: AsyncExitStack) -> Guest:
    """The machine of the record; it may be paused. Raises NotFound if it is gone."""
    if record.guest is None:
        raise NotFound("it had none")
    await hold_disks(parts, record, held)
    return await held.enter_async_context(parts.guests.adopt(record.guest))


async def rejoin(parts: Parts, record: Record, guest: Guest, held: AsyncExitStack) -> Joined:
    """The networks of an adopted guest, held again. Raises Unavailable."""
    joined = await held.enter_async_context(Joined(parts.networks, record.id))
    await joined.adopt(record.leases, guest, record.spec.domainname)
    return joined


async def take_up(
    guest: Guest, joined: Joined, record: Record, log: LogFile | None, held: AsyncExitStack
) -> Running:
    """The main process of an adopted guest that is not paused, resumed where the log ends.

    Raises NotFound if it does not answer, or never booted this container."""
    await guest.greet()
    session = guest.session
    state = next((item for item in session.welcome.processes if item.process == record.main), None)
    booted = session.welcome.booted and session.welcome.boot_number == record.boot
    if state is None or not (booted or state.ended):
        raise NotFound("it does not run this container")
    with suppress(GuestFailure):  # it has ended, then
        await session.thaw()  # an earlier daemon may have died while a commit had it stand still
    ends = await reopen_log(record, log, held)
    # Should the log have lost its end, what the guest still has follows it without a gap in the numbers.
    stdout = min(max(ends[0] - record.log_base[0], state.stdout_acknowledged), state.stdout_end)
    stderr = min(max(ends[1] - record.log_base[1], state.stderr_acknowledged), state.stderr_end)
    main = session.resume(record.main, stdout, stderr)
    return Running(guest, main, joined, ends, (ends[0] - stdout, ends[1] - stderr))
