"""Programs of the host, run without a shell: to their end with a bound, or held by a pidfd.

Refuses inherited environments (a child gets what it is given), unbounded output and unbounded time. A failure
carries the command and the tail of what the child said. A process that is not our child (a machine adopted
from an earlier daemon) is held the same way as one that is: by its pidfd.
"""

import asyncio
import logging
import os
import shlex
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from insula.errors import Internal, Unavailable

OUTPUT_MAX = 1 << 20
TAIL = 2000

PACKAGES = {
    "bwrap": "bubblewrap",
    "pasta": "passt",
    "nft": "nftables",
    "sqfstar": "squashfs-tools",
    "mksquashfs": "squashfs-tools",
    "mkfs.ext4": "e2fsprogs",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-system-aarch64": "qemu-system-arm",
    "apt-get": "apt",
    "apt-cache": "apt",
    "dpkg-deb": "dpkg",
    "dpkg-scanpackages": "dpkg-dev",
    "depmod": "kmod",
    "mmdebstrap": "mmdebstrap",
    "prlimit": "util-linux",
}
"""Debian's package of each tool that Insula runs."""

IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)
"""What Python ignores, and no program below it is to inherit so."""

log = logging.getLogger(__name__)

CLEAN_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
}


def find_tool(name: str) -> str | None:
    """The absolute path of a tool, or None."""
    return shutil.which(name, path=CLEAN_ENVIRONMENT["PATH"])


def tool(name: str) -> str:
    """The absolute path of a tool. Raises Unavailable, naming the package that has it."""
    path = find_tool(name)
    if path is None:
        package = PACKAGES.get(name, name)
        raise Unavailable(f"the program {name} is not installed", f"apt-get install {package}")
    return path


@dataclass(frozen=True, slots=True)
class Finished:
    """A child that has ended: its exit status (negative: signal) and bounded output."""

    status: int
    stdout: bytes
    stderr: bytes


async def run(  # noqa: PLR0913 - the one way to run a program
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
) -> Finished:
    """Runs a program to its end, without a shell. timeout: seconds, then SIGKILL to its whole session.

    Output beyond OUTPUT_MAX bytes a stream is read and dropped. Raises Internal if it fails and `check`,
    Unavailable if it cannot be started or does not end in time."""
    if log.isEnabledFor(logging.DEBUG):
        log.debug("run: %s", shlex.join(argv))
    try:
        child = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(CLEAN_ENVIRONMENT, **(env or {})),
            pass_fds=pass_fds,
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(f"cannot run {argv[0]}: {error.strerror}") from error
    assert child.stdout is not None and child.stderr is not None
    try:
        async with asyncio.timeout(timeout):
            if stdin is not None and child.stdin is not None:
                child.stdin.write(stdin)
                with suppress(ConnectionError):
                    await child.stdin.drain()
                child.stdin.close()
            out, err = await asyncio.gather(_read_bounded(child.stdout), _read_bounded(child.stderr))
            status = await child.wait()
    except TimeoutError as error:
        raise Unavailable(f"{shlex.join(argv)} did not end within {timeout:g} s") from error
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
    finished = Finished(status, out, err)
    if check and status != 0:
        said = (err or out)[-TAIL:].decode(errors="replace").strip()
        raise Internal(f"{shlex.join(argv)} ended with {status}: {said}")
    return finished


async def _read_bounded(stream: asyncio.StreamReader) -> bytes:
    kept = bytearray()
    while chunk := await stream.read(65536):
        kept += chunk[: max(0, OUTPUT_MAX - len(kept))]
    return bytes(kept)


def spawn_session(
    argv: Sequence[str], output: int, pass_fds: Sequence[int], env: Mapping[str, str] | None = None
) -> int:
    """Starts a program as the leader of a session of its own, for as long as it likes, and returns its process id.

    output: descriptor for what it says; pass_fds keep their numbers in it. It is reaped when it ends, while this
    event loop runs; nothing else ties it to this process. Raises Unavailable if it cannot be started."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
        *((os.POSIX_SPAWN_DUP2, fd, fd) for fd in pass_fds),  # onto itself: stays open over exec
        *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable() - set(pass_fds)),
    ]
    environment = {**CLEAN_ENVIRONMENT, **(env or {})}
    try:
        pid = os.posix_spawn(
            argv[0], list(argv), environment, file_actions=actions, setsid=True, setsigdef=IGNORED
        )
    except OSError as error:
        raise Unavailable(f"cannot run {argv[0]}: {error.strerror}") from error
    _reap_at_end(pid)
    return pid


def _inheritable() -> set[int]:
    """What this process itself was given by a careless parent, and what nobody below is to have. (Everything
    that Python opens is closed over exec.)"""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the listing's own descriptor is closed again
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.add(int(name))
    return found


def _reap_at_end(pid: int) -> None:
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(pid)

    def reap() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)

    loop.add_reader(descriptor, reap)


class HeldProcess:
    """A process held by pidfd: ours or not, it can be awaited and killed, and its number is never reused
    under us. Construct on the event loop's thread; `close` lets go without touching the process."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError if there is no such process."""
        self.pid = pid
        self._fd = os.pidfd_open(pid)
        self._gone = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._on_exit)

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._fd)
        self._gone.set()

    @property
    def gone(self) -> bool:
        return self._gone.is_set()

    async def wait(self) -> None:
        """Returns when the process has ended. Its status is its parent's to know."""
        await self._gone.wait()

    def send(self, number: int) -> None:
        """Sends a signal; nothing happens if the process has ended."""
        if self._fd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, number)

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
