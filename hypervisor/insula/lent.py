"""Files lent to a jail: descriptors that no holder can turn into a way of writing.

A jail of root's daemon has another id than the files, and a descriptor opened for reading is all it gets. A jail
of an ordinary user's has the very id that owns them: through /proc/self/fd it could change their mode and open
them anew. So there each file is opened by a lender, a process of the daemon's to which the whole host is mounted
read-only (bubblewrap), and the descriptor leads through that mount: every way to write ends with EROFS, for
whoever holds it, and for as long. What did not come through a read-only mount is not lent.

    lender ◀─ path ── daemon         one packet each, over a socket that also ends the lender with the daemon
    lender ── descriptor ─▶ daemon
"""

import array
import asyncio
import atexit
import errno
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from insula import process
from insula.errors import Unavailable

PATH_MAX = 4096
PATIENCE = 30.0
WAYS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK  # a fifo in a file's place holds nobody up

LENDER = f"""\
import os, socket
daemon = socket.socket(fileno=0)
while path := daemon.recv({PATH_MAX}):
    try:
        file = os.open(path, {WAYS})
    except OSError as error:
        daemon.send(b"%d" % error.errno)
        continue
    socket.send_fds(daemon, [b"0"], [file])
    os.close(file)
"""


async def open_lent(path: Path) -> int:
    """A descriptor of a file, for a jail to read; the caller closes it. Raises OSError as `open` does, Unavailable
    if there is no lender."""
    return await asyncio.to_thread(open_lent_blocking, path)


def open_lent_blocking(path: Path) -> int:
    """The same, for a thread."""
    if os.geteuid() == 0:
        return os.open(path, WAYS & ~os.O_NONBLOCK)
    return _lenders.open(path)


class _Lenders:
    """The lender of this process, begun when it is first needed, and again when it has died or no longer sees the
    host as it is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        atexit.register(self._end)

    def open(self, path: Path) -> int:
        with self._lock:
            try:
                return self._ask(path)
            except FileNotFoundError:
                if not path.exists():
                    raise
            except (ConnectionError, TimeoutError, Unavailable):
                pass
            self._end()  # a lender from before a file system was mounted: once more, with a new one
            return self._ask(path)

    def _ask(self, path: Path) -> int:
        if self._socket is None:
            self._begin()
        assert self._socket is not None
        self._socket.send(os.fsencode(path))
        said, more, _, _ = self._socket.recvmsg(16, socket.CMSG_LEN(4), socket.MSG_CMSG_CLOEXEC)
        files = array.array("i", b"".join(data for _, _, data in more))
        if not files:
            if not said:
                raise ConnectionResetError(errno.ECONNRESET, "the lender has ended")
            raise OSError(int(said), os.strerror(int(said)), str(path))
        if not os.fstatvfs(files[0]).f_flag & os.ST_RDONLY:
            os.close(files[0])
            raise Unavailable(f"{path} cannot be lent to a jail: it is not seen through a read-only mount")
        os.set_blocking(files[0], True)
        return files[0]

    def _begin(self) -> None:
        """bubblewrap keeps the id and gives the read-only mounts; the interpreter is the daemon's own."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [
            process.tool("bwrap"), "--unshare-user", "--unshare-net", "--unshare-ipc", "--cap-drop", "ALL",
            "--ro-bind", "/", "/", "--clearenv", "--chdir", "/", "--",
            str(Path(sys.executable).resolve()), "-I", "-S", "-B", "-c", LENDER,
        ]  # fmt: skip
        try:
            with theirs:
                self._child = subprocess.Popen(
                    argv, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
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


_lenders = _Lenders()
