"""Blocking work off the event loop's thread, which is over when the caller goes on.

`asyncio.to_thread` leaves its thread running when the caller is cancelled: the file it writes would appear
after the clean-up. Here a cancelled caller waits for its thread first, however often it is cancelled.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `work` in a thread and gives its result; raises what it raises."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen; the cancellation goes before it
        raise
