"""A session: the live connection to one guest's agent, and the processes that it runs for us.

`open_session` connects and is greeted; the methods are the requests of docs/protocol.md §3, one message and
one answer each. Closing detaches: the guest goes on, and a later session resumes its processes where the
log ends.

The guest is hostile. What it sends can end the session (`lost`, `failure`), and then everything that waits
fails with the reason; it can neither crash the daemon, nor make it wait for ever, nor fill its memory: what
a frame may claim is checked where it is taken, and frames that say nothing new are counted.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from insula.agent.boot_document import BootDocument
from insula.agent.connection import Connection, again
from insula.agent.messages import Message
from insula.agent.process_spec import ProcessFlag, ProcessSpec
from insula.agent.reports import (
    Credit,
    Exited,
    Oom,
    Output,
    OutputEnd,
    ProcessState,
    Reply,
    Step,
    Welcome,
)
from insula.agent.requests import (
    Boot,
    Freeze,
    Identity,
    PowerOff,
    Release,
    Resize,
    Resume,
    Signal,
    Spawn,
    Stop,
    Sync,
    Thaw,
    TreeRead,
    TreeWrite,
)
from insula.agent.streams import Process
from insula.errors import Conflict, InsulaError, Internal, InvalidArgument, NotFound, Unavailable

REQUEST_SECONDS = 60.0
DISK_SECONDS = 300.0  # stop, sync and freeze wait for the host's disk
FUTILE_MAX = 4_096  # frames that say nothing new, between two answers
REQUEST_MAX = 0xFFFFFFFF

STEP_WORDS = {
    Step.REQUEST: "do what it was asked",
    Step.IDENTITY: "set its clock or its random generator",
    Step.DISKS: "find its disks",
    Step.MOUNT: "mount",
    Step.FILES: "place a file",
    Step.NETWORK: "set up its network",
    Step.SYSCTL: "set a sysctl",
    Step.CGROUP: "set up its cgroup",
    Step.NAMESPACES: "make its namespaces",
    Step.ROOT: "change to the container's root",
    Step.DEVICES: "make its devices",
    Step.USER: "find the user or group",
    Step.DIRECTORY: "enter the working directory",
    Step.LIMITS: "set limits or capabilities",
    Step.SECCOMP: "load the seccomp filter",
    Step.EXEC: "run the program",
    Step.TERMINAL: "open a terminal",
    Step.MODULE: "load a kernel module",
    Step.TREE: "walk the tree",
}


class GuestFailure(Internal):
    """The agent answered that it could not: at which step, with which errno, on which path or name.

    container/ turns it into Docker's words. The detail is the guest's own text."""

    def __init__(self, step: Step, errno: int, detail: str) -> None:
        on = f": {detail!r}" if detail else ""
        super().__init__(f"the guest could not {STEP_WORDS[step]}: {os.strerror(errno)}{on}")
        self.step = step
        self.errno = errno
        self.detail = detail


class Session:
    """From `open_session`. For the event loop's thread only."""

    def __init__(self) -> None:
        self.welcome = Welcome(0, False, 0)
        self.lost = asyncio.Event()
        self.failure: InsulaError | None = None
        self.oom_count = 0
        self._connection = Connection(self)
        self._processes: dict[int, Process] = {}
        self._known: dict[int, ProcessState] = {}
        self._pending: dict[int, asyncio.Future[Reply]] = {}
        self._request = 0
        self._futile = 0
        self._highest = 0

    async def open(self, peer: Path | socket.socket, timeout: float) -> None:
        """Connects and is greeted; for `open_session`."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                if isinstance(peer, Path):
                    await loop.create_unix_connection(lambda: self._connection, str(peer))
                else:
                    await loop.create_unix_connection(lambda: self._connection, sock=peer)
                self.welcome = await self._connection.welcomed
        except TimeoutError as error:
            raise Unavailable(f"the guest's agent did not answer within {timeout:g} s") from error
        except OSError as error:
            where = f"at {peer}" if isinstance(peer, Path) else "by its socket"
            raise Unavailable(f"cannot connect to the guest's agent {where}: {error.strerror}") from error
        finally:
            if not self.welcome.version:
                self._connection.fail(Unavailable("the session with the guest's agent was not opened"))
        self._known = {state.process: state for state in self.welcome.processes}
        self._highest = max(self._known, default=0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        await self._connection.wait_closed()

    def close(self) -> None:
        """Detaches: what was sent still leaves, the guest and its processes go on. A repeat does nothing."""
        self._connection.close()

    # -- processes

    def new_number(self) -> int:
        """A number that no process of this session has."""
        self._highest += 1
        return self._highest

    async def boot(self, document: BootDocument, timeout: float = REQUEST_SECONDS) -> Process:
        """Brings the container up and starts its main process: one message, one answer.

        A repeat (the connection was lost before the answer) gives the process from its beginning."""
        tty = bool(document.main.flags & ProcessFlag.TTY)
        return await self._start(document.main.number, tty, lambda n: Boot(n, document), timeout)

    async def spawn(self, spec: ProcessSpec, timeout: float = REQUEST_SECONDS) -> Process:
        """Starts a further process. A repeat gives the process from its beginning."""
        tty = bool(spec.flags & ProcessFlag.TTY)
        return await self._start(spec.number, tty, lambda n: Spawn(n, spec), timeout)

    async def tree_read(self, number: int, path: str, flags: int = 0) -> Process:
        """A process that writes the file tree at the path as its stdout (tree.py)."""
        return await self._start(number, False, lambda n: TreeRead(n, number, path, flags), REQUEST_SECONDS)

    async def tree_write(self, number: int, path: str, flags: int = 0) -> Process:
        """A process that takes a file tree as its input and makes it at the path."""
        return await self._start(number, False, lambda n: TreeWrite(n, number, path, flags), REQUEST_SECONDS)

    async def _start(
        self, number: int, tty: bool, message: Callable[[int], Message], timeout: float
    ) -> Process:
        if number in self._processes:
            raise Conflict(f"process {number} has been started")
        if not 0 < number <= REQUEST_MAX:
            raise InvalidArgument(f"a process cannot have the number {number}")
        # Registered first: its output may come with the answer, in one piece.
        process = self._processes[number] = Process(self._connection, number, tty=tty)
        self._highest = max(self._highest, number)
        try:
            await self._ask(message, timeout)
            if number in self._known:
                self._connection.send(Resume(number, 0, 0))  # a repeat implies none
        except BaseException:
            self._processes.pop(number, None)
            raise
        return process

    def resume(self, number: int, stdout_offset: int, stderr_offset: int) -> Process:
        """Goes on with a process of an earlier session, from where its output has been kept."""
        state = self._known.get(number)
        if state is None:
            raise NotFound(f"the guest has no process {number}")
        if number in self._processes:
            raise Conflict(f"process {number} has been resumed")
        kept = [(stdout_offset, state.stdout_acknowledged, state.stdout_end)]
        if not state.tty:
            kept.append((stderr_offset, state.stderr_acknowledged, state.stderr_end))
        for offset, acknowledged, end in kept:
            if not acknowledged <= offset <= end:
                raise InvalidArgument(
                    f"output of process {number} from {offset}: the guest has {acknowledged} to {end}"
                )
        process = Process(self._connection, number, tty=state.tty, offsets=(stdout_offset, stderr_offset))
        process.restore_input(state.input_taken, state.input_limit)
        self._connection.send(Resume(number, stdout_offset, 0 if state.tty else stderr_offset))
        self._processes[number] = process
        return process

    async def signal(self, number: int, signal: int) -> None:
        """Sends a signal to a process, or with 0 to every process of the container."""
        await self._ask(lambda n: Signal(n, number, signal))

    def resize(self, number: int, rows: int, columns: int) -> None:
        self._connection.send(Resize(number, rows, columns))

    def release(self, number: int) -> None:
        """The exit is recorded: the guest may forget the process. What is unread of its output is gone."""
        process = self._processes.get(number)
        if process is not None and not process.ended:
            raise Conflict(f"process {number} still runs")
        self._connection.send(Release(number))
        self._known.pop(number, None)
        if process is not None:
            del self._processes[number]
            process.fail(Conflict(f"process {number} has been released"))

    # -- the container

    async def freeze(self) -> None:
        """Freezes the container's processes and syncs its file systems."""
        await self._ask(Freeze, DISK_SECONDS)

    async def thaw(self) -> None:
        await self._ask(Thaw)

    async def sync(self) -> None:
        await self._ask(Sync, DISK_SECONDS)

    async def stop(self) -> None:
        """Kills every process and unmounts everything. When it returns, all is on the disk."""
        await self._ask(Stop, DISK_SECONDS)

    async def identity(self, clock_ns: int, entropy: bytes) -> None:
        """Sets the clock and reseeds the random generator."""
        await self._ask(lambda n: Identity(n, clock_ns, entropy))

    def power_off(self) -> None:
        """Syncs and powers off; the answer is that the connection is lost."""
        self._connection.send(PowerOff())

    # -- requests and what comes

    async def _ask(self, message: Callable[[int], Message], timeout: float = REQUEST_SECONDS) -> None:
        self._request = number = self._request % REQUEST_MAX + 1
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        asked = message(number)
        self._pending[number] = answer
        try:
            self._connection.send(asked)
            async with asyncio.timeout(timeout):
                reply = await answer
        except TimeoutError as error:
            what = type(asked).__name__.lower()
            raise Unavailable(f"the guest's agent did not answer to {what} within {timeout:g} s") from error
        finally:
            del self._pending[number]
        if reply.errno:
            raise GuestFailure(reply.step, reply.errno, reply.detail)

    def receive(self, message: Message) -> None:
        """A message from the agent. Raises Internal on a breach, which ends the session."""
        match message:
            case Output():
                process = self._processes.get(message.process)
                self._count(process is not None and process.take_output(message))
            case Reply():
                self._take_reply(message)
            case OutputEnd():
                process = self._processes.get(message.process)
                self._count(process is not None and process.take_output_end(message))
            case Credit():
                process = self._processes.get(message.process)
                self._count(process is not None and process.take_credit(message))
            case Exited():
                process = self._processes.get(message.process)
                self._count(process is not None and process.take_exit(message))
            case Oom():
                self.oom_count = max(self.oom_count, message.count)
                self._count(False)

    def _take_reply(self, reply: Reply) -> None:
        answer = self._pending.get(reply.request)
        if answer is not None and not answer.done():
            answer.set_result(reply)
            self._futile = 0
        elif 0 < reply.request <= self._request:
            self._count(False)  # whoever asked has given up
        else:
            raise Internal("the guest's agent answers what it was not asked")

    def _count(self, news: bool) -> None:
        """Frames that change nothing come now and then (a released process's last words, repeats); a guest
        that sends nothing else only takes the daemon's time."""
        self._futile += not news
        if self._futile > FUTILE_MAX:
            raise Internal("the guest's agent floods its session with frames that say nothing")

    def on_lost(self, failure: InsulaError) -> None:
        self.failure = failure
        self.lost.set()
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(again(failure))
        for process in self._processes.values():
            process.fail(failure)


async def open_session(peer: Path | socket.socket, timeout: float) -> Session:
    """Connects to an agent's unix socket (QEMU's, which listens before the guest is up), or takes a connected
    one, and waits for the agent's greeting. Raises Unavailable if that does not come in `timeout` seconds."""
    session = Session()
    await session.open(peer, timeout)
    return session
