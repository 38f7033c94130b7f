"""`top` and `stats`: what runs in a container, and what it uses."""

import json

from aiohttp.web import StreamResponse

from insula.api.call import JSON_TYPE, Call
from insula.api.process_columns import parse_ps, show_processes
from insula.api.router import Route
from insula.api.stats_json import encode_stats
from insula.container.stats import Sample
from insula.errors import InvalidArgument


async def top(call: Call) -> StreamResponse:
    wanted = parse_ps(call.text("ps_args") or "-ef")
    table = await call.engine.containers.measures.processes(call.names["id"])
    memory = 0
    if wanted.needs_memory:
        usage = (await call.engine.containers.measures.usage(call.names["id"])).usage
        memory = usage.memory.guest_total if usage is not None else 0
    titles, rows = show_processes(table, wanted, memory)
    return call.json({"Titles": titles, "Processes": rows})


async def stats(call: Call) -> StreamResponse:
    streams = call.flag("stream", default=True)
    one_shot = call.flag("one-shot") if call.version >= (1, 41) else False
    if streams and one_shot:
        raise InvalidArgument("cannot have stream=true and one-shot=true")
    view = call.engine.containers.inspect(call.names["id"])
    if not streams and (one_shot or not view.state.running):
        return call.json(encode_stats(view, await call.engine.containers.measures.usage(view.id), None))
    with call.engine.containers.measures.follow_usage(view.id) as samples:
        response = await call.stream(JSON_TYPE)  # at once: the first of two samples is not shown
        previous: Sample | None = None
        async for sample in samples:
            if streams or previous is not None:
                document = encode_stats(view, sample, previous)
                await response.write(json.dumps(document, separators=(",", ":")).encode() + b"\n")
                if not streams:
                    break
            previous = sample
    return response


ROUTES = (
    Route("GET", "/containers/{id:path}/top", top),
    Route("GET", "/containers/{id:path}/stats", stats, stream=True),
)
