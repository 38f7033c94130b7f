"""Endpoints of volumes."""

from collections import Counter
from typing import Any

from aiohttp.web import StreamResponse

from insula.api.call import Call
from insula.api.decode_mounts import decode_volume
from insula.api.filters import check_known, has_label, has_labels, read_flag
from insula.api.moments import format_ns_seconds
from insula.api.router import Route
from insula.volume.volume import DRIVER, Volume

FILTERS = ("dangling", "driver", "label", "name")
PRUNE_FILTERS = ("all", "label", "label!")


def encode_volume(volume: Volume) -> dict[str, Any]:
    """One volume as Docker tells it."""
    return {
        "CreatedAt": format_ns_seconds(volume.created_ns),
        "Driver": DRIVER,
        "Labels": volume.spec.labels or None,
        "Mountpoint": str(volume.mountpoint),
        "Name": volume.name,
        "Options": volume.spec.options or None,
        "Scope": "local",
    }


async def list_(call: Call) -> StreamResponse:
    filters = call.filters()
    check_known(filters, FILTERS)
    dangling = read_flag(filters, "dangling")
    volumes = call.engine.volumes
    found = []
    for volume in volumes.all():
        if dangling is not None and dangling == bool(volumes.users(volume.name)):
            continue
        if not has_labels(volume.spec.labels, filters.get("label", ())):
            continue
        if filters.get("driver") and DRIVER not in filters["driver"]:
            continue
        if filters.get("name") and not any(text in volume.name for text in filters["name"]):
            continue
        found.append(encode_volume(volume))
    return call.json({"Volumes": found, "Warnings": None})


async def inspect(call: Call) -> StreamResponse:
    return call.json(encode_volume(call.engine.volumes.find(call.names["name"])))


async def create(call: Call) -> StreamResponse:
    spec = decode_volume(await call.document(required=False))
    return call.json(encode_volume(await call.engine.volumes.create(spec)), 201)


async def remove(call: Call) -> StreamResponse:
    await call.engine.volumes.remove(call.names["name"], force=call.flag("force"))
    return call.empty()


async def prune(call: Call) -> StreamResponse:
    """Since 1.42 anonymous ones alone, unless `all` is asked for."""
    filters = call.filters()
    check_known(filters, PRUNE_FILTERS)
    named = bool(read_flag(filters, "all")) or call.version < (1, 42)

    def matches(volume: Volume) -> bool:
        labels = volume.spec.labels
        without = filters.get("label!", ())
        return (
            (named or volume.anonymous)
            and has_labels(labels, filters.get("label", ()))
            and not any(has_label(labels, label) for label in without)
        )

    removed, reclaimed = await call.engine.volumes.prune(matches)
    return call.json({"VolumesDeleted": removed or None, "SpaceReclaimed": reclaimed})


async def measure_volumes(call: Call) -> list[dict[str, Any]]:
    """Every volume with what it takes and how many containers have it."""
    volumes = call.engine.volumes
    sizes = await volumes.sizes()
    users = Counter({volume.name: len(volumes.users(volume.name)) for volume in volumes.all()})
    return [
        encode_volume(volume)
        | {"UsageData": {"RefCount": users[volume.name], "Size": sizes.get(volume.name, -1)}}
        for volume in volumes.all()
    ]


ROUTES = (
    Route("GET", "/volumes", list_),
    Route("POST", "/volumes/create", create),
    Route("POST", "/volumes/prune", prune),
    Route("GET", "/volumes/{name}", inspect),
    Route("DELETE", "/volumes/{name}", remove),
)
