"""One QEMU process: started in its jail, held by pidfd, spoken to by QMP, killed; or adopted from a record.

Owned by whoever opened it. Leaving `open_machine` kills it, unless `detach` was called: machines outlive the
daemon. QMP and agent sockets are bound and listening before QEMU starts and are passed by descriptor, so
connecting just waits and a later daemon finds them by path. Knows nothing of guests or containers.
"""

import asyncio
import fcntl
import json
import logging
import os
import shlex
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from insula.errors import Internal, NotFound, Unavailable
from insula.lent import open_lent
from insula.machine import host_oom
from insula.machine.argv import argv
from insula.machine.host_cgroup import leave_cgroup, put_into_cgroup, was_short_of_memory, weigh_cgroup
from insula.machine.host_usage import read_host_usage
from insula.machine.inherited import Inherited
from insula.machine.jail import Jail, jail_argv
from insula.machine.qmp import Monitor, open_monitor
from insula.machine.settling import settle
from insula.machine.spec import Descriptors, MachineSpec, Throttle, Weights
from insula.paths import Paths
from insula.process import HeldProcess, spawn_session
from insula.thread import in_thread

log = logging.getLogger(__name__)

START_TIMEOUT = 30.0
WORDS_BYTES = 1 << 16
KILL_ROUNDS = 8  # a program that was killed may have started the next one just before


class Gone(StrEnum):
    """How a machine has ended, in a few words."""

    KILLED = "its QEMU was killed"
    STOPPED = "its guest stopped"  # a panic, a reset, a power-off: QEMU still stands, and can be asked


@dataclass(frozen=True, slots=True)
class Memory:
    """The file behind a machine's RAM, by descriptor. private: mapped copy-on-write (a template's clone)."""

    descriptor: int
    private: bool
    state: int | None


class Machine:
    """A running QEMU. Made by `open_machine` or `adopt_machine`."""

    def __init__(self, id: str, paths: Paths, held: HeldProcess, monitor: Monitor, words: int | None) -> None:
        self.id = id
        self.monitor = monitor
        self.command: list[str] = []
        self._paths = paths
        self._held = held
        self._words = words
        self._detached = False

    @property
    def pid(self) -> int:
        return self._held.pid

    @property
    def agent_socket(self) -> Path:
        return self._paths.agent_socket(self.id)

    async def attach_disk(self, disk: str, path: Path, *, read_only: bool) -> None:
        """Puts a raw image in the place of a placeholder ('layer0' … 'writable'); the guest must not have opened
        the disk. Opened here, so the jail needs no right to the file."""
        if read_only:
            descriptor = await open_lent(path)
        else:
            descriptor = await asyncio.to_thread(os.open, path, os.O_RDWR | os.O_CLOEXEC)
        try:
            await self.monitor.attach_disk(disk, descriptor, read_only=read_only)
        finally:
            os.close(descriptor)

    async def throttle(self, disks: Sequence[str], limits: Throttle) -> None:
        """Holds disks to limits of their traffic, all together."""
        for disk in disks:
            await self.monitor.throttle(disk, limits)

    async def weigh(self, weights: Weights) -> None:
        """Gives it its part of the host, where it has a cgroup there."""
        await in_thread(weigh_cgroup, _cgroup_note(self._paths, self.id), weights)

    async def gone(self) -> Gone:
        """Returns when QEMU has ended or the guest has stopped for good."""
        stopped = asyncio.create_task(self._stopped())
        ended = asyncio.create_task(self._held.wait())
        try:
            await asyncio.wait((stopped, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stopped, ended):
                task.cancel()
        return Gone.KILLED if self._held.gone else Gone.STOPPED

    async def was_killed_for_memory(self) -> bool:
        """Whether the host's out-of-memory killer has ended it: its cgroup on the host tells, or the kernel's log."""
        note = _cgroup_note(self._paths, self.id)
        return await in_thread(lambda: was_short_of_memory(note) or host_oom.was_killed(self.pid))

    async def _stopped(self) -> None:
        """A monitor that fails says nothing: QEMU's death, by the pidfd, does."""
        try:
            await self.monitor.stopped()
        except (Unavailable, Internal):
            await self._held.wait()

    async def pause(self) -> None:
        """Stops the processors; everything else of the guest stays as it is, its clocks too."""
        await self.monitor.execute("stop")

    async def resume(self) -> None:
        """Lets the processors go on. Nothing happens if they do."""
        await self.monitor.execute("cont")

    async def is_paused(self) -> bool:
        """Whether the processors stand still because `pause` was called, by an earlier daemon perhaps."""
        return bool((await self.monitor.execute("query-status"))["status"] == "paused")

    async def settle(self) -> None:
        """Comes to rest, once the session is closed, for its state to be saved."""
        await settle(self.pid, self.monitor, "agent")

    async def console(self) -> str:
        """The end of the guest's console, as text; empty if QEMU is gone."""
        try:
            return (await self.monitor.console()).decode(errors="replace")
        except (Unavailable, Internal):
            return ""

    def words(self) -> str:
        """What QEMU itself has said."""
        if self._words is None:
            return ""
        return os.pread(self._words, WORDS_BYTES, 0).rstrip(b"\0").decode(errors="replace")

    def pss(self) -> int:
        """Memory in bytes, shared pages counted in part."""
        found = read_host_usage(self.pid).proportional
        if found is not None:
            return found
        raise Internal(f"the kernel tells no Pss of process {self.pid}")

    def detach(self) -> None:
        """Leaves the machine running when its owner lets go."""
        self._detached = True

    def kill(self) -> None:
        self._held.send(signal.SIGKILL)

    async def _let_go(self) -> None:
        if not self._detached:
            self.kill()
            await self._held.wait()
            await asyncio.to_thread(_remove, self._paths, self.id)
        self._held.close()
        if self._words is not None:
            os.close(self._words)


@asynccontextmanager
async def open_machine(
    paths: Paths, id: str, spec: MachineSpec, jail: Jail, memory: Memory, taps: tuple[int, ...] = ()
) -> AsyncIterator[Machine]:
    """Starts a machine. Returns as soon as its monitor answers; its guest may still be booting.

    Raises Unavailable, with QEMU's own words, if it does not start."""
    words = _bounded_file(f"words-{id}")
    folder = paths.machine(id)
    folder.mkdir(mode=0o700)
    async with AsyncExitStack() as held:
        try:
            machine = await _start(held, paths, id, spec, _Start(jail, memory, words, taps))
        except BaseException:
            os.close(words)
            await asyncio.shield(asyncio.to_thread(_remove, paths, id))
            raise
        try:
            yield machine
        finally:
            await asyncio.shield(machine._let_go())


@dataclass(frozen=True, slots=True)
class _Start:
    """What one start is made with. words: the file that takes what QEMU says."""

    jail: Jail
    memory: Memory
    words: int
    taps: tuple[int, ...]


async def _start(held: AsyncExitStack, paths: Paths, id: str, spec: MachineSpec, start: _Start) -> Machine:
    """Spawns, and connects to the monitor; a start that fails or is broken off leaves no process."""
    pid, command = await _spawn(paths, id, spec, start)
    try:
        process = HeldProcess(pid)
    except ProcessLookupError:
        raise _start_failure(id, start.words, command) from None
    bounded = asyncio.create_task(
        _bound(paths, id, pid, spec, start.jail)
    )  # QEMU needs longer for its own start
    try:
        monitor = await held.enter_async_context(open_monitor(paths.qmp_socket(id)))
        await bounded
    except BaseException as error:
        process.send(signal.SIGKILL)
        process.close()
        await asyncio.gather(bounded, return_exceptions=True)
        if isinstance(error, Unavailable):
            raise _start_failure(id, start.words, command, f"\n{error}") from error
        raise
    machine = Machine(id, paths, process, monitor, start.words)
    machine.command = command
    return machine


async def _bound(paths: Paths, id: str, pid: int, spec: MachineSpec, jail: Jail) -> None:
    if jail.cgroups is not None:
        note = _cgroup_note(paths, id)
        await in_thread(put_into_cgroup, jail.cgroups, note, pid, spec.memory, spec.cpus)


def _cgroup_note(paths: Paths, id: str) -> Path:
    return paths.machine(id) / "cgroup"


def _remove(paths: Paths, id: str) -> None:
    """What a machine that has ended leaves on the host. Blocks: for a thread."""
    leave_cgroup(_cgroup_note(paths, id))
    shutil.rmtree(paths.machine(id), ignore_errors=True)


def _bounded_file(name: str) -> int:
    """A file in memory that takes WORDS_BYTES and refuses more: a guest can make QEMU talk without end."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, WORDS_BYTES)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return descriptor


def _start_failure(id: str, words: int, command: list[str], more: str = "") -> Unavailable:
    said = os.pread(words, WORDS_BYTES, 0).rstrip(b"\0").decode(errors="replace").strip()
    told = f"the machine {id} did not start: {said or 'QEMU said nothing'}{more}"
    return Unavailable(told, detail=f"command: {shlex.join(command)}\n")


async def _spawn(paths: Paths, id: str, spec: MachineSpec, start: _Start) -> tuple[int, list[str]]:
    """Spawns the jail and QEMU in it; returns QEMU's own process id and the command."""
    memory = start.memory
    stub = memory.state is not None and spec.platform.stub_kernel_in_clones
    with Inherited() as given:
        info_read, info_write = given.pipe()
        fds = Descriptors(
            qmp=given.listen(paths.qmp_socket(id)),
            agent=given.listen(paths.agent_socket(id)),
            kernel=given.stub() if stub else await given.lend(spec.kernel.image),
            initramfs=given.stub() if stub else await given.lend(spec.kernel.initramfs),
            ram=memory.descriptor,
            ram_private=memory.private,
            state=memory.state,
            taps=start.taps,
        )
        command = jail_argv(start.jail, info_write, argv(id, spec, fds))
        passed = [*given.descriptors, *start.taps, memory.descriptor]
        passed += [fd for fd in (memory.state, start.jail.lock, start.jail.ids) if fd is not None]
        log.debug("starting: %s", shlex.join(command))
        leader = spawn_session(command, start.words, passed)
        given.close_one(info_write)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                pid = int(json.loads(await _read_object(info_read))["child-pid"])
        except BaseException as error:
            _kill_session(leader)
            if isinstance(error, (TimeoutError, ValueError, KeyError, TypeError)):
                raise _start_failure(id, start.words, command) from error
            raise
    (paths.machine(id) / "pid").write_text(str(pid))
    return pid, command


def _kill_session(leader: int) -> None:
    """The jail's programs and QEMU are one process group, whichever of them were reached."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


async def _read_object(descriptor: int) -> bytes:
    """Reads one flat JSON object, which may come in pieces, from a pipe; or what there is at its end."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    pipe = os.fdopen(os.dup(descriptor), "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        return await reader.readuntil(b"}")
    except asyncio.IncompleteReadError as error:
        return error.partial
    finally:
        transport.close()


@asynccontextmanager
async def adopt_machine(paths: Paths, id: str) -> AsyncIterator[Machine]:
    """Takes over a machine that an earlier daemon left running. Raises NotFound if it is gone."""
    pid = find_pid(paths, id)
    if pid is None:
        await asyncio.to_thread(_remove, paths, id)
        raise NotFound(f"the machine {id} is gone")
    held = HeldProcess(pid)
    async with AsyncExitStack() as stack:
        try:
            monitor = await stack.enter_async_context(open_monitor(paths.qmp_socket(id)))
        except Unavailable as error:
            held.send(signal.SIGKILL)
            held.close()
            raise NotFound(f"the machine {id} is gone") from error
        machine = Machine(id, paths, held, monitor, None)
        try:
            yield machine
        finally:
            await asyncio.shield(machine._let_go())


def find_pid(paths: Paths, id: str) -> int | None:
    """The process of a machine, or None. A number found in a file proves nothing: the process must say that
    it is this machine, by the `-name` on its command line."""
    try:
        pid = int((paths.machine(id) / "pid").read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if f"insula-{id}".encode() in words and b"-sandbox" in words else None


async def kill_stray(paths: Paths, known: set[str]) -> list[str]:
    """Kills every machine of this run directory that is not among the known ones, and what was on its way to
    become one; returns their ids."""
    strays = [folder.name for folder in paths.machines.iterdir() if folder.name not in known]
    for _ in range(KILL_ROUNDS if strays else 0):
        if not (pids := await asyncio.to_thread(_find_named, strays)):
            break
        await asyncio.gather(*(_kill(pid) for pid in pids))
    for id in strays:
        await asyncio.to_thread(_remove, paths, id)
    return strays


def _find_named(ids: list[str]) -> list[int]:
    """Every process that has the name of one of these machines on its command line: QEMU, and the jail's programs
    before it, whose number a daemon that died in the middle of a start wrote down nowhere."""
    names = {f"insula-{id}".encode() for id in ids}
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if not names.isdisjoint((entry / "cmdline").read_bytes().split(b"\0")):
                    found.append(int(entry.name))
    return found


async def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        held = HeldProcess(pid)
        try:
            held.send(signal.SIGKILL)
            await held.wait()
        finally:
            held.close()
