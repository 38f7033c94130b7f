"""How long a registry may be silent, and how often something is tried again when a connection broke.

A try that brought something forward puts the count of vain ones back to nothing, so that a bad line is survived; all
tries together are bounded as well, so that one byte a connection is not for ever.
"""

import asyncio
from dataclasses import dataclass

from insula.errors import Unavailable


class Broken(Exception):
    """The connection broke, or stood still: it may be tried again."""


class Unreachable(Broken):
    """There was no connection."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds and counts. connect: to a connection; silence: without a sign of progress; document: a whole small
    answer; vain: tries in a row that bring nothing; tries: all of them; pause: after the first vain one, doubled
    with each."""

    connect: float = 30.0
    silence: float = 60.0
    document: float = 120.0
    vain: int = 5
    tries: int = 200
    pause: float = 0.2
    pause_most: float = 5.0


class Tries:
    """The tries of one piece of work."""

    def __init__(self, patience: Patience, what: str) -> None:
        self._patience = patience
        self._what = what
        self._vain = 0
        self._all = 0

    async def again(self, error: Broken, *, progressed: bool) -> None:
        """Returns when it is time for the next try. Raises Unavailable when there is none left."""
        self._all += 1
        self._vain = 0 if progressed else self._vain + 1
        if self._vain >= self._patience.vain or self._all >= self._patience.tries:
            raise Unavailable(f"{self._what}: {error} ({self._all} tries)") from error
        if self._vain:
            await asyncio.sleep(min(self._patience.pause * 2 ** (self._vain - 1), self._patience.pause_most))
