"""What an exit does to a container: it is recorded, the restart policy is asked, everyone is told.

The order is the same however it came (the program's end, a machine's death, an end that nobody saw): what was
running in the container is over, the record says so, then the status, the events, those who wait.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import replace

from insula.agent.session import Session
from insula.container.execs import Execs
from insula.container.file_guest import FileGuest
from insula.container.health_watch import HealthWatch
from insula.container.log_file import LogFile
from insula.container.log_options import read_log_options
from insula.container.mounting import sockets_of
from insula.container.output import Output
from insula.container.parts import Parts
from insula.container.post_mortem import KILLED
from insula.container.record import Record
from insula.container.removal import Removal
from insula.container.resting import Rest
from insula.container.sockets import carry_sockets
from insula.container.standing import Standing
from insula.container.state import ExitState, Move, Status
from insula.errors import InsulaError

BILLION = 1_000_000_000


class Exiting(Standing):
    """A container as its end sees it. discard: it is being removed by force, and nothing of it matters any more."""

    def __init__(self, parts: Parts, record: Record) -> None:
        super().__init__(parts, record)
        limits = read_log_options(record.spec.log_driver, record.spec.log_options, parts.log_limits)
        self.log = LogFile(parts.paths.container_log(record.id), limits) if limits is not None else None
        self.output = Output(self.log)
        self.execs = Execs(parts, record.id)
        self.health = HealthWatch(self, self.execs)
        self.discard = False
        self.rest = Rest(parts.gate, parts.rest)
        self.file_guest = FileGuest(self)
        self.removal = Removal(self, self.output, self.execs.ids, self.file_guest)

    async def attend(self, session: Session) -> None:
        """What a running guest is to be listened to for, beside its processes, until it is cancelled."""
        await asyncio.gather(self.watch_ooms(session), carry_sockets(session, sockets_of(self.record.guest)))

    async def watch_ooms(self, session: Session) -> None:
        """Tells of each strike of the guest's out-of-memory killer, while the main process goes on too."""
        count, told = 0, self.record.exit.oom_killed  # by an earlier daemon
        with suppress(InsulaError):  # the session's end is seen elsewhere
            while True:
                count = await session.out_of_memory(count)
                if not told:
                    self.tell_of_oom()
                told = False

    def tell_of_oom(self) -> None:
        if not self.record.exit.oom_killed:
            self.save_soon(replace(self.record, exit=replace(self.record.exit, oom_killed=True)))
        self.publish("oom")

    def complete(self, exit: ExitState) -> ExitState:
        """An exit with what was known of the run before it."""
        before = self.record.exit
        if exit.oom_killed and not before.oom_killed:
            self.publish("oom")
        return replace(exit, started_ns=before.started_ns, oom_killed=exit.oom_killed or before.oom_killed)

    async def end_all(self, exit: ExitState) -> None:
        """Of everything beside the main process: its output is over, its execs have ended."""
        self.output.end()
        await self.execs.end(self.record, exit)

    def concluded(self, exit: ExitState) -> Record:
        """The record after an exit; it rests if the policy has it start again."""
        ran = max(0, exit.finished_ns - exit.started_ns) / BILLION
        again = not self.discard and self.wants_again(exit.exit_code, ran)
        return self.record.with_status(Status.RESTARTING if again else Status.EXITED, exit)

    def wants_again(self, exit_code: int, ran: float) -> bool:
        """Whether the policy has it start again, which is then counted. ran: seconds."""
        if not self.rest.decide(self.record, exit_code, ran):
            return False
        self.record = replace(self.record, restart_count=self.record.restart_count + 1)
        return True

    def on_exit(self, exit: ExitState) -> None:
        """The record has it: now everyone is told."""
        self.move(Move.REST if self.record.status is Status.RESTARTING else Move.EXIT)
        self.output.logged.notify()  # whoever follows the log waits for this as well
        duration = (exit.finished_ns - exit.started_ns) // BILLION
        self.publish("die", exitCode=str(exit.exit_code), execDuration=str(max(0, duration)))
        self.waiting.on_exit(exit)

    async def lose(self, reason: str) -> None:
        """The run is over, and nobody saw how: its machine is gone, or a defect of ours has ended it."""
        exit = self.complete(ExitState(KILLED, reason, finished_ns=time.time_ns(), by_machine=True))
        self.health.end()
        await self.end_all(exit)
        with suppress(InsulaError):
            await self.save(self.concluded(exit))
        self.on_exit(exit)
        if self.record.spec.auto_remove:
            await self.removal.at_end()
