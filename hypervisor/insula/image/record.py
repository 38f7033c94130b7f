"""What the store knows of an image, and its form in the database.

The config's bytes are a blob of their own (the image's id is their digest); the record holds what the config
does not say: the layers' blobs, the disks made of them, where it came from.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from insula.image.disk import LayerBlob
from insula.image.manifest import ImageConfig
from insula.image.reference import ImagePlatform

IMAGE = "image"
TAG = "tag"


@dataclass(frozen=True, slots=True)
class Image:
    """One image of one platform. size: bytes of its disks and blobs on the host; disk_size: of its disks alone, about
    what a container sees; loaded_at: Unix nanoseconds; manifest: the digest
    of the manifest that it came with, or empty; repo_tags and repo_digests: in the familiar form."""

    id: str
    config: ImageConfig
    layers: tuple[LayerBlob, ...]
    disks: tuple[str, ...]
    size: int
    disk_size: int
    loaded_at: int
    manifest: str = ""
    parent: str = ""
    comment: str = ""
    repo_tags: tuple[str, ...] = ()
    repo_digests: tuple[str, ...] = ()

    @property
    def platform(self) -> ImagePlatform:
        return self.config.platform

    @property
    def created(self) -> str:
        return self.config.created

    @property
    def created_ns(self) -> int:
        """Unix nanoseconds; 0 if the image does not say when it was made."""
        return moment_ns(self.created)

    @property
    def history(self) -> tuple[dict[str, Any], ...]:
        """The config's history, oldest first."""
        return self.config.history

    def with_names(self, tags: tuple[str, ...], digests: tuple[str, ...]) -> "Image":
        return replace(self, repo_tags=tags, repo_digests=digests)

    def to_document(self) -> dict[str, Any]:
        """The record's form in the database."""
        return {
            "layers": [[layer.digest, layer.diff_id] for layer in self.layers],
            "disks": list(self.disks),
            "size": self.size,
            "disk_size": self.disk_size,
            "loaded_at": self.loaded_at,
            "manifest": self.manifest,
            "parent": self.parent,
            "comment": self.comment,
        }

    def blobs(self) -> set[str]:
        """The digests of every blob that this image needs."""
        return {
            self.id,
            *(layer.digest for layer in self.layers),
            *([self.manifest] if self.manifest else []),
        }


def moment_ns(created: str) -> int:
    """RFC 3339 as Unix nanoseconds, exact to the microsecond; 0 for what is none (the text comes from an image)."""
    try:
        moment = datetime.fromisoformat(created.replace("Z", "+00:00"))
        return int(moment.timestamp() * 1_000_000) * 1000
    except (ValueError, OverflowError):
        return 0


def image_from_document(config: ImageConfig, document: dict[str, Any]) -> Image:
    """An image out of its record and its config."""
    return Image(
        id=config.id,
        config=config,
        layers=tuple(LayerBlob(digest, diff_id) for digest, diff_id in document["layers"]),
        disks=tuple(document["disks"]),
        size=document["size"],
        disk_size=document.get("disk_size", document["size"]),
        loaded_at=document["loaded_at"],
        manifest=document["manifest"],
        parent=document["parent"],
        comment=document["comment"],
    )


@dataclass(frozen=True, slots=True)
class Tag:
    """What one name, with a tag or pinned to a digest, stands for: an image for each platform, the digest of their
    index, or empty, and the blobs that the index names beside images (attestations)."""

    platforms: dict[str, str]
    digest: str = ""
    attached: tuple[str, ...] = ()

    def to_document(self) -> dict[str, Any]:
        return {"platforms": self.platforms, "digest": self.digest, "attached": list(self.attached)}


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image whose blobs are stored, before it is one. tags: canonical, or pinned to a digest; digest: of the index
    it was in; attached: blobs of that index beside its images; beside: its tags keep their images of other
    platforms."""

    config: bytes
    layers: tuple[str, ...]
    tags: tuple[str, ...] = ()
    manifest: str = ""
    digest: str = ""
    attached: tuple[str, ...] = ()
    parent: str = ""
    comment: str = ""
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Rootfs:
    """The read-only disks of one image, lowest first, and what it runs by default. The files stay while the
    context that gave this is open."""

    image_id: str
    layers: tuple[Path, ...]
    config: ImageConfig


@dataclass(frozen=True, slots=True)
class Removed:
    """One step of a removal: a tag taken away, or an image deleted."""

    untagged: str = ""
    deleted: str = ""
