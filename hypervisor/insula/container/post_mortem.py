"""Why a machine has ended under its container, as far as can be told: for inspect, and for the file beside the log.

A guest that stopped (its kernel panicked, or something in it reset the machine) is an exit with 255, which Docker has
for containers whose kernel went down with them; a QEMU that was killed is one with 137, as a killed program. What
the guest's console says is the guest's own text: it is shown, bounded, with nothing in it that a terminal obeys.
"""

import re
from dataclasses import dataclass

from insula.guest.guest import Guest
from insula.machine.machine import Gone

KILLED = 137
KERNEL_LOST = 255
LINES_MAX = 24
SHOWN_MAX = 2048
_PANIC = re.compile(r"Kernel panic - not syncing: (.*)")


@dataclass(frozen=True, slots=True)
class Death:
    """report: command, console and QEMU's words, for the file."""

    exit_code: int
    reason: str
    oom_killed: bool = False
    report: str = ""


async def examine(guest: Guest, how: Gone) -> Death:
    """Of a machine that has just ended."""
    if how is Gone.STOPPED:
        console = await guest.console()
        reason = f"the machine is gone: {explain_stop(console)}"
        return Death(KERNEL_LOST, reason, False, await guest.log(console))
    report = await guest.log()
    if await guest.machine.was_killed_for_memory():
        reason = "the machine is gone: the host's out-of-memory killer has killed its QEMU"
        return Death(KILLED, reason, True, report)
    return Death(KILLED, f"the machine is gone: {how}", False, report)


def explain_stop(console: str) -> str:
    """Why a guest stopped, by the end of its console: the panic's own lines, or just the last ones."""
    lines = [_printable(line) for line in console.splitlines()]
    lines = [line for line in lines if line]
    panics = [number for number, line in enumerate(lines) if _PANIC.search(line)]
    if not panics:
        return _bounded("its guest stopped", lines[-LINES_MAX:])
    found = _PANIC.search(lines[panics[-1]])
    assert found is not None
    return _bounded(f"its guest's kernel panicked: {found[1]}", lines[panics[-1] :][:LINES_MAX])


def _printable(line: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in line).strip()


def _bounded(head: str, lines: list[str]) -> str:
    return "\n".join((head, *lines))[:SHOWN_MAX]
