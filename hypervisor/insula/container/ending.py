"""How a run ends: the main process's exit with all its output kept, or its machine's death.

A dead machine is an exit too. Whatever is waited for here is bounded, but for the one thing that must not be
hurried: output on its way to a log.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from insula.agent.reports import ExitKind
from insula.container.beginning import Running
from insula.container.output import Output
from insula.container.post_mortem import KILLED, Death, examine
from insula.container.pump import pump
from insula.container.record import Record
from insula.container.standing import Standing
from insula.container.state import ExitState
from insula.errors import InsulaError

PATIENCE = 10.0  # for what a dead machine said last to be kept, and for a client that does not read
DISCARD_PATIENCE = 0.5  # the same, for what is removed by force
GONE_PATIENCE = 1.0
RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """exit: how it ended (when it started is not known here); report: what there is to keep of a machine's death."""

    exit: ExitState
    report: str = ""


async def until_ended(
    running: Running, output: Output, *, is_discarded: Callable[[], bool], is_paused: Callable[[], bool]
) -> Ended:
    """The end of a run: its program's, or its machine's."""
    ended = asyncio.create_task(_main_ended(running, output, is_paused))
    gone = asyncio.create_task(running.guest.gone())
    try:
        await asyncio.wait((ended, gone), return_when=asyncio.FIRST_COMPLETED)
        if ended.done() and ended.exception() is None:
            return Ended(ended.result())
        if not gone.done():  # QEMU's death is seen by its session first
            await asyncio.wait((gone,), timeout=GONE_PATIENCE)
        if is_discarded():
            death = Death(KILLED, "it was removed by force")
        elif gone.done():
            death = await examine(running.guest, gone.result())
        else:
            reason = f"the session with its guest was lost: {ended.exception()}"
            death = Death(KILLED, reason, report=await running.guest.log())
        if not ended.done():
            running.guest.kill()  # one that only stopped keeps its session open
            # what it said last is still on its way to the log
            await asyncio.wait((ended,), timeout=DISCARD_PATIENCE if is_discarded() else PATIENCE)
        if ended.done() and ended.exception() is None:
            return Ended(ended.result())
        exit = ExitState(death.exit_code, death.reason, death.oom_killed, 0, time.time_ns(), by_machine=True)
        return Ended(exit, death.report)
    finally:
        for task in (ended, gone):
            task.cancel()
        await asyncio.gather(ended, gone, return_exceptions=True)


async def _main_ended(running: Running, output: Output, is_paused: Callable[[], bool]) -> ExitState:
    pumping = asyncio.create_task(pump(running.main, output))
    try:
        exit = await running.main.exit()
        finished_ns = time.time_ns()
        if is_paused():  # it ended as it was paused: what it said last comes only from a guest that goes on
            with suppress(InsulaError):  # a machine's death is seen by others
                await running.guest.resume()
        while output.log is None and not pumping.done():  # nothing is kept: a stuck client must not hold it
            before = output.taken
            await asyncio.wait((pumping,), timeout=PATIENCE)
            if output.taken == before:
                break
        else:
            await pumping
    finally:
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)
    code = exit.value if exit.kind is ExitKind.EXITED else 128 + exit.value
    return ExitState(code, "", exit.oom, finished_ns=finished_ns)


async def sync(running: Running, id: str) -> None:
    """The guest lets go of the container's file systems, all of them on the disk. What fails is told in the log: the
    exit stands."""
    try:
        await running.guest.session.stop()
    except InsulaError as error:
        log.warning("container %s: its writable layer may not be synced: %s", id[:12], error)


async def save_exit(standing: Standing, record: Record) -> None:
    """The exit must be recorded before the guest forgets it: without space, again and again."""
    while True:
        try:
            await standing.save(record)
            return
        except InsulaError as error:
            log.error("container %s: its exit cannot be recorded yet: %s", record.id[:12], error)
            await asyncio.sleep(RETRY_SECONDS)  # the host's disk is full, say: time is what it takes


async def keep_report(path: Path, reason: str, report: str) -> None:
    """Keeps what a machine's death can be judged by. What cannot be kept changes nothing of the exit."""
    try:
        await asyncio.to_thread(path.write_text, f"{reason}\n\n{report}", errors="replace")
    except OSError as error:
        log.warning("%s cannot be kept: %s", path, error.strerror)
