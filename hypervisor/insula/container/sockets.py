"""Sockets of the host's that a container has mounted: its agent listens in their place (docs/protocol.md §2), and
each connection is carried here to the real one, looked at anew each time: what listens may be another one by now.

What the container may do there is what whoever listens lets the daemon's user do: the daemon connects.
"""

import asyncio
import logging
import os
import socket
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from insula.agent.session import Session
from insula.agent.streams import Process
from insula.container.trees import end_process
from insula.errors import InsulaError, Unavailable
from insula.volume.source import open_unlinked

CONNECT_SECONDS = 30.0
PIECE = 1 << 15

log = logging.getLogger(__name__)


async def carry_sockets(session: Session, sources: Mapping[int, Path]) -> None:
    """For as long as the session lasts. sources: the host's sockets, by their mounts' places in the boot document."""
    async with asyncio.TaskGroup() as group:
        with suppress(InsulaError):
            while True:
                mount, process = await session.connection()
                group.create_task(_carry(session, process, sources.get(mount)))


async def _carry(session: Session, process: Process, source: Path | None) -> None:
    """One connection, from its beginning to its end. Raises nothing."""
    try:
        if source is None:
            raise Unavailable("it is of no mount")
        reader, writer = await _connect(source)
        try:
            await _join(process, reader, writer)
        finally:
            writer.close()
    except (InsulaError, OSError, TimeoutError) as error:
        log.info("a connection to %s: %s", source, error)
    finally:
        await asyncio.shield(end_process(session, process))


async def _connect(source: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """By a descriptor: what was looked at is what is connected to, however long its path is. No link is followed: the
    folder may be another mount of the same guest. Raises OSError, TimeoutError, Unavailable."""
    found = await asyncio.to_thread(open_unlinked, source)
    try:
        if not stat.S_ISSOCK(os.fstat(found).st_mode):
            raise Unavailable("it is no socket any more")
        async with asyncio.timeout(CONNECT_SECONDS):
            return await asyncio.open_unix_connection(f"/proc/self/fd/{found}")
    finally:
        os.close(found)


async def _join(process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Both directions, each to its own end. Once the container has closed all of it nothing is waited for."""
    down = asyncio.create_task(_take_down(process, reader))
    up = asyncio.create_task(_take_up(process, writer))
    ended = asyncio.create_task(process.exit())
    try:
        waiting = {down, up, ended}
        while waiting and not ended.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        await up
    finally:
        for task in (down, up, ended):
            task.cancel()
        await asyncio.gather(down, up, ended, return_exceptions=True)


async def _take_down(process: Process, reader: asyncio.StreamReader) -> None:
    while data := await reader.read(PIECE):
        await process.write(data)
    await process.end_input()


async def _take_up(process: Process, writer: asyncio.StreamWriter) -> None:
    async for chunk in process:
        writer.write(chunk.data)
        await writer.drain()
        process.acknowledge(chunk.stream, chunk.offset + len(chunk.data))
    with suppress(OSError):  # whoever listened has closed
        writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
