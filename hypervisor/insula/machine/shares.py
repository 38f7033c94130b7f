"""Shares: what a machine has of the host's files. The daemon's end of the mounter (mounter.py).

Every machine is started with two devices (9p, in QEMU itself) that export a fixed folder of its read-only root, in
which there are places to mount on: folders for folders, files for files. A share takes one of them when a container
starts; a machine without shares has done nothing for them. The mounts live in the jail's own mount name space: they
end with the machine, whoever has died before, and the host never has them.

A root daemon's shares are mapped (mount_setattr(2)) to the machine's own range of ids, so that the guest's owners
and the files' are the same numbers; a file system that cannot be mapped is refused by name.
"""

import array
import asyncio
import atexit
import errno
import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insula import process
from insula.errors import InvalidArgument, NotImplemented, Unavailable

PLACES = 64
"""Folders, and as many files."""
FOLDER = "share"
PATIENCE = 30.0
PACKET = 1 << 16


@dataclass(frozen=True, slots=True)
class Share:
    """One source at one place. source: a path without links, as it was checked; identity: its device and number;
    place: number; recursive: with what is mounted below it; deep_read_only: that is read-only as well; kept: owners
    and modes are the guest's own, though the daemon is an ordinary user's (volumes)."""

    source: Path
    identity: tuple[int, int]
    is_folder: bool
    place: int
    read_only: bool = False
    recursive: bool = True
    deep_read_only: bool = True
    kept: bool = False

    @property
    def name(self) -> str:
        """Below the exported folder."""
        return place_name(self.place, is_folder=self.is_folder)

    @property
    def tag(self) -> str:
        """The device that shows it."""
        return "volumes" if self.kept else "binds"


def place_name(number: int, *, is_folder: bool) -> str:
    return f"{'d' if is_folder else 'f'}{number}"


async def make_ids(first: int, count: int) -> int:
    """A user name space of its own for a machine of a root daemon; the caller closes it. Raises Unavailable."""
    request = {"do": "ids", "first": first, "count": count}
    asked = asyncio.ensure_future(asyncio.to_thread(_mounter.ask, request))
    try:
        said, given = await asyncio.shield(asked)
    except asyncio.CancelledError:
        asked.add_done_callback(_close_given)  # it comes all the same
        raise
    if given is None:
        raise Unavailable(f"no ids can be mapped for a machine: {said}")
    return given


def _close_given(asked: "asyncio.Future[tuple[str, int | None]]") -> None:
    if not asked.cancelled() and asked.exception() is None and (given := asked.result()[1]) is not None:
        os.close(given)


async def put_share(pid: int, share: Share) -> None:
    """Mounts a share in the jail of a machine. Raises InvalidArgument, NotImplemented, Unavailable."""
    request = {
        "do": "mount", "pid": pid, "place": f"/{FOLDER}/{share.name}", "source": str(share.source),
        "identity": share.identity, "read_only": share.read_only, "recursive": share.recursive,
        "deep_read_only": share.deep_read_only,
    }  # fmt: skip
    said, _ = await asyncio.to_thread(_mounter.ask, request)
    if said == "ok":
        return
    step, _, number = said.rpartition(" ")
    reason = os.strerror(int(number)) if number.isdigit() else "it said nothing"
    if step == "idmap" and int(number) in (errno.EINVAL, errno.EPERM):
        raise NotImplemented(  # noqa: F901 - our error, not Python's constant
            f"{share.source} cannot be mounted: its file system ({await asyncio.to_thread(_kinds, share)}) has no "
            "mapping of owners",
            "mount a folder below it, or one without further mounts below (bind-recursive=disabled)",
        )
    if step == "source":
        raise InvalidArgument(f"{share.source} cannot be mounted: {reason}")
    raise Unavailable(f"{share.source} cannot be mounted: {step}: {reason}")


def _kinds(share: Share) -> str:
    """The types of the file systems at and below a source."""
    own, below = "", set()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        place, kind = left.split()[4], right.split()[0]
        if share.source.is_relative_to(place):
            own = kind
        elif share.recursive and Path(place).is_relative_to(share.source):
            below.add(kind)
    return ", ".join([own, *sorted(below - {own})])


class _Mounter:
    """The mounter of this process, begun when it is first needed, and again when it has died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        atexit.register(self._end)

    def ask(self, request: dict[str, Any]) -> tuple[str, int | None]:
        """What it said, and the descriptor that came with it. Raises Unavailable."""
        packet = json.dumps(request).encode()
        with self._lock:
            for last in (False, True):
                try:
                    return self._ask(packet)
                except (ConnectionError, TimeoutError) as error:
                    self._end()
                    if last:
                        raise Unavailable(f"the mounter does not answer: {error}") from error
        raise AssertionError

    def _ask(self, packet: bytes) -> tuple[str, int | None]:
        if self._socket is None:
            self._begin()
        assert self._socket is not None
        self._socket.send(packet)
        said, more, _, _ = self._socket.recvmsg(PACKET, socket.CMSG_LEN(4), socket.MSG_CMSG_CLOEXEC)
        if not said:
            raise ConnectionResetError(errno.ECONNRESET, "it has ended")
        given = array.array("i", b"".join(data for _, _, data in more))
        return said.decode(errors="replace"), given[0] if given else None

    def _begin(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = Path(__file__).with_name("mounter.py")
        argv = [str(Path(sys.executable).resolve()), "-I", "-S", "-B", str(program)]
        try:
            with theirs:
                self._child = subprocess.Popen(
                    argv, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
                    start_new_session=True, env=process.CLEAN_ENVIRONMENT,
                )  # fmt: skip
        except OSError as error:
            ours.close()
            raise Unavailable(f"cannot run {argv[0]}: {error.strerror}") from error
        ours.settimeout(PATIENCE)
        self._socket = ours

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None


_mounter = _Mounter()
