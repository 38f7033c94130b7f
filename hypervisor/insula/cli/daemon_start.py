"""A new daemon where nobody listens: exactly one, however many commands want it at the same time.

Takes a lock, looks again, starts `insula daemon` in a session of its own and waits until it says that it is ready, a
minute at most. What it says instead is shown.
"""

import fcntl
import os
import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from insula.cli.daemon_find import try_connect
from insula.cli.failure import Disconnected
from insula.paths import Paths

if TYPE_CHECKING:
    import subprocess

START_SECONDS = 60.0
RETRY_SECONDS = 0.05
END_SECONDS = 2.0
SILENT_SECONDS = 1.0
READY = b"ready"
ALREADY = "a daemon is running already"
TAIL_BYTES = 2000


def start_and_connect(paths: Paths, address: str) -> socket.socket:
    """Raises Disconnected."""
    deadline = time.monotonic() + START_SECONDS
    words = ""
    with start_lock(paths, deadline):
        while time.monotonic() < deadline:
            if (end := try_connect(address)) is not None:
                return end
            words = start_daemon(paths, deadline)
            if words and ALREADY not in words:
                raise Disconnected(f"the daemon did not start: {words}")
            if words:
                time.sleep(RETRY_SECONDS * 4)  # the last one is still ending
    raise Disconnected(
        f"the daemon did not start within {START_SECONDS:.0f} s{': ' + words if words else ''}"
    )


@contextmanager
def start_lock(paths: Paths, deadline: float) -> Iterator[None]:
    """One starter at a time. The kernel lets go of it when its holder ends, whichever way."""
    try:
        paths.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(paths.start_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Disconnected(
            f"cannot use the run directory {paths.run}: {error.strerror} (INSULA_RUN names it)"
        ) from error
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Disconnected(
                        f"another command has been starting the daemon for {START_SECONDS:.0f} s"
                    ) from None
                time.sleep(RETRY_SECONDS)
        yield
    finally:
        os.close(fd)


def start_daemon(paths: Paths, deadline: float) -> str:
    """Starts one and waits until it is ready. Nothing, or why it is not."""
    import subprocess

    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    last_words = os.memfd_create("insula-daemon-stderr", os.MFD_CLOEXEC)
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "insula", "daemon", "--ready-fd", str(write_end)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=last_words,
            start_new_session=True, pass_fds=[write_end], cwd="/",
        )  # fmt: skip
        os.close(write_end)
        write_end = -1
        words = await_ready(read_end, deadline)
        if words.startswith(READY):
            child.returncode = 0  # it outlives us: nothing to wait for
            return ""
        if not ended(child):
            return words.decode(errors="replace").strip() or f"it is still not ready{read_tail(paths)}"
        size = os.fstat(last_words).st_size
        trace = os.pread(last_words, TAIL_BYTES, max(0, size - TAIL_BYTES))
        told = (words or trace).decode(errors="replace").strip()
        return told or f"it ended without a word{read_tail(paths)}"
    finally:
        os.close(last_words)
        os.close(read_end)
        if write_end >= 0:
            os.close(write_end)


def ended(child: "subprocess.Popen[bytes]") -> bool:
    """A daemon that has said no ends at once. One that does not is left to itself: it may still hold machines."""
    from subprocess import TimeoutExpired

    try:
        child.wait(END_SECONDS)
    except TimeoutExpired:
        child.returncode = 0
        return False
    return True


def await_ready(read_end: int, deadline: float) -> bytes:
    """What the daemon says: one line, or nothing if it ended or time is over. Says so itself after a second."""
    waiting = select.poll()
    waiting.register(read_end, select.POLLIN)
    told = False
    words = b""
    began = time.monotonic()
    while not words.endswith(b"\n"):
        left = deadline - time.monotonic() if told else SILENT_SECONDS - (time.monotonic() - began)
        if not waiting.poll(max(0, int(left * 1000))):
            if told:
                return words
            told = True
            print("starting the Insula daemon …", file=sys.stderr, flush=True)
            continue
        data = os.read(read_end, 4096)
        if not data:
            return words
        words += data
    return words


def read_tail(paths: Paths) -> str:
    """The end of the daemon's log, to be shown below a failure."""
    try:
        with open(paths.daemon_log, "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - TAIL_BYTES))
            lines = log.read(TAIL_BYTES).decode(errors="replace").splitlines()[-10:]
    except OSError:
        return ""
    return "\n".join([f"\nthe end of {paths.daemon_log}:", *lines]) if lines else ""
