"""A guest that says what a test tells it to: the other end of a session, for what no real agent would do."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from insula.agent.messages import Message, decode
from insula.agent.reports import ProcessState, Reply, Step, Welcome
from insula.agent.requests import REQUESTS, Hello
from insula.agent.session import Session, open_session
from insula.agent.wire import Feed, Frame, encode

SECONDS = 30.0  # a bound against hanging, not an expectation


class Guest:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.epoch = 0
        self._feed = Feed()
        self._frames: list[Frame] = []

    async def frame(self) -> Frame:
        async with asyncio.timeout(SECONDS):
            while not self._frames:
                data = await self.reader.read(65536)
                if not data:
                    raise EOFError
                self._frames += self._feed.feed(data)
        return self._frames.pop(0)

    async def hear(self) -> Message:
        return decode(await self.frame(), REQUESTS)

    def raw(self, data: bytes) -> None:
        self.writer.write(data)

    def framed(self, message: Message) -> bytes:
        return encode(message.TYPE, self.epoch, message.encode())

    def say(self, *messages: Message) -> None:
        self.raw(b"".join(self.framed(message) for message in messages))

    async def hear_hello(self) -> None:
        frame = await self.frame()
        assert isinstance(decode(frame, REQUESTS), Hello)
        self.epoch = frame.epoch

    async def greet(self, *processes: ProcessState) -> None:
        await self.hear_hello()
        self.say(Welcome(2, bool(processes), len(processes), processes))

    async def answer(
        self, *before: Message, errno: int = 0, step: Step = Step.REQUEST, detail: str = ""
    ) -> Message:
        """Answers the next request, in one write with what is to come `before` the answer."""
        request = await self.hear()
        number: int = request.request  # type: ignore[attr-defined]
        self.say(*before, Reply(number, step, errno, detail))
        return request


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Guest, socket.socket]]:
    """A guest, and the socket at which its agent is reached."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=theirs)
    try:
        yield Guest(reader, writer), ours
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        ours.close()


@asynccontextmanager
async def greeted(*processes: ProcessState) -> AsyncIterator[tuple[Guest, Session]]:
    """A guest with these processes, and an open session with it."""
    async with connected() as (guest, peer):
        _, session = await asyncio.gather(guest.greet(*processes), open_session(peer, SECONDS))
        async with session:
            yield guest, session
