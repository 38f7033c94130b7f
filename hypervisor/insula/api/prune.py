"""`container prune`: its filters, which images share, and Docker's answer."""

from aiohttp.web import StreamResponse

from insula.api.call import Call
from insula.api.filters import Filters, check_known
from insula.api.moments import parse_moment
from insula.api.router import Route
from insula.container.prune import PruneFilter
from insula.errors import InvalidArgument

FILTERS = ("label", "label!", "until")


def read_prune_filter(filters: Filters) -> PruneFilter:
    """Raises InvalidArgument."""
    check_known(filters, FILTERS)
    until = filters.get("until", ())
    if len(until) > 1:
        raise InvalidArgument("more than one until filter specified")
    if until and not until[0]:
        raise InvalidArgument("invalid filter 'until': it is empty")
    return PruneFilter(
        until_ns=parse_moment(until[0]) if until else 0,
        labels=tuple(filters.get("label", ())),
        without=tuple(filters.get("label!", ())),
    )


async def prune(call: Call) -> StreamResponse:
    pruned = await call.engine.containers.prune(read_prune_filter(call.filters()))
    return call.json({"ContainersDeleted": list(pruned.ids) or None, "SpaceReclaimed": pruned.reclaimed})


ROUTES = (Route("POST", "/containers/prune", prune),)
