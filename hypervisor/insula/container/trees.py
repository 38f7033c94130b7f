"""File trees out of a container and into it: the agent's tree processes, from their start to their end.

Bytes are waited for with patience on the guest's side, and without a bound on the client's: a guest that stalls is
given up on, a client that is slow makes the guest wait. However a copy ends, its process in the guest does too.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress

from insula.agent.messages import STDOUT
from insula.agent.process_spec import PATH_MAX
from insula.agent.reports import ExitKind
from insula.agent.session import Session
from insula.agent.streams import Process
from insula.agent.tree import Entry, ReadFlag, TreeReader
from insula.container.visit import Visit
from insula.errors import InsulaError, Internal, Unavailable

STALL_SECONDS = 120.0
END_SECONDS = 10.0
SIGKILL = 9


class TreeFailure(Internal):
    """The guest could not read or write a tree. number: the errno; path: where, in the guest's own bytes."""

    def __init__(self, number: int, path: bytes) -> None:
        text = path.decode("utf-8", "backslashreplace")[:200]
        super().__init__(f"{text}: {os.strerror(number).lower() if 0 < number < 200 else f'error {number}'}")
        self.number = number
        self.path = path


@asynccontextmanager
async def tree_process(
    visit: Visit, start: Callable[[Session, int], Awaitable[Process]]
) -> AsyncIterator[Process]:
    """A tree's process, which has ended and been forgotten by the guest when the context is left."""
    session = visit.session
    starting = asyncio.ensure_future(start(session, session.new_number()))
    try:
        yield await asyncio.shield(starting)  # one that is broken off in the middle runs in the guest already
    finally:
        await until_done(asyncio.ensure_future(_finish(session, starting)))


async def until_done(task: asyncio.Task[None]) -> None:
    """Waits for it however often the caller is cancelled: it is bounded."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def _finish(session: Session, starting: asyncio.Future[Process]) -> None:
    """What cannot be ended in time ends with its session or its container."""
    with suppress(InsulaError, TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            await end_process(session, await starting)


async def end_process(session: Session, process: Process) -> None:
    """Kills a process that nobody reads any more and has the guest forget it. What it does not end in time ends with
    its session. Raises nothing but a cancellation."""
    with suppress(InsulaError, TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            if not process.ended:
                with suppress(InsulaError):  # it has ended meanwhile
                    await session.signal(process.number, SIGKILL)
            async for chunk in process:
                process.acknowledge(chunk.stream, chunk.offset + len(chunk.data))
            await process.exit()
            session.release(process.number)


async def output_of(visit: Visit, process: Process) -> AsyncIterator[bytes]:
    """What a tree's reader writes. A piece is acknowledged when the next one is asked for. Raises TreeFailure at the
    end of a tree that could not be read, Unavailable if the guest stalls or is gone."""
    said = b""
    while True:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                chunk = await anext(process)
        except StopAsyncIteration:
            break
        except TimeoutError as error:
            raise Unavailable(f"the guest has sent nothing of a tree for {STALL_SECONDS:g} s") from error
        visit.moved += len(chunk.data)
        if chunk.stream == STDOUT:
            yield chunk.data
        else:
            said = (said + chunk.data)[: PATH_MAX + 1]
        process.acknowledge(chunk.stream, chunk.offset + len(chunk.data))
    await check_exit(process, said)


async def check_exit(process: Process, said: bytes) -> None:
    """Raises TreeFailure unless it ended well. said: its stderr."""
    try:
        async with asyncio.timeout(STALL_SECONDS):
            exit = await process.exit()
    except TimeoutError as error:
        raise Unavailable(f"the guest has not ended a tree for {STALL_SECONDS:g} s") from error
    if exit.kind is not ExitKind.EXITED:
        raise Unavailable(f"the guest's tree process was killed by signal {exit.value}")
    if exit.value:
        raise TreeFailure(exit.value, said)


async def said_by(visit: Visit, process: Process) -> bytes:
    """What a tree's writer tells on its stderr, to its end."""
    said = b""
    async for chunk in process:
        said = (said + chunk.data)[: PATH_MAX + 1]
        process.acknowledge(chunk.stream, chunk.offset + len(chunk.data))
    return said


async def send(visit: Visit, process: Process, data: bytes) -> None:
    """Input of a tree's writer. Raises Unavailable if the guest stalls."""
    try:
        async with asyncio.timeout(STALL_SECONDS):
            await process.write(data)
    except TimeoutError as error:
        raise Unavailable(f"the guest has taken nothing of a tree for {STALL_SECONDS:g} s") from error
    visit.moved += len(data)


async def stat(visit: Visit, path: str, flags: ReadFlag) -> Entry:
    """What a path itself is. Raises TreeFailure."""
    every = flags | ReadFlag.ONLY_ITSELF
    async with tree_process(visit, lambda s, n: s.tree_read(n, path, every)) as process:
        async with aclosing(output_of(visit, process)) as output:  # type: ignore[type-var]  # a generator
            async for entry in TreeReader(output):
                return entry
    raise Internal("the guest tells nothing of what it was asked")
