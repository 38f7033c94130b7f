"""All containers of one state root: what the API asks.

References are ids, unique prefixes of ids, or names (with or without a leading `/`). Every method checks the
table of moves first, so a refused request has changed nothing. Each running container is owned by one task
(lifecycle.py); the methods here ask it and await.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from insula.agent.streams import Process
from insula.container.attach import Attachment, AttachRequest
from insula.container.creating import create_container
from insula.container.execs import Exec
from insula.container.files import Files
from insula.container.lifecycle import Container
from insula.container.log_options import DEFAULT as LOG_DEFAULT
from insula.container.log_options import LogLimits
from insula.container.logs import LogEntry, LogQuery, read_logs
from insula.container.measures import Measures
from insula.container.membership import (
    connect,
    connect_none,
    disconnect,
    disconnect_none,
    renamed,
    unlink_alias,
)
from insula.container.parts import Parts
from insula.container.prune import Pruned, PruneFilter, prune_containers
from insula.container.recovery import load_containers, recover
from insula.container.registry import Registry
from insula.container.spec import ContainerSpec, ExecSpec, check_name
from insula.container.state import ExitState, Move, Status
from insula.container.stopping import kill, restart, stop
from insula.container.updating import Update, update
from insula.container.usage import measure_written
from insula.container.view import (
    ContainerView,
    Created,
    ExecView,
    Views,
    WaitCondition,
    WaitResult,
    view_exec,
)
from insula.container.warnings import warnings_of
from insula.container.writable import WritableDisks
from insula.database import Database
from insula.errors import Conflict, InvalidArgument, NotFound, NotImplemented
from insula.events import Event, EventBus
from insula.guest.guests import Guests
from insula.image.store import ImageStore
from insula.network.endpoint import EndpointSpec
from insula.network.networks import Networks
from insula.paths import Paths
from insula.volume.volumes import Volumes


class Containers:
    """`open` adopts what an earlier daemon left; `close` lets go of everything and stops nothing."""

    def __init__(  # noqa: PLR0913 - all that a daemon hands down
        self,
        paths: Paths,
        database: Database,
        events: EventBus,
        images: ImageStore,
        guests: Guests,
        networks: Networks,
        volumes: Volumes,
        log_limits: LogLimits = LOG_DEFAULT,
        rest: Callable[[float], float] = float,
    ) -> None:
        """log_limits: of a log that asks for none; rest: what a rest of so many seconds between two runs really
        takes (tests are not made to wait)."""
        self._registry: Registry[Container] = Registry()
        self.measures = Measures(self._registry)
        self.files = Files(self._registry)
        disks = WritableDisks(paths)
        shared = (networks, volumes, disks, self._registry, log_limits, rest)
        self._parts = Parts(paths, database, events, images, guests, *shared)
        volumes.users = self._users_of
        self._views = Views(paths)
        self._pruning = False

    @property
    def parts(self) -> Parts:
        """What containers are made with: for builds, whose steps are containers that nobody sees."""
        return self._parts

    async def load(self) -> set[str]:
        """Reads the records. Returns the ids of the machines in them: all others are nobody's."""
        await load_containers(self._parts)
        return {str(c.record.guest["machine"]) for c in self._registry if c.record.guest is not None}

    async def open(self) -> None:
        """Adopts the running machines of what `load` read, finishes interrupted removals, and has restart policies
        start what they want to."""
        await self._parts.writable.open()
        await recover(self._registry)
        await self._parts.networks.wiring.forget_strays()

    async def close(self) -> None:
        """Detaches from all machines; containers go on."""
        await asyncio.gather(*(container.detach() for container in self._registry))
        await self._parts.writable.close()

    # -- looking

    def list(self) -> tuple[ContainerView, ...]:
        """All containers, newest first."""
        views = map(self._views.of, self._registry)
        return tuple(sorted(views, key=lambda view: view.created_ns, reverse=True))

    def inspect(self, reference: str) -> ContainerView:
        """Raises NotFound, InvalidArgument (ambiguous)."""
        return self._views.of(self._registry.find(reference))

    def images_in_use(self) -> frozenset[str]:
        """The ids of the images that containers, running or not, stand on."""
        return frozenset(container.record.image_id for container in self._registry)

    def _users_of(self, volume: str) -> Sequence[str]:
        """The ids of the containers that have a volume."""
        return [c.id for c in self._registry if any(point.name == volume for point in c.record.mounts)]

    async def sizes(self, ids: Sequence[str]) -> dict[str, int]:
        """Bytes that containers have written to their disks, by their whole ids."""
        return await asyncio.to_thread(measure_written, self._parts.paths, ids)

    # -- life

    async def create(self, spec: ContainerSpec) -> Created:
        """Raises NotFound (image), Conflict (name), InvalidArgument, NotImplemented."""
        container = await create_container(self._parts, spec)
        container.publish("create")
        return Created(container.id, warnings_of(spec))

    async def start(self, reference: str) -> None:
        """Returns once the main process runs. Raises NotModified, Conflict, and InvalidArgument in Docker's
        words if the program cannot be run (the container's exit code is then 126 or 127)."""
        await self._registry.find(reference).start()

    async def stop(self, reference: str, timeout: int | None = None, signal: str | None = None) -> None:
        """Signals, then kills after timeout seconds (None: the container's own; -1: never).

        Raises NotModified."""
        await stop(self._registry.find(reference), timeout, signal)

    async def kill(self, reference: str, signal: str = "KILL") -> None:
        """Raises Conflict if it does not run, InvalidArgument for no signal."""
        await kill(self._registry.find(reference), signal)

    async def restart(self, reference: str, timeout: int | None = None, signal: str | None = None) -> None:
        """stop, if it runs, and start."""
        await restart(self._registry.find(reference), timeout, signal)

    async def pause(self, reference: str) -> None:
        """Its processors stand still. Raises Conflict if it does not run, or is paused."""
        await self._registry.find(reference).pause()

    async def unpause(self, reference: str) -> None:
        """Its processors go on, its clock is right. Raises Conflict if it is not paused."""
        await self._registry.find(reference).unpause()

    async def update(self, reference: str, wanted: Update) -> tuple[str, ...]:
        """Changes limits and restart policy in place; the warnings. Raises InvalidArgument, and Conflict for what
        cannot be changed, or takes effect after a restart."""
        return await update(self._registry.find(reference), wanted)

    def wait(self, reference: str, condition: WaitCondition | str = "not-running") -> Awaitable[WaitResult]:
        """Registers at once (so the caller may flush its header); the result is awaited. A removal that fails
        ends a wait for it, with the reason.

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

    async def remove(self, reference: str, *, force: bool = False, volumes: bool = False) -> None:
        """volumes: its anonymous ones too. Raises Conflict if it runs and not force, or is being removed."""
        container = self._registry.find(reference)
        removal, before = container.removal, container.removal.takes_volumes
        removal.takes_volumes = before or volumes
        try:
            await container.remove(discard=force)
        finally:
            removal.takes_volumes = removal.takes_volumes if removal.done else before

    async def prune(self, filter: PruneFilter) -> Pruned:
        """Removes what is stopped and passes. Raises Conflict while another prune is at it."""
        if self._pruning:
            raise Conflict("a prune operation is already running")
        self._pruning = True
        try:
            pruned = await prune_containers(self._registry, filter, self._parts.paths)
        finally:
            self._pruning = False
        self._parts.events.publish(Event("container", "prune", "", {"reclaimed": str(pruned.reclaimed)}))
        return pruned

    async def rename(self, reference: str, name: str) -> None:
        """Raises Conflict if the name is taken, InvalidArgument."""
        container = self._registry.find(reference)
        name, old = name.removeprefix("/"), container.record.name
        try:
            check_name(name)
        except InvalidArgument as error:
            raise InvalidArgument(f"Error when allocating new name: {error.message}") from error
        if name == old:
            raise InvalidArgument("Renaming a container with the same name as its current name")
        if container.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"container {container.id[:12]} is marked for removal")
        try:
            self._registry.reserve(name, container.id)
        except Conflict as error:
            raise Conflict(f"Error when allocating new name: {error.message}") from error
        try:
            await container.save(replace(container.record, name=name))
        except BaseException:
            self._registry.release(name, container.id)
            raise
        self._registry.release(old, container.id)
        await renamed(container, old)
        container.publish("rename", oldName=f"/{old}")

    async def connect_none(self, reference: str) -> None:
        """The network `none`. Raises InvalidArgument if it has another, Forbidden if it is on it already."""
        await connect_none(self._registry.find(reference))

    async def disconnect_none(self, reference: str) -> None:
        """Raises Forbidden if it is not on it."""
        await disconnect_none(self._registry.find(reference))

    async def connect(self, reference: str, wish: EndpointSpec, names: tuple[str, ...]) -> None:
        """A further network, at once if it runs. Raises Conflict if it is paused, Forbidden if it has it already."""
        await connect(self._registry.find(reference), wish, names)

    async def disconnect(self, reference: str, names: tuple[str, ...]) -> None:
        """Without a network, at once if it runs. Raises Conflict if it is paused, Forbidden if it is not on it."""
        await disconnect(self._registry.find(reference), names)

    async def remove_link(self, reference: str) -> None:
        """reference: `own/alias`, a link of the default network, gone from the next start on. Raises NotFound."""
        name, slash, alias = reference.strip("/").rpartition("/")
        if not slash:
            raise NotFound(f"No such link: {reference[:200]}", "a link is CONTAINER/ALIAS")
        await unlink_alias(self._registry.find(name), alias)

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
        if container.status in (Status.REMOVING, Status.DEAD):
            raise Conflict("can not get logs from container which is dead or marked for removal")
        if container.log is None:
            raise NotImplemented(  # noqa: F901 - our error, not Python's constant
                "configured logging driver does not support reading"
            )
        if not (query.stdout or query.stderr):
            raise InvalidArgument("Bad parameters: you must choose at least one stream")
        run = container.output.ended_runs  # a further one that the restart policy starts is not followed
        return read_logs(
            container.log,
            query,
            container.output.logged,
            lambda: container.is_live and container.output.ended_runs == run,
        )

    @asynccontextmanager
    async def attach(self, reference: str, request: AttachRequest) -> AsyncIterator[Attachment]:
        """Entering registers the attachment: from then on no byte of output is missed. Raises Conflict."""
        container = self._registry.find(reference)
        container.check(Move.ATTACH)
        spec = container.record.spec
        streams = frozenset(n for n, wanted in ((1, request.stdout), (2, request.stderr)) if wanted)
        follower = None
        if streams or request.stdin:  # with input alone the output still says when all is over
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
            if attachment.detached:
                container.publish("detach")

    # -- exec

    async def exec_create(self, reference: str, spec: ExecSpec) -> str:
        """The exec's id. Raises Conflict if the container does not run."""
        container = self._registry.find(reference)
        container.handles(Move.EXEC)
        return container.execs.create(container.record, spec)

    def check_exec(self, reference: str) -> None:
        """Raises Conflict if the container can run no further process now."""
        self._registry.find(reference).handles(Move.EXEC)

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
        follower = None if detach else item.output.follow(replay=False, live=True)

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
            if attachment.detached:
                container.publish("exec_detach", execID=item.record.id)

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
    return WaitResult(exit.exit_code, "" if exit.by_machine else exit.error)


def _check_size(rows: int, columns: int) -> None:
    if not (0 < rows < 1 << 16 and 0 < columns < 1 << 16):
        raise InvalidArgument(f"a terminal cannot have {rows} rows and {columns} columns")
