"""Which images there are and what they are called: lookups over the records, all in memory.

Changes nothing and touches no disk, so a lookup costs no await. A tag names one image for each platform; an
id or the beginning of one names one image. Docker's words where clients look at them ("No such image: …").
"""

import fnmatch
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace

from insula.errors import Conflict, InvalidArgument, NotFound
from insula.image.record import Image, Tag
from insula.image.reference import (
    ImagePlatform,
    Reference,
    find_id_prefix,
    host_architecture,
    parse_platform,
    parse_reference,
)

FILTERS = ("reference", "dangling", "label", "before", "since", "until")


class Catalog:
    """Images by id and tags by canonical name."""

    def __init__(self) -> None:
        self.images: dict[str, Image] = {}
        self.tags: dict[str, Tag] = {}

    def tags_of(self, image_id: str) -> list[str]:
        """The names of an image: canonical tags, and digests that it is pinned to."""
        return [name for name, tag in self.tags.items() if image_id in tag.platforms.values()]

    def shown(self, image: Image) -> Image:
        """The image with its names as they are now."""
        names = [parse_reference(name) for name in self.tags_of(image.id)]
        tags = sorted(name.familiar for name in names if not name.digest)
        digests = sorted(name.familiar for name in names if name.digest)
        return image.with_names(tuple(tags), tuple(digests))

    def tags_in(self, repository: str) -> list[Reference]:
        """The tags of a canonical repository name."""
        names = [parse_reference(name) for name in self.tags if "@" not in name]
        return [name for name in names if name.name == repository]

    def pinned_alone(self, removed: Reference) -> list[str]:
        """The digests of a repository whose images no tag of it names once this one is gone."""
        left = {
            id
            for name, tag in self.tags.items()
            if "@" not in name and name != removed.canonical and parse_reference(name).name == removed.name
            for id in tag.platforms.values()
        }
        gone = set(self.tags[removed.canonical].platforms.values()) - left
        return [
            name
            for name, tag in self.tags.items()
            if name.startswith(f"{removed.name}@") and set(tag.platforms.values()) <= gone
        ]

    def narrowed(self, names: Iterable[str], gone: set[str]) -> dict[str, Tag]:
        """Those of some names that stand for other images too than these, as they are without them."""
        rest: dict[str, Tag] = {}
        for name in names:
            platforms = self.tags[name].platforms
            kept = {platform: id for platform, id in platforms.items() if id not in gone}
            if kept:
                rest[name] = Tag(kept)
        return rest

    def names_to_remove(
        self, image: Image, reference: str, force: bool, in_use: set[str] | frozenset[str]
    ) -> tuple[str, ...]:
        """All tags of an image that is removed by its id. Raises Conflict."""
        if image.id in in_use:
            raise in_use_by_container(reference, image.id, "cannot be forced")
        names = self.tags_of(image.id)
        if len({parse_reference(name).name for name in names}) > 1 and not force:
            raise Conflict(
                f"conflict: unable to delete {reference} (must be forced) - "
                "image is referenced in multiple repositories"
            )
        return tuple(names)

    # -- lookups

    def find_tag(self, text: str) -> tuple[Reference, Tag] | None:
        """The tag that a reference names, if there is one."""
        try:
            reference = parse_reference(text)
        except InvalidArgument:
            return None
        if reference.digest:
            return self._find_digest(reference)
        tag = self.tags.get(reference.canonical)
        return None if tag is None else (reference, tag)

    def _find_digest(self, reference: Reference) -> tuple[Reference, Tag] | None:
        if (tag := self.tags.get(reference.pinned)) is not None:
            return replace(reference, tag=""), tag
        for name, tag in self.tags.items():
            known = parse_reference(name)
            if known.digest or known.name != reference.name or reference.tag not in ("", known.tag):
                continue
            if tag.digest == reference.digest:
                return known, tag
            for platform, image_id in tag.platforms.items():
                if reference.digest in (image_id, self.images[image_id].manifest):
                    return known, Tag({platform: image_id})
        return None

    def find_by_id(self, text: str) -> Image | None:
        """The image of an id or of a unique beginning of one. Raises InvalidArgument if several begin so."""
        prefix = find_id_prefix(text)
        if prefix is None:
            return None
        found = [image for id, image in self.images.items() if id.startswith("sha256:" + prefix)]
        if len(found) > 1:
            raise InvalidArgument(
                f"the image id {text} is ambiguous: {len(found)} images begin so", "give more digits"
            )
        return found[0] if found else None

    def candidates(self, text: str) -> dict[str, Image]:
        """The images that a reference or id names, by platform. Raises NotFound, InvalidArgument."""
        if found := self.find_tag(text):
            return {platform: self.images[id] for platform, id in found[1].platforms.items()}
        if image := self.find_by_id(text):
            return {str(image.platform): image}
        raise no_such_image(text)

    def find(self, text: str, platform: str | None) -> Image:
        """The image that a reference or id names, for a platform; without one, the host's if there, else the
        first. Raises NotFound, which names the platforms there are, or InvalidArgument."""
        candidates = self.candidates(text)
        if platform:
            wanted = parse_platform(platform)
            image = first_offering(candidates.values(), wanted)
            if image is None:
                raise NotFound(
                    f"image {text} has no platform {wanted}, only {', '.join(sorted(candidates))}",
                    f"use one of these, or load the image for {wanted}",
                )
        else:
            native = ImagePlatform("linux", host_architecture())
            image = first_offering(candidates.values(), native) or next(iter(candidates.values()))
        return self.shown(image)

    def lonely_parents(self, ids: Sequence[str], in_use: Container[str]) -> "list[str]":
        """What images were built from, step by step, and nothing else needs once they are gone."""
        gone = set(ids)
        found: list[str] = []
        for id in ids:
            parent = self.images.get(self.images[id].parent)
            while parent is not None and parent.id not in gone and not self._is_needed(parent, gone, in_use):
                gone.add(parent.id)
                found.append(parent.id)
                parent = self.images.get(parent.parent)
        return found

    def _is_needed(self, image: Image, gone: set[str], in_use: Container[str]) -> bool:
        others = (other for other in self.images.values() if other.id not in gone)
        return (
            image.id in in_use
            or bool(self.tags_of(image.id))
            or any(other.parent == image.id for other in others)
        )

    # -- lists

    def list(self, filters: Mapping[str, Sequence[str]], *, every: bool = False) -> list[Image]:
        """The images that pass all filters, newest first. every: also those without a name that others were built
        from; `until` is Unix nanoseconds. Raises InvalidArgument for unknown filters."""
        for name in filters:
            if name not in FILTERS:
                raise InvalidArgument(f"invalid filter '{name}'", f"use {', '.join(FILTERS)}")
        parents = set() if every else {image.parent for image in self.images.values()}
        images = [self.shown(image) for image in self.images.values()]
        images = [image for image in images if image.repo_tags or image.id not in parents]
        images.sort(key=lambda image: (image.created_ns, image.loaded_at), reverse=True)
        for bound in filters.get("before", ()):
            edge = self.find(bound, None)
            images = [image for image in images if image.created_ns < edge.created_ns]
        for bound in filters.get("since", ()):
            edge = self.find(bound, None)
            images = [image for image in images if image.created_ns > edge.created_ns]
        for until in filters.get("until", ()):
            images = [image for image in images if image.created_ns < int(until)]
        passed = [image for image in images if _passes(image, filters)]
        if not (patterns := filters.get("reference", ())):
            return passed
        return [image.with_names(_matching(image, patterns), image.repo_digests) for image in passed]


def _passes(image: Image, filters: Mapping[str, Sequence[str]]) -> bool:
    for value in filters.get("dangling", ()):
        if value.lower() not in ("true", "false", "1", "0"):
            raise InvalidArgument(f"invalid filter 'dangling={value}'", "use true or false")
        if (value.lower() in ("true", "1")) != (not image.repo_tags):
            return False
    for label in filters.get("label", ()):
        key, equals, value = label.partition("=")
        if key not in image.config.labels or (equals and image.config.labels[key] != value):
            return False
    patterns = filters.get("reference", ())
    return not patterns or bool(_matching(image, patterns))


def _matching(image: Image, patterns: Sequence[str]) -> tuple[str, ...]:
    """An image's tags that a `reference` filter lets through: the others are not shown either."""
    return tuple(tag for tag in image.repo_tags if any(_matches(tag, pattern) for pattern in patterns))


def _matches(tag: str, pattern: str) -> bool:
    """`busybox`, `busybox:*`, `*/name`: against the familiar name with and without its tag."""
    name = tag.rpartition(":")[0]
    return fnmatch.fnmatchcase(tag, pattern) or fnmatch.fnmatchcase(name, pattern)


def first_offering(images: Iterable[Image], wanted: ImagePlatform) -> Image | None:
    """The first image for a platform."""
    return next((image for image in images if image.platform.offers(wanted)), None)


def no_such_image(text: str) -> NotFound:
    """Docker's words; with the tag that was meant."""
    try:
        text = parse_reference(text).familiar if find_id_prefix(text) is None else text
    except InvalidArgument:
        text = text[:120]
    return NotFound(f"No such image: {text}")


def in_use_by_container(reference: str, id: str, force: str) -> Conflict:
    """Docker's words. force: whether that would do."""
    return Conflict(
        f"conflict: unable to remove {reference} ({force}) - a container is using its image {id[7:19]}",
        "remove the container first",
    )
