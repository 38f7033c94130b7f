"""Endpoints of exec. A program that cannot be run is told on the stream, as Docker does it: the client has
already been given its connection."""

from contextlib import suppress

from aiohttp.web import StreamResponse

from insula.api.call import Call
from insula.api.decode import decode_console, decode_exec, decode_size, read_exec_fields
from insula.api.detach import DetachKeys
from insula.api.encode import encode_exec
from insula.api.router import Route
from insula.api.streams import Hijacked, exchange, frame, hijack
from insula.errors import Conflict, InsulaError, InvalidArgument

STDOUT, STDERR = 1, 2
DETACHED = "exec attach failed: error on attach stdin: read escape sequence"


async def create(call: Call) -> StreamResponse:
    spec = decode_exec(await call.document())
    if spec.detach_keys:
        DetachKeys.parse(spec.detach_keys, True)
    exec_id = await call.engine.containers.exec_create(call.names["id"], spec)
    return call.json({"Id": exec_id}, 201)


async def start(call: Call) -> StreamResponse:
    """The terminal of the *start* body decides the framing, whatever the exec was created with."""
    options = read_exec_fields(await call.document(required=False))
    detach, tty = bool(options.get("Detach")), bool(options.get("Tty"))
    rows, columns = decode_console(options.get("ConsoleSize"))
    if (rows or columns) and not tty:
        raise InvalidArgument("console size is only supported with tty")
    containers, exec_id = call.engine.containers, call.names["id"]
    view = containers.exec_inspect(exec_id)
    if view.running:
        raise Conflict(f"exec {exec_id} is already running")
    if view.exit_code is not None:
        raise Conflict(f"exec {exec_id} has already run")
    containers.check_exec(view.container_id)
    if detach:
        async with containers.exec_start(exec_id, detach=True):
            return call.empty(200)
    keys = DetachKeys.parse(view.spec.detach_keys, tty) if view.spec.attach_stdin else None
    connection = hijack(call, tty)
    try:
        async with containers.exec_start(exec_id, tty=tty, rows=rows, columns=columns) as attachment:
            await exchange(connection, attachment, tty, keys)
            if attachment.detached:
                await tell(connection, STDOUT, tty, DETACHED)
    except InsulaError as error:
        await tell(connection, STDERR, tty, error.message)
    finally:
        connection.close()
    assert call.response is not None
    return call.response


async def tell(connection: Hijacked, stream: int, tty: bool, message: str) -> None:
    """Words of the engine's own among the program's output."""
    words = f"{message}\r\n".encode()
    with suppress(ConnectionError):
        await connection.write(words if tty else frame(stream, words))


async def inspect(call: Call) -> StreamResponse:
    return call.json(encode_exec(call.engine.containers.exec_inspect(call.names["id"])))


async def resize(call: Call) -> StreamResponse:
    rows, columns = decode_size(call.text("h"), "height"), decode_size(call.text("w"), "width")
    await call.engine.containers.exec_resize(call.names["id"], rows, columns)
    return call.empty(200)


ROUTES = (
    Route("POST", "/containers/{id:path}/exec", create),
    Route("POST", "/exec/{id}/start", start, stream=True),
    Route("GET", "/exec/{id}/json", inspect),
    Route("POST", "/exec/{id}/resize", resize),
)
