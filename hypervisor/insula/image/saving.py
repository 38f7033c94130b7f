"""`docker save`: images as one tar that is Docker's archive and an OCI layout at once.

Blobs are written as they are kept, each once, layers compressed or not. Manifests are OCI's, so that readers of
either form take them: an image that came with Docker's manifest, or with none, is told by a new one. Several
platforms of one name are an index; in Docker's form, which has none, they are images of one name, the host's last.
"""

import json
import os
import tarfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insula.errors import InvalidArgument, NotFound, Unavailable
from insula.image.catalog import Catalog
from insula.image.manifest import digest_of
from insula.image.packing import OCI_KINDS, make_manifest
from insula.image.record import Image
from insula.image.reference import Reference, host_architecture, parse_platform, parse_reference
from insula.image.registry.documents import OCI_INDEX, OCI_MANIFEST, read_media_type
from insula.image.store import ImageStore
from insula.thread import in_thread

CHUNK = 1 << 20
NAMES_MAX = 256
BLOCK = 512
END = bytes(2 * BLOCK)
LAYOUT = json.dumps({"imageLayoutVersion": "1.0.0"}).encode()
NAME, REF_NAME = "io.containerd.image.name", "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class Named:
    """What one name stands for: an image for each platform. name: None if it was asked for by id."""

    images: tuple[Image, ...]
    name: Reference | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive: its content, or where that is."""

    name: str
    size: int
    data: bytes = b""
    file: Path | None = None


@asynccontextmanager
async def open_saved(
    store: ImageStore, names: Sequence[str], platforms: Sequence[str] = ()
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The archive as a stream; what is in it stays while this is open. platforms: of each, these alone; none: all.

    Raises NotFound, InvalidArgument, Unavailable before there is a stream."""
    if not names or len(names) > NAMES_MAX:
        raise InvalidArgument(f"an archive has from one to {NAMES_MAX} names of images")
    async with store.writing():  # nothing that is named here is collected meanwhile
        chosen = [named for name in names for named in choose(store.catalog, name, platforms)]
        members = await in_thread(_Plan(store).members, chosen)
        for id in dict.fromkeys(image.id for named in chosen for image in named.images):
            store.publish("save", id, id)
        yield _stream(members)


def choose(catalog: Catalog, text: str, platforms: Sequence[str]) -> list[Named]:
    """What a name of an archive means: a tag, all tags of a repository, or an id. Raises NotFound,
    InvalidArgument."""
    references = _whole_repository(catalog, text)
    if not references and (found := catalog.find_tag(text)):
        references = [found[0]]
    if not references:
        return [Named(_offering(tuple(catalog.candidates(text).values()), text, platforms))]
    chosen = []
    for reference in references:
        images = tuple(catalog.candidates(str(reference)).values())
        name = None if reference.digest else reference
        chosen.append(Named(_offering(images, text, platforms), name))
    return chosen


def _whole_repository(catalog: Catalog, text: str) -> list[Reference]:
    """The tags of what is only a repository's name."""
    try:
        reference = parse_reference(text)
    except InvalidArgument:
        return []
    if reference.digest or ":" in text.rpartition("/")[2]:
        return []
    return sorted(catalog.tags_in(reference.name), key=str)


def _offering(images: tuple[Image, ...], text: str, platforms: Sequence[str]) -> tuple[Image, ...]:
    """Those for some platforms, each of which there must be, in an order of their own: the host's last."""
    offering = {} if platforms else {image.id: image for image in images}
    for wanted in map(parse_platform, platforms):
        found = {image.id: image for image in images if image.platform.offers(wanted)}
        if not found:
            raise NotFound(f"image {text} has no platform {wanted}")
        offering |= found
    host = host_architecture()
    return tuple(sorted(offering.values(), key=lambda i: (i.platform.architecture == host, str(i.platform))))


class _Plan:
    """The members of one archive. Blocking."""

    def __init__(self, store: ImageStore) -> None:
        self._blobs = store.blobs
        self._members: dict[str, Member] = {}

    def members(self, chosen: Sequence[Named]) -> list[Member]:
        """Raises Unavailable if something of an image is gone."""
        docker: list[dict[str, Any]] = []
        entries: list[dict[str, Any]] = []
        tags: dict[str, list[str]] = {}
        for named in chosen:
            entries.append(self._entry(named))
            for image in named.images:
                tags.setdefault(image.id, []).extend([named.name.familiar] if named.name else [])
        by_id = {image.id: image for named in chosen for image in named.images}
        for id, image in by_id.items():
            layers = [_path(layer.digest) for layer in image.layers]
            docker.append({"Config": _path(id), "RepoTags": tags[id] or None, "Layers": layers})
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        documents = {"index.json": index, "manifest.json": docker}
        plain = [Member(name, len(raw := json.dumps(what).encode()), raw) for name, what in documents.items()]
        return [*self._members.values(), *plain, Member("oci-layout", len(LAYOUT), LAYOUT)]

    def _entry(self, named: Named) -> dict[str, Any]:
        """What index.json says of one name."""
        manifests = [self._manifest(image) for image in named.images]
        if len(manifests) == 1:
            entry = manifests[0]
        else:
            raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).encode()
            entry = {"mediaType": OCI_INDEX, "digest": self._add(raw), "size": len(raw)}
        if named.name is None:
            return entry
        return {**entry, "annotations": {NAME: named.name.canonical, REF_NAME: named.name.tag}}

    def _manifest(self, image: Image) -> dict[str, Any]:
        """Adds all of an image; the description of its manifest."""
        for digest in (image.id, *(layer.digest for layer in image.layers)):
            self._add_blob(digest)
        raw = self._blobs.path(image.manifest).read_bytes() if image.manifest else b""
        if not raw or read_media_type(raw, "the manifest") != OCI_MANIFEST:
            raw = make_manifest(self._blobs, image, image.layers, OCI_KINDS)
        platform = {"architecture": image.platform.architecture, "os": image.platform.os}
        if image.platform.variant:
            platform["variant"] = image.platform.variant
        return {"mediaType": OCI_MANIFEST, "digest": self._add(raw), "size": len(raw), "platform": platform}

    def _add(self, raw: bytes) -> str:
        digest = digest_of(raw)
        self._members[digest] = Member(_path(digest), len(raw), raw)
        return digest

    def _add_blob(self, digest: str) -> None:
        file = self._blobs.path(digest)
        try:
            self._members[digest] = Member(_path(digest), file.stat().st_size, file=file)
        except OSError as error:
            raise Unavailable(
                f"the blob {digest} of an image is not here", "pull or load the image again"
            ) from error


def _path(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


async def _stream(members: Sequence[Member]) -> AsyncIterator[bytes]:
    """A tar of equal bytes from equal images: no times, no owners."""
    for folder in ("blobs", "blobs/sha256"):
        info = tarfile.TarInfo(folder)
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        yield info.tobuf()
    for member in members:
        info = tarfile.TarInfo(member.name)
        info.size, info.mode = member.size, 0o644
        yield info.tobuf()
        if member.file is None:
            yield member.data
        else:
            descriptor = await in_thread(os.open, member.file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                left = member.size
                while left:
                    data = await in_thread(os.read, descriptor, min(CHUNK, left))
                    if not data:
                        raise Unavailable(f"the blob {member.name} has become shorter")
                    left -= len(data)
                    yield data
            finally:
                os.close(descriptor)
        yield bytes(-member.size % BLOCK)
    yield END
