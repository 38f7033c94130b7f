"""`docker load`: images out of an archive, old form, new form, or an OCI layout with nested indexes.

Stores the blobs and gives the images as NewImage; nothing is an image before the store has committed it.
Every digest that the archive states is checked. An index may name platforms that the archive does not carry
(a copy of one platform): these are left out; an archive that carries none is refused, and so is one in which
anything that it needs is missing, damaged, or another thing than it says.
"""

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insula.errors import InvalidArgument
from insula.image.blobs import BlobStore
from insula.image.manifest import (
    LAYERS_MAX,
    MANIFEST_TYPES,
    Descriptor,
    is_index,
    parse_config,
    parse_index,
    parse_json,
    parse_manifest,
)
from insula.image.outer_archive import WHAT, OuterArchive, open_archive
from insula.image.record import NewImage
from insula.image.reference import ImagePlatform, parse_reference
from insula.thread import in_thread

INDEX_DEPTH_MAX = 4
IMAGES_MAX = 256
NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
ATTESTATION = "vnd.docker.reference.type"


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """Where a load is. current, total: of the step, or 0."""

    status: str
    current: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image that a load made: its id, and the familiar tag or nothing."""

    id: str
    reference: str = ""

    def __str__(self) -> str:
        """Docker's line, which clients read."""
        return f"Loaded image: {self.reference}" if self.reference else f"Loaded image ID: {self.id}"


LoadEvent = LoadProgress | Loaded


@dataclass(frozen=True, slots=True)
class _OldImage:
    """An image of the form before Docker 1.10: its config without diff_ids, and its layers."""

    config: dict[str, Any]
    layers: tuple[str, ...]
    tags: tuple[str, ...]


async def read_archive(
    path: Path,
    plain: Path,
    blobs: BlobStore,
    diff_id: Callable[[str, str], Awaitable[str]],
    wanted: ImagePlatform | None,
) -> list[NewImage]:
    """The images of an archive file, with their blobs stored. plain: a staging name.

    diff_id: computes that of a stored layer. Raises InvalidArgument, Unavailable."""
    images, old = await in_thread(_read, path, plain, blobs, wanted)
    known: dict[str, str] = {}
    for image in old:
        for layer in image.layers:
            if layer not in known:
                known[layer] = await diff_id(layer, "a layer of the image archive")
        images.append(_modernise(image, known, wanted))
    if not images:
        raise InvalidArgument(f"{WHAT} has no image" + (f" for {wanted}" if wanted else ""))
    return images


def _read(
    path: Path, plain: Path, blobs: BlobStore, wanted: ImagePlatform | None
) -> tuple[list[NewImage], list[_OldImage]]:
    with open_archive(path, plain) as archive:
        source = _Source(archive, blobs, wanted)
        if archive.has("index.json") and archive.has("oci-layout"):
            return source.read_layout(), []
        if archive.has("manifest.json"):
            return source.read_docker(), []
        if archive.has("repositories"):
            return [], source.read_old()
    raise InvalidArgument(
        f"{WHAT} has no manifest.json, index.json or repositories",
        "for the tar of a root file system use import",
    )


class _Source:
    """One open archive, its blobs on their way into the store. Blocking."""

    def __init__(self, archive: OuterArchive, blobs: BlobStore, wanted: ImagePlatform | None) -> None:
        self._archive = archive
        self._blobs = blobs
        self._wanted = wanted
        self._stored: dict[str, str] = {}
        self._seen: set[str] = (
            set()
        )  # within one entry of index.json: the next may be the same by another name
        self._manifests = 0

    def _store(self, member: str) -> str:
        """Stores a member as a blob, once; checked if the member is named by its digest."""
        if member not in self._stored:
            file, size = self._archive.locate(member)
            what = f"{member[:100]!r} of {WHAT}"
            self._stored[member] = self._blobs.copy_from(file, size, _digest_in(member), what)
        return self._stored[member]

    def _is_wanted(self, config: bytes) -> bool:
        return self._wanted is None or parse_config(config).platform.offers(self._wanted)

    # -- Docker's form: manifest.json

    def read_docker(self) -> list[NewImage]:
        images = []
        for item in _documents(self._archive.read("manifest.json")):
            member = _member(item.get("Config"), "Config")
            config = self._archive.read(member, _digest_in(member))
            layers = _member_list(item.get("Layers"), "Layers")
            if not self._is_wanted(config):
                continue
            stored = tuple(self._store(layer) for layer in layers)
            images.append(NewImage(config, stored, _tags(item.get("RepoTags"))))
        return images

    # -- OCI layout

    def read_layout(self) -> list[NewImage]:
        names = self._names_by_config()
        images: list[NewImage] = []
        for entry in parse_index(self._archive.read("index.json"), "index.json"):
            named = _names(entry)
            self._seen.clear()
            for image in self._read_entry(entry, entry.digest, 0):
                tags = named or names.get(image.config, ())
                images.append(NewImage(image.config, image.layers, tags, image.manifest, image.digest))
            if len(images) > IMAGES_MAX:
                raise InvalidArgument(f"{WHAT} has more than {IMAGES_MAX} images")
        if not images and self._wanted is None:
            raise InvalidArgument(f"{WHAT} lacks every image that its index.json names")
        return _without_repeats(images)

    def _names_by_config(self) -> dict[bytes, tuple[str, ...]]:
        """The tags that manifest.json, if there is one beside the index, gives to configs."""
        if not self._archive.has("manifest.json"):
            return {}
        names = {}
        for item in _documents(self._archive.read("manifest.json")):
            config = self._archive.read(_member(item.get("Config"), "Config"))
            names[config] = _tags(item.get("RepoTags"))
        return names

    def _read_entry(self, entry: Descriptor, top: str, depth: int) -> Iterator[NewImage]:
        member = _blob(entry.digest)
        if not self._archive.has(member) or _is_attestation(entry):
            return
        if depth > INDEX_DEPTH_MAX:
            raise InvalidArgument(f"{WHAT} has indexes nested deeper than {INDEX_DEPTH_MAX}")
        if entry.digest in self._seen:
            return
        self._seen.add(entry.digest)
        self._manifests += 1
        if self._manifests > 4 * IMAGES_MAX:
            raise InvalidArgument(f"{WHAT} has more than {4 * IMAGES_MAX} manifests")
        data = self._archive.read(member, entry.digest)
        if is_index(data, entry.media_type, member):
            self._blobs.write_bytes(data)  # pushed again as it is
            for inner in parse_index(data, member):
                yield from self._read_entry(inner, top, depth + 1)
        elif not entry.media_type or entry.media_type in MANIFEST_TYPES:
            yield from self._read_manifest(data, entry.digest, top)

    def _read_manifest(self, data: bytes, digest: str, top: str) -> Iterator[NewImage]:
        manifest = parse_manifest(data, _blob(digest))
        if "config" not in manifest.config.media_type and "container.image" not in manifest.config.media_type:
            return  # an artifact that is no image
        config = self._archive.read(_blob(manifest.config.digest), manifest.config.digest)
        if not self._is_wanted(config):
            return
        layers = tuple(self._store(_blob(layer.digest)) for layer in manifest.layers)
        self._blobs.write_bytes(data)
        yield NewImage(config, layers, manifest=digest, digest="" if top == digest else top)

    # -- the form before Docker 1.10: repositories, ID/json, ID/layer.tar

    def read_old(self) -> list[_OldImage]:
        images = []
        repositories = parse_json(self._archive.read("repositories"), "repositories")
        for name, tags in _object(repositories, "repositories").items():
            for tag, id in _object(tags, "repositories").items():
                chain = self._chain(_member(id, "id"))
                layers = tuple(self._store(f"{member}/layer.tar") for member, _ in reversed(chain))
                images.append(_OldImage(chain[0][1], layers, _tags([f"{name}:{tag}"])))
        return images

    def _chain(self, id: str) -> list[tuple[str, dict[str, Any]]]:
        """An image and its ancestors, itself first."""
        chain: list[tuple[str, dict[str, Any]]] = []
        while id:
            if len(chain) >= LAYERS_MAX:
                raise InvalidArgument(
                    f"{WHAT} has an image of more than {LAYERS_MAX} layers, or a circle of parents"
                )
            document = _object(parse_json(self._archive.read(f"{id}/json"), f"{id[:80]}/json"), "json")
            chain.append((id, document))
            id = _member(document["parent"], "parent") if document.get("parent") else ""
        return chain


def _modernise(image: _OldImage, diff_ids: dict[str, str], wanted: ImagePlatform | None) -> NewImage:
    """An old image with a config of today's form."""
    kept: dict[str, Any] = {
        key: image.config[key]
        for key in ("architecture", "os", "created", "author", "config")
        if key in image.config
    }
    kept.setdefault("config", image.config.get("container_config") or {})
    kept["rootfs"] = {"type": "layers", "diff_ids": [diff_ids[layer] for layer in image.layers]}
    config = json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()
    if wanted is not None and not parse_config(config).platform.offers(wanted):
        raise InvalidArgument(f"{WHAT} has no image for {wanted}")
    return NewImage(config, image.layers, image.tags)


# -- fields of the archive's own documents


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > IMAGES_MAX:
        raise InvalidArgument(f"{what} of {WHAT} is not an object of at most {IMAGES_MAX} fields")
    return value


def _documents(data: bytes) -> list[dict[str, Any]]:
    value = parse_json(data, "manifest.json")
    if not isinstance(value, list) or len(value) > IMAGES_MAX:
        raise InvalidArgument(f"manifest.json of {WHAT} is not a list of at most {IMAGES_MAX} images")
    return [_object(item, "an item of manifest.json") for item in value]


def _member(value: Any, field: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 4096:
        raise InvalidArgument(f"the field {field!r} of {WHAT} is not the name of a member")
    return value


def _member_list(value: Any, field: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > LAYERS_MAX:
        raise InvalidArgument(f"the field {field!r} of {WHAT} is not a list of at most {LAYERS_MAX} names")
    return [_member(item, field) for item in value]


def _tags(value: Any) -> tuple[str, ...]:
    return tuple(parse_reference(tag).canonical for tag in _member_list(value, "RepoTags"))


def _names(entry: Descriptor) -> tuple[str, ...]:
    """The reference in an index entry's annotations. A bare tag is no name."""
    for key in NAMES:
        name = entry.annotations.get(key, "")
        if ":" in name or "/" in name:
            reference = parse_reference(name)
            return (reference.canonical,) if not reference.digest else ()
    return ()


def _is_attestation(entry: Descriptor) -> bool:
    platform = entry.platform
    return ATTESTATION in entry.annotations or (platform is not None and platform.os == "unknown")


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def _digest_in(member: str) -> str | None:
    """The digest that a member's name states, in a layout's folder of blobs."""
    folder, _, digits = member.rpartition("/")
    return f"sha256:{digits}" if folder == "blobs/sha256" else None


def _without_repeats(images: list[NewImage]) -> list[NewImage]:
    return list({(image.config, image.tags): image for image in images}.values())
