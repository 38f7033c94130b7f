"""Attach by websocket: the streams of a container in messages, never framed by Docker's eight bytes.

Messages are binary since 1.28, text before; what a client sends is input whatever its kind. A message over
MESSAGE_MAX ends the connection, and compression is not offered, so a small one cannot become large. Reading stops
while the container takes nothing, writing while the client takes nothing.
"""

import asyncio
from contextlib import suppress

from aiohttp import WSMsgType
from aiohttp.web import StreamResponse, WebSocketResponse

from insula.api.call import Call
from insula.api.detach import DetachKeys
from insula.api.router import Route
from insula.api.streams import carry_input, carry_output
from insula.api.versions import HEADERS
from insula.container.attach import Attachment, AttachRequest
from insula.errors import InvalidArgument

MESSAGE_MAX = 1 << 20
CLOSE_SECONDS = 2.0  # for the client's part of the farewell


class WebSocket:
    """The client's end, as `streams` carries bytes."""

    def __init__(self, response: WebSocketResponse, binary: bool) -> None:
        self._response = response
        self._binary = binary

    async def read(self) -> bytes:
        """The next message that is not empty; nothing once the client is gone or breaks the rules."""
        while True:
            message = await self._response.receive()
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return b""
            data: bytes = message.data if message.type is WSMsgType.BINARY else message.data.encode()
            if data:
                return data

    async def write(self, data: bytes) -> None:
        """Returns when the client has taken enough. Raises ConnectionResetError once it is gone."""
        if self._binary:
            await self._response.send_bytes(data)
        else:
            await self._response.send_str(data.decode(errors="replace"))


async def attach(call: Call) -> StreamResponse:
    request = read_request(call)
    keys = call.text("detachKeys")
    DetachKeys.parse(keys, True)
    containers = call.engine.containers
    containers.inspect(call.names["id"])
    response = WebSocketResponse(timeout=CLOSE_SECONDS, compress=False, max_msg_size=MESSAGE_MAX)
    if not response.can_prepare(call.request):
        raise InvalidArgument("attaching here needs a websocket", "or POST to attach")
    async with containers.attach(call.names["id"], request) as attachment:
        response.headers.update(HEADERS)
        call.response = response
        await response.prepare(call.request)
        detach = DetachKeys.parse(keys, attachment.tty) if request.stdin else None
        await converse(WebSocket(response, call.version >= (1, 28)), attachment, detach)
    await response.close()
    return response


def read_request(call: Call) -> AttachRequest:
    """Before 1.42 all three streams are attached, whatever is asked for."""
    chosen = call.version >= (1, 42)
    return AttachRequest(
        stdin=not chosen or call.flag("stdin"),
        stdout=not chosen or call.flag("stdout"),
        stderr=not chosen or call.flag("stderr"),
        logs=call.flag("logs"),
        stream=call.flag("stream"),
    )


async def converse(client: WebSocket, attachment: Attachment, keys: DetachKeys | None) -> None:
    """Until the output ends, or the client goes or detaches: a websocket has no half that could end alone."""
    tasks = {
        asyncio.create_task(carry_output(client, attachment, True)),
        asyncio.create_task(carry_input(client, attachment, keys)),
    }
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        with suppress(ConnectionError):
            for task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


ROUTES = (Route("GET", "/containers/{id:path}/attach/ws", attach, stream=True),)
