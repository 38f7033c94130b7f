"""Manifests, indexes and image configs: strangers' JSON, read field by field into frozen dataclasses.

Every document has a size limit and every list and string a bound; a wrong type is InvalidArgument that names
the field. Unknown fields are ignored, as the formats ask. An image's id is the digest of its config's bytes,
so the bytes are kept as they came.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, TypeVar

from insula.errors import InvalidArgument
from insula.image.reference import ImagePlatform, make_platform

T = TypeVar("T")

DOCUMENT_MAX = 4 << 20
LIST_MAX = 10_000
LAYERS_MAX = 512
TEXT_MAX = 1 << 18
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

INDEX_TYPES = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
}
MANIFEST_TYPES = {
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
}
FOREIGN = ("application/vnd.docker.image.rootfs.foreign", "application/vnd.oci.image.layer.nondistributable")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a manifest or an index points to."""

    media_type: str
    digest: str
    size: int
    platform: ImagePlatform | None = None
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image of one platform: its config and its layers, lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """An image's config: what to run, and what it is. `raw` is the document that it was read from."""

    raw: bytes
    platform: ImagePlatform
    env: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    healthcheck: dict[str, Any] | None = None
    shell: tuple[str, ...] = ()
    on_build: tuple[str, ...] = ()
    created: str = ""
    author: str = ""
    diff_ids: tuple[str, ...] = ()
    history: tuple[dict[str, Any], ...] = ()

    @property
    def id(self) -> str:
        """The image's id: sha256:…"""
        return digest_of(self.raw)

    @property
    def os(self) -> str:
        return self.platform.os

    @property
    def architecture(self) -> str:
        return self.platform.architecture

    @property
    def variant(self) -> str:
        return self.platform.variant


def digest_of(data: bytes) -> str:
    """sha256:… of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


# -- checked access to JSON


class _Reader:
    """A JSON object whose fields are asked for by type. null counts as absent, as in Go's decoders."""

    def __init__(self, value: Any, what: str) -> None:
        if not isinstance(value, dict):
            raise InvalidArgument(f"{what} is not a JSON object")
        self._value = value
        self._what = what

    def wrong(self, key: str, why: str) -> InvalidArgument:
        return InvalidArgument(f"{self._what}: the field {key!r} {why}")

    def _get(self, key: str, kind: type[T], default: T) -> T:
        value = self._value.get(key)
        if value is None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.wrong(key, f"is not of type {kind.__name__}")
        return value

    def text(self, key: str) -> str:
        return self.checked(key, self._get(key, str, ""))

    def checked(self, key: str, value: Any) -> str:
        if not isinstance(value, str) or len(value) > TEXT_MAX or "\0" in value:
            raise self.wrong(key, "has something that is no text, too long, or holds a NUL")
        return value

    def number(self, key: str) -> int:
        value = self._get(key, int, 0)
        if not 0 <= value < 1 << 62:
            raise self.wrong(key, "is out of range")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(self.checked(key, item) for item in self.list(key))

    def list(self, key: str, limit: int = LIST_MAX) -> "list[Any]":
        value = self._get(key, list, [])
        if len(value) > limit:
            raise self.wrong(key, f"has {len(value)} items ({limit} at most)")
        return value

    def map(self, key: str) -> dict[str, Any]:
        value = self._get(key, dict, {})
        if len(value) > LIST_MAX:
            raise self.wrong(key, f"has {len(value)} items ({LIST_MAX} at most)")
        for name in value:
            self.checked(key, name)
        return value

    def text_map(self, key: str) -> dict[str, str]:
        return {name: self.checked(key, value or "") for name, value in self.map(key).items()}

    def reader(self, key: str) -> "_Reader":
        return _Reader({} if self._value.get(key) is None else self._value[key], f"{self._what}, {key!r}")

    def digest(self, key: str) -> str:
        value = self.text(key)
        if not DIGEST.fullmatch(value):
            raise self.wrong(key, "is not a sha256 digest")
        return value


def parse_json(data: bytes, what: str) -> Any:
    """A bounded JSON document. Raises InvalidArgument."""
    if len(data) > DOCUMENT_MAX:
        raise InvalidArgument(f"{what} has {len(data)} bytes ({DOCUMENT_MAX} at most)")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{what} is not JSON") from error


# -- documents


def _descriptor(value: Any, what: str) -> Descriptor:
    reader = _Reader(value, what)
    platform = None
    fields = reader.reader("platform")
    if fields.text("architecture"):
        platform = make_platform(
            fields.text("os") or "linux", fields.text("architecture"), fields.text("variant")
        )
    return Descriptor(
        reader.text("mediaType"), reader.digest("digest"), reader.number("size"), platform,
        reader.text_map("annotations"),
    )  # fmt: skip


def parse_index(data: bytes, what: str) -> tuple[Descriptor, ...]:
    """The entries of an OCI index or a Docker manifest list. Raises InvalidArgument."""
    reader = _Reader(parse_json(data, what), what)
    return tuple(_descriptor(item, what) for item in reader.list("manifests", 1000))


def parse_manifest(data: bytes, what: str) -> Manifest:
    """An OCI or Docker (schema 2) manifest. Raises InvalidArgument."""
    value = parse_json(data, what)
    reader = _Reader(value, what)
    if value.get("schemaVersion") == 1 or "fsLayers" in value:
        raise InvalidArgument(f"{what} is a Docker manifest of schema 1, which is no longer read")
    layers = tuple(_descriptor(item, what) for item in reader.list("layers", LAYERS_MAX))
    for layer in layers:
        if layer.media_type.startswith(FOREIGN):
            raise InvalidArgument(f"{what} has a foreign layer, which is not carried with the image")
    return Manifest(_descriptor(value.get("config"), what), layers)


def is_index(data: bytes, media_type: str, what: str) -> bool:
    """True for an index, False for a manifest; by its content where the media type does not say."""
    if media_type in INDEX_TYPES or media_type in MANIFEST_TYPES:
        return media_type in INDEX_TYPES
    value = parse_json(data, what)
    return isinstance(value, dict) and "manifests" in value


def parse_config(raw: bytes, what: str = "the image's config") -> ImageConfig:
    """An OCI or Docker image config. Raises InvalidArgument."""
    top = _Reader(parse_json(raw, what), what)
    run = top.reader("config")
    rootfs = top.reader("rootfs")
    diff_ids = rootfs.texts("diff_ids")
    if len(diff_ids) > LAYERS_MAX:
        raise rootfs.wrong("diff_ids", f"has {len(diff_ids)} items ({LAYERS_MAX} at most)")
    if not all(DIGEST.fullmatch(diff_id) for diff_id in diff_ids):
        raise rootfs.wrong("diff_ids", "has something that is not a sha256 digest")
    history = top.list("history")
    if not all(isinstance(item, dict) for item in history):
        raise top.wrong("history", "has something that is no object")
    return ImageConfig(
        raw=raw,
        platform=make_platform(
            top.text("os") or "linux", top.text("architecture") or "amd64", top.text("variant")
        ),
        env=run.texts("Env"),
        cmd=run.texts("Cmd"),
        entrypoint=run.texts("Entrypoint"),
        working_dir=run.text("WorkingDir"),
        user=run.text("User"),
        labels=run.text_map("Labels"),
        exposed_ports=tuple(run.map("ExposedPorts")),
        volumes=tuple(run.map("Volumes")),
        stop_signal=run.text("StopSignal"),
        healthcheck=run.map("Healthcheck") or None,
        shell=run.texts("Shell"),
        on_build=run.texts("OnBuild"),
        created=top.text("created"),
        author=top.text("author"),
        diff_ids=diff_ids,
        history=tuple(history),
    )  # fmt: skip
