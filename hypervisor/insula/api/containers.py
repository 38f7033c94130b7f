"""Endpoints of containers: decode, ask `Containers`, encode. Decides nothing."""

import json
from contextlib import aclosing
from typing import Any
from urllib.parse import quote_plus

from aiohttp.web import StreamResponse

from insula.api import checkpoints
from insula.api.call import Call, text_response
from insula.api.decode import decode_container, decode_size
from insula.api.detach import DetachKeys
from insula.api.encode import encode_inspect
from insula.api.listing import list_containers, measure
from insula.api.moments import format_ns_fixed, parse_moment
from insula.api.router import Route
from insula.api.streams import frame, media_type, send_attached
from insula.container.attach import AttachRequest
from insula.container.logs import LogEntry, LogQuery
from insula.container.view import WaitCondition, WaitResult
from insula.errors import InvalidArgument


async def list_(call: Call) -> StreamResponse:
    return text_response(await list_containers(call))


async def create(call: Call) -> StreamResponse:
    document = await call.document()
    spec, warnings = decode_container(document, call.text("name"), call.text("platform"), call.version)
    created = await call.engine.containers.create(spec)
    return call.json({"Id": created.id, "Warnings": [*warnings, *created.warnings]}, 201)


async def inspect(call: Call) -> StreamResponse:
    view = call.engine.containers.inspect(call.names["id"])
    document = encode_inspect(view, call.version)
    if call.flag("size"):
        document |= await measure(call.engine, view)
    return call.json(document)


async def start(call: Call) -> StreamResponse:
    if (await call.body()).strip() not in (b"", b"{}", b"null"):
        raise InvalidArgument(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24"
        )
    DetachKeys.parse(call.text("detachKeys"), True)
    if call.text("checkpoint") or call.text("checkpoint-dir"):
        checkpoints.refuse()
    await call.engine.containers.start(call.names["id"])
    return call.empty()


async def stop(call: Call) -> StreamResponse:
    signal = call.text("signal") if call.version >= (1, 42) else ""
    await call.engine.containers.stop(call.names["id"], call.integer("t"), signal or None)
    return call.empty()


async def restart(call: Call) -> StreamResponse:
    signal = call.text("signal") if call.version >= (1, 42) else ""
    await call.engine.containers.restart(call.names["id"], call.integer("t"), signal or None)
    return call.empty()


async def pause(call: Call) -> StreamResponse:
    await call.engine.containers.pause(call.names["id"])
    return call.empty()


async def unpause(call: Call) -> StreamResponse:
    await call.engine.containers.unpause(call.names["id"])
    return call.empty()


async def kill(call: Call) -> StreamResponse:
    await call.engine.containers.kill(call.names["id"], call.text("signal") or "KILL")
    return call.empty()


async def rename(call: Call) -> StreamResponse:
    name = call.text("name").removeprefix("/")
    if not name:
        raise InvalidArgument("Neither old nor new names may be empty")
    await call.engine.containers.rename(call.names["id"], name)
    return call.empty()


async def remove(call: Call) -> StreamResponse:
    if call.flag("link"):
        await call.engine.containers.remove_link(call.names["id"])
        return call.empty()
    await call.engine.containers.remove(call.names["id"], force=call.flag("force"), volumes=call.flag("v"))
    return call.empty()


async def resize(call: Call) -> StreamResponse:
    rows, columns = decode_size(call.text("h"), "height"), decode_size(call.text("w"), "width")
    await call.engine.containers.resize(call.names["id"], rows, columns)
    return call.empty(200)


async def wait(call: Call) -> StreamResponse:
    """The header goes out as soon as the wait is registered: clients start the container only then. Before 1.30
    there was no condition, and the header came with the result."""
    early = call.version < (1, 30)
    condition = "" if early else call.text("condition")
    result = call.engine.containers.wait(call.names["id"], condition or WaitCondition.NOT_RUNNING)
    if early:
        return call.json(encode_exit(await result))
    response = await call.stream("application/json")
    await response.write(json.dumps(encode_exit(await result)).encode() + b"\n")
    return response


def encode_exit(outcome: WaitResult) -> dict[str, Any]:
    error = {"Error": {"Message": outcome.error}} if outcome.error else {}
    return {"StatusCode": outcome.exit_code, **error}


async def attach(call: Call) -> StreamResponse:
    request = AttachRequest(
        stdin=call.flag("stdin"),
        stdout=call.flag("stdout"),
        stderr=call.flag("stderr"),
        logs=call.flag("logs"),
        stream=call.flag("stream"),
    )
    containers = call.engine.containers
    keys = call.text("detachKeys")
    DetachKeys.parse(keys, True)
    async with containers.attach(call.names["id"], request) as attachment:
        return await send_attached(call, attachment, request, keys)


# -- logs


def log_query(call: Call) -> LogQuery:
    """Raises InvalidArgument."""
    query = LogQuery(
        stdout=call.flag("stdout"),
        stderr=call.flag("stderr"),
        tail=read_tail(call.text("tail")),
        since_ns=parse_moment(call.text("since")),
        until_ns=parse_moment(call.text("until")),
        follow=call.flag("follow"),
    )
    if not (query.stdout or query.stderr):
        raise InvalidArgument("Bad parameters: you must choose at least one stream")
    return query


def read_tail(text: str) -> int | None:
    """`all` and whatever is no number of lines means everything, as in Docker."""
    return int(text[:12]) if text.isascii() and text.isdigit() else None


async def logs(call: Call) -> StreamResponse:
    query = log_query(call)
    view = call.engine.containers.inspect(call.names["id"])
    entries = call.engine.containers.logs(call.names["id"], query)
    tty, times, details = view.spec.tty, call.flag("timestamps"), call.flag("details")
    response = await call.stream(media_type(call, tty))  # at once: a follower of a silent log waits for it
    async with aclosing(entries) as source:  # type: ignore[type-var]  # an async generator
        async for entry in source:
            line = log_line(entry, times, details)
            await response.write(line if tty else frame(entry.stream, line))
    return response


def log_line(entry: LogEntry, times: bool, details: bool) -> bytes:
    """As Docker shows it: the moment, the attributes in a query's form, and what was said."""
    words = []
    if times:
        words.append(format_ns_fixed(entry.time_ns))
    if details:
        pairs = sorted(entry.attributes.items())
        words.append(",".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs))
    return "".join(f"{word} " for word in words).encode() + entry.data


ROUTES = (
    Route("GET", "/containers/json", list_),
    Route("POST", "/containers/create", create),
    Route("GET", "/containers/{id:path}/json", inspect),
    Route("POST", "/containers/{id:path}/start", start),
    Route("POST", "/containers/{id:path}/stop", stop),
    Route("POST", "/containers/{id:path}/restart", restart),
    Route("POST", "/containers/{id:path}/kill", kill),
    Route("POST", "/containers/{id:path}/pause", pause),
    Route("POST", "/containers/{id:path}/unpause", unpause),
    Route("POST", "/containers/{id:path}/wait", wait, stream=True),
    Route("POST", "/containers/{id:path}/attach", attach, stream=True),
    Route("POST", "/containers/{id:path}/resize", resize),
    Route("POST", "/containers/{id:path}/rename", rename),
    Route("GET", "/containers/{id:path}/logs", logs, stream=True),
    Route("DELETE", "/containers/{id:path}", remove),
)
