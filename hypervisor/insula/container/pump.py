"""From a process to its followers and its log. Only what is kept is acknowledged to the guest.

One pump reads one process. Without a log, output is kept when every follower has room for more: the program
then waits for the slowest, as with Docker.
"""

from insula.agent.streams import Process
from insula.container.log_file import LogFile
from insula.container.log_keeper import LogKeeper
from insula.container.output import Output
from insula.errors import InsulaError


async def pump(process: Process, output: Output) -> None:
    """Until the streams have ended and all is kept. Raises the session's failure if it is lost before; what
    had come is then kept too."""
    if output.log is not None:
        await _pump_to_log(process, output, output.log)
        return
    async for chunk in process:
        output.publish(chunk.stream, chunk.data)
        await output.has_room()
        process.acknowledge(chunk.stream, chunk.offset + len(chunk.data))


async def _pump_to_log(process: Process, output: Output, log: LogFile) -> None:
    lost: InsulaError | None = None
    async with LogKeeper(output, log) as keeper:
        try:
            async for chunk in process:
                output.publish(chunk.stream, chunk.data)
                await output.has_room()
                kept = await keeper.keep(chunk.stream, chunk.data)
                process.acknowledge(chunk.stream, kept - output.base[chunk.stream - 1])
        except InsulaError as error:
            lost = error
    if lost is not None:
        raise lost
    for stream in (1,) if process.tty else (1, 2):
        end = output.published if log.limits.buffer is not None else log.ends
        process.acknowledge(stream, end[stream - 1] - output.base[stream - 1])
