"""Manifests, indexes and configs out of a registry: bounded, of the digest that names them, of a kind that is read.

A document whose media type is missing is told by its content. Refused: manifests of schema 1, an index inside an
index (and so one that names itself), documents of more than 4 MiB, and whatever has another digest or length than
what points to it says.
"""

from dataclasses import dataclass

from insula.errors import InvalidArgument, Unavailable
from insula.image.manifest import (
    DOCUMENT_MAX,
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    digest_of,
    is_index,
    parse_json,
)
from insula.image.registry.client import RegistryClient
from insula.image.registry.refusal import one_line

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPT = ", ".join((OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST))


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest or an index as its bytes are."""

    data: bytes
    media_type: str

    @property
    def digest(self) -> str:
        return digest_of(self.data)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEX_TYPES


def read_media_type(data: bytes, what: str, told: str = "") -> str:
    """What a document is: as it says itself, as its sender says, or by its content. Raises InvalidArgument."""
    value = parse_json(data, what)
    if not isinstance(value, dict):
        raise InvalidArgument(f"{what} is not a JSON object")
    if value.get("schemaVersion") == 1 or "fsLayers" in value:
        raise InvalidArgument(
            f"{what} is a Docker manifest of schema 1, which is no longer read", "push the image anew"
        )
    known = INDEX_TYPES | MANIFEST_TYPES
    for name in (value.get("mediaType"), told.partition(";")[0].strip()):
        if isinstance(name, str) and name in known:
            return name
    if isinstance(value.get("mediaType"), str):
        raise InvalidArgument(f"{what} is of the kind {one_line(value['mediaType'])!r}, which is no image")
    return OCI_INDEX if is_index(data, "", what) else OCI_MANIFEST


async def fetch_manifest(client: RegistryClient, path: str, name: str, size: int | None = None) -> Document:
    """A manifest or index by tag or digest. path: the repository's; size: what points to it says.

    Raises Refused, Denied, Unavailable, InvalidArgument."""
    what = f"the manifest {name}"
    data, headers = await client.read(
        client.url(f"/v2/{path}/manifests/{name}"), DOCUMENT_MAX, {"Accept": ACCEPT}
    )
    check(data, name if name.startswith("sha256:") else "", size, what)
    return Document(data, read_media_type(data, what, headers.get("Content-Type", "")))


async def fetch_blob(client: RegistryClient, path: str, blob: Descriptor, what: str) -> bytes:
    """A small blob. Raises as `fetch_manifest`."""
    if blob.size > DOCUMENT_MAX:
        raise Unavailable(f"{what} has {blob.size} bytes ({DOCUMENT_MAX} at most)")
    data, _ = await client.read(client.url(f"/v2/{path}/blobs/{blob.digest}"), DOCUMENT_MAX)
    check(data, blob.digest, blob.size, what)
    return data


def check(data: bytes, digest: str, size: int | None, what: str) -> None:
    """Raises Unavailable for what is not what it is said to be."""
    if size is not None and len(data) != size:
        raise Unavailable(f"{what} has {len(data)} bytes, not {size}: the registry lies")
    if digest and digest_of(data) != digest:
        raise Unavailable(f"{what} has the digest {digest_of(data)}, not {digest}: the registry lies")
