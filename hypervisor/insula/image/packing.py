"""Images that came without a manifest (archives of Docker's, imports, commits) made fit to be pushed.

Their layers that are plain tars are compressed, once: the compressed blob takes the other's place in every image that
has it, so that what the registry has and what is here stay the same bytes. Config and id of the image do not change.
"""

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from insula.database import Database, Transaction
from insula.errors import Unavailable
from insula.image.blobs import BlobStore, full_disk
from insula.image.catalog import Catalog
from insula.image.disk import LayerBlob
from insula.image.record import IMAGE, Image
from insula.thread import in_thread

CHUNK = 1 << 20
LEVEL = 6
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class Kinds:
    """Media types. layers: by how a layer is compressed, as `read_magic` tells it."""

    manifest: str
    config: str
    layers: Mapping[bytes, str]


OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
OCI_LAYERS = {GZIP: f"{OCI}layer.v1.tar+gzip", ZSTD: f"{OCI}layer.v1.tar+zstd", b"": f"{OCI}layer.v1.tar"}
OCI_KINDS = Kinds(f"{OCI}manifest.v1+json", f"{OCI}config.v1+json", OCI_LAYERS)
DOCKER_KINDS = Kinds(
    f"{DOCKER}distribution.manifest.v2+json", f"{DOCKER}container.image.v1+json",
    {GZIP: f"{DOCKER}image.rootfs.diff.tar.gzip"},
)  # fmt: skip


async def pack(
    image: Image,
    blobs: BlobStore,
    catalog: Catalog,
    database: Database,
    told: Callable[[str, int, int], None],
) -> Image:
    """The image with compressed layers and a manifest; itself if it has one. For whoever is `writing`.

    told: hears of a layer (its diff_id) that is compressed, of its bytes so far and in all. Raises Unavailable."""
    if image.manifest:
        return image
    packed: dict[str, str] = {}
    zstd = False
    for layer in image.layers:
        magic = await in_thread(read_magic, blobs.path(layer.digest))
        zstd = zstd or magic == ZSTD
        if magic == b"" and layer.digest not in packed:
            packed[layer.digest] = await compress(blobs, layer, told)
    layers = tuple(LayerBlob(packed.get(layer.digest, layer.digest), layer.diff_id) for layer in image.layers)
    raw = await in_thread(make_manifest, blobs, image, layers, OCI_KINDS if zstd else DOCKER_KINDS)
    manifest = await in_thread(blobs.write_bytes, raw)
    changed = [replace(image, layers=layers, manifest=manifest)]
    for other in catalog.images.values():
        if other.id != image.id and not other.manifest and any(b.digest in packed for b in other.layers):
            ours = tuple(LayerBlob(packed.get(b.digest, b.digest), b.diff_id) for b in other.layers)
            changed.append(replace(other, layers=ours))

    def write(transaction: Transaction) -> None:
        for one in changed:
            if transaction.find(IMAGE, one.id) is not None:  # else it was removed meanwhile
                transaction.put(IMAGE, one.id, one.to_document())

    changed = [replace(one, size=one.disk_size + await in_thread(blobs.size, one.blobs())) for one in changed]
    await database.run(write)
    for one in changed:
        if one.id in catalog.images:
            catalog.images[one.id] = one
    return catalog.shown(changed[0])


def read_magic(path: Path) -> bytes:
    """How a layer's blob is compressed: the first bytes of gzip or zstd, or none. Blocking."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise Unavailable(f"a layer of the image is not there: {error.strerror}") from error
    return next((magic for magic in (GZIP, ZSTD) if head.startswith(magic)), b"")


async def compress(blobs: BlobStore, layer: LayerBlob, told: Callable[[str, int, int], None]) -> str:
    """The digest of a new blob: a layer's tar, compressed. Raises Unavailable."""
    async with blobs.staging() as path:
        total = await in_thread(blobs.size, [layer.digest])
        packer = await in_thread(Packer, blobs.path(layer.digest), path)
        try:
            while await in_thread(packer.step):
                told(layer.diff_id, packer.read, total)
            digest = await in_thread(packer.finish)
        finally:
            await in_thread(packer.close)
        await in_thread(blobs.keep, path, digest)
    return digest


class Packer:
    """One file compressed into another, a chunk at a time; the same bytes from the same bytes. Blocking."""

    def __init__(self, source: Path, target: Path) -> None:
        self._folder = target.parent
        self.read = 0
        try:
            self._in = source.open("rb")
            self._out = target.open("xb")
        except OSError as error:
            raise full_disk(error, self._folder) from error
        self._gzip = gzip.GzipFile("", "wb", LEVEL, self._out, mtime=0)

    def step(self) -> bool:
        """False at the end."""
        try:
            data = self._in.read(CHUNK)
            self._gzip.write(data)
        except OSError as error:
            raise full_disk(error, self._folder) from error
        self.read += len(data)
        return bool(data)

    def finish(self) -> str:
        try:
            self._gzip.close()
            self._out.flush()
            os.fsync(self._out.fileno())
            with open(self._out.name, "rb") as file:
                return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise full_disk(error, self._folder) from error

    def close(self) -> None:
        self._in.close()
        self._out.close()


def make_manifest(blobs: BlobStore, image: Image, layers: Sequence[LayerBlob], kinds: Kinds) -> bytes:
    """The manifest of stored blobs. Raises Unavailable if one is gone. Blocking."""

    def describe(digest: str) -> dict[str, Any]:
        kind = kinds.layers[read_magic(blobs.path(digest))]
        return {"mediaType": kind, "size": blobs.size([digest]), "digest": digest}

    document = {
        "schemaVersion": 2,
        "mediaType": kinds.manifest,
        "config": {"mediaType": kinds.config, "size": len(image.config.raw), "digest": image.id},
        "layers": [describe(layer.digest) for layer in layers],
    }
    return json.dumps(document).encode()
