"""All containers of one state root: what the API asks.

References are ids, unique prefixes of ids, or names (with or without a leading `/`). Every method checks the
table of moves first, so a refused request has changed nothing. Each running container is owned by one task
(lifecycle.py); the methods here ask it and await.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace

from insula.agent.session import GuestFailure
from insula.agent.streams import Process
from insula.container.attach import Attachment, AttachRequest
from insula.container.execs import Exec
from insula.container.lifecycle import Container
from insula.container.log_file import make_limits
from insula.container.logs import LogEntry, LogQuery, read_logs
from insula.container.names import make_name
from insula.container.parts import Parts
from insula.container.record import Record
from insula.container.recovery import load_containers, recover
from insula.container.registry import Registry
from insula.container.settings import merge_settings
from insula.container.signals import parse_signal
from insula.container.spec import ContainerSpec, ExecSpec, check_name
from insula.container.state import ExitState, Move, Status, move
from insula.container.view import (
    ContainerView,
    Created,
    ExecView,
    WaitCondition,
    WaitResult,
    view_container,
    view_exec,
)
from insula.container.writable import WritableDisks
from insula.database import Database
from insula.errors import (
    Conflict,
    InsulaError,
    InvalidArgument,
    NotFound,
    NotImplemented,
    NotModified,
)
from insula.events import EventBus
from insula.guest.guests import Guests
from insula.image.store import ImageStore
from insula.paths import Paths

STOP_TIMEOUT = 10
KILL_PATIENCE = 10.0  # for a guest that was told to kill, before its machine is
SIGKILL = 9


class Containers:
    """`open` adopts what an earlier daemon left; `close` lets go of everything and stops nothing."""

    def __init__(
        self, paths: Paths, database: Database, events: EventBus, images: ImageStore, guests: Guests
    ) -> None:
        self._registry: Registry[Container] = Registry()
        self._parts = Parts(paths, database, events, images, guests, WritableDisks(paths), self._registry)

    async def load(self) -> set[str]:
        """Reads the records. Returns the ids of the machines in them: all others are nobody's."""
        await load_containers(self._parts)
        return {str(c.record.guest["machine"]) for c in self._registry if c.record.guest is not None}

    async def open(self) -> None:
        """Adopts the running machines of what `load` read, and finishes interrupted removals."""
        await self._parts.writable.open()
        await recover(self._registry)

    async def close(self) -> None:
        """Detaches from all machines; containers go on."""
        await asyncio.gather(*(container.detach() for container in self._registry))
        await self._parts.writable.close()

    # -- looking

    def list(self) -> tuple[ContainerView, ...]:
        """All containers, newest first."""
        views = [view_container(container, self._parts.paths) for container in self._registry]
        return tuple(sorted(views, key=lambda view: view.created_ns, reverse=True))

    def inspect(self, reference: str) -> ContainerView:
        """Raises NotFound, InvalidArgument (ambiguous)."""
        return view_container(self._registry.find(reference), self._parts.paths)

    def images_in_use(self) -> frozenset[str]:
        """The ids of the images that containers, running or not, stand on."""
        return frozenset(container.record.image_id for container in self._registry)

    # -- life

    async def create(self, spec: ContainerSpec) -> Created:
        """Raises NotFound (image), Conflict (name), InvalidArgument, NotImplemented."""
        image = self._parts.images.find(spec.image, spec.platform)
        make_limits(spec.log_options)
        id = secrets.token_hex(32)
        record = Record(
            id=id,
            name=spec.name or make_name(self._registry.is_free),
            created_ns=time.time_ns(),
            spec=spec,
            settings=merge_settings(spec, image.config, id),
            image_id=image.id,
            platform=str(image.platform),
        )
        self._registry.reserve(record.name, id)
        try:
            container = Container(self._parts, record)
            await container.save(record)
        except BaseException:
            self._registry.release(record.name, id)
            raise
        self._registry.add(container)
        container.publish("create")
        return Created(id, _warnings(spec))

    async def start(self, reference: str) -> None:
        """Returns once the main process runs. Raises NotModified, Conflict, and InvalidArgument in Docker's
        words if the program cannot be run (the container's exit code is then 126 or 127)."""
        await self._registry.find(reference).start()

    async def stop(self, reference: str, timeout: int | None = None, signal: str | None = None) -> None:
        """Signals, then kills after timeout seconds (None: the container's own; -1: never).

        Raises NotModified."""
        container = self._registry.find(reference)
        number = parse_signal(signal or container.record.settings.stop_signal or "TERM")
        await container.settled()
        move(container.status, Move.STOP, container.id)
        if timeout is None:
            own = container.record.spec.stop_timeout
            timeout = STOP_TIMEOUT if own is None else own
        await self._signal(container, number)
        if not await container.ended(None if timeout < 0 else timeout):
            await self._signal(container, SIGKILL)
            await container.ended(None)
        container.publish("stop")

    async def kill(self, reference: str, signal: str = "KILL") -> None:
        """Raises Conflict if it does not run, InvalidArgument for no signal."""
        container = self._registry.find(reference)
        number = parse_signal(signal or "KILL")
        await container.settled()
        move(container.status, Move.KILL, container.id)
        await self._signal(container, number)
        if number == SIGKILL:
            await container.ended(None)

    async def _signal(self, container: Container, number: int) -> None:
        """A machine whose agent cannot even kill is itself killed."""
        running = container.running
        if running is None or container.status is not Status.RUNNING:
            return
        container.publish("kill", signal=str(number))
        try:
            async with asyncio.timeout(KILL_PATIENCE):
                with suppress(GuestFailure):  # it has just ended by itself
                    await running.guest.session.signal(running.main.number, number)
                if number == SIGKILL:
                    await running.main.exit()
        except (InsulaError, TimeoutError):
            if number == SIGKILL and not running.main.ended:
                running.guest.kill()

    async def restart(self, reference: str, timeout: int | None = None, signal: str | None = None) -> None:
        """stop, if it runs, and start."""
        container = self._registry.find(reference)
        with suppress(NotModified):
            await self.stop(container.id, timeout, signal)
        await container.start()
        container.publish("restart")

    def wait(self, reference: str, condition: WaitCondition | str = "not-running") -> Awaitable[WaitResult]:
        """Registers at once (so the caller may flush its header); the result is awaited.

        Raises InvalidArgument for an unknown condition, NotFound."""
        try:
            wanted = WaitCondition(condition or "not-running")
        except ValueError:
            raise InvalidArgument(f'invalid condition: "{condition[:80]}"') from None
        container = self._registry.find(reference)
        exit: ExitState | Awaitable[ExitState] = container.record.exit
        if wanted is not WaitCondition.NOT_RUNNING or container.is_live:
            exit = container.waiting.register(wanted)
        return _result(exit)

    async def remove(self, reference: str, *, force: bool = False) -> None:
        """Raises Conflict if it runs and not force, or is being removed."""
        await self._registry.find(reference).remove(discard=force)

    async def rename(self, reference: str, name: str) -> None:
        """Raises Conflict if the name is taken, InvalidArgument."""
        container = self._registry.find(reference)
        name, old = name.removeprefix("/"), container.record.name
        check_name(name)
        if name == old:
            raise InvalidArgument("Renaming a container with the same name as its current name")
        if container.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"container {container.id[:12]} is marked for removal")
        self._registry.reserve(name, container.id)
        try:
            await container.save(replace(container.record, name=name))
        except BaseException:
            self._registry.release(name, container.id)
            raise
        self._registry.release(old, container.id)
        container.publish("rename", oldName=f"/{old}")

    async def resize(self, reference: str, rows: int, columns: int) -> None:
        """Raises Conflict if it does not run."""
        container = self._registry.find(reference)
        running = container.handles(Move.RESIZE)
        _check_size(rows, columns)
        running.guest.session.resize(running.main.number, rows, columns)
        container.publish("resize", height=str(rows), width=str(columns))

    # -- streams

    def logs(self, reference: str, query: LogQuery) -> AsyncIterator[LogEntry]:
        """Entries in order; ends at the log's end, or with follow when the container has ended.

        Raises NotImplemented if the log driver keeps nothing."""
        container = self._registry.find(reference)
        if container.log is None:
            raise NotImplemented(  # noqa: F901 - our error, not Python's constant
                "configured logging driver does not support reading"
            )
        if not (query.stdout or query.stderr):
            raise InvalidArgument("Bad parameters: you must choose at least one stream")
        return read_logs(container.log, query, container.output.logged, lambda: container.is_live)

    @asynccontextmanager
    async def attach(self, reference: str, request: AttachRequest) -> AsyncIterator[Attachment]:
        """Entering registers the attachment: from then on no byte of output is missed. Raises Conflict."""
        container = self._registry.find(reference)
        if container.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"container {container.id[:12]} is marked for removal")
        spec = container.record.spec
        streams = frozenset(n for n, wanted in ((1, request.stdout), (2, request.stderr)) if wanted)
        follower = None
        if streams:
            follower = container.output.follow(replay=request.logs, live=request.stream)
        attachment = Attachment(
            follower,
            container.main_process,
            streams=streams,
            tty=spec.tty,
            stdin=request.stdin and spec.open_stdin,
            ends_input=spec.stdin_once and not spec.tty,  # a terminal outlives who sat at it
        )
        container.publish("attach")
        try:
            yield attachment
        finally:
            attachment.close()

    # -- exec

    async def exec_create(self, reference: str, spec: ExecSpec) -> str:
        """The exec's id. Raises Conflict if the container does not run."""
        container = self._registry.find(reference)
        container.handles(Move.EXEC)
        return container.execs.create(container.record, spec)

    def exec_start(
        self, exec_id: str, *, detach: bool = False, tty: bool | None = None, rows: int = 0, columns: int = 0
    ) -> AbstractAsyncContextManager[Attachment]:
        """Entering starts the process (InvalidArgument in Docker's words if it cannot be run); with detach
        the attachment is empty. Leaving early lets go of the process, which goes on. tty: how its output is
        framed is the caller's; whether it has a terminal was said at its creation.

        Raises NotFound, Conflict."""
        container, item = self._find_exec(exec_id)
        return self._started_exec(container, item, detach=detach, size=(rows, columns))

    @asynccontextmanager
    async def _started_exec(
        self, container: Container, item: Exec, *, detach: bool, size: tuple[int, int]
    ) -> AsyncIterator[Attachment]:
        running = container.handles(Move.EXEC)
        spec = item.record.spec
        streams = frozenset(n for n, wanted in ((1, spec.attach_stdout), (2, spec.attach_stderr)) if wanted)
        follower = None if detach or not streams else item.output.follow(replay=False, live=True)

        async def process() -> Process | None:
            return item.process

        attachment = Attachment(
            follower,
            process,
            streams=streams,
            tty=spec.tty,
            stdin=spec.attach_stdin and not detach,
            ends_input=not spec.tty,
        )
        try:
            await container.execs.start(item, container.record, running.guest.session, *size)
            yield attachment
        finally:
            attachment.close()

    def exec_inspect(self, exec_id: str) -> ExecView:
        """Raises NotFound."""
        return view_exec(self._find_exec(exec_id)[1])

    async def exec_resize(self, exec_id: str, rows: int, columns: int) -> None:
        """Raises NotFound, Conflict."""
        container, item = self._find_exec(exec_id)
        running = container.handles(Move.RESIZE)
        if item.process is None:
            raise Conflict(f"exec {exec_id[:12]} is not running")
        _check_size(rows, columns)
        running.guest.session.resize(item.process.number, rows, columns)

    def _find_exec(self, id: str) -> tuple[Container, Exec]:
        for container in self._registry:
            item = container.execs.find(id)
            if item is not None:
                return container, item
        raise NotFound(f"No such exec instance: {id[:80]}")


async def _result(exit: ExitState | Awaitable[ExitState]) -> WaitResult:
    if not isinstance(exit, ExitState):
        exit = await exit
    return WaitResult(exit.exit_code, exit.error)


def _check_size(rows: int, columns: int) -> None:
    if not (0 < rows < 1 << 16 and 0 < columns < 1 << 16):
        raise InvalidArgument(f"a terminal cannot have {rows} rows and {columns} columns")


def _warnings(spec: ContainerSpec) -> tuple[str, ...]:
    if spec.network_mode != "none":
        return ("Networks are not there yet: the container has only its loopback interface.",)
    return ()
