"""Further processes in a running container: `docker exec`.

An exec is recorded when it is started and when it has ended, so that its exit code outlives the daemon; its
output goes to whoever is attached and is not kept (nobody attached: it is dropped). Each is owned by one task
that reads its output, takes its exit and lets the guest forget it.
"""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from insula.agent.reports import ExitKind, ProcessState
from insula.agent.session import Session
from insula.agent.streams import Process
from insula.container.failure import NOT_RUNNABLE, explain
from insula.container.output import Output
from insula.container.parts import Parts
from insula.container.plan import capabilities_of, make_exec
from insula.container.pump import pump
from insula.container.record import EXEC, ExecRecord, Record
from insula.container.spec import ExecSpec
from insula.container.state import ExitState
from insula.database import Transaction
from insula.errors import Conflict, InsulaError

KILLED = 137
IDLE_MAX = 1000  # execs of each container that are remembered but do not run

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
        self._others: list[asyncio.Task[None]] = []

    def ids(self) -> tuple[str, ...]:
        """Of every record there may be."""
        return (*self._items, *self._forgotten)

    def find(self, id: str) -> Exec | None:
        return self._items.get(id)

    def running_ids(self) -> tuple[str, ...]:
        return tuple(id for id, item in self._items.items() if item.record.exit_code is None)

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
        privileged = spec.privileged or container.spec.privileged
        filter = await self._parts.filter(container.platform, capabilities_of(privileged), privileged)
        number = session.new_number()
        process_spec = make_exec(spec, container.spec, container.settings, number, filter)
        await self._save(item, replace(item.record, number=number))
        try:
            process = await session.spawn(replace(process_spec, rows=rows, columns=columns))
        except InsulaError as error:
            await self._save(item, replace(item.record, exit_code=NOT_RUNNABLE))
            directory = spec.working_dir or container.settings.working_dir
            raise explain(error, spec.cmd, directory).error from error
        item.process = process
        item.task = asyncio.create_task(self._own(item, process, session, container))
        self._publish(container, f"exec_start: {' '.join(spec.cmd)}", item)

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

    # -- over the daemon's death

    def adopt(self, session: Session, states: Sequence[ProcessState], container: Record) -> None:
        """Takes up what an earlier daemon's execs left: their clients are gone, their exits are not."""
        numbers = {item.record.number: item for item in self._items.values() if item.record.exit_code is None}
        for state in states:
            process = session.resume(state.process, state.stdout_acknowledged, state.stderr_acknowledged)
            item = numbers.pop(state.process, None)
            if item is None:  # a helper's: nobody knows what it was for
                self._others.append(asyncio.create_task(_drain(process, session)))
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

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [*self._others, *(item.task for item in self._items.values() if item.task is not None)]

    async def detach(self) -> None:
        tasks = self._tasks()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _drain(process: Process, session: Session) -> None:
    with suppress(InsulaError):
        await session.signal(process.number, 9)
    with suppress(InsulaError):
        await pump(process, Output())
        await process.exit()
        session.release(process.number)
