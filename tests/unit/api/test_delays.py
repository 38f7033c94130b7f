import asyncio
import time

from insula.api.delays import LoopDelays, TimedSelector


def test_percentiles_of_known_turns() -> None:
    delays = LoopDelays()
    for _ in range(998):
        delays.add(0.0001)
    delays.add(0.0203)
    delays.add(0.5)
    figures = delays.take()
    assert figures == {"Turns": 1000, "MedianMs": 0.5, "P999Ms": 20.5, "MaxMs": 500.0}
    assert delays.take() == {"Turns": 0, "MedianMs": 0.0, "P999Ms": 0.0, "MaxMs": 0.0}


def test_turns_longer_than_all_buckets_are_told_as_long_as_they_were() -> None:
    delays = LoopDelays()
    delays.add(30.0)
    assert delays.take()["MaxMs"] == 30_000.0


def test_a_blocked_loop_is_seen() -> None:
    delays = LoopDelays()

    async def block() -> None:
        await asyncio.sleep(0)
        time.sleep(0.05)  # noqa: ASYNC251 - the point
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(TimedSelector(delays))) as runner:
        runner.run(block())
    assert delays.take()["MaxMs"] >= 50
