"""`ps`: which containers are listed, and how, by Docker's filters and limits."""

import time
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from insula.api.call import Call, json_text
from insula.api.encode import encode_listed, status_text
from insula.api.engine import Engine
from insula.api.filters import Filters
from insula.api.listing_filters import make_test
from insula.api.versions import Version
from insula.container.view import ContainerView
from insula.errors import InvalidArgument, NotFound


async def list_containers(call: Call) -> str:
    """The answer's JSON. Raises InvalidArgument, NotFound (before, since)."""
    filters, limit = call.filters(), call.integer("limit", 0) or 0
    views = choose(call.engine, filters, everything=call.flag("all") or limit > 0)
    if limit > 0:
        views = views[:limit]
    now, names = time.time_ns(), ImageNames(call.engine)
    lasting = [lasting_text(view, names.shown(view), call.version) for view in views]
    passing: list[dict[str, Any]] = [{"Status": status_text(view.state, now)} for view in views]
    if call.flag("size"):
        sizes = await measure_all(call.engine, views, names)
        passing = [one | more for one, more in zip(passing, sizes, strict=True)]
    return "[" + ",".join(map(joined, lasting, passing)) + "]"


_LASTING: WeakKeyDictionary[ContainerView, tuple[tuple[str, Version], str]] = WeakKeyDictionary()
"""What was said of a view the last time. A container that lies still has the same view each time it is listed."""


def lasting_text(view: ContainerView, image: str, version: Version) -> str:
    """One entry's JSON, but for what changes by itself: a thousand of these take longer to make than to send."""
    kept = _LASTING.get(view)
    if kept is None or kept[0] != (image, version):
        kept = _LASTING[view] = (image, version), json_text(encode_listed(view, image, version))
    return kept[1]


def joined(text: str, document: dict[str, Any]) -> str:
    """One JSON object, of another's text and what is to be in it too; neither is empty."""
    return f"{text[:-1]},{json_text(document)[1:]}"


def choose(engine: Engine, filters: Filters, everything: bool) -> list[ContainerView]:
    """The containers that pass, newest first; those that do not run only if everything or a status is asked for.

    Raises InvalidArgument, NotFound."""
    views = engine.containers.list()
    passes = make_test(filters, find_ancestors(engine, filters.get("ancestor", ())), (v.id for v in views))
    everything = everything or bool(filters.get("status"))
    found = between(engine, filters, views)
    return [view for view in found if (everything or view.state.running) and passes(view)]


def between(engine: Engine, filters: Filters, views: Sequence[ContainerView]) -> Sequence[ContainerView]:
    """before and since: by their places in the list, which is by the moment of creation."""
    for name in ("before", "since"):
        for reference in filters.get(name, ()):
            edge = engine.containers.inspect(reference).id
            place = next((n for n, view in enumerate(views) if view.id == edge), None)
            if place is None:
                views = () if name == "before" else views
            else:
                views = views[place + 1 :] if name == "before" else views[:place]
    return views


def find_ancestors(engine: Engine, references: Sequence[str]) -> frozenset[str]:
    """The ids of the images that are named, and of those made from them; one that is not there has none."""
    found: set[str] = set()
    for reference in references:
        try:
            platforms = engine.images.platforms(reference)
            found.update(engine.images.find(reference, platform).id for platform in platforms)
        except (NotFound, InvalidArgument):
            continue
    children = [image for image in engine.images.list(every=True) if image.parent] if found else []
    while more := {image.id for image in children if image.parent in found} - found:
        found |= more
    return frozenset(found)


async def encode_views(
    engine: Engine, views: Sequence[ContainerView], version: Version
) -> list[dict[str, Any]]:
    """The entries of a list, with the sizes of the containers' files."""
    now, names = time.time_ns(), ImageNames(engine)
    sizes = await measure_all(engine, views, names)
    return [
        encode_listed(view, names.shown(view), version) | {"Status": status_text(view.state, now)} | size
        for view, size in zip(views, sizes, strict=True)
    ]


async def measure_all(
    engine: Engine, views: Sequence[ContainerView], names: "ImageNames"
) -> list[dict[str, int]]:
    """What is said of the sizes of each one's files."""
    written = await engine.containers.sizes([view.id for view in views])
    return [encode_sizes(written[view.id], names.size(view)) for view in views]


async def measure(engine: Engine, view: ContainerView) -> dict[str, int]:
    """What inspect says of the sizes of one container's files."""
    return (await measure_all(engine, [view], ImageNames(engine)))[0]


def encode_sizes(written: int, image: int) -> dict[str, int]:
    """Bytes: what the container has written, and that with its image."""
    return {"SizeRw": written, "SizeRootFs": written + image}


class ImageNames:
    """What the images of a list are called now, each looked up once."""

    def __init__(self, engine: Engine) -> None:
        self._images = engine.images
        self._ids: dict[tuple[str, str], str] = {}

    def shown(self, view: ContainerView) -> str:
        """The name that the container was made with, or the image's id once the name means another image."""
        key = view.image, view.platform
        if key not in self._ids:
            try:
                self._ids[key] = self._images.find(*key).id
            except (NotFound, InvalidArgument):
                self._ids[key] = ""
        return view.image if self._ids[key] == view.image_id else view.image_id

    def size(self, view: ContainerView) -> int:
        """Bytes of the image's disks, which all its containers share; 0 once it is gone."""
        try:
            return self._images.find(view.image_id).disk_size
        except (NotFound, InvalidArgument):
            return 0
