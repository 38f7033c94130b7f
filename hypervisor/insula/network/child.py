"""The processes beside the daemon: started so that they outlive it, found again by name, ready when they say so."""

import asyncio
import os
import sys
from pathlib import Path

from insula import process
from insula.errors import Unavailable

READY = b"ready"
SAID_MAX = 4096
START_TIMEOUT = 30.0


def find_child(file: Path, name: str) -> int | None:
    """The process whose number is in the file, if it still is the one of that name."""
    try:
        pid = int(file.read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if name.encode() in words else None


async def start_child(module: str, words: list[str], file: Path, pass_fds: tuple[int, ...] = ()) -> int:
    """Runs a module of this package in a session of its own; its first word is a descriptor on which it says
    `ready`, or what failed. Its number is in the file afterwards. Raises Unavailable with what it said."""
    reader, writer = os.pipe()
    log = os.open(file.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        try:
            argv = [sys.executable, "-m", module, str(writer), *words]
            path = {"PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)}
            pid = process.spawn_session(argv, log, (writer, *pass_fds), path)
        finally:
            os.close(writer)
            os.close(log)
        async with asyncio.timeout(START_TIMEOUT):
            said = await asyncio.to_thread(os.read, reader, SAID_MAX)
    except TimeoutError:
        said = f"it said nothing for {START_TIMEOUT:g} s".encode()
    finally:
        os.close(reader)
    if said != READY:
        told = said.decode(errors="replace") or "it ended at once"
        raise Unavailable(f"{module} did not start: {told}", f"its words are in {file.with_suffix('.log')}")
    file.write_text(str(pid))
    return pid
