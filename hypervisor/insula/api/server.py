"""Docker's Engine API on a unix socket: versions, headers, and what each kind of error looks like outside.

Every path is served with and without `/v1.NN`. An error that no part has named is logged with its trace and told
as an Internal one. Handlers are found by api/router.py and decide nothing either.
"""

import asyncio
import logging
import socket
from collections.abc import Coroutine

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import BaseRequest, StreamResponse

from insula import errors
from insula.api import (
    archives,
    build,
    checkpoints,
    containers,
    exec_,
    images,
    native,
    networks,
    prune,
    registries,
    stats,
    system,
    unsupported,
    update,
    usage,
    volumes,
    websocket,
)
from insula.api.call import Call, json_response
from insula.api.engine import Engine
from insula.api.router import Router
from insula.api.streams import Answered
from insula.api.versions import API_VERSION, HEADERS, split_version
from insula.errors import InsulaError

LINE_MAX = 64 << 10
SHUTDOWN_GRACE = 1.0

STATUSES: dict[type[InsulaError], int] = {
    errors.InvalidArgument: 400,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.NotModified: 304,
    errors.Forbidden: 403,
    errors.Unavailable: 503,
    errors.NotImplemented: 501,
    errors.Internal: 500,
}

PARTS = (
    system, usage, prune, websocket, checkpoints, archives, containers, stats, exec_, registries, images, native,
    networks, update, volumes, build, unsupported,
)  # fmt: skip
ROUTES = tuple(route for part in PARTS for route in part.ROUTES)

log = logging.getLogger(__name__)
http_log = logging.getLogger(f"{__name__}.http")


def shorten_noise(record: logging.LogRecord) -> bool:
    """What is not HTTP, on the socket, is a client's mistake: one quiet line without a trace."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = "a client does not speak HTTP: %s", (repr(error.message)[:120],)
        record.exc_info = record.exc_text = None
    return True


http_log.addFilter(shorten_noise)


class ApiServer:
    """Serves one engine on a bound socket. `open` and `close` bracket its life."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._router = Router(ROUTES)
        self._runner: web.ServerRunner | None = None
        self._carried: set[asyncio.Task[StreamResponse]] = set()

    async def open(self, listener: socket.socket) -> None:
        """Starts to answer on a listening socket."""
        server = web.Server(
            self._answer,
            handler_cancellation=True,
            logger=http_log,
            access_log=None, auto_decompress=False, max_line_size=LINE_MAX, max_field_size=LINE_MAX,
        )  # fmt: skip
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_GRACE)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def close(self) -> None:
        """Stops listening and lets go of all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._carried:
            await asyncio.wait(self._carried, timeout=SHUTDOWN_GRACE)
        for task in self._carried:
            task.cancel()
        await asyncio.gather(*self._carried, return_exceptions=True)

    async def _answer(self, request: BaseRequest) -> StreamResponse:
        call = Call(request, self._engine, API_VERSION, {})
        try:
            call.version, path = split_version(request.path)
            route, call.names = self._router.find(request.method, path)
            response = await (route.handler(call) if route.stream else self._carry(route.handler(call)))
        except InsulaError as error:
            response = self._refuse(call, error)
        except ConnectionError:
            response = Answered()  # to nobody
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path[:200])
            response = self._refuse(call, errors.Internal(f"{type(error).__name__}: {str(error)[:500]}"))
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    async def _carry(self, work: Coroutine[None, None, StreamResponse]) -> StreamResponse:
        """Runs a handler to its end even if its client goes: a half-done change helps nobody."""
        task = asyncio.create_task(work)
        self._carried.add(task)
        task.add_done_callback(self._put_down)
        return await asyncio.shield(task)

    def _put_down(self, task: asyncio.Task[StreamResponse]) -> None:
        self._carried.discard(task)
        if not task.cancelled():
            task.exception()  # told to the client, if it is still there

    def _refuse(self, call: Call, error: InsulaError) -> StreamResponse:
        """The answer that tells an error; once an answer has begun, the connection just ends."""
        if call.response is not None:
            log.warning("%s: %s", call.request.path[:200], error)
            call.response.force_close()
            if call.request.transport is not None:
                call.request.transport.close()
            return call.response
        status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
        if status == 500:
            log.error("%s %s: %s", call.request.method, call.request.path[:200], error)
        if status == 304:
            return web.Response(status=304)
        return json_response({"message": str(error)}, status)
