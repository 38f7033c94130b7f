"""A machine comes to rest before its state is saved: what QEMU has for its guest must have reached it.

Interrupts that wait for their processor are no part of what QEMU 7.2 saves of an s390x machine (hw/intc/s390_flic.c
there). A virtio device whose interrupt is lost so sends no further one, and a clone that has lost one answers nobody.
The last one comes as the host's end of the agent's port closes, just before the machine is saved. So QEMU must have
seen that, and then have had nothing to do for a while.
"""

import asyncio
import logging
from pathlib import Path

from insula.machine.qmp import Monitor

LOOK_SECONDS = 0.02
STILL = 3
"""How many looks in a row must find it at rest."""
LOOKS_MAX = 250

log = logging.getLogger(__name__)


async def settle(pid: int, monitor: Monitor, port: str) -> None:
    """Returns once QEMU has seen that nobody is at a port's socket, and rests. One that does not within seconds is
    left as it is, with a word in the log: a template of it may be of no use, which is found out by its first clone.

    pid: QEMU's. Raises Unavailable, Internal."""
    left, still, before = False, 0, -1
    for _ in range(LOOKS_MAX):
        if not left:
            left = await monitor.is_left(port)
            continue
        ticks = _at_rest(pid)
        still = still + 1 if ticks is not None and ticks == before else 0
        if still == STILL:
            return
        before = -1 if ticks is None else ticks
        await asyncio.sleep(LOOK_SECONDS)
    log.warning("QEMU %d does not come to rest before its state is saved", pid)


def _at_rest(pid: int) -> int | None:
    """The processor time that its threads have had, in ticks, or None while one of them has or wants a processor."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            state, *fields = (thread / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if state == "R":
            return None
        total += int(fields[10]) + int(fields[11])
    return total
