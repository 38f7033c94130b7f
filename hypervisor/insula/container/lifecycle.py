"""One container's life: a task of its own from start to exit, and what others ask of it.

The task holds everything that a run needs in one AsyncExitStack, let go of in reverse on every path. Others
look at `status`, make a move of the table (state.py) and await the task or the main process; they never touch
what it holds. A run may also begin in the middle (`adopt`): an earlier daemon's machine, taken up from its record.
The same task goes on with the next run where the restart policy wants one (resting.py).

Order of the end, for a container that is kept: its streams have ended and are in the log; the guest has synced;
the record says exited (or restarting); then the machine is killed. Whichever of these a daemon dies in, the next one
ends up in the same place. With --rm there is nothing to sync and nothing to record: the machine goes at once.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

from insula.agent.streams import Process
from insula.container.attaching import let_go_of_disks
from insula.container.beginning import Running, adopt_guest, bring_up, rejoin, take_up
from insula.container.ending import Ended, keep_report, save_exit, sync, until_ended
from insula.container.exiting import Exiting
from insula.container.failure import explain
from insula.container.parts import Parts
from insula.container.pausing import Pausing
from insula.container.record import Record
from insula.container.relinking import settle
from insula.container.restart_policy import NO
from insula.container.state import ExitState, Move, Status, move
from insula.container.stats import Readable, Stats
from insula.errors import Conflict, InsulaError, Internal, Unavailable
from insula.guest.guest import Guest

log = logging.getLogger(__name__)

Beginning = Callable[[AsyncExitStack], Awaitable[Running]]
UP = (Status.RUNNING, Status.PAUSED, Status.STOPPING)


class Container(Exiting):
    """One container, running or not. guest: its machine while there is one that runs it; running: the handles of a
    run, None while it sleeps (pausing.py); before: the record as it was when the last beginning began; kept: how many
    want it to stay after its end, --rm or not; killers: how many are killing it."""

    def __init__(self, parts: Parts, record: Record) -> None:
        super().__init__(parts, record)
        self.guest: Guest | None = None
        self.running: Running | None = None
        self.kept = self.killers = 0
        self._owner: asyncio.Task[None] | None = None
        self._started: asyncio.Future[None] | None = None
        self.before = record
        self._adopting = False
        self.pausing = Pausing(self, self.health)
        self.stats = Stats(lambda: Readable(self.status, self.running))

    @property
    def is_owned(self) -> bool:
        """Whether a task has its run in hand."""
        return self._owner is not None and not self._owner.done()

    def handles(self, operation: Move) -> Running:
        """What a running container has. Raises Conflict in the operation's words if it does not run."""
        self.check(operation)
        if self.running is None:
            raise Conflict(f"Container {self.id} is paused, unpause the container before {operation}")
        return self.running

    async def main_process(self) -> Process | None:
        """The main process, waited for if it does not run yet; None if that came to nothing."""
        if self.running is None and self.status in (Status.CREATED, Status.EXITED, Status.STARTING):
            await self.begun.wait()
        return self.running.main if self.running is not None else None

    # -- start

    async def start(self) -> None:
        """Returns when the main process runs. What fails is raised in Docker's words."""
        self.move(Move.START)
        self.rest.begin_anew()
        self.discard = False
        self.record = replace(self.record, restart_count=0, stopped=False)
        await self._begin(self._bring_up, adopting=False)

    async def adopt(self) -> None:
        """Takes up what the record says was running. Returns when it is taken up, or has been found gone."""
        self.status = Status.STARTING
        with suppress(InsulaError):
            await self._begin(self._take_up, adopting=True)

    def start_again(self) -> None:
        """What an earlier daemon left to be started by the restart policy."""
        if self.status is not Status.RESTARTING:
            self.move(Move.REST)
            self.record = replace(self.record, restart_count=0, stopped=False)
        self._owner = asyncio.create_task(self._own(None), name=f"container {self.id[:12]}")

    async def _begin(self, beginning: Beginning, *, adopting: bool) -> None:
        started = self._open_start(adopting=adopting)
        self._owner = asyncio.create_task(self._own(beginning), name=f"container {self.id[:12]}")
        await asyncio.shield(started)

    def _open_start(self, *, adopting: bool) -> asyncio.Future[None]:
        self.before, self._adopting = self.record, adopting
        self._started = asyncio.get_running_loop().create_future()
        return self._started

    def _answer(self, error: Exception | None) -> None:
        """Tells whoever waits for the start how it came out; the first answer counts."""
        if self._started is None or self._started.done():
            return
        if error is None:
            self._started.set_result(None)
        else:
            self._started.set_exception(error)
            self._started.exception()  # whoever asked may have gone

    async def _bring_up(self, held: AsyncExitStack) -> Running:
        handed = await self.file_guest.hand_over()
        return await bring_up(self.parts, self.record, self.log, held, self.change, handed)

    async def _take_up(self, held: AsyncExitStack) -> Running:
        self.guest = guest = await adopt_guest(self.parts, self.record, held)
        joined = await rejoin(self.parts, self.record, guest, held)
        if await guest.is_paused():
            self.move(Move.SLEEP)
            self._answer(None)
            await self.pausing.sleep(guest)
        running = await take_up(guest, joined, self.record, self.log, held)
        await settle(self, guest, joined)
        if self.record.status is Status.PAUSED:
            await self.pausing.hold(guest)
        others = [s for s in guest.session.welcome.processes if s.process != self.record.main]
        self.execs.adopt(guest.session, others, self.record)
        return running

    # -- the owner

    async def _own(self, beginning: Beginning | None) -> None:
        """One run after the other, for as long as the restart policy has it so. None: it rests first."""
        if beginning is None or await self._own_run(beginning):
            while await self._rested() and await self._own_run(self._bring_up):
                pass

    async def _own_run(self, beginning: Beginning) -> bool:
        """One run, from its beginning to its end. Whether the policy has another one to come."""
        held = AsyncExitStack()
        try:
            await self._run(held, beginning)
        except asyncio.CancelledError:
            if self.guest is not None:
                self.guest.detach()
            return False
        except Exception as error:
            log.exception("container %s", self.id)
            if self.is_live and self.status is not Status.RESTARTING:
                await self.lose(f"internal error: {error}")
        finally:
            self.rest.let_go()
            await asyncio.shield(self._let_go(held))
            ours = self._owner is asyncio.current_task()  # nobody has started it again since
            if ours:
                self.running = self.guest = None
                self._answer(Internal(f"the start of container {self.id[:12]} was broken off"))
        return ours and self.status is Status.RESTARTING

    async def _let_go(self, held: AsyncExitStack) -> None:
        """What fails here changes nothing of what has happened to the container."""
        try:
            await held.aclose()
        except Exception:
            log.exception("container %s: letting go of its machine", self.id[:12])

    async def _run(self, held: AsyncExitStack, beginning: Beginning) -> None:
        try:
            self.running = running = await beginning(held)
        except (InsulaError, OSError) as error:
            await self._let_go(held)
            self._answer(await self._fail(error))
            return
        except asyncio.CancelledError:
            await asyncio.shield(self._break_off())
            raise
        self._on_running(running)
        self._answer(None)
        attending = asyncio.create_task(self.attend(running.guest.session))
        try:
            ended = await until_ended(
                running,
                self.output,
                is_discarded=lambda: self.discard,
                is_paused=lambda: self.status is Status.PAUSED,
            )
        finally:
            attending.cancel()
        await self._finish(held, ended)

    async def _rested(self) -> bool:
        """The rest before the policy's next start. False: it was cut short, and the container has exited."""
        try:
            ready = await self.rest.over()
        except asyncio.CancelledError:
            self.rest.let_go()
            raise
        if ready:
            self.move(Move.AGAIN)
            self._open_start(adopting=False)
            return True
        await save_exit(self, self.record.with_status(Status.EXITED, self.record.exit))
        self.move(Move.EXIT)
        self.waiting.on_exit(self.record.exit)
        return False

    # -- a start that came to nothing

    async def _fail(self, error: InsulaError | OSError) -> InsulaError:
        """The start has failed and everything is undone: back to where it was, with Docker's exit code."""
        if isinstance(error, OSError):
            error = Internal(f"container {self.id[:12]} could not be started: {error}")
        before, settings = self.before, self.record.settings
        if self._adopting and before.status in UP:  # not a start: it has ended, unseen
            await self.lose(f"the machine is gone: {error}")
            return error
        told = explain(error, settings.arguments, settings.working_dir, settings.user)
        exit = replace(before.exit, exit_code=told.exit_code, error=told.error.message)
        again = before.starts_again
        if (
            again and not self._adopting
        ):  # the host lacks something: that may pass; the program's faults do not
            again = isinstance(error, Unavailable) and self.wants_again(exit.exit_code, 0)
        await self._go_back(exit, again=again)
        self.wake()
        self.output.end()
        self.waiting.on_exit(exit)
        if self.record.spec.auto_remove:
            await self.removal.at_end()
        return told.error

    async def _break_off(self) -> None:
        """The daemon ends in the middle of a beginning: a start is undone, an adoption is left to the next."""
        if not self._adopting:
            await self._go_back(self.before.exit, again=self.before.starts_again)

    async def _go_back(self, exit: ExitState, *, again: bool) -> None:
        operation = Move.REST if again else Move.EXIT if exit.started_ns else Move.FAIL
        status = move(self.status, operation, self.id)
        with suppress(InsulaError):
            await self.save(self.record.with_status(status, exit))
        self.status = status

    # -- while it runs

    def _on_running(self, running: Running) -> None:
        self.guest = running.guest
        running.guest.began()
        self.rest.let_go()
        self.output.begin(running.ends, running.base)
        self.move(Move.STARTED)
        if self.record.status is Status.RUNNING:
            self.health.resume(running.guest.session, adopted=True)
        elif self.record.status is Status.PAUSED:  # it has been woken
            self.health.resume(running.guest.session)
            self.save_soon(replace(self.record, status=Status.RUNNING))
        else:
            exit = ExitState(started_ns=time.time_ns())
            self.record = replace(self.record, status=Status.RUNNING, exit=exit)
            self.health.begin(running.guest.session)
            self.save_soon(self.record)
        self.wake()
        if not self._adopting:
            self.publish("start")

    async def pause(self) -> None:
        """Raises Conflict if it does not run."""
        await self.settled()
        while await self.pausing.signals_answered():
            await self.settled()
        running = self.handles(Move.PAUSE)
        if running.main.ended or self.killers:  # a guest that stood still now could not say its last
            raise Conflict(f"container {self.id} is not running")
        await self.pausing.pause(running.guest)

    async def unpause(self) -> None:
        """Returns when it runs, with its clock right. Raises Conflict if it is not paused."""
        await self.settled()
        self.check(Move.UNPAUSE)
        if self.running is not None:
            await self.pausing.unpause(self.running.guest)
            return
        assert self.guest is not None
        await self.pausing.wake(self.guest)
        self.move(Move.WAKE)
        started = self._open_start(adopting=True)
        await asyncio.shield(started)
        self.publish("unpause")

    @property
    def is_ending(self) -> bool:
        """Whether the restart policy has been told to start it no more."""
        return self.rest.is_cut

    async def end_for_good(self) -> None:
        """The user ends it: the restart policy is not to start it again."""
        self.rest.cut()
        await self.touch()

    async def touch(self) -> None:
        """The user has sent it a signal, which `unless-stopped` remembers."""
        if self.record.spec.restart.name == NO:
            self.record = replace(self.record, stopped=True)  # goes with the next save
        elif not self.record.stopped:
            await self.change(stopped=True)

    # -- end

    async def _finish(self, held: AsyncExitStack, ended: Ended) -> None:
        running, exit = self.running, self.complete(ended.exit)
        assert running is not None
        self.move(Move.END)
        self.health.end()
        removes = self.record.spec.auto_remove and not self.kept
        gone = self.discard or removes
        if gone:
            await let_go_of_disks(running.guest, self.id)
            running.guest.kill()
        elif not exit.error:
            await sync(running, self.id)
        await self.end_all(exit)
        if gone:
            self.record = self.record.with_status(Status.EXITED, exit)
        else:
            if ended.report:
                await keep_report(self.parts.paths.machine_end(self.id), exit.error, ended.report)
            await save_exit(self, self.concluded(exit))
        self.running = None
        if not gone:
            await self._let_go(held)
        self.guest = None  # no sooner: it is shown as running until here, with its machine
        self.on_exit(exit)
        if removes:
            await asyncio.gather(self.removal.at_end(), self._let_go(held))

    # -- what others ask

    async def settled(self) -> None:
        """Returns when no start and no pause is under way."""
        while under_way := [f for f in (self._started, self.pausing.turn) if f is not None and not f.done()]:
            await asyncio.wait(under_way)

    async def ended(self, timeout: float | None) -> bool:
        """Whether the run has ended, and is not to be started again by its policy, within the time given."""
        if self._owner is None or self._owner is asyncio.current_task():
            return not self.is_live
        done, _ = await asyncio.wait((self._owner,), timeout=timeout)
        return bool(done)

    async def detach(self) -> None:
        """The daemon ends: lets go, and the container goes on."""
        if self.record.health is not None and self.is_live:
            self.health.let_go()
            with suppress(InsulaError):
                await self.save(self.record)  # with the latest results
        await self.execs.detach()
        await self.file_guest.let_go()
        if self._adopting:
            await self.settled()
        for task in (self._owner, self.removal.task):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait((task,))
        if self.log is not None:
            self.log.close()

    async def remove(self, *, discard: bool) -> None:
        """Removes what does not run. discard: a run that is under way is ended first."""
        if discard and self.is_live:
            await self._end_discarded()
        if discard and self.status is Status.REMOVING and self.removal.task is None:  # --rm was faster
            await self.ended(None)
        if discard:
            await self.file_guest.end(at_once=True)
        if not (discard and self.removal.done):
            await self.removal.ask(join=discard)

    async def _end_discarded(self) -> None:
        self.rest.cut()
        await self.settled()
        self.discard = True
        if self.running is not None:
            await let_go_of_disks(self.running.guest, self.id)
        if self.guest is not None:
            self.guest.kill()
        await self.ended(None)

    async def finish_removal(self) -> None:
        """Of an earlier daemon."""
        await self.removal.finish()
