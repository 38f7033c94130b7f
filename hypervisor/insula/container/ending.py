"""How a run ends: the main process's exit with all its output kept, or its machine's death.

A dead machine is an exit too. Whatever is waited for here is bounded, but for the one thing that must not be
hurried: output on its way to a log.
"""

import asyncio
import time
from collections.abc import Callable

from insula.agent.reports import ExitKind
from insula.container.beginning import Running
from insula.container.output import Output
from insula.container.pump import pump
from insula.container.state import ExitState

KILLED = 137
PATIENCE = 10.0  # for what a dead machine said last to be kept, and for a client that does not read
DISCARD_PATIENCE = 0.5  # the same, for what is removed by force
GONE_PATIENCE = 1.0  # a machine's death is seen by its session first


async def until_ended(running: Running, output: Output, is_discarded: Callable[[], bool]) -> ExitState:
    """How it ended; when it started is not known here."""
    ended = asyncio.create_task(_main_ended(running, output))
    gone = asyncio.create_task(running.guest.gone())
    try:
        await asyncio.wait((ended, gone), return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():  # what the dead machine said last is still on its way to the log
            await asyncio.wait((ended,), timeout=DISCARD_PATIENCE if is_discarded() else PATIENCE)
        if ended.done() and ended.exception() is None:
            return ended.result()
        await asyncio.wait((gone,), timeout=GONE_PATIENCE)
        if gone.done():
            reason = f"the machine is gone: {gone.result()}"
        else:
            reason = f"the session with its guest was lost: {ended.exception()}"
        return ExitState(KILLED, reason, finished_ns=time.time_ns())
    finally:
        for task in (ended, gone):
            task.cancel()
        await asyncio.gather(ended, gone, return_exceptions=True)


async def _main_ended(running: Running, output: Output) -> ExitState:
    pumping = asyncio.create_task(pump(running.main, output))
    try:
        exit = await running.main.exit()
        finished_ns = time.time_ns()
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
