"""Further processes in a running container: `docker exec`.

An exec is recorded when it is started and when it has ended, so that its exit code outlives the daemon; its
output goes to whoever is attached and is not kept (nobody attached: it is dropped). Each is owned by one task
that reads its output, takes its exit and lets the guest forget it.

A probe of a health check is a process like these, with Docker's three events, of which nothing is recorded: there
are too many, and one that outlives its daemon is of no use to the next, which kills it.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from insula.agent.process_spec import ProcessSpec
from insula.agent.reports import ExitKind, ProcessState
from insula.agent.session import Session
from insula.agent.streams import Process
from insula.container.failure import NOT_RUNNABLE, explain
from insula.container.health import ProbeResult
from insula.container.output import Output
from insula.container.parts import Parts
from insula.container.plan import make_exec
from insula.container.probe import START_SECONDS, failed, watch_probe
from insula.container.pump import pump
from insula.container.record import EXEC, ExecRecord, Record
from insula.container.spec import ExecSpec
from insula.container.state import ExitState
from insula.database import Transaction
from insula.errors import Conflict, InsulaError

KILLED = 137
SIGKILL = 9
IDLE_MAX = 1000  # execs of each container that are remembered but do not run
PROBES_MAX = 5  # the same, of probes

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Exec:
    """One exec. process: its handle while it runs."""

    record: ExecRecord
    output: Output = field(default_factory=Output)
    process: Process | None = None
    task: asyncio.Task[None] | None = None
    started: bool = False


class Execs:
    """All execs of one container."""

    def __init__(self, parts: Parts, container_id: str) -> None:
        self._parts = parts
        self._container_id = container_id
        self._items: dict[str, Exec] = {}
        self._forgotten: list[str] = []
        self._probes: dict[str, Exec] = {}
        self._others: set[asyncio.Task[Any]] = set()

    def ids(self) -> tuple[str, ...]:
        """Of every record there may be."""
        return (*self._items, *self._forgotten)

    def find(self, id: str) -> Exec | None:
        return self._items.get(id) or self._probes.get(id)

    def running_ids(self) -> tuple[str, ...]:
        items = (*self._items.items(), *self._probes.items())
        return tuple(id for id, item in items if item.record.exit_code is None)

    def add(self, record: ExecRecord) -> Exec:
        """An exec of the database, or a new one."""
        item = self._items[record.id] = Exec(record, started=record.number != 0)
        idle = [
            id for id, item in self._items.items() if item.record.exit_code is not None or not item.started
        ]
        for id in idle[:-IDLE_MAX]:
            del self._items[id]
            self._forgotten.append(id)
        return item

    def create(self, container: Record, spec: ExecSpec) -> str:
        item = self.add(ExecRecord(id=secrets.token_hex(32), container_id=self._container_id, spec=spec))
        command = " ".join(spec.cmd)
        self._publish(container, f"exec_create: {command}", item)
        return item.record.id

    async def start(self, item: Exec, container: Record, session: Session, rows: int, columns: int) -> None:
        """Raises Conflict if it has been started, and what the guest could not do, in Docker's words."""
        if item.started:
            raise Conflict(f"exec {item.record.id[:12]} has already been started")
        item.started = True
        spec = item.record.spec
        process_spec = await self._make_spec(spec, container, session)
        await self._save(item, replace(item.record, number=process_spec.number))
        try:
            process = await session.spawn(replace(process_spec, rows=rows, columns=columns))
        except InsulaError as error:
            await self._save(item, replace(item.record, exit_code=NOT_RUNNABLE))
            directory = spec.working_dir or container.settings.working_dir
            user = spec.user or container.settings.user
            raise explain(error, spec.cmd, directory, user).error from error
        item.process = process
        item.task = asyncio.create_task(self._own(item, process, session, container))
        self._publish(container, f"exec_start: {' '.join(spec.cmd)}", item)

    async def _make_spec(self, spec: ExecSpec, container: Record, session: Session) -> ProcessSpec:
        filter = await self._parts.filter(container.platform, container.spec, spec.privileged)
        return make_exec(
            spec, container.spec, container.settings, session.new_number(), filter, container.leases
        )

    async def _own(self, item: Exec, process: Process, session: Session, container: Record) -> None:
        code = KILLED
        try:
            await pump(process, item.output)
            exit = await process.exit()
            code = exit.value if exit.kind is ExitKind.EXITED else 128 + exit.value
        except InsulaError as error:
            log.info("exec %s: its guest is gone: %s", item.record.id[:12], error)
        await self._end(item, code, container)
        with suppress(InsulaError):
            session.release(process.number)

    async def _end(self, item: Exec, code: int, container: Record) -> None:
        if item.record.exit_code is None:
            with suppress(InsulaError):
                await self._save(item, replace(item.record, exit_code=code))
            item.record = replace(item.record, exit_code=code)
            item.process = None
            item.output.end()
            self._publish(container, "exec_die", item, exitCode=str(code))

    async def _save(self, item: Exec, record: ExecRecord) -> None:
        document, forgotten = record.to_document(), self._forgotten
        self._forgotten = []

        def write(transaction: Transaction) -> None:
            transaction.put(EXEC, record.id, document)
            for id in forgotten:
                transaction.delete(EXEC, id)

        await self._parts.database.run(write)
        item.record = record

    def _publish(self, container: Record, action: str, item: Exec, **attributes: str) -> None:
        self._parts.publish(container, action, {"execID": item.record.id, **attributes})

    # -- probes

    async def probe(
        self, command: tuple[str, ...], container: Record, session: Session, timeout_ns: int
    ) -> ProbeResult:
        """Runs one probe of a health check. A cancellation kills it, without waiting for that."""
        spec = ExecSpec(cmd=command, attach_stdout=True, attach_stderr=True)
        id = secrets.token_hex(32)
        item = self._probes[id] = Exec(ExecRecord(id=id, container_id=self._container_id, spec=spec))
        item.started = True
        for old in list(self._probes)[:-PROBES_MAX]:
            del self._probes[old]
        self._publish(container, f"exec_create: {' '.join(command)}", item)
        given_up = asyncio.Event()
        try:
            task = self._own_other(self._own_probe(item, container, session, timeout_ns, given_up))
            return await asyncio.shield(task)
        finally:
            given_up.set()

    async def _own_probe(
        self, item: Exec, container: Record, session: Session, timeout_ns: int, given_up: asyncio.Event
    ) -> ProbeResult:
        start_ns = time.time_ns()
        command = item.record.spec.cmd
        try:
            async with asyncio.timeout(START_SECONDS):
                process = await session.spawn(await self._make_spec(item.record.spec, container, session))
        except (InsulaError, TimeoutError) as error:
            item.record = replace(item.record, exit_code=NOT_RUNNABLE)
            if isinstance(error, TimeoutError):
                return failed(start_ns, f"timed out starting health check for container {container.id}")
            settings = container.settings
            told = explain(error, command, settings.working_dir, settings.user).error
            return failed(start_ns, told.message)
        item.record, item.process = replace(item.record, number=process.number), process
        self._publish(container, f"exec_start: {' '.join(command)}", item)
        end = await watch_probe(
            process, lambda: session.signal(process.number, SIGKILL), timeout_ns, start_ns, given_up
        )
        code = KILLED if end.exit_code is None else end.exit_code
        item.record, item.process = replace(item.record, exit_code=code), None
        self._publish(container, "exec_die", item, exitCode=str(code))
        if (
            end.exit_code is None
        ):  # its guest does not answer, being paused perhaps: the process must not stay
            self._own_other(_drain(process, session))
        else:
            with suppress(InsulaError):
                session.release(process.number)
        return end.result

    def _own_other(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)
        return task

    # -- over the daemon's death

    def adopt(self, session: Session, states: Sequence[ProcessState], container: Record) -> None:
        """Takes up what an earlier daemon's execs left: their clients are gone, their exits are not."""
        numbers = {item.record.number: item for item in self._items.values() if item.record.exit_code is None}
        for state in states:
            process = session.resume(state.process, state.stdout_acknowledged, state.stderr_acknowledged)
            item = numbers.pop(state.process, None)
            if item is None:  # a helper's: nobody knows what it was for
                self._own_other(_drain(process, session))
                continue
            item.process = process
            item.task = asyncio.create_task(self._own(item, process, session, container))
        for item in numbers.values():
            if item.started:
                item.record = replace(item.record, exit_code=KILLED)

    async def end(self, container: Record, exit: ExitState) -> None:
        """The container has ended, and all its processes with it."""
        tasks = self._tasks()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=1.0)
            for task in late:
                task.cancel()
        for item in self._items.values():
            if item.started and item.record.exit_code is None:
                await self._end(item, KILLED, container)

    def _tasks(self) -> list[asyncio.Task[Any]]:
        return [*self._others, *(item.task for item in self._items.values() if item.task is not None)]

    async def detach(self) -> None:
        tasks = self._tasks()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _drain(process: Process, session: Session) -> None:
    with suppress(InsulaError):
        await session.signal(process.number, SIGKILL)
    with suppress(InsulaError):
        await pump(process, Output())
        await process.exit()
        session.release(process.number)
