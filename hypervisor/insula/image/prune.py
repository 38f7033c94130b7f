"""`image prune`: which images nobody needs, and what their removal gives back.

An image goes if no container and no running build uses it and it has no name, or, where named ones are to go too,
if every image of each of its names goes. What cannot be removed (it came into use meanwhile) stays.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from insula.errors import Conflict, NotFound
from insula.events import Event, EventBus
from insula.image.record import Image, Removed
from insula.image.store import ImageStore


@dataclass(frozen=True, slots=True)
class PrunedImages:
    """What went. reclaimed: bytes of the host's disk."""

    removed: tuple[Removed, ...]
    reclaimed: int


async def prune_images(
    store: ImageStore,
    events: EventBus,
    takes: Callable[[Image], bool],
    in_use: Callable[[], frozenset[str]],
    *,
    named: bool = False,
) -> PrunedImages:
    """takes: of these images alone; in_use: the ids of those that containers and builds use now; named: images that
    have names, too. Raises Conflict while another one runs."""
    if store.pruning.locked():
        raise Conflict("a prune operation is already running")
    async with store.pruning:
        before = (await store.usage()).total
        removed = await _remove(store, takes, in_use, named)
        reclaimed = max(0, before - (await store.usage()).total)
    events.publish(Event("image", "prune", "", {"reclaimed": str(reclaimed)}))
    return PrunedImages(tuple(removed), reclaimed)


async def _remove(
    store: ImageStore, takes: Callable[[Image], bool], in_use: Callable[[], frozenset[str]], named: bool
) -> list[Removed]:
    used = in_use()
    images = [image for image in store.list() if image.id not in used and (named or not image.repo_tags)]
    chosen = [image.id for image in images if takes(image)]
    removed: list[Removed] = []
    for id in chosen:
        for name in _names(store, id, chosen):
            try:
                removed += await store.remove(name, in_use=in_use())
            except (Conflict, NotFound):  # in use since, or gone with another name
                continue
    return removed


def _names(store: ImageStore, id: str, chosen: Collection[str]) -> list[str]:
    """By what an image is to be removed; nothing if one of its names stands for another that stays."""
    tags = [name for name in store.catalog.tags_of(id) if "@" not in name]
    others = (other for name in tags for other in store.catalog.tags[name].platforms.values())
    return (tags or [id]) if all(other in chosen for other in others) else []
