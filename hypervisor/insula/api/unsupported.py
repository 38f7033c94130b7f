"""What Docker has and Insula has not: each endpoint with its own plain answer, none of them silence.

Swarm and its kin are answered as by an engine that is no swarm node; plug-ins are an empty list; the rest names
what comes later.
"""

from aiohttp.web import StreamResponse

from insula import errors
from insula.api.call import Call
from insula.api.router import Handler, Route
from insula.errors import NotFound, Unavailable

NOT_A_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to '
    "swarm and try again."
)
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD")


def later(what: str, hint: str = "") -> Handler:
    """A handler that refuses with 501."""

    async def refuse(call: Call) -> StreamResponse:
        raise errors.NotImplemented(f"{what} not there yet", hint)

    return refuse


async def no_swarm(call: Call) -> StreamResponse:
    raise Unavailable(NOT_A_MANAGER)


async def leave_swarm(call: Call) -> StreamResponse:
    raise Unavailable("This node is not part of a swarm")


async def no_plugins(call: Call) -> StreamResponse:
    return call.json([])


async def no_plugin(call: Call) -> StreamResponse:
    raise NotFound(f'plugin "{call.names["name"][:120]}" not found')


def swarm_routes() -> list[Route]:
    nouns = ("swarm", "nodes", "services", "tasks", "secrets", "configs")
    found = [Route("POST", "/swarm/leave", leave_swarm)]
    for noun in nouns:
        for method in METHODS:
            found.append(Route(method, f"/{noun}", no_swarm))
            found.append(Route(method, f"/{noun}/{{rest:path}}", no_swarm))
    return found


ROUTES = (
    *swarm_routes(),
    Route("PUT", "/volumes/{name}", no_swarm),
    Route("GET", "/plugins", no_plugins),
    Route("GET", "/plugins/{name:path}/json", no_plugin),
    Route("GET", "/plugins/privileges", later("plug-ins are")),
    *(Route(method, "/plugins/{rest:path}", later("plug-ins are")) for method in METHODS),
)
