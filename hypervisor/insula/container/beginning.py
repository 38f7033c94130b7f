"""How a run begins: brought up from nothing, or taken up from an earlier daemon's record.

Both acquire into the caller's AsyncExitStack and return the same; what fails in the middle is let go of there.
The record is saved once on the way up, with the guest's record in it, before the machine is told to boot: from
then on a later daemon finds the machine, and the machine says whether the boot was done.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace

from insula.agent.session import GuestFailure
from insula.agent.streams import Process
from insula.container.failure import explain
from insula.container.log_file import LogFile
from insula.container.parts import Parts
from insula.container.plan import Choices, capabilities_of, make_plan
from insula.container.record import Record
from insula.container.state import Status
from insula.errors import InsulaError, NotFound
from insula.guest.guest import Guest

Save = Callable[[Record], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Running:
    """The handles that exist only while it runs. ends: where its streams stand in the log; base: what to add to
    the process's own offsets for the log's."""

    guest: Guest
    main: Process
    ends: tuple[int, int]
    base: tuple[int, int]


async def bring_up(
    parts: Parts, record: Record, log: LogFile | None, held: AsyncExitStack, save: Save
) -> Running:
    """A machine, booted into this container. Raises InsulaError."""
    spec = record.spec
    rootfs = await held.enter_async_context(parts.images.open_rootfs(parts.images.find(record.image_id)))
    writable = await parts.writable.take(record.id)
    choices = Choices(
        boot=secrets.randbelow(2**32 - 1) + 1,
        main=1,
        entropy=os.urandom(256),
        seccomp=await parts.filter(record.platform, capabilities_of(spec.privileged), spec.privileged),
    )
    plan = make_plan(spec, record.settings, record.platform, rootfs.layers, writable, choices)
    base = (0, 0)
    if record.boot and log is not None:  # it has run before
        base = await asyncio.to_thread(log.recover)
    guest = await held.enter_async_context(parts.guests.open(plan.request))
    await save(
        replace(
            record, status=Status.STARTING, guest=guest.record, boot=choices.boot, main=choices.main,
            log_base=base,
        )
    )  # fmt: skip
    try:
        main = await guest.session.boot(replace(plan.document, clock_ns=time.time_ns()))
    except InsulaError as error:
        await _keep_failure(parts, record, guest, error)
        raise
    return Running(guest, main, base, base)


async def _keep_failure(parts: Parts, record: Record, guest: Guest, error: InsulaError) -> None:
    """Keeps what a failed start can be judged by, where the fault is not the program's."""
    if isinstance(error, GuestFailure) and explain(error, ("-",), "").error is not error:
        return
    path = parts.paths.failed_start(record.id)
    text = f"{error}\n\n{await guest.log()}"
    with suppress(OSError):
        await asyncio.to_thread(path.write_text, text, errors="replace")
        error.hint = error.hint or f"see {path}"


async def take_up(parts: Parts, record: Record, log: LogFile | None, held: AsyncExitStack) -> Running:
    """The machine of the record, its main process resumed where the log ends.

    Raises NotFound if the machine is gone, or never booted this container."""
    if record.guest is None:
        raise NotFound("it had none")
    guest = await held.enter_async_context(parts.guests.adopt(record.guest))
    session = guest.session
    state = next((item for item in session.welcome.processes if item.process == record.main), None)
    booted = session.welcome.booted and session.welcome.boot_number == record.boot
    if state is None or not (booted or state.ended):
        raise NotFound("it does not run this container")
    ends = (0, 0) if log is None else await asyncio.to_thread(log.recover)
    # Should the log have lost its end, what the guest still has follows it without a gap in the numbers.
    stdout = min(max(ends[0] - record.log_base[0], state.stdout_acknowledged), state.stdout_end)
    stderr = min(max(ends[1] - record.log_base[1], state.stderr_acknowledged), state.stderr_end)
    main = session.resume(record.main, stdout, stderr)
    return Running(guest, main, ends, (ends[0] - stdout, ends[1] - stderr))
