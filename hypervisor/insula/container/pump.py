"""From a process to its followers and its log. Only what is kept is acknowledged to the guest.

One pump reads one process. Without a log, output is kept when every follower has room for more: the program
then waits for the slowest, as with Docker.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from insula.agent.streams import Process
from insula.container.output import Output
from insula.errors import InsulaError, Unavailable

RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


async def pump(process: Process, output: Output) -> None:
    """Until the streams have ended and all is kept. Raises the session's failure if it is lost before; what
    had come is then kept too."""
    try:
        async for chunk in process:
            output.publish(chunk.stream, chunk.data)
            await output.has_room()
            if output.log is None:
                process.acknowledge(chunk.stream, chunk.offset + len(chunk.data))
            else:
                await _keep(output, partial(output.log.write, [(chunk.stream, chunk.data)]))
                _acknowledge(process, output)
    except InsulaError:
        await _flush(output)
        raise
    await _flush(output)
    _acknowledge(process, output)


async def _flush(output: Output) -> None:
    if output.log is not None:
        if output.log.holds:
            await _keep(output, output.log.flush)
        output.log.close()


def _acknowledge(process: Process, output: Output) -> None:
    if output.log is not None:
        for stream in (1,) if process.tty else (1, 2):
            process.acknowledge(stream, output.log.ends[stream - 1] - output.base[stream - 1])


async def _keep(output: Output, write: Callable[[], None]) -> None:
    """Writes to the log, whatever it takes: while the disk is full the program waits."""
    told = False
    while True:
        task = asyncio.ensure_future(asyncio.to_thread(write))
        try:
            await asyncio.shield(task)
            break
        except asyncio.CancelledError:
            await asyncio.wait((task,))  # two threads must never write one log
            raise
        except Unavailable as error:
            if not told:
                log.error("%s; its container waits", error)
                told = True
            await asyncio.sleep(RETRY_SECONDS)  # for space on the disk
    output.on_logged()
