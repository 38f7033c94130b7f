"""A machine whose agent answers.

Owned by whoever entered `Guests.open` or `Guests.adopt`: leaving kills the machine, unless `detach` was called.
What an adopter needs is `record`, to be stored before the guest is told anything.
"""

import shlex
from collections.abc import Callable
from typing import Any, Literal

from insula.agent.session import Session
from insula.machine.machine import Machine

Origin = Literal["pool", "template", "cold", "adopted"]


class Guest:
    """A machine, its session, and where it came from."""

    def __init__(self, machine: Machine, session: Session, origin: Origin, slot: int | None) -> None:
        self.machine = machine
        self.session = session
        self.origin = origin
        self.record: dict[str, Any] = {"machine": machine.id, "slot": slot}
        self.began: Callable[[], None] = lambda: None
        """To be called once the container runs: until then the pool keeps still."""

    async def gone(self) -> str:
        """Returns when the machine has ended, with the reason in a few words."""
        return await self.machine.gone()

    def kill(self) -> None:
        self.machine.kill()

    def detach(self) -> None:
        """Leaves the machine running when its owner lets go."""
        self.machine.detach()

    async def console(self) -> str:
        """The end of the guest's console."""
        return await self.machine.console()

    async def log(self) -> str:
        """What a failed start is judged by: arguments, console, QEMU's words."""
        console = await self.console()
        return (
            f"command: {shlex.join(self.machine.command)}\n\n"
            f"QEMU: {self.machine.words() or 'nothing'}\n\nconsole:\n{console}\n"
        )
