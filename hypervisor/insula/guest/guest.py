"""A machine whose agent answers.

Owned by whoever entered `Guests.open` or `Guests.adopt`: leaving kills the machine, unless `detach` was called.
What an adopter needs is `record`, to be stored before the guest is told anything. An adopted guest is greeted by
whoever adopts it: one that is paused answers nobody until it is resumed.
"""

import asyncio
import logging
import shlex
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from insula.agent.session import GuestFailure, Session, open_session
from insula.errors import InsulaError, Internal, NotFound
from insula.machine.machine import Gone, Machine
from insula.machine.spec import NICS, Throttle, Weights

ADOPT_TIMEOUT = 30.0

log = logging.getLogger(__name__)

Origin = Literal["pool", "template", "cold", "adopted"]


def tap_names(machine_id: str) -> tuple[str, ...]:
    """What a machine's taps are called, by its network devices' numbers: 14 bytes, where a link takes 15."""
    return tuple(f"t{machine_id[:12]}{number}" for number in range(NICS))


class Guest:
    """A machine, its session, and where it came from. session: None if it is adopted and not greeted yet."""

    def __init__(
        self, machine: Machine, session: Session | None, origin: Origin, slot: int | None, *, on_taps: bool
    ) -> None:
        self.machine = machine
        self.origin = origin
        self.record: dict[str, Any] = {"machine": machine.id, "slot": slot, "taps": on_taps}
        self.taps = tap_names(machine.id) if on_taps else ()
        """The names of its network devices' taps, by number; none if it has no network."""
        self.detached = False
        self.began: Callable[[], None] = lambda: None
        """To be called once the container runs: until then the pool keeps still."""
        self._session = session

    @property
    def session(self) -> Session:
        if self._session is None:
            raise Internal(f"the guest of machine {self.machine.id} was not greeted")
        return self._session

    async def greet(self) -> None:
        """Opens the session with an adopted guest, and sets its clock, whatever has happened to it meanwhile.

        Raises NotFound if it does not answer."""
        try:
            self._session = await open_session(self.machine.agent_socket, ADOPT_TIMEOUT)
            with suppress(GuestFailure):  # told already
                await self.set_clock()
        except (InsulaError, TimeoutError) as error:
            raise NotFound(f"the guest of machine {self.machine.id} does not answer: {error}") from error
        except asyncio.CancelledError:
            self.detach()  # this daemon ends; the next one adopts
            raise

    def close_session(self) -> None:
        if self._session is not None:
            self._session.close()

    async def pause(self) -> None:
        """Stops the guest's processors: it answers nothing until `resume`."""
        await self.machine.pause()

    async def resume(self) -> None:
        """Lets the processors go on; the clock is behind then, by the time of the pause (`set_clock`)."""
        await self.machine.resume()

    async def is_paused(self) -> bool:
        return await self.machine.is_paused()

    @property
    def memory(self) -> int:
        """The machine's, in MiB; 0 if the record of an older daemon does not say."""
        return int(self.record.get("memory", 0))

    @property
    def cpus(self) -> int:
        return int(self.record.get("cpus", 0))

    async def throttle(self, limits: Throttle) -> None:
        """Holds the container's disks to limits, all of them together."""
        await self.machine.throttle([str(name) for name in self.record.get("disks", ())], limits)

    async def weigh(self, weights: Weights) -> None:
        """Gives the machine its part of the host."""
        await self.machine.weigh(weights)

    async def set_clock(self) -> None:
        """Sets the guest's clock by the host's. Raises GuestFailure if the guest cannot."""
        try:
            await self.session.set_clock()
        except GuestFailure as error:
            log.warning("machine %s: its clock is behind: %s", self.machine.id, error)
            raise

    async def gone(self) -> Gone:
        """Returns when the machine has ended."""
        return await self.machine.gone()

    def kill(self) -> None:
        self.machine.kill()

    def detach(self) -> None:
        """Leaves the machine running when its owner lets go."""
        self.detached = True
        self.machine.detach()

    async def console(self) -> str:
        """The end of the guest's console, as far as nobody has read it: reading takes it away."""
        return await self.machine.console()

    async def log(self, console: str | None = None) -> str:
        """What a failed start is judged by: arguments, console (if it has not been read before), QEMU's words."""
        return evidence(self.machine, await self.console() if console is None else console)


def evidence(machine: Machine, console: str) -> str:
    """What a failed start is judged by: the command, QEMU's words, the console."""
    command = shlex.join(machine.command)
    return f"command: {command}\n\nQEMU: {machine.words() or 'nothing'}\n\nconsole:\n{console}\n"
