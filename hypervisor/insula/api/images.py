"""Endpoints of images that are here, or come in as archives."""

import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from aiohttp.web import StreamResponse

from insula.api.call import JSON_TYPE, Call
from insula.api.filters import check_known, read_flag
from insula.api.image_json import encode_history, encode_image, encode_listed_image, encode_removed
from insula.api.moments import parse_moment
from insula.api.prune import FILTERS, read_prune_filter
from insula.api.router import Route
from insula.errors import InsulaError, InvalidArgument
from insula.image.archive import Loaded, LoadProgress
from insula.image.change import Change
from insula.image.download import is_address
from insula.image.importing import import_address
from insula.image.prune import prune_images
from insula.image.record import Image
from insula.image.saving import open_saved
from insula.thread import in_thread

TAR = "application/x-tar"
PLATFORMS_MAX = 64


async def list_(call: Call) -> StreamResponse:
    shared = (await call.engine.images.usage()).shared if call.flag("shared-size") else {}
    containers = Counter(view.image_id for view in call.engine.containers.list())
    filters = call.filters()
    filters |= {"until": [str(parse_moment(text)) for text in filters["until"]]} if "until" in filters else {}
    images = call.engine.images.list(filters, every=call.flag("all"))
    found = [encode_listed_image(image, containers[image.id], call.version) for image in images]
    for document in found:
        document["SharedSize"] = shared.get(document["Id"], document["SharedSize"])
    return call.json(found)


async def inspect(call: Call) -> StreamResponse:
    platform = read_platform(call.text("platform")) if call.version >= (1, 49) else None
    if call.flag("manifests") and platform:
        raise InvalidArgument("conflicting options: manifests and platform options cannot both be set")
    return call.json(encode_image(call.engine.images.find(call.names["name"], platform), call.version))


async def history(call: Call) -> StreamResponse:
    platform = read_platform(call.text("platform")) if call.version >= (1, 48) else None
    image = call.engine.images.find(call.names["name"], platform)
    return call.json(
        encode_history(image, await in_thread(call.engine.images.disks.layer_sizes, image.layers))
    )


def read_platform(text: str) -> str | None:
    """`linux/arm64`, or the API's JSON form of a platform. Raises InvalidArgument."""
    if not text.startswith("{"):
        return text or None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument("invalid platform: it is not JSON") from error
    parts = [document.get(name) or "" for name in ("os", "architecture", "variant")]
    if not all(isinstance(part, str) for part in parts):
        raise InvalidArgument("invalid platform: its os, architecture and variant are strings")
    return "/".join(part for part in parts if part)


async def tag(call: Call) -> StreamResponse:
    repository = call.text("repo")
    target = f"{repository}:{call.text('tag')}" if call.text("tag") else repository
    await call.engine.images.tag(call.names["name"], target)
    return call.empty(201)


async def remove(call: Call) -> StreamResponse:
    in_use = call.engine.containers.images_in_use()
    removed = await call.engine.images.remove(
        call.names["name"], force=call.flag("force"), in_use=in_use, parents=not call.flag("noprune")
    )
    return call.json(encode_removed(removed))


# -- load, import


async def load(call: Call) -> StreamResponse:
    """Progress as it comes; once the stream has begun, a failure is told in it."""
    platform = read_platform(call.text("platform")) if call.version >= (1, 48) else None
    quiet = call.flag("quiet")

    async def lines() -> AsyncGenerator[dict[str, Any], None]:
        async with aclosing(call.engine.images.load(call.chunks(), platform)) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, Loaded):
                    yield {"stream": f"{event}\n"}
                elif not quiet:
                    yield progress(event)

    return await send_lines(call, lines())


def progress(event: LoadProgress) -> dict[str, Any]:
    if not event.total:
        return {"status": event.status}
    return {"status": event.status, "id": "image",
            "progressDetail": {"current": event.current, "total": event.total},
            "progress": f"{event.current}/{event.total}"}  # fmt: skip


async def import_(call: Call) -> StreamResponse:
    """The other half of `POST /images/create`: an image out of a file tree."""
    source = call.text("fromSrc")
    if not source:
        raise InvalidArgument("neither fromImage nor fromSrc is given")
    if source != "-" and "://" not in source:
        source = f"http://{source}"
    if source != "-" and not is_address(source):
        raise InvalidArgument(f"unsupported protocol scheme of {source[:200]!r}: http or https")
    repository = call.text("repo")
    change = Change(
        reference=f"{repository}:{call.text('tag')}" if repository and call.text("tag") else repository,
        platform=call.text("platform"),
        message=call.text("message"),
        changes=tuple(call.texts("changes")),
    )

    async def lines() -> AsyncGenerator[dict[str, Any], None]:
        if source == "-":
            made = await call.engine.images.import_(call.chunks(), change)
        else:
            yield {"status": f"Downloading from {source}"}
            made = await import_address(call.engine.images, source, change)
        yield {"status": made.id}

    return await send_lines(call, lines())


async def send_lines(call: Call, source: AsyncGenerator[dict[str, Any], None]) -> StreamResponse:
    """A stream of JSON objects. A failure before the first line is a status, one after it a line."""
    response = None
    try:
        async with aclosing(source) as lines:  # what a client no longer waits for ends now
            async for line in lines:
                response = response or await call.stream(JSON_TYPE)
                await response.write(json.dumps(line).encode() + b"\r\n")
    except InsulaError as error:
        if response is None:
            raise
        line = {"errorDetail": {"message": str(error)}, "error": str(error)}
        await response.write(json.dumps(line).encode() + b"\r\n")
    return response or await call.stream(JSON_TYPE)


# -- save


async def save(call: Call) -> StreamResponse:
    """Of one name in the path, or of several in the query."""
    names = [call.names["name"]] if "name" in call.names else call.texts("names")
    asked = call.texts("platform") if call.version >= (1, 48) else []
    platforms = [platform for text in asked if (platform := read_platform(text))]
    if len(platforms) > PLATFORMS_MAX:
        raise InvalidArgument(f"more than {PLATFORMS_MAX} platforms are asked for")
    async with open_saved(call.engine.images, names, platforms) as tar:
        response = await call.stream(TAR)
        async for piece in tar:
            await response.write(piece)
    return response


# -- prune


async def prune(call: Call) -> StreamResponse:
    filters = call.filters()
    check_known(filters, ("dangling", *FILTERS))
    limits = read_prune_filter({name: values for name, values in filters.items() if name in FILTERS})
    engine = call.engine

    def takes(image: Image) -> bool:
        return limits.takes_made(image.created_ns, image.config.labels)

    def in_use() -> frozenset[str]:
        return engine.containers.images_in_use() | engine.builds.images_in_use()

    named = read_flag(filters, "dangling") is False
    pruned = await prune_images(engine.images, engine.events, takes, in_use, named=named)
    removed = encode_removed(pruned.removed)
    return call.json({"ImagesDeleted": removed or None, "SpaceReclaimed": pruned.reclaimed})


ROUTES = (
    Route("GET", "/images/json", list_),
    Route("GET", "/images/get", save, stream=True),
    Route("POST", "/images/load", load, stream=True),
    Route("POST", "/images/prune", prune),
    Route("GET", "/images/{name:path}/json", inspect),
    Route("GET", "/images/{name:path}/history", history),
    Route("GET", "/images/{name:path}/get", save, stream=True),
    Route("POST", "/images/{name:path}/tag", tag),
    Route("DELETE", "/images/{name:path}", remove),
)
