"""One container's life: a task of its own from start to exit, and what others ask of it.

The task holds everything that the run needs in one AsyncExitStack, let go of in reverse on every path. Others
look at `status`, make a move of the table (state.py) and await the task or the main process; they never touch
what it holds. A run may also begin in the middle (`adopt`): an earlier daemon's machine, taken up from its record.

Order of the end, for a container that is kept: its streams have ended and are in the log; the guest has synced;
the record says exited; then the machine is killed. Whichever of these a daemon dies in, the next one ends up in
the same place. With --rm there is nothing to sync and nothing to record: the machine goes at once.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path

from insula.agent.streams import Process
from insula.container.beginning import Running, bring_up, take_up
from insula.container.ending import KILLED, until_ended
from insula.container.execs import Execs
from insula.container.failure import explain
from insula.container.log_file import LogFile, make_limits
from insula.container.output import Output
from insula.container.parts import Parts
from insula.container.record import CONTAINER, EXEC, Record
from insula.container.state import ExitState, Move, Status, move
from insula.container.waiting import Waiting
from insula.errors import InsulaError, Internal

log = logging.getLogger(__name__)


Beginning = Callable[[AsyncExitStack], Awaitable[Running]]


class Container:
    """One container, running or not."""

    def __init__(self, parts: Parts, record: Record) -> None:
        self._parts = parts
        self.record = record
        self.status = record.status
        self.running: Running | None = None
        self.waiting = Waiting()
        self._owner: asyncio.Task[None] | None = None
        self._started: asyncio.Future[None] | None = None
        self._before = record
        self._adopting = False
        self._begun = asyncio.Event()
        self._discard = False
        self._removal: asyncio.Task[None] | None = None
        self._removed = False
        logged = record.spec.log_driver != "none"
        path = parts.paths.container_log(record.id)
        self.log = LogFile(path, make_limits(record.spec.log_options)) if logged else None
        self.output = Output(self.log)
        self.execs = Execs(parts, record.id)

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def is_live(self) -> bool:
        """Whether its run is under way, its beginning and its end included."""
        return self.status in (Status.STARTING, Status.RUNNING, Status.STOPPING)

    def handles(self, operation: Move) -> Running:
        """What a running container has. Raises Conflict in the operation's words if it does not run."""
        move(self.status, operation, self.id)
        if self.running is None:
            raise Internal(f"container {self.id} runs without a machine")
        return self.running

    async def main_process(self) -> Process | None:
        """The main process, waited for if it does not run yet; None if that came to nothing."""
        if self.running is None and self.status in (Status.CREATED, Status.EXITED, Status.STARTING):
            await self._begun.wait()
        return self.running.main if self.running is not None else None

    def _wake(self) -> None:
        """Those who wait for a beginning."""
        self._begun.set()
        self._begun.clear()

    def publish(self, action: str, **attributes: str) -> None:
        self._parts.publish(self.record, action, attributes)

    async def save(self, record: Record) -> None:
        self.record = record
        document = record.to_document()
        await self._parts.database.run(lambda t: t.put(CONTAINER, record.id, document))

    def _save_soon(self, record: Record) -> None:
        """Without waiting: the database's thread does one after the other."""
        self.record = record
        task = asyncio.ensure_future(self.save(record))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    # -- start

    async def start(self) -> None:
        """Returns when the main process runs. What fails is raised in Docker's words."""
        self.status, self._adopting = move(self.status, Move.START, self.id), False
        await self._begin(self._bring_up)

    async def _bring_up(self, held: AsyncExitStack) -> Running:
        return await bring_up(self._parts, self.record, self.log, held, self.save)

    async def adopt(self) -> None:
        """Takes up what the record says was running. Returns when it is taken up, or has been found gone."""
        self.status, self._adopting = Status.STARTING, True
        with suppress(InsulaError):
            await self._begin(self._take_up)

    async def _begin(self, beginning: Beginning) -> None:
        self._before = self.record
        self._started = started = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own(beginning, started), name=f"container {self.id[:12]}")
        await asyncio.shield(started)

    async def _own(self, beginning: Beginning, started: asyncio.Future[None]) -> None:
        """The owner: one run, from its beginning to its end."""
        held = AsyncExitStack()
        try:
            await self._run(held, beginning, started)
        except asyncio.CancelledError:
            if self.running is not None:
                self.running.guest.detach()
        except Exception as error:
            log.exception("container %s", self.id)
            await self._lose(f"internal error: {error}")
        finally:
            self.running = None
            await asyncio.shield(self._let_go(held))
            if not started.done():
                started.set_exception(Internal(f"the start of container {self.id[:12]} was broken off"))
            started.exception()  # whoever asked may have gone

    async def _let_go(self, held: AsyncExitStack) -> None:
        """What fails here changes nothing of what has happened to the container."""
        try:
            await held.aclose()
        except Exception:
            log.exception("container %s: letting go of its machine", self.id[:12])

    async def _run(self, held: AsyncExitStack, beginning: Beginning, started: asyncio.Future[None]) -> None:
        try:
            self.running = running = await beginning(held)
        except (InsulaError, OSError) as error:
            await self._let_go(held)
            started.set_exception(await self._fail(error))
            return
        except asyncio.CancelledError:
            await asyncio.shield(self._break_off())
            raise
        self._on_running(running)
        started.set_result(None)
        exit = await until_ended(running, self.output, lambda: self._discard)
        await self._finish(held, replace(exit, started_ns=self.record.exit.started_ns))

    async def _fail(self, error: InsulaError | OSError) -> InsulaError:
        """The start has failed and everything is undone: back to where it was, with Docker's exit code."""
        if isinstance(error, OSError):
            error = Internal(f"container {self.id[:12]} could not be started: {error}")
        before, settings = self._before, self.record.settings
        if before.status is Status.RUNNING:  # not a start, but an adoption: it has ended, unseen
            await self.lose_unseen(str(error))
            return error
        told = explain(error, settings.arguments, settings.working_dir)
        exit = replace(before.exit, exit_code=told.exit_code, error=told.error.message)
        await self._go_back(exit)
        self._wake()
        self.output.end()
        self.waiting.on_exit(exit)
        if self.record.spec.auto_remove:
            await self._auto_remove()
        return told.error

    async def _break_off(self) -> None:
        """The daemon ends in the middle of a beginning: a start is undone, an adoption is left to the next."""
        if not self._adopting:
            await self._go_back(self._before.exit)

    async def _go_back(self, exit: ExitState) -> None:
        self.status = Status.EXITED if exit.started_ns else Status.CREATED
        with suppress(InsulaError):
            await self.save(self.record.with_status(self.status, exit))

    async def _take_up(self, held: AsyncExitStack) -> Running:
        running = await take_up(self._parts, self.record, self.log, held)
        others = [s for s in running.guest.session.welcome.processes if s.process != self.record.main]
        self.execs.adopt(running.guest.session, others, self.record)
        return running

    # -- while it runs

    def _on_running(self, running: Running) -> None:
        running.guest.began()
        self.output.begin(running.ends, running.base)
        self.status = Status.RUNNING
        if self.record.status is not Status.RUNNING:
            exit = ExitState(started_ns=time.time_ns())
            self._save_soon(replace(self.record, status=Status.RUNNING, exit=exit))
        self._wake()
        if not self._adopting:
            self.publish("start")

    # -- end

    async def _finish(self, held: AsyncExitStack, exit: ExitState) -> None:
        running = self.running
        assert running is not None
        self.status = move(self.status, Move.END, self.id)
        gone = self._discard or self.record.spec.auto_remove
        if gone:
            running.guest.kill()
        elif not exit.error:
            try:
                await running.guest.session.stop()
            except InsulaError as error:
                log.warning("container %s: its writable layer may not be synced: %s", self.id[:12], error)
        self.output.end()
        await self.execs.end(self.record, exit)
        if gone:
            self.record = self.record.with_status(Status.EXITED, exit)
        else:
            await self._save_exit(exit)
        self.running = None
        if not gone:
            await self._let_go(held)
        self._on_exit(exit)
        if self.record.spec.auto_remove:
            await asyncio.gather(self._auto_remove(), self._let_go(held))

    async def _save_exit(self, exit: ExitState) -> None:
        """The exit must be recorded before the guest forgets it: without space, again and again."""
        while True:
            try:
                await self.save(self.record.with_status(Status.EXITED, exit))
                return
            except InsulaError as error:
                log.error("container %s: its exit cannot be recorded yet: %s", self.id[:12], error)
                await asyncio.sleep(1)  # the host's disk is full, say: time is what it takes

    def _on_exit(self, exit: ExitState) -> None:
        self.status = Status.EXITED
        self.output.logged.notify()  # whoever follows the log waits for this as well
        if exit.oom_killed:
            self.publish("oom")
        duration = (exit.finished_ns - exit.started_ns) // 1_000_000_000
        self.publish("die", exitCode=str(exit.exit_code), execDuration=str(max(0, duration)))
        self.waiting.on_exit(exit)

    async def _lose(self, reason: str) -> None:
        """A defect of ours in the middle of a run: the machine is let go of, and the container has exited."""
        exit = ExitState(KILLED, reason, False, self.record.exit.started_ns, time.time_ns())
        self.output.end()
        await self.execs.end(self.record, exit)
        with suppress(InsulaError):
            await self.save(self.record.with_status(Status.EXITED, exit))
        self._on_exit(exit)

    async def lose_unseen(self, reason: str) -> None:
        """Adoption found no machine: what ran has ended, unseen."""
        await self._lose(f"the machine is gone: {reason}")
        if self.record.spec.auto_remove:
            await self._auto_remove()

    # -- what others ask

    async def settled(self) -> None:
        """Returns when no start is under way."""
        if self._started is not None and not self._started.done():
            await asyncio.wait((self._started,))

    async def ended(self, timeout: float | None) -> bool:
        """Whether the run has ended, within the time given."""
        if self._owner is None or self._owner is asyncio.current_task():
            return not self.is_live
        done, _ = await asyncio.wait((self._owner,), timeout=timeout)
        return bool(done)

    async def detach(self) -> None:
        """The daemon ends: lets go, and the container goes on."""
        await self.execs.detach()
        if self._adopting:
            await self.settled()
        for task in (self._owner, self._removal):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait((task,))
        if self.log is not None:
            self.log.close()

    # -- removal

    async def remove(self, *, discard: bool) -> None:
        """Removes what does not run. discard: a run that is under way is ended first."""
        if discard and self.is_live:
            await self.settled()
            self._discard = True
            if self.running is not None:
                self.running.guest.kill()
            await self.ended(None)
        if discard and self.status is Status.REMOVING and self._removal is None:  # --rm was faster
            await self.ended(None)
        if discard and self._removed:
            return
        if self._removal is None or self._removal.done():
            self.status = move(self.status, Move.REMOVE, self.id)
            self._removal = asyncio.create_task(self._remove_recorded())
        elif not discard:
            move(self.status, Move.REMOVE, self.id)
        await asyncio.shield(self._removal)

    async def _auto_remove(self) -> None:
        self.status = move(self.status, Move.REMOVE, self.id)
        with suppress(InsulaError):
            await self._remove()

    async def _remove_recorded(self) -> None:
        """A removal that a daemon dies in is finished by the next."""
        await self.save(self.record.with_status(Status.REMOVING, self.record.exit))
        await self._remove()

    async def finish_removal(self) -> None:
        """Of an earlier daemon."""
        with suppress(InsulaError):
            await self._remove()

    async def _remove(self) -> None:
        """Files first, the record last."""
        try:
            await asyncio.to_thread(_remove_tree, self._parts.paths.container(self.id))
            await self._parts.database.run(lambda t: self._delete_records(t.delete))
        except (InsulaError, OSError) as error:
            self.status = move(self.status, Move.KEEP, self.id)
            log.error("container %s cannot be removed: %s", self.id[:12], error)
            raise Internal(f"container {self.id[:12]} cannot be removed: {error}") from error
        self._removed = True
        self._parts.registry.forget(self.record)
        self._wake()
        self.output.end()
        self.publish("destroy")
        self.waiting.on_removed(self.record.exit)

    def _delete_records(self, delete: Callable[[str, str], None]) -> None:
        delete(CONTAINER, self.id)
        for id in self.execs.ids():
            delete(EXEC, id)


def _remove_tree(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
