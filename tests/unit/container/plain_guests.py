"""Guests for these tests: the real agent as a plain process on a listening socket, in place of a machine.

It takes boot documents without disks only; so what a plan says of disks, mounts, users and filters is left out
on the way (test_plan holds that part), and its programs are this host's. Everything else, the wire, sessions,
credit, reconnection, is the real thing. A "machine" is such a process; it outlives its `PlainGuests`, as
machines outlive a daemon.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import platform
import secrets
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from insula.agent.boot_document import BootDocument, BootFlag, Capabilities, ProcessFlag, ProcessSpec
from insula.agent.limits import Limits
from insula.agent.session import Session
from insula.agent.streams import Process
from insula.errors import NotFound, Unavailable
from insula.guest.request import GuestRequest
from insula.image.manifest import ImageConfig, parse_config
from insula.image.record import Rootfs
from insula.image.usage import ImagesUsage
from insula.machine.machine import Gone
from insula.machine.spec import NO_WEIGHTS, Throttle, Weights
from insula.process import HeldProcess

ROOT = Path(__file__).resolve().parents[3]
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
BINARY = ROOT / "guest-agent" / "out" / ARCHITECTURE / "insula-agent"
SECONDS = 30.0


class PlainSession(Session):
    """Leaves out of every document what a plain agent refuses."""

    documents: list[BootDocument]

    def __init__(self) -> None:
        super().__init__()
        self.documents = []
        self.stops = 0
        self.limits = Limits()

    async def boot(self, document: BootDocument, timeout: float = SECONDS) -> Process:
        self.documents.append(document)
        plain = BootDocument(number=document.number, main=_plain(document.main), disks=False)
        return await super().boot(plain, timeout)

    async def open_files(self, document: BootDocument) -> None:
        self.documents.append(document)
        plain = BootDocument(number=document.number, main=document.main, disks=False, flags=BootFlag.FILES)
        await super().open_files(plain)

    async def spawn(self, spec: ProcessSpec, timeout: float = SECONDS) -> Process:
        return await super().spawn(_plain(spec), timeout)

    async def update(self, limits: Limits) -> None:
        self.limits = limits

    async def stop(self) -> None:
        self.stops += 1
        await super().stop()


def _plain(spec: ProcessSpec) -> ProcessSpec:
    kept = ProcessFlag.TTY | ProcessFlag.STDIN
    return replace(
        spec,
        flags=spec.flags & kept,
        user="",
        capabilities=Capabilities(),
        seccomp=b"",
        limits=(),
        directory="/",
    )


class PlainMachine:
    def __init__(self, folder: Path, id: str, held: HeldProcess) -> None:
        self.folder, self.id, self.held = folder, id, held
        self.pid = held.pid
        self.out_of_memory = False
        """What is found to have killed it."""

    async def was_killed_for_memory(self) -> bool:
        return self.out_of_memory

    def kill(self) -> None:
        """With the programs in it, as a machine would be."""
        programs = [] if self.held.gone else stand_still(self.pid)
        self.held.send(9)
        send_all(programs, signal.SIGKILL)


class PlainGuest:
    """What `Guest` is to container/. Paused, its agent is stopped (and answers nobody, as a paused guest); its
    programs go on."""

    def __init__(self, machine: PlainMachine, session: PlainSession | None, origin: str) -> None:
        self.machine = machine
        self.origin = origin
        self.record = {"machine": machine.id}
        self.detached = False
        self.taps: tuple[str, ...] = ()
        self.has_begun = False
        self.clocks = 0
        self.held: list[Limits] = []
        self.weights = NO_WEIGHTS
        """What a live update has held it to."""
        self.memory, self.cpus = 1024, 1
        self._session = session

    @property
    def session(self) -> PlainSession:
        assert self._session is not None, "not greeted"
        return self._session

    async def greet(self) -> None:
        try:
            self._session = await _connect(self.machine.folder / f"{self.machine.id}.socket")
        except asyncio.CancelledError:
            self.detach()
            raise
        await self.set_clock()

    def close_session(self) -> None:
        if self._session is not None:
            self._session.close()

    async def pause(self) -> None:
        self.machine.held.send(signal.SIGSTOP)
        await self._until(stopped=True)

    async def resume(self) -> None:
        self.machine.held.send(signal.SIGCONT)
        await self._until(stopped=False)

    async def _until(self, *, stopped: bool) -> None:
        """A stop takes effect when the process is next looked at."""
        while not self.machine.held.gone and is_stopped(self.machine.pid) is not stopped:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    async def is_paused(self) -> bool:
        return is_stopped(self.machine.pid)

    async def set_clock(self) -> None:
        self.clocks += 1
        await self.session.set_clock()

    async def throttle(self, limits: Throttle) -> None:
        self.held.append(self.session.limits)

    async def weigh(self, weights: Weights) -> None:
        self.weights = weights

    def began(self) -> None:
        self.has_begun = True

    async def gone(self) -> Gone:
        await self.machine.held.wait()
        return Gone.KILLED

    def kill(self) -> None:
        self.machine.kill()

    def detach(self) -> None:
        self.detached = True

    async def log(self) -> str:
        return "console:\nnothing\n"


class PlainGuests:
    """What `Guests` is to container/. `last`: the guest opened or adopted last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last: PlainGuest | None = None
        self.opened: list[PlainGuest] = []
        self.requests: list[GuestRequest] = []
        self.known: set[str] = set()
        self.going = asyncio.Event()
        """A machine is being let go of; it ends only once `may_go` is set."""
        self.may_go = asyncio.Event()
        self.may_go.set()

    @contextlib.asynccontextmanager
    async def open(self, request: GuestRequest) -> AsyncIterator[PlainGuest]:
        self.requests.append(request)
        id = secrets.token_hex(8)
        path = self.folder / f"{id}.socket"
        pid = await asyncio.to_thread(_start_agent, path)
        async with self._hold(id, pid, "cold") as guest:
            self.opened.append(guest)
            yield guest

    @contextlib.asynccontextmanager
    async def adopt(self, record: dict[str, str]) -> AsyncIterator[PlainGuest]:
        reap()
        id = record["machine"]
        try:
            pid = json.loads((self.folder / f"{id}.pid").read_text())
            held = HeldProcess(pid)
        except (ProcessLookupError, FileNotFoundError) as error:
            raise NotFound(f"machine {id} is gone") from error
        held.close()
        async with self._hold(id, pid, "adopted") as guest:
            yield guest

    @contextlib.asynccontextmanager
    async def _hold(self, id: str, pid: int, origin: str) -> AsyncIterator[PlainGuest]:
        machine = PlainMachine(self.folder, id, HeldProcess(pid))
        try:
            session = None if origin == "adopted" else await _connect(self.folder / f"{id}.socket")
        except BaseException:  # broken off while it comes up
            machine.kill()
            machine.held.close()
            raise
        guest = self.last = PlainGuest(machine, session, origin)
        try:
            yield guest
        finally:
            self.going.set()
            await self.may_go.wait()
            guest.close_session()
            if not guest.detached:
                guest.kill()
                await machine.held.wait()
                (self.folder / f"{id}.pid").unlink(missing_ok=True)
            machine.held.close()


def below(pid: int) -> list[int]:
    """A process's children, and theirs. By all processes' parents: not every kernel tells of children."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for above in found:
        found += [child for child, parent in parents.items() if parent == above]
    return found[1:]


def kill_agent(pid: int) -> None:
    """An agent by its number, with the programs in it: a machine that dies by itself."""
    programs = stand_still(pid)
    os.kill(pid, signal.SIGKILL)
    send_all(programs, signal.SIGKILL)


def stand_still(pid: int) -> list[int]:
    """Stops an agent and the programs in it, so that none can begin another. Returns the programs."""
    stopped = [pid]
    send_all(stopped, signal.SIGSTOP)
    while more := [program for program in below(pid) if program not in stopped]:
        send_all(more, signal.SIGSTOP)
        stopped += more
    return stopped[1:]


def send_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal; one that has ended is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _start_agent(path: Path) -> int:
    """Whoever wanted it may have given up meanwhile: it is noted here."""
    null = subprocess.DEVNULL
    argv = [str(BINARY), "--listen", str(path)]
    child = subprocess.Popen(
        argv, start_new_session=True, stdin=null, stdout=null, stderr=null, preexec_fn=_become_reaper
    )
    _children.append(child)
    path.with_suffix(".pid").write_text(json.dumps(child.pid))
    return child.pid


PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_LIBC = ctypes.CDLL(None)


def _become_reaper() -> None:
    """What its programs leave becomes the agent's, as it does in a machine, and is found below it at the end."""
    _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


async def _connect(path: Path) -> PlainSession:
    """The agent takes a moment until it listens."""
    for _ in range(200):
        session = PlainSession()
        try:
            await session.open(path, SECONDS)
            return session
        except Unavailable as error:
            if not isinstance(error.__cause__, (ConnectionRefusedError, FileNotFoundError)):
                raise
            await asyncio.sleep(0.005)
    raise Unavailable(f"nothing listens at {path}")


_children: list[subprocess.Popen[bytes]] = []


def reap() -> None:
    """Takes the ended ones' statuses, so that they are gone as a machine would be."""
    for child in list(_children):
        if child.poll() is not None:
            _children.remove(child)


def kill_all(folder: Path) -> None:
    """Every agent of this folder with its programs, our own children and those that a killed daemon left behind."""
    for path in folder.glob("*.pid"):
        pid = json.loads(path.read_text())
        try:
            held = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        programs = stand_still(pid)
        signal.pidfd_send_signal(held, signal.SIGKILL)
        os.close(held)
        send_all(programs, signal.SIGKILL)
    for child in list(_children):
        child.kill()
        child.wait()
        _children.remove(child)


class StillImages:
    """An image store of one image, whose disk is never opened by a plain agent. It is its own image."""

    disk_size = 1000
    parent = ""
    repo_tags = ("test:latest",)

    def __init__(self, **config: object) -> None:
        self.pruning = asyncio.Lock()
        document = {
            "architecture": ARCHITECTURE,
            "os": "linux",
            "config": {"Env": ["PATH=/usr/bin:/bin"], "Cmd": ["true"], **config},
            "rootfs": {"type": "layers", "diff_ids": []},
        }
        self.config: ImageConfig = parse_config(json.dumps(document).encode())

    @property
    def id(self) -> str:
        return self.config.id

    @property
    def platform(self) -> object:
        return self.config.platform

    def find(self, reference: str, platform: str | None = None) -> "StillImages":
        if reference not in ("test", self.id):
            raise NotFound(f"No such image: {reference}")
        return self

    async def usage(self) -> ImagesUsage:
        return ImagesUsage(1000, {})

    def platforms(self, reference: str) -> tuple[str, ...]:
        return (str(self.find(reference).platform),)

    def list(self, filters: object = None, *, every: bool = False) -> tuple["StillImages", ...]:
        return (self,)

    @contextlib.asynccontextmanager
    async def open_rootfs(self, image: "StillImages") -> AsyncIterator[Rootfs]:
        yield Rootfs(image.id, (Path("/nowhere/layer"),), image.config)


__all__ = ["BootFlag", "PlainGuests", "StillImages", "kill_agent", "kill_all"]
