"""The machine that a stage's steps run in, one after the other: each RUN a container of its own in it, each COPY
a tree that its agent writes.

A step is a boot of the same agent: on the image's layers, what the steps before it have written, and an upper
directory of its own, which afterwards is the step's layer, to the file. So nothing of one step's processes,
mounts or names is left for the next, as if each had a machine, and no machine has to be had for each. What runs
has the walls of a container; its disk goes with the machine, whatever happens.
"""

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from insula.agent.boot_document import BootFlag, File, Mount
from insula.agent.reports import ExitKind
from insula.agent.session import Session
from insula.agent.streams import Process
from insula.agent.tar import tar_from_tree
from insula.agent.tree import Entry, Kind, ReadFlag, TreeReader, WriteFlag, lower_of
from insula.build.bind_mounts import Binds, Bound
from insula.build.cache_mounts import Base, Places, no_base
from insula.build.copying import Item, tree_of
from insula.build.running import CacheMount
from insula.container.commit import layer_entries
from insula.container.failure import explain
from insula.container.leases import NO_LEASES, Leases
from insula.container.networking import Joined
from insula.container.parts import Parts
from insula.container.plan import Choices, make_files_plan, make_plan
from insula.container.settings import merge_settings
from insula.container.sockets import carry_sockets
from insula.container.spec import ContainerSpec
from insula.container.trees import TreeFailure, check_exit, output_of, said_by, send, stat, tree_process
from insula.container.visit import Visit
from insula.errors import InsulaError, InvalidArgument
from insula.guest.guest import Guest
from insula.image.manifest import ImageConfig
from insula.image.record import Image, Rootfs
from insula.image.steps import NewLayer
from insula.network.network import NONE
from insula.thread import in_thread

FOLDER = "build-"
STEPS_MAX = 60
"""Upper directories of one disk; the agent takes 64."""

Take = Callable[[AsyncIterator[bytes]], Awaitable[NewLayer]]
Say = Callable[[int, bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Agent:
    """An ssh agent's socket. mount: in the guest; socket: on the host, without links."""

    mount: Mount
    socket: Path


@dataclass(frozen=True, slots=True)
class RunStep:
    """One RUN. spec: as a container; config: of the image so far; offline: without the network that the build
    has; mounts, files: besides a container's; caches: kept between builds; binds: for this step; hidden: what is
    made only to mount upon; epoch: no file is younger, if it is given; agents: for this step; base: of new caches."""

    spec: ContainerSpec
    config: ImageConfig
    offline: bool = False
    mounts: tuple[Mount, ...] = ()
    files: tuple[File, ...] = ()
    caches: tuple[CacheMount, ...] = ()
    binds: tuple[Bound, ...] = ()
    hidden: frozenset[bytes] = frozenset()
    epoch: int | None = None
    agents: tuple[Agent, ...] = ()
    base: Base = no_base


@dataclass(frozen=True, slots=True)
class Hidden:
    """paths: not to be told in a layer if the image had none of them; found: those that there were."""

    paths: frozenset[bytes] = frozenset()
    found: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CopyStep:
    """One COPY, ADD or WORKDIR. folder: from the root, made if it is not there; rename: of a single file: the name it
    gets if the destination is no folder; owner: a name to be looked up in the image, or empty."""

    items: tuple[Item, ...]
    folder: str
    rename: bool = False
    owner: str = ""
    epoch: int | None = None


class StepFailed(InvalidArgument):
    """A program of a build has ended badly. code: its exit status."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class StageMachine:
    """From `open_stage_machine`. One step at a time. lock: of whoever reads files for another stage."""

    def __init__(self, parts: Parts, spec: ContainerSpec, base: Image, rootfs: Rootfs, id: str) -> None:
        self._parts = parts
        self._spec = spec
        self._platform = str(base.platform)
        self._rootfs = rootfs
        self._id = id
        self._writable = parts.paths.writable_disk(FOLDER + id)
        self.lock = asyncio.Lock()
        self._guest: Guest | None = None
        self._joined: Joined | None = None
        self._held = AsyncExitStack()
        self._places = Places(parts)
        self._binds = Binds(parts, self._places)
        self._sockets: dict[
            int, Path
        ] = {}  # of the step that runs, by their mounts' places in its boot document
        self._carrying: asyncio.Task[None] | None = None
        self.steps = 0
        """How many upper directories there are below the next one."""

    async def open(self) -> None:
        """Raises InsulaError."""
        await self._parts.writable.take(FOLDER + self._id, self._spec.storage_size)
        config = replace(self._rootfs.config, healthcheck=None)
        choices = Choices(1, 1, b"", b"")
        settings = merge_settings(self._spec, config, self._id)
        request = make_plan(
            self._spec, settings, self._platform, self._rootfs.layers, self._writable, choices
        ).request
        self._guest = await self._held.enter_async_context(self._parts.guests.open(request))
        self._guest.began()

    async def close(self) -> None:
        """The machine ends, with its disk and its place in networks."""
        try:
            await self._held.aclose()
        finally:
            await self._binds.close()
            folder = self._parts.paths.container(FOLDER + self._id)
            await in_thread(shutil.rmtree, folder, ignore_errors=True)

    @property
    def is_full(self) -> bool:
        return self.steps >= STEPS_MAX or self._places.is_full

    @property
    def _session(self) -> Session:
        assert self._guest is not None
        return self._guest.session

    @property
    def _machine(self) -> int:
        assert self._guest is not None
        return self._guest.machine.pid

    # -- RUN

    async def run(self, step: RunStep, take: Take, say: Say) -> NewLayer:
        """Runs a program to its end and gives what it has written. Raises StepFailed, InsulaError."""
        binds = [await self._binds.mount(self._machine, step.spec, one, self._fill) for one in step.binds]
        async with self._places.mounted(
            self._machine, step.spec, step.caches, self._fill, step.base
        ) as caches:
            return await self._run(replace(step, mounts=(*step.mounts, *binds, *caches)), take, say)

    async def _fill(self, mount: Mount, folder: str, items: Sequence[Item]) -> None:
        async with self._open_files(mount) as visit:
            await _write(visit, folder, WriteFlag.MAKE, "", tuple(items))

    async def _run(self, step: RunStep, take: Take, say: Say) -> NewLayer:
        id = secrets.token_hex(32)
        settings = merge_settings(step.spec, replace(step.config, healthcheck=None), id)
        joined = NO_LEASES if step.offline else await self._join(id)
        session = self._session
        choices = Choices(
            boot=secrets.randbelow(2**32 - 1) + 1,
            main=session.new_number(),
            entropy=os.urandom(256),
            seccomp=await self._parts.filter(self._platform, step.spec),
            leases=joined,
            search=self._parts.networks.search,
        )
        plan = make_plan(
            step.spec, settings, self._platform, self._rootfs.layers, self._writable, choices
        ).document
        mounts = (*plan.mounts, *step.mounts)
        self._carry(step.agents, len(mounts))
        document = replace(
            plan,
            writable=self.steps,
            clock_ns=time.time_ns(),
            mounts=(*mounts, *(agent.mount for agent in step.agents)),
            files=(*plan.files, *step.files),
        )
        try:
            main = await session.boot(document)
        except InsulaError as error:
            told = explain(error, settings.arguments, settings.working_dir, settings.user)
            raise StepFailed(told.error.message, told.exit_code) from error
        code = await _watch(main, say)
        if code:
            words = " ".join(settings.arguments)
            raise StepFailed(f"The command '{words}' returned a non-zero code: {code}", code)
        stubs: list[bytes] = []
        layer = await self._take_layer(take, Hidden(step.hidden, stubs), step.epoch)
        session.release(main.number)
        await session.stop()
        await self._remove(stubs)
        self.steps += 1
        return layer

    def _carry(self, agents: Sequence[Agent], first: int) -> None:
        """Connections to the sockets of these, and to no others, from now on. first: the place of their mounts."""
        self._sockets.clear()
        self._sockets |= {first + number: agent.socket for number, agent in enumerate(agents)}
        if agents and self._carrying is None:
            self._carrying = asyncio.create_task(carry_sockets(self._session, self._sockets))
            self._held.push_async_callback(_end, self._carrying)

    async def _join(self, id: str) -> Leases:
        """The network, joined by the first step that wants it."""
        if self._spec.network_mode == NONE:
            return NO_LEASES
        if self._joined is None:
            assert self._guest is not None
            joined = await self._held.enter_async_context(Joined(self._parts.networks, id))
            settings = merge_settings(self._spec, replace(self._rootfs.config, healthcheck=None), id)
            joined.lease(self._spec, settings, id[:12])
            await joined.join(self._guest, "")
            self._joined = joined
        return self._joined.leases

    # -- COPY

    async def copy(self, step: CopyStep, take: Take) -> NewLayer:
        """Writes files and gives them as a layer. Raises InvalidArgument, InsulaError."""
        async with self._open_files() as visit:
            folder, items = step.folder, step.items
            if step.rename:
                folder, items = await _single(visit, folder, items)
            if step.owner and any(item.entry.kind is not Kind.HARD_LINK for item in items):
                await _write(visit, folder, WriteFlag.MAKE | WriteFlag.OWNED, step.owner, items)
            else:
                await _write(visit, folder, WriteFlag.MAKE, "", items)
            layer = await self._take_layer(take, Hidden(), step.epoch)
        self.steps += bool(layer.digest)
        return layer

    @asynccontextmanager
    async def _open_files(self, *mounts: Mount) -> AsyncIterator[Visit]:
        """The stage's files as they are now, with nothing of it running."""
        boot = secrets.randbelow(2**32 - 1) + 1
        disks = (self._rootfs.layers, self._writable)
        plan = make_files_plan(self._spec, self._platform, disks, boot).document
        document = replace(
            plan, writable=self.steps, flags=BootFlag.FILES | BootFlag.DISPOSABLE, clock_ns=time.time_ns(),
            entropy=os.urandom(256), mounts=mounts,
        )  # fmt: skip
        await self._session.open_files(document)
        yield Visit(self._session)
        await self._session.stop()  # what fails before ends the build, and the machine with it

    # -- files for another stage

    async def names(self, folder: str) -> list[str]:
        """All names below a folder, relative to it. Raises TreeFailure."""
        found = []
        async with self._open_files() as visit:
            flags = ReadFlag.ROOT | ReadFlag.FOLLOW | ReadFlag.BARE
            async with _reading(visit, folder, flags) as output:
                async for entry in TreeReader(output):
                    found.append(entry.path.decode("utf-8", "surrogateescape"))
        return [name for name in found if name]

    async def tar(self, path: str) -> AsyncIterator[bytes]:
        """A path's files as a tar, under their own names. Raises TreeFailure."""
        async with self._open_files() as visit:
            async with _reading(visit, path, ReadFlag.ROOT | ReadFlag.FOLLOW) as output:
                root = path.strip("/").encode("utf-8", "surrogateescape")
                async with aclosing(tar_from_tree(output, root)) as tar:  # type: ignore[type-var]
                    async for piece in tar:
                        yield piece

    # -- layers

    async def _take_layer(self, take: Take, hidden: Hidden, epoch: int | None) -> NewLayer:
        async with aclosing(self._layer(hidden, epoch)) as layer:  # type: ignore[type-var]  # a generator
            return await take(layer)

    async def _layer(self, hidden: Hidden, epoch: int | None) -> AsyncIterator[bytes]:
        def change(entry: Entry) -> tuple[Entry, ...]:
            if entry.path in hidden.paths and lower_of(entry) is None:
                hidden.found.append(entry.path)
                return ()
            found = layer_entries(entry)
            if epoch is None:
                return found
            return tuple(
                replace(one, mtime_seconds=epoch, mtime_nanoseconds=0) if one.mtime_seconds >= epoch else one
                for one in found
            )

        async with _reading(Visit(self._session), "", ReadFlag.UPPER | ReadFlag.LOWER) as upper:
            async with aclosing(tar_from_tree(upper, change=change)) as tar:  # type: ignore[type-var]
                async for piece in tar:
                    yield piece

    async def _remove(self, stubs: Sequence[bytes]) -> None:
        """What a step had made only to mount upon, before the next one sees it; folders after what is in them."""
        if not stubs:
            return
        items = tuple(Item(Entry(Kind.FILE, path=path)) for path in sorted(stubs, reverse=True))
        async with self._open_files() as visit:
            await _write(visit, "", WriteFlag.REMOVE, "", items)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _watch(main: Process, say: Say) -> int:
    """A program's output to its end; its exit status."""
    async for chunk in main:
        await say(chunk.stream, chunk.data)
        main.acknowledge(chunk.stream, chunk.offset + len(chunk.data))
    exit = await main.exit()
    return exit.value if exit.kind is ExitKind.EXITED else 128 + exit.value


async def _single(visit: Visit, path: str, items: tuple[Item, ...]) -> tuple[str, tuple[Item, ...]]:
    """Where a single file goes: into the destination if that is a folder, else there under the destination's name."""
    try:
        if (await stat(visit, path.lstrip("/"), ReadFlag.ROOT | ReadFlag.FOLLOW)).kind is Kind.DIRECTORY:
            return path, items
    except TreeFailure:
        pass  # it is not there, or what writes it will say what is wrong
    folder, _, name = path.rstrip("/").rpartition("/")
    renamed = replace(items[0].entry, path=name.encode("utf-8", "surrogateescape"))
    return folder, (replace(items[0], entry=renamed),)


async def _write(visit: Visit, folder: str, flags: WriteFlag, owner: str, items: tuple[Item, ...]) -> None:
    async def start(session: Session, number: int) -> Process:
        return await session.tree_write(number, folder.lstrip("/"), flags, owner)

    try:
        async with tree_process(visit, start) as process:
            pieces = tree_of(items)
            while (piece := await in_thread(next, pieces, None)) is not None:
                await send(visit, process, piece)
                if process.ended:
                    break
            else:
                await process.end_input()
            await check_exit(process, await said_by(visit, process))
    except TreeFailure as error:
        if owner and error.path.decode("utf-8", "replace") in owner.split(":"):
            raise InvalidArgument(
                f"unable to convert uid/gid chown string to host mapping: can't find uid for user {owner[:80]}"
            ) from error
        raise InvalidArgument(f"cannot write {error}") from error


@asynccontextmanager
async def _reading(visit: Visit, path: str, flags: ReadFlag) -> AsyncIterator[AsyncIterator[bytes]]:
    start = path.lstrip("/")
    async with tree_process(visit, lambda s, n: s.tree_read(n, start, flags)) as process:
        async with aclosing(output_of(visit, process)) as output:  # type: ignore[type-var]  # a generator
            yield output


@asynccontextmanager
async def open_stage_machine(parts: Parts, spec: ContainerSpec, base: Image) -> AsyncIterator[StageMachine]:
    """A machine on an image's files. Raises InsulaError."""
    async with parts.images.open_rootfs(base) as rootfs:
        machine = StageMachine(parts, spec, base, rootfs, secrets.token_hex(16))
        try:
            await machine.open()
            yield machine
        finally:
            await asyncio.shield(asyncio.ensure_future(machine.close()))
