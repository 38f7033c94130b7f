"""`system df`: what images and containers take of the host's disk. The build cache's steps are
images too, and count among their layers."""

from collections import Counter
from typing import Any

from aiohttp.web import StreamResponse

from insula.api.call import Call
from insula.api.image_json import encode_listed_image
from insula.api.listing import encode_views
from insula.api.moments import format_ns
from insula.api.router import Route
from insula.api.volumes import measure_volumes
from insula.build.cache_prune import CacheEntry
from insula.errors import InvalidArgument

TYPES = ("container", "image", "volume", "build-cache")


async def system_df(call: Call) -> StreamResponse:
    """Since 1.42 only what `type` names, if it names something."""
    wanted = set(call.texts("type")) if call.version >= (1, 42) else set()
    for name in sorted(wanted - set(TYPES)):
        raise InvalidArgument(f"unknown object type: {name[:80]}")
    wanted = wanted or set(TYPES)
    document: dict[str, Any] = {
        "LayersSize": 0, "Images": None, "Containers": None, "Volumes": None, "BuildCache": None,
    }  # fmt: skip
    if "image" in wanted:
        document |= await measure_images(call)
    if "container" in wanted:
        views = call.engine.containers.list()
        document["Containers"] = await encode_views(call.engine, views, call.version)
    if "volume" in wanted:
        document["Volumes"] = await measure_volumes(call)
    if "build-cache" in wanted:
        document["BuildCache"] = [encode_cached(entry) for entry in await call.engine.builds.cached()]
    if call.version < (1, 42):
        document["BuilderSize"] = 0
    return call.json(document)


def encode_cached(entry: CacheEntry) -> dict[str, Any]:
    return {
        "ID": entry.id, "Parent": entry.parent, "Parents": [entry.parent] if entry.parent else None,
        "Type": entry.kind, "Description": entry.description, "InUse": entry.in_use, "Shared": entry.shared,
        "Size": entry.size, "CreatedAt": format_ns(entry.created_ns), "LastUsedAt": format_ns(entry.used_ns),
        "UsageCount": 1,
    }  # fmt: skip


async def measure_images(call: Call) -> dict[str, Any]:
    """Each image with what it shares and how many containers use it, whatever the version."""
    usage = await call.engine.images.usage()
    users = Counter(view.image_id for view in call.engine.containers.list())
    found = []
    for image in call.engine.images.list():
        document = encode_listed_image(image, users[image.id], call.version)
        document |= {"SharedSize": usage.shared.get(image.id, 0), "Containers": users[image.id]}
        found.append(document)
    return {"LayersSize": usage.total, "Images": found}


ROUTES = (Route("GET", "/system/df", system_df),)
