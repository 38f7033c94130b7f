"""How one probe of a health check goes, from its start to its result.

Its output is read to the end and kept up to a bound, so that a talkative probe neither blocks nor fills the memory.
One that hangs is killed at its timeout, as is one that nobody waits for any more; what goes wrong is a result, not an
error. A child that a probe leaves behind may hold its pipes: that is waited for only shortly, as with Docker.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from insula.agent.reports import ExitKind
from insula.agent.streams import Process
from insula.container.health import ProbeResult
from insula.errors import InsulaError

OUTPUT_MAX = 4096
START_SECONDS = 30.0  # for a wedged guest; a probe's own timeout counts from when it runs
DRAIN_SECONDS = 2.0
KILL_SECONDS = 10.0
UNKNOWN = -1


class ProbeOutput:
    """Both streams, in the order of arrival, up to OUTPUT_MAX bytes."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._cut = False

    def take(self, data: bytes) -> None:
        room = OUTPUT_MAX - len(self._kept)
        self._kept += data[:room]
        self._cut = self._cut or len(data) > room

    @property
    def text(self) -> str:
        """What is no UTF-8 is replaced; where more was said, three dots follow."""
        return self._kept.decode(errors="replace") + ("..." if self._cut else "")

    async def read(self, process: Process) -> None:
        """Until the streams end, or the session does."""
        with suppress(InsulaError):
            async for chunk in process:
                self.take(chunk.data)
                process.acknowledge(chunk.stream, chunk.offset + len(chunk.data))


@dataclass(frozen=True, slots=True)
class ProbeEnd:
    """How a probe that was started ended. exit_code: of its process, None if it was not seen to end."""

    exit_code: int | None
    result: ProbeResult


async def watch_probe(
    process: Process,
    kill: Callable[[], Awaitable[None]],
    timeout_ns: int,
    start_ns: int,
    given_up: asyncio.Event,
) -> ProbeEnd:
    """Returns when the probe has ended, or its guest with it. given_up: nobody waits for the result."""
    output = ProbeOutput()
    reading = asyncio.create_task(output.read(process))
    ending = asyncio.create_task(_exit_code(process))
    unwanted = asyncio.create_task(given_up.wait())
    try:
        await asyncio.wait((ending, unwanted), timeout=timeout_ns / 1e9, return_when=asyncio.FIRST_COMPLETED)
        in_time = ending.done()
        if not in_time:
            with suppress(InsulaError, TimeoutError):
                async with asyncio.timeout(KILL_SECONDS):
                    await kill()
            await asyncio.wait((ending,), timeout=KILL_SECONDS)
        await asyncio.wait((reading,), timeout=DRAIN_SECONDS if in_time else 0)
        code, reason = ending.result() if ending.done() else (None, "")
        if not in_time:
            said = f": {output.text}" if output.text else ""
            text = f"Health check exceeded timeout ({format_duration(timeout_ns)}){said}"
            return ProbeEnd(code, ProbeResult(start_ns, time.time_ns(), UNKNOWN, text))
        shown = UNKNOWN if code is None else code
        return ProbeEnd(code, ProbeResult(start_ns, time.time_ns(), shown, reason or output.text))
    finally:
        for task in (reading, ending, unwanted):
            task.cancel()
        await asyncio.gather(reading, ending, unwanted, return_exceptions=True)


async def _exit_code(process: Process) -> tuple[int | None, str]:
    """The exit code, or None and why there is none."""
    try:
        exit = await process.exit()
    except InsulaError as error:
        return None, str(error)
    return exit.value if exit.kind is ExitKind.EXITED else 128 + exit.value, ""


def failed(start_ns: int, reason: str) -> ProbeResult:
    """Of a probe that could not be run."""
    return ProbeResult(start_ns, time.time_ns(), UNKNOWN, reason)


def format_duration(nanoseconds: int) -> str:
    """As Go writes one: `1.5s`, `500ms`, `2m0s`, `1h0m0s`."""
    if nanoseconds < 10**9:
        return f"{_decimal(nanoseconds, 10**6)}ms"
    hours, rest = divmod(nanoseconds, 3600 * 10**9)
    minutes, rest = divmod(rest, 60 * 10**9)
    text = f"{hours}h" if hours else ""
    text += f"{minutes}m" if hours or minutes else ""
    return f"{text}{_decimal(rest, 10**9)}s"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = str(rest).zfill(len(str(unit)) - 1).rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
