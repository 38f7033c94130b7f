"""Attach, exec and logs on the wire: the hijacked connection and Docker's 8-byte frames.

A hijacked connection leaves HTTP: its transport gets a protocol of its own *before* the 101 is written, because
aiohttp closes as soon as the client ends its input, and output that comes later would be lost. Both ways wait for
room: a slow client stops its own output, a full guest stops its own client.
"""

import asyncio
import select
import struct
from contextlib import suppress
from typing import Protocol

from aiohttp.abc import AbstractStreamWriter
from aiohttp.web import BaseRequest, StreamResponse

from insula.api.call import Call
from insula.api.detach import DetachKeys
from insula.api.unread import wait_until_read
from insula.api.versions import HEADERS
from insula.container.attach import Attachment, AttachRequest

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
SYSTEM_ERROR = 3
HEADER = struct.Struct(">BxxxI")
INPUT_HIGH = 256 << 10
INPUT_LOW = 64 << 10


def frame(stream: int, data: bytes) -> bytes:
    """One write of the program, as clients of a stream without a terminal expect it."""
    return HEADER.pack(stream, len(data)) + data


def media_type(call: Call, tty: bool) -> str:
    """What Docker calls the stream: named by its framing since 1.42, and only after an upgrade."""
    return MULTIPLEXED if not tty and call.version >= (1, 42) else RAW


class Hijacked(asyncio.Protocol):
    """A connection taken out of HTTP: a bounded queue of input, output with backpressure."""

    def __init__(self, transport: asyncio.Transport, before: asyncio.BaseProtocol) -> None:
        self._transport = transport
        self._before = before
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self._held = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._hangup: select.epoll | None = None
        self._handled = False
        self._header_read = False
        self._error: Exception | None = None
        self.lost = asyncio.Event()

    # -- called by the transport

    def data_received(self, data: bytes) -> None:
        self._received.put_nowait(data)
        self._held += len(data)
        if self._held >= INPUT_HIGH:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._received.put_nowait(b"")
        self._watch_hangup()
        return True  # perhaps only their half is closed

    def _watch_hangup(self) -> None:
        """After the end of input the loop no longer looks at the socket; a client that is gone altogether, on a
        silent container, would be kept for ever. epoll tells a hang-up without being asked for anything."""
        end = self._transport.get_extra_info("socket")
        self._hangup = select.epoll()
        self._hangup.register(end.fileno(), 0)
        asyncio.get_running_loop().add_reader(self._hangup.fileno(), self._on_hangup)

    def _on_hangup(self) -> None:
        self._forget_hangup()
        self._transport.abort()

    def _forget_hangup(self) -> None:
        if self._hangup is not None:
            asyncio.get_running_loop().remove_reader(self._hangup.fileno())
            self._hangup.close()
            self._hangup = None

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._forget_hangup()
        self._received.put_nowait(b"")
        self._error = error
        self.lost.set()
        self._writable.set()
        if self._handled:
            self._before.connection_lost(error)

    # -- called by the handler

    def finish(self) -> None:
        """The handler has ended: aiohttp may do its own bookkeeping, which would have cancelled the handler in
        the middle of letting go."""
        self._handled = True
        if self.lost.is_set():
            self._before.connection_lost(self._error)

    async def read(self) -> bytes:
        """The next input; nothing at its end."""
        data = await self._received.get()
        self._held -= len(data)
        if self._held <= INPUT_LOW and not self._transport.is_closing():
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Returns when the client has taken enough. Raises ConnectionResetError once it is gone.

        The first output waits until the client has read the header: docker-py reads that through a buffer which it
        then puts aside, so output that it found there together with the header would be lost to it."""
        if not self._header_read:
            await wait_until_read(self._transport.get_extra_info("socket"))
            self._header_read = True
        if self.lost.is_set() or self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._transport.write(data)
        await self._writable.wait()

    def close(self) -> None:
        """Ends the connection; what was written still goes out."""
        self._transport.close()


class Answered(StreamResponse):
    """For aiohttp: an answer that is already out (after a hijack), or that nobody waits for."""

    def __init__(self, connection: Hijacked | None = None) -> None:
        super().__init__()
        self._connection = connection
        self.force_close()

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        if self._connection is not None:
            self._connection.finish()


def hijack(call: Call, tty: bool) -> Hijacked:
    """Takes the connection and writes the header: 101 if the client asked for an upgrade, else 200."""
    request = call.request
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    connection = Hijacked(transport, transport.get_protocol())
    transport.set_protocol(connection)
    transport.resume_reading()
    call.response = Answered(connection)
    upgrade = request.headers.get("Upgrade", "")
    if upgrade:
        lines = ["HTTP/1.1 101 UPGRADED", f"Content-Type: {media_type(call, tty)}"]
        lines += ["Connection: Upgrade", "Upgrade: tcp"]
    else:
        lines = ["HTTP/1.1 200 OK", f"Content-Type: {RAW}"]
    lines += [f"{name}: {value}" for name, value in HEADERS.items()]
    transport.write("\r\n".join([*lines, "", ""]).encode())
    return connection


class Connection(Protocol):
    """One client: its input, and output that waits for it."""

    async def read(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...


async def exchange(connection: Hijacked, attachment: Attachment, tty: bool, keys: DetachKeys | None) -> None:
    """Carries output to the client and its input to the process, until the output ends, the client goes or
    detaches. keys: what detaches; None where input is not attached (it is read and dropped)."""
    output = asyncio.create_task(carry_output(connection, attachment, tty))
    input_ = asyncio.create_task(carry_input(connection, attachment, keys))
    lost = asyncio.create_task(connection.lost.wait())
    tasks = {output, input_, lost}
    try:
        waiting = set(tasks)
        while output in waiting and lost in waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if input_ in done and input_.exception() is None and attachment.detached:
                break
        if output.done():
            output.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def carry_output(connection: Connection, attachment: Attachment, tty: bool) -> None:
    with suppress(ConnectionError):
        async for stream, data in attachment.output():
            await connection.write(data if tty else frame(stream, data))


async def carry_input(connection: Connection, attachment: Attachment, keys: DetachKeys | None) -> None:
    """Until the input ends, or the user detaches."""
    while data := await connection.read():
        if keys is not None:
            data, attachment.detached = keys.feed(data)
            if data:
                await attachment.write(data)
            if attachment.detached:
                return
    if keys is not None:
        if rest := keys.flush():
            await attachment.write(rest)
        await attachment.end_input()


async def send_attached(
    call: Call, attachment: Attachment, request: AttachRequest, keys: str
) -> StreamResponse:
    """A whole hijacked exchange. Gives what aiohttp is to be told."""
    tty = attachment.tty
    detach = DetachKeys.parse(keys, tty) if request.stdin else None
    connection = hijack(call, tty)
    try:
        await exchange(connection, attachment, tty, detach)
    finally:
        connection.close()
    assert call.response is not None
    return call.response
