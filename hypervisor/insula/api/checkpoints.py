"""Checkpoints: each verb answers, with the reason why there are none yet.

A checkpoint would be the machine's memory and devices, saved while its disks stand still; that a machine can be saved
and cloned is what templates show, but a container's disks are not frozen with it yet.
"""

from typing import NoReturn

from aiohttp.web import StreamResponse

from insula import errors
from insula.api.call import Call
from insula.api.router import Route


def refuse() -> NoReturn:
    """Raises NotImplemented."""
    raise errors.NotImplemented(
        "checkpoints are not there yet: a machine's memory can be saved, but not yet its disks at the same moment"
    )


async def answer(call: Call) -> StreamResponse:
    """An unknown container is 404 whatever the verb."""
    call.engine.containers.inspect(call.names["id"])
    if call.request.method == "POST":
        await call.document()
    refuse()


ROUTES = (
    Route("GET", "/containers/{id:path}/checkpoints", answer),
    Route("POST", "/containers/{id:path}/checkpoints", answer),
    Route("DELETE", "/containers/{id:path}/checkpoints/{checkpoint}", answer),
)
