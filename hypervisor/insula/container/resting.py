"""The rest between an end and the start that the restart policy has next: how long it is, and who cuts it short.

Policies start only so many containers at a time (`Parts.gate`): after a boot of the host all of them want to at
once, and each start costs a machine.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from insula.container.record import Record
from insula.container.restart_policy import next_rest, restarts


class Rest:
    """One container's. length: what a rest of so many seconds really takes (tests are not made to wait)."""

    def __init__(self, gate: asyncio.Semaphore, length: Callable[[float], float]) -> None:
        self._gate = gate
        self._length = length
        self._cut = asyncio.Event()
        self._seconds = 0.0
        self._in_gate = False

    def begin_anew(self) -> None:
        """The user starts the container: nothing of what was counts."""
        self._cut.clear()
        self._seconds = 0.0

    @property
    def is_cut(self) -> bool:
        return self._cut.is_set()

    def cut(self) -> None:
        """From now on the policy starts nothing: a rest under way is over, and none begins."""
        self._cut.set()

    def decide(self, record: Record, exit_code: int, ran: float) -> bool:
        """Whether the policy has it start again after a run of so many seconds. The next rest is then as long as it
        has to be."""
        policy, count = record.spec.restart, record.restart_count
        if self.is_cut or not restarts(policy, exit_code, count, stopped=record.stopped):
            return False
        self._seconds = next_rest(self._seconds, ran)
        return True

    async def over(self) -> bool:
        """Returns when it is time to start, True; or when the rest has been cut short, False. `let_go` once the
        start has come to its end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._length(self._seconds)):
                await self._cut.wait()
        if not self.is_cut:
            await self._enter_gate()
        return not self.is_cut

    async def _enter_gate(self) -> None:
        cut = asyncio.create_task(self._cut.wait())
        entered = asyncio.create_task(self._gate.acquire())
        try:
            await asyncio.wait((cut, entered), return_when=asyncio.FIRST_COMPLETED)
        finally:
            cut.cancel()
            if not entered.cancel():
                self._in_gate = True
            await asyncio.gather(cut, entered, return_exceptions=True)
            if self.is_cut:
                self.let_go()

    def let_go(self) -> None:
        """Lets the next container start."""
        if self._in_gate:
            self._in_gate = False
            self._gate.release()
