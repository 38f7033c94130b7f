"""What Docker has no verb for, below /insula: doctor, bootstrap, the pool, the event loop's delays."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from aiohttp.web import StreamResponse

from insula.api.call import Call
from insula.api.images import send_lines
from insula.api.router import Route
from insula.errors import InvalidArgument

BASES = ("busybox", "debian")


async def doctor(call: Call) -> StreamResponse:
    return call.json([row.to_document() for row in await call.engine.host.doctor()])


async def bootstrap(call: Call) -> StreamResponse:
    document = await call.document()
    what, platforms = document.get("what"), document.get("platforms") or []
    if what not in BASES:
        raise InvalidArgument(f"there is no base image {str(what)[:80]!r}", f"use {' or '.join(BASES)}")
    if not isinstance(platforms, list) or not all(isinstance(name, str) for name in platforms):
        raise InvalidArgument("invalid JSON: platforms is a list of strings")

    async def lines() -> AsyncGenerator[dict[str, Any], None]:
        async with aclosing(call.engine.host.bootstrap(what, platforms)) as source:  # type: ignore[type-var]
            async for line in source:
                yield {"status": line}

    return await send_lines(call, lines())


async def pool(call: Call) -> StreamResponse:
    return call.json(call.engine.host.info())


async def fill_pool(call: Call) -> StreamResponse:
    return call.json({"Ready": await call.engine.host.fill_pool(call.text("platform"))})


async def loop(call: Call) -> StreamResponse:
    return call.json(call.engine.host.loop_delays())


ROUTES = (
    Route("GET", "/insula/doctor", doctor),
    Route("POST", "/insula/bootstrap", bootstrap, stream=True),
    Route("GET", "/insula/pool", pool),
    Route("POST", "/insula/pool/fill", fill_pool, stream=True),
    Route("GET", "/insula/loop", loop),
)
