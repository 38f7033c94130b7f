"""A new volume gets what the image has where it is mounted, as in Docker: owners, modes and all.

The guest reads its own root, with nothing mounted over it, and writes what comes into the place with the volume over
it, and nothing else; the bytes pass through here unread. It happens before the container's program, in its machine.
"""

import asyncio
import errno
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace

from insula.agent.boot_document import BootDocument
from insula.agent.session import Session
from insula.agent.streams import Process
from insula.agent.tree import Kind, ReadFlag, WriteFlag
from insula.container.mounting import Placed, is_unfilled
from insula.container.path_stat import below_root
from insula.container.trees import TreeFailure, check_exit, output_of, said_by, send, stat, tree_process
from insula.container.visit import Visit
from insula.volume.volumes import Volumes


async def fill_volumes(
    session: Session, files: BootDocument, placed: Sequence[Placed], volumes: Volumes
) -> None:
    """session: an idle guest, and idle afterwards; files: what opens the container's files in it. Raises InsulaError;
    what was copied stays."""
    for item in placed:
        if item.fills:
            async with volumes.filling(item.point.name):
                if await asyncio.to_thread(is_unfilled, volumes.find(item.point.name)):
                    await _fill(session, replace(files, mounts=(item.mount,)), below_root(item.point.target))


async def _fill(session: Session, files: BootDocument, path: str) -> None:
    number = secrets.randbelow(2**32 - 1) + 1
    document = replace(files, number=number, clock_ns=time.time_ns(), entropy=os.urandom(256))
    await session.open_files(document)
    visit = Visit(session)
    if await _is_folder(visit, path):
        await _copy(visit, path)
    await session.stop()


async def _is_folder(visit: Visit, path: str) -> bool:
    """Whether the image has anything to copy."""
    try:
        return (await stat(visit, path, ReadFlag.ROOT | ReadFlag.FOLLOW)).kind is Kind.DIRECTORY
    except TreeFailure as error:
        if error.number in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return False
        raise


async def _copy(visit: Visit, path: str) -> None:
    async def write(session: Session, number: int) -> Process:
        return await session.tree_write(number, path, WriteFlag(0), "")

    async def read(session: Session, number: int) -> Process:
        return await session.tree_read(number, path, ReadFlag.ROOT | ReadFlag.FOLLOW)

    async with AsyncExitStack() as held:
        source = await held.enter_async_context(tree_process(visit, read))
        target = await held.enter_async_context(tree_process(visit, write))
        output = await held.enter_async_context(aclosing(output_of(visit, source)))  # type: ignore[type-var]
        async for piece in output:
            await send(visit, target, piece)
        await target.end_input()
        await check_exit(target, await said_by(visit, target))
