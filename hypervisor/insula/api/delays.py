"""How long the event loop was busy at a stretch: what a request that comes in the meantime has to wait.

Measured where it costs next to nothing, around the selector: from its return to its next call. Kept as counts in
buckets of a fixed width, so that the 99.9th percentile can be told without keeping every turn.
"""

import selectors
import time
from typing import Any

BUCKET = 0.0005
BUCKETS = 4000


class LoopDelays:
    """Counts of turns by their length."""

    def __init__(self) -> None:
        self._counts = [0] * (BUCKETS + 1)
        self._turns = 0
        self._longest = 0.0

    def add(self, seconds: float) -> None:
        self._turns += 1
        self._counts[min(int(seconds / BUCKET), BUCKETS)] += 1
        if seconds > self._longest:
            self._longest = seconds

    def take(self) -> dict[str, Any]:
        """The figures since the last call, in milliseconds; and begins again."""
        figures = {
            "Turns": self._turns,
            "MedianMs": self._percentile(0.5),
            "P999Ms": self._percentile(0.999),
            "MaxMs": round(self._longest * 1000, 2),
        }
        self._counts = [0] * (BUCKETS + 1)
        self._turns, self._longest = 0, 0.0
        return figures

    def _percentile(self, share: float) -> float:
        seen = 0
        for number, count in enumerate(self._counts):
            seen += count
            if count and seen >= share * self._turns:
                return round(min((number + 1) * BUCKET, self._longest) * 1000, 2)
        return 0.0


class TimedSelector(selectors.EpollSelector):
    """epoll that notes how long the loop was away from it."""

    def __init__(self, delays: LoopDelays) -> None:
        super().__init__()
        self._delays = delays
        self._woke = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._woke:
            self._delays.add(time.monotonic() - self._woke)
        found = super().select(timeout)
        self._woke = time.monotonic()
        return found
