"""Runs a command, and fails if it leaves anything on the host: a process, a mount, a link, a rule.

    clean_host.py [--patience SECONDS] COMMAND …

Whatever the command starts is a descendant of this program for as long as it lives, whoever its parent was and
whatever session it is in (PR_SET_CHILD_SUBREAPER); so other people's daemons and machines are not taken for the
command's. A name space needs no look of its own: it is there as long as a process or a mount holds it. What is left
is named and, if it is a process, ended. The status is the command's, or 1 where that was 0 and something is left.
"""

import argparse
import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
PATIENCE = 20.0
"""Seconds for processes that were told to end to have ended."""
SHOWN = 300


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--patience", type=float, default=PATIENCE)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        sys.exit("this kernel has no child subreapers")
    before = look()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command's to answer
    status = run(asked.command)
    left = [f"process {pid}: {words}" for pid, words in linger(asked.patience)]
    left += [f"{kind}: {item}" for kind, items in look().items() for item in sorted(items - before[kind])]
    for line in left:
        print(f"left on the host: {line[:SHOWN]}", file=sys.stderr)
    return status or (1 if left else 0)


def run(command: list[str]) -> int:
    """The command's status, as a shell tells it. Orphans are reaped meanwhile, as a host's init does it."""
    restored = (signal.SIGINT,)
    child = subprocess.Popen(command, preexec_fn=lambda: [signal.signal(n, signal.SIG_DFL) for n in restored])
    while True:
        pid, status = os.wait()
        if pid == child.pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode if child.returncode >= 0 else 128 - child.returncode


def linger(patience: float) -> list[tuple[int, str]]:
    """The processes that are still there in the end, with their words; none is any more then."""
    deadline = time.monotonic() + patience
    while (found := list(descendants())) and time.monotonic() < deadline:
        reap()
        time.sleep(0.05)
    told = [(pid, words_of(pid)) for pid in found]
    while found:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself meanwhile
                os.kill(pid, signal.SIGKILL)
        reap()
        time.sleep(0.05)
        found = list(descendants())
    return told


def reap() -> None:
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def descendants() -> Iterator[int]:
    """Alive, or not yet reaped by a parent that is."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    for pid in parents:
        above = parents[pid]
        while above not in (0, os.getpid()):
            above = parents.get(above, 0)
        if above:
            yield pid


def words_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return "gone by now"


def look() -> dict[str, set[str]]:
    """What the host has: mounts by what is mounted where, links by name, rules by line."""
    mounts = {
        f"{words[3]} on {words[4]} ({' '.join(words[words.index('-') + 1 :][:2])})"
        for words in (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    }
    return {
        "mount": mounts,
        "network device": {path.name for path in Path("/sys/class/net").iterdir()},
        "packet rule": said("nft", "list", "ruleset") if os.geteuid() == 0 else set(),
        "routing rule": said("ip", "-4", "rule") | said("ip", "-6", "rule"),
    }


def said(*words: str) -> set[str]:
    """The lines that a tool says, without what it has counted; nothing where the host has no such tool."""
    if shutil.which(words[0]) is None:
        return set()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = {re.sub(r"packets \d+ bytes \d+", "", line).strip(" \t{}") for line in done.stdout.splitlines()}
    return lines - {""}


if __name__ == "__main__":
    sys.exit(main())
