"""A container's files, for the API: what a path is, archives out of it and into it, what has changed, all of it.

A container that runs has its own guest walk its files, from its root and through its mounts. For one that does
not, a guest is opened for its files (file_guest.py), where nothing is mounted over them. A paused one's guest answers
nobody.
"""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

from insula.agent.session import Session
from insula.agent.streams import Process
from insula.agent.tar import tar_from_tree
from insula.agent.tree import Kind, ReadFlag, WriteFlag
from insula.container.changes import Change, read_changes
from insula.container.commit import Commit, image_config, layer_from
from insula.container.lifecycle import Container
from insula.container.mount_point import point_for
from insula.container.path_stat import PathStat, absolute, base_of, below_root, stat_of
from insula.container.record import Record
from insula.container.registry import Registry
from insula.container.state import Move, Status
from insula.container.tmpfs import normal_path
from insula.container.trees import (
    TreeFailure,
    check_exit,
    output_of,
    said_by,
    send,
    stat,
    tree_process,
    until_done,
)
from insula.container.unpacking import Enough, unpack
from insula.container.view import WaitCondition
from insula.container.visit import Visit
from insula.errors import Conflict, Forbidden, InsulaError, InvalidArgument, NotFound, Unavailable

NO_DIGEST = "sha256:" + 64 * "0"
RESTING = (Status.CREATED, Status.EXITED, Status.RESTARTING)
REFUSED = (errno.EPERM, errno.EACCES, errno.EROFS)
UNAVAILABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM)
MALFORMED = (
    errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EEXIST, errno.EINVAL, errno.ENXIO,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Archive:
    """stat: of what is in it; tar: its bytes."""

    stat: PathStat
    tar: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Extraction:
    """How an archive is put into a container. keep_directories: none is replaced by anything else, nor the other way
    round; owned: everything is to be the container's user's."""

    path: str
    keep_directories: bool = False
    owned: bool = False


class Files:
    """The files of all containers of one state root."""

    def __init__(self, registry: Registry[Container]) -> None:
        self._registry = registry

    async def stat(self, reference: str, path: str) -> PathStat:
        """What a path is; a link at its end is not followed, unless a `/` comes after it. Raises NotFound, Conflict
        if the container is paused."""
        container, path = self._registry.find(reference), absolute(path)
        async with self._visit(container) as visit:
            return await self._stat(visit, reference, path)

    @asynccontextmanager
    async def archive(self, reference: str, path: str) -> AsyncIterator[Archive]:
        """A path and all that is below it, by its last part's name. Raises NotFound, Conflict."""
        container, path = self._registry.find(reference), absolute(path)
        async with self._visit(container) as visit:
            found = await self._stat(visit, reference, path)
            name = base_of(path).encode("utf-8", "surrogateescape")
            async with _tar(visit, below_root(path), ReadFlag(0), name) as tar:
                container.publish("archive-path")
                yield Archive(found, tar)

    @asynccontextmanager
    async def export(self, reference: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The container's own files, without what is mounted over them, as a tar. Raises Conflict."""
        container = self._registry.find(reference)
        async with self._visit(container) as visit, _tar(visit, "", ReadFlag.ROOT, b"") as tar:
            container.publish("export")
            yield tar

    async def changes(self, reference: str) -> list[Change]:
        """What differs from the image, by path. Raises Conflict."""
        container = self._registry.find(reference)
        flags = ReadFlag.UPPER | ReadFlag.BARE | ReadFlag.LOWER
        async with self._visit(container) as visit, _reading(visit, "", flags) as upper:
            return await read_changes(upper)

    async def extract(self, reference: str, wanted: Extraction, chunks: AsyncIterator[bytes]) -> None:
        """Puts an archive's members into a directory that is there. Raises NotFound, InvalidArgument, Forbidden,
        Conflict."""
        container, path = self._registry.find(reference), absolute(wanted.path)
        async with self._visit(container) as visit:
            place = await self._stat(visit, reference, path, ReadFlag.FOLLOW)
            if place.kind is not Kind.DIRECTORY:
                raise InvalidArgument("extraction point is not a directory")
            _check_writable(container.record, path)
            owner = container.record.settings.user if wanted.owned else ""
            flags = WriteFlag.KEEP_DIRECTORIES if wanted.keep_directories else WriteFlag(0)
            flags |= WriteFlag.OWNED if owner else 0
            try:
                await _write(visit, below_root(path), flags, owner, chunks)
            except TreeFailure as error:
                _explain_write(error, path, owner)
            if container.running is None:
                await visit.session.sync()  # or it would be lost with the daemon
        container.publish("extract-to-dir")

    async def commit(self, reference: str, wanted: Commit) -> str:
        """An image of what the container's image was and what it has changed: its id. Raises InvalidArgument,
        Conflict, Unavailable."""
        container = self._registry.find(reference)
        images = container.parts.images
        async with self._visit(container) as visit:
            record, parent = container.record, images.find(container.record.image_id)
            image_config(record, parent.config, wanted, NO_DIGEST)  # refuses wrong changes before all else
            frozen = wanted.pause and container.running is not None
            async with aclosing(_layer(visit, frozen=frozen)) as layer:  # type: ignore[type-var]  # a generator
                image = await images.commit(
                    parent,
                    layer,
                    lambda diff_id: image_config(record, parent.config, wanted, diff_id),
                    wanted.reference,
                    wanted.message,
                )
        container.publish("commit", comment=wanted.message, imageID=image.id, imageRef=wanted.reference)
        return image.id

    async def _stat(
        self, visit: Visit, reference: str, path: str, flags: ReadFlag = ReadFlag.RESOLVE
    ) -> PathStat:
        try:
            return stat_of(path, await stat(visit, below_root(path), flags))
        except TreeFailure as error:
            if error.number == errno.ENOENT:
                raise NotFound(f"Could not find the file {path} in container {reference}") from error
            raise InvalidArgument(f"{path}: {str(error).rpartition(': ')[2]}") from error

    @asynccontextmanager
    async def _visit(self, container: Container) -> AsyncIterator[Visit]:
        """A guest that has the container's files. Raises Conflict."""
        while True:
            await container.settled()
            container.check(Move.COPY)
            if container.status is Status.RUNNING and container.running is not None:
                yield Visit(container.running.guest.session)
                return
            if container.status is Status.EXITED and container.is_owned:
                await container.ended(None)  # its machine is being let go of
                continue
            if container.status in RESTING:
                if await container.file_guest.over():
                    continue
                async with container.file_guest.visit() as visit:
                    yield visit
                return
            await container.waiting.register(WaitCondition.NEXT_EXIT)  # its end is under way


async def _layer(visit: Visit, *, frozen: bool) -> AsyncIterator[bytes]:
    """What the container has changed, as an image's layer; at its end the processes go on again."""
    async with AsyncExitStack() as held:
        if frozen:
            await held.enter_async_context(_standing_still(visit.session))
        upper = await held.enter_async_context(_reading(visit, "", ReadFlag.UPPER | ReadFlag.LOWER))
        async for piece in layer_from(upper):
            yield piece


@asynccontextmanager
async def _standing_still(session: Session) -> AsyncIterator[None]:
    """A running container's processes, meanwhile."""
    try:
        await session.freeze()  # which may come about after whoever asked has gone
        yield
    finally:
        await until_done(asyncio.ensure_future(_thaw(session)))


async def _thaw(session: Session) -> None:
    with suppress(InsulaError):  # it has ended, or its session has: that is seen elsewhere
        await session.thaw()


@asynccontextmanager
async def _reading(visit: Visit, path: str, flags: ReadFlag) -> AsyncIterator[AsyncIterator[bytes]]:
    async with tree_process(visit, lambda s, n: s.tree_read(n, path, flags)) as process:
        async with aclosing(output_of(visit, process)) as output:  # type: ignore[type-var]  # a generator
            yield output


@asynccontextmanager
async def _tar(visit: Visit, path: str, flags: ReadFlag, root: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
    async with _reading(visit, path, flags) as tree:
        async with aclosing(tar_from_tree(tree, root)) as tar:  # type: ignore[type-var]  # a generator
            yield tar


async def _write(visit: Visit, path: str, flags: WriteFlag, owner: str, chunks: AsyncIterator[bytes]) -> None:
    """Raises TreeFailure, InvalidArgument, Unavailable."""

    async def start(session: Session, number: int) -> Process:
        return await session.tree_write(number, path, flags, owner)

    async with tree_process(visit, start) as process:

        async def pass_on(data: bytes) -> None:
            await send(visit, process, data)
            if process.ended:
                raise Enough

        await unpack(chunks, pass_on)
        await process.end_input()
        await check_exit(process, await said_by(visit, process))


def _check_writable(record: Record, path: str) -> None:
    """By the path's words: what a link in it leads to is the guest's to judge, whose mounts are read-only as well.
    Raises Forbidden."""
    point = point_for((point for point in record.mounts if point.kind != "tmpfs"), normal_path(path))
    if point is not None and point.read_only:
        raise Forbidden("mounted volume is marked read-only")
    if point is None and record.spec.read_only:
        raise Forbidden("container rootfs is marked read-only")


def _explain_write(failure: TreeFailure, path: str, owner: str) -> NoReturn:
    """Raises what became of a tree that could not be written, in Docker's words where it has some."""
    number, where = failure.number, failure.path.decode("utf-8", "backslashreplace")[:200]
    error: InsulaError = failure
    if owner and number == errno.ENOENT and where == owner:
        error = InvalidArgument(f"unable to find user {owner}: no matching entries in passwd or group file")
    elif number == errno.EISDIR:
        error = InvalidArgument(f'cannot overwrite directory "{where}" with non-directory "{path}"')
    elif number == errno.ENOTDIR:
        error = InvalidArgument(f'cannot overwrite non-directory "{where}" with directory "{path}"')
    elif number in MALFORMED:
        error = InvalidArgument(str(failure))
    elif number in REFUSED:
        error = Forbidden(str(failure))
    elif number in UNAVAILABLE:
        error = Unavailable(str(failure))
    elif number in (errno.ENOENT, errno.EBUSY, errno.ETXTBSY):  # what is there changed, or is in use
        error = Conflict(str(failure))
    raise error from failure
