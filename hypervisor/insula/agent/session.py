"""A session: the live connection to one guest's agent, and the processes that it runs for us.

`open_session` connects and is greeted; the methods are the requests of docs/protocol.md §3, one message and
one answer each. Closing detaches: the guest goes on, and a later session resumes its processes where the
log ends.

The guest is hostile. What it sends can end the session (`lost`, `failure`), and then everything that waits
fails with the reason; it can neither crash the daemon, nor make it wait for ever, nor fill its memory: what
a frame may claim is checked where it is taken, and frames that say nothing new are counted.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from insula.agent.boot_document import BootDocument
from insula.agent.connection import Connection, again
from insula.agent.connections import OWN_NUMBERS, Connections
from insula.agent.failure import STEP_WORDS as STEP_WORDS
from insula.agent.failure import GuestFailure as GuestFailure
from insula.agent.limits import Limits
from insula.agent.link import Link
from insula.agent.messages import Message
from insula.agent.process_spec import ProcessFlag, ProcessSpec
from insula.agent.process_table import TABLE_MAX, ProcessesAnswer, ProcessTable, collect
from insula.agent.reports import (
    Answer,
    Connected,
    Credit,
    Exited,
    Oom,
    Output,
    OutputEnd,
    ProcessState,
    Reply,
    Welcome,
)
from insula.agent.requests import (
    Boot,
    Freeze,
    Identity,
    ListProcesses,
    MeasureUsage,
    PowerOff,
    Release,
    Resize,
    Resume,
    SetLink,
    Signal,
    Spawn,
    Stop,
    Sync,
    Thaw,
    TreeRead,
    TreeWrite,
    Unlink,
    Update,
)
from insula.agent.streams import Process
from insula.agent.usage import Usage, UsageAnswer
from insula.errors import Conflict, InsulaError, Internal, InvalidArgument, NotFound, Unavailable

REQUEST_SECONDS = 60.0
DISK_SECONDS = 300.0  # stop, sync and freeze wait for the host's disk
FUTILE_MAX = 4_096  # frames that say nothing new, between two answers
OOM_SECONDS = 0.5  # an honest agent tells of new kills at most once a second
REQUEST_MAX = 0xFFFFFFFF


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
        self._pending: dict[int, tuple[type[Answer], asyncio.Future[Answer]]] = {}
        self._oom_changed = asyncio.Event()  # or failure
        self._connections = Connections(self._connection, self._processes)
        self._oom_time = float("-inf")
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

    async def tree_write(self, number: int, path: str, flags: int = 0, owner: str = "") -> Process:
        """A process that takes a file tree as its input and makes it at the path. owner: with WriteFlag.OWNED,
        whose everything is to be."""
        return await self._start(
            number, False, lambda n: TreeWrite(n, number, path, flags, owner), REQUEST_SECONDS
        )

    async def open_files(self, document: BootDocument) -> None:
        """Mounts a container's disks and starts nothing (BootFlag.FILES): for trees, until `stop`."""
        await self._ask(lambda n: Boot(n, document), DISK_SECONDS)

    async def _start(
        self, number: int, tty: bool, message: Callable[[int], Message], timeout: float
    ) -> Process:
        if number in self._processes:
            raise Conflict(f"process {number} has been started")
        if not 0 < number < OWN_NUMBERS:
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

    async def set_clock(self) -> None:
        """Sets the guest's wall clock to the host's: after its CPUs have stood still."""
        await self._ask(lambda n: Identity(n, time.time_ns(), b""))

    async def update(self, limits: Limits) -> None:
        """Gives the running container these limits in place of those it has. A GuestFailure leaves it those."""
        await self._ask(lambda n: Update(n, limits))

    async def set_link(self, link: Link) -> None:
        """The running container has this network device from now on; one that it has gets its routes set anew."""
        await self._ask(lambda n: SetLink(n, link))

    async def unlink(self, nic: int) -> None:
        """It has the network device no more; one that it has not changes nothing."""
        await self._ask(lambda n: Unlink(n, nic))

    async def usage(self) -> Usage:
        """What the container uses now, as the guest's kernel counts it."""
        answer = await self._ask(MeasureUsage, kind=UsageAnswer)
        assert isinstance(answer, UsageAnswer)
        return answer.usage

    async def processes(self) -> ProcessTable:
        """The container's processes, at most TABLE_MAX. Those that come and go meanwhile may be in it or not."""
        pages: list[ProcessesAnswer] = []
        start, count = 1, 0
        while start and count < TABLE_MAX:
            page = await self._page(start)
            pages.append(page)
            start, count = page.next, count + len(page.rows)
        return collect(pages, cut=bool(start))

    async def _page(self, start: int) -> ProcessesAnswer:
        page = await self._ask(lambda n: ListProcesses(n, start), kind=ProcessesAnswer)
        assert isinstance(page, ProcessesAnswer)
        if page.rows and page.rows[0].id < start:
            raise Internal("the guest's agent lists processes that it has listed")
        return page

    async def out_of_memory(self, seen: int = 0) -> int:
        """Waits until the guest's out-of-memory killer has struck the container more than `seen` times since its
        start, and says how often. Raises the session's failure."""
        while self.oom_count <= seen:
            if self.failure is not None:
                raise again(self.failure)
            self._oom_changed.clear()
            await self._oom_changed.wait()
        return self.oom_count

    async def connection(self) -> tuple[int, Process]:
        """The next connection that the container makes to a socket of the host's: the mount's index in the boot
        document, and its two directions as a process's. To be released once it has ended."""
        return await self._connections.next()

    def power_off(self) -> None:
        """Syncs and powers off; the answer is that the connection is lost."""
        self._connection.send(PowerOff())

    # -- requests and what comes

    async def _ask(
        self, message: Callable[[int], Message], timeout: float = REQUEST_SECONDS, kind: type[Answer] = Reply
    ) -> Answer:
        self._request = number = self._request % REQUEST_MAX + 1
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        asked = message(number)
        self._pending[number] = kind, answer
        try:
            self._connection.send(asked)
            async with asyncio.timeout(timeout):
                reply = await answer
        except TimeoutError as error:
            what = type(asked).__name__.lower()
            raise Unavailable(f"the guest's agent did not answer to {what} within {timeout:g} s") from error
        finally:
            del self._pending[number]
        if isinstance(reply, Reply) and reply.errno:
            raise GuestFailure(reply.step, reply.errno, reply.detail)
        return reply

    def receive(self, message: Message) -> None:
        """A message from the agent. Raises Internal on a breach, which ends the session."""
        match message:
            case Output():
                process = self._processes.get(message.process)
                self._count(process is not None and process.take_output(message))
            case Reply() | UsageAnswer() | ProcessesAnswer():
                self._take_answer(message)
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
                self._take_oom(message)
            case Connected():
                self._connections.take(message)
                self._futile = 0

    def _take_answer(self, answer: Answer) -> None:
        kind, waiting = self._pending.get(answer.request, (None, None))
        if waiting is None or waiting.done():
            if not 0 < answer.request <= self._request:
                raise Internal("the guest's agent answers what it was not asked")
            self._count(False)  # whoever asked has given up
        elif (isinstance(answer, Reply) and (answer.errno or kind is Reply)) or type(answer) is kind:
            waiting.set_result(answer)
            self._futile = 0
        else:
            raise Internal("the guest's agent answers something else than it was asked")

    def _take_oom(self, message: Oom) -> None:
        now = asyncio.get_running_loop().time()
        self._count(message.count > self.oom_count and now - self._oom_time >= OOM_SECONDS)
        if message.count > self.oom_count:
            self.oom_count, self._oom_time = message.count, now
            self._oom_changed.set()

    def _count(self, news: bool) -> None:
        """Frames that change nothing come now and then (a released process's last words, repeats); a guest
        that sends nothing else only takes the daemon's time."""
        self._futile += not news
        if self._futile > FUTILE_MAX:
            raise Internal("the guest's agent floods its session with frames that say nothing")

    def on_lost(self, failure: InsulaError) -> None:
        self.failure = failure
        self.lost.set()
        self._oom_changed.set()
        self._connections.fail(failure)
        for _, answer in self._pending.values():
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
