"""Whether the host's out-of-memory killer has killed a process: its kernel's log tells, to who may read it.

For machines without a cgroup on the host (the kills in one are counted there, for all to read): QEMU is not this
daemon's child, and the signal is the same as anybody's.
"""

import os
import re
import time

KERNEL = 0  # the facility; what programs write into the log has another
RECORD_MAX = 8192  # what one read of /dev/kmsg gives at most
RECENT_SECONDS = 60.0
_KILLED = re.compile(r"ut of memory: Killed process (\d+) ")


def was_killed(pid: int) -> bool:
    """Whether the last minute's log says so; False as well where it may not be read. Blocks: call it in a thread."""
    since = time.clock_gettime(time.CLOCK_MONOTONIC) - RECENT_SECONDS
    try:
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return any(names(record, pid, since) for record in _records(log))
    finally:
        os.close(log)


def _records(log: int) -> list[str]:
    found = []
    while True:
        try:
            found.append(os.read(log, RECORD_MAX).decode(errors="replace"))
        except BrokenPipeError:  # the oldest was overwritten meanwhile
            continue
        except OSError:
            return found


def names(record: str, pid: int, since: float) -> bool:
    """Whether one record, `priority,sequence,microseconds,…;text`, is the killer's word of this process."""
    head, _, text = record.partition(";")
    try:
        priority, _, microseconds = (int(number) for number in head.split(",")[:3])
    except ValueError:
        return False
    if priority >> 3 != KERNEL or microseconds / 1e6 < since:
        return False
    killed = _KILLED.search(text)
    return killed is not None and int(killed[1]) == pid
