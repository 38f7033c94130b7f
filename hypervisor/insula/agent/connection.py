"""The connection under a session: a socket, the reader of frames, the greeting, and what a slow peer may
cost.

Bytes come in by `data_received` and go up as messages in the same call; bytes go out by one `write`. No
task lies between. Data frames wait until everything before them has left (`drained`), so a control frame
never queues behind more than one of them (docs/protocol.md §2). Whatever breaks the protocol ends the
connection, once, with the reason; nothing the guest sends raises into the event loop.
"""

import asyncio
import secrets
from typing import Protocol

from insula.agent.messages import VERSION, Message, decode
from insula.agent.reports import REPORTS, Welcome
from insula.agent.requests import Hello
from insula.agent.wire import PAYLOAD_MAX, Feed, Frame, encode
from insula.errors import InsulaError, Internal, Unavailable

HELLO_SECONDS, HELLO_GROWTH, HELLO_SECONDS_MAX = 0.1, 1.5, 1.0
FLUSHING_HELLO = 4  # the first that follows a flush
BACKLOG_MAX = 1 << 20  # bytes that a guest may leave unread
VOID_MAX = 4_096  # frames of other connections after the greeting, where an honest guest sends none
CLOSE_SECONDS = 1.0


class Receiver(Protocol):
    """What a connection reports to: the session."""

    def receive(self, message: Message) -> None: ...

    def on_lost(self, failure: InsulaError) -> None: ...


class Connection(asyncio.Protocol):
    """One connection to one agent. `welcomed` is the agent's answer to the greeting."""

    def __init__(self, receiver: Receiver) -> None:
        loop = asyncio.get_running_loop()
        self.welcomed: asyncio.Future[Welcome] = loop.create_future()
        self._loop = loop
        self._receiver = receiver
        self._epoch = secrets.randbelow(0xFFFFFFFF) + 1
        self._feed = Feed()
        self._feed.hunt(Welcome.TYPE, self._epoch)
        self._transport: asyncio.Transport | None = None
        self._failure: InsulaError | None = None
        self._drained = asyncio.Event()
        self._gone = asyncio.Event()
        self._hello_timer: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._hellos = 0
        self._welcomes = 0
        self._void = 0

    # -- greeting

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)  # paused means: something has not left yet
        self._drained.set()
        if self._failure is not None:
            transport.abort()
            return
        self._greet()

    def _greet(self) -> None:
        """Says HELLO, and again until it is answered.

        The one timer of the wire: QEMU takes bytes before the guest has opened its port, and may lose them
        without either end being told, so that only time says that a greeting did not arrive. What is still
        queued here has not been lost, and is not repeated. One repeat comes after as many zeros as a frame
        may be long: should the agent still wait for the rest of a frame that an earlier daemon began, that
        ends it."""
        if self._transport is None or self.welcomed.done():
            return
        if self._drained.is_set():
            self._hellos += 1
            if self._hellos == FLUSHING_HELLO:
                self._transport.write(bytes(PAYLOAD_MAX))
            self._send(Hello())
        delay = min(HELLO_SECONDS * HELLO_GROWTH ** (self._hellos - 1), HELLO_SECONDS_MAX)
        self._hello_timer = self._loop.call_later(delay, self._greet)

    def _take_welcome(self, frame: Frame) -> None:
        self._welcomes += 1
        if self._welcomes > self._hellos:
            raise Internal("the guest's agent greets without being asked")
        if self._welcomes > 1:
            return  # a repeated HELLO arrived too; it was sent before anything else, so nothing has changed
        welcome = decode(frame, REPORTS)
        assert isinstance(welcome, Welcome)
        if welcome.version != VERSION:
            raise Internal(f"the guest's agent speaks version {welcome.version} ({VERSION} is spoken here)")
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        if not self.welcomed.done():
            self.welcomed.set_result(welcome)

    # -- in

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._feed.feed(data):
                if self._failure is not None:
                    return
                self._take(frame)
            if self._feed.skipped and self._welcomes >= self._hellos:
                raise Internal("the guest's agent sends bytes that belong to no frame")
        except InsulaError as failure:
            self.fail(failure)

    def _take(self, frame: Frame) -> None:
        if frame.epoch != self._epoch:
            self._void += 1
            if self._void > VOID_MAX:
                raise Internal("the guest's agent does not stop to speak of an earlier connection")
        elif frame.type == Welcome.TYPE:
            self._take_welcome(frame)
        else:
            self._receiver.receive(decode(frame, REPORTS))

    def eof_received(self) -> bool:
        return False  # the agent has no use for half a connection

    def connection_lost(self, error: Exception | None) -> None:
        self._gone.set()
        if self._close_timer is not None:
            self._close_timer.cancel()
        self.fail(
            Unavailable("the connection to the guest's agent was lost" + (f": {error}" if error else ""))
        )

    # -- out

    def send(self, message: Message) -> None:
        """Sends at once. Raises the failure if the connection has ended, or ends it if the guest does not
        read."""
        if self._failure is not None:
            raise again(self._failure)
        self._send(message)

    def _send(self, message: Message) -> None:
        assert self._transport is not None
        self._transport.write(encode(message.TYPE, self._epoch, message.encode()))
        if self._transport.get_write_buffer_size() > BACKLOG_MAX:
            self.fail(Internal("the guest's agent does not read what it is sent"))

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    async def drained(self) -> None:
        """Returns when everything sent has left this process, which is when a data frame may follow."""
        while not self._drained.is_set() and self._failure is None:
            await self._drained.wait()

    # -- end

    def fail(self, failure: InsulaError, *, abort: bool = True) -> None:
        """Ends the connection for this reason, unless it has ended."""
        if self._failure is not None:
            return
        self._failure = failure
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        if abort and self._transport is not None:
            self._transport.abort()
        if not self.welcomed.done():
            self.welcomed.set_exception(again(failure))
            self.welcomed.exception()  # whoever waited knows; if nobody did, it is no news
        self._drained.set()
        self._receiver.on_lost(failure)

    def close(self) -> None:
        """Lets what was sent leave, then closes. A guest that does not read is given CLOSE_SECONDS for it."""
        if self._failure is None and self._transport is not None:
            self._transport.close()
            self._close_timer = self._loop.call_later(CLOSE_SECONDS, self._transport.abort)
        self.fail(Unavailable("this session with the guest's agent is closed"), abort=False)

    async def wait_closed(self) -> None:
        """Returns when the socket is closed."""
        if self._transport is not None:
            await self._gone.wait()


def again(failure: InsulaError) -> InsulaError:
    """The failure once more: each who waited raises one of its own, with its own traceback."""
    return type(failure)(failure.message, failure.hint)
