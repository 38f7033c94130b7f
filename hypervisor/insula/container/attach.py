"""A client on a container's or an exec's streams.

Output comes as an iterator, with a place of its own in the stream: one slow client holds up neither the others
nor, as long as the log can hold it, the program. Input is written with the guest's credit: `write` returns when
there is room. Closing an attachment never ends the program.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from insula.agent.streams import Process
from insula.container.output import Follower
from insula.errors import InsulaError


@dataclass(frozen=True, slots=True)
class AttachRequest:
    """What to attach. logs: replay what was logged first; stream: follow."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    logs: bool = False
    stream: bool = True


class Attachment:
    """The open streams. tty: output is raw (only stream 1). process: gives the program once it runs."""

    def __init__(
        self,
        follower: Follower | None,
        process: Callable[[], Awaitable[Process | None]],
        *,
        streams: frozenset[int],
        tty: bool,
        stdin: bool,
        ends_input: bool,
    ) -> None:
        self.tty = tty
        self._follower = follower
        self._process = process
        self._streams = streams
        self._stdin = stdin
        self._ends_input = ends_input
        self._ended = asyncio.Event()
        self.detached = False  # by the keys: set by whoever reads them, told as an event

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """(1 stdout | 2 stderr, data) until the process's streams end or there is nothing more to replay. Where only
        its input is attached: nothing, until that or the process has ended."""
        if self._follower is not None:
            async for stream, data in self._follower:
                if stream in self._streams:
                    yield stream, data
        elif self._stdin:
            await self._input_is_over()

    async def _input_is_over(self) -> None:
        process = await self._process()
        if process is None:
            return
        exit, input_ = (asyncio.ensure_future(work) for work in (process.exit(), self._ended.wait()))
        try:
            await asyncio.wait((exit, input_), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (exit, input_):
                task.cancel()
            await asyncio.gather(exit, input_, return_exceptions=True)

    async def write(self, data: bytes) -> None:
        """Waits for room. Nothing happens if the process has ended or stdin is not attached."""
        if not self._stdin:
            return
        process = await self._process()
        if process is not None:
            try:
                await process.write(data)
            except InsulaError:
                self._ended.set()
                self._stdin = False  # its input, or its guest, has ended: as a closed pipe

    async def end_input(self) -> None:
        """The client's input has ended. Ends the program's input if it was opened for one attachment only
        (stdin_once, execs), else only this client's."""
        if self._stdin and self._ends_input:
            process = await self._process()
            if process is not None:
                with suppress(InsulaError):
                    await process.end_input()
        self._ended.set()
        self._stdin = False

    def close(self) -> None:
        if self._follower is not None:
            self._follower.close()
