"""Images made by hand and put into a real registry; pulls and pushes, and what they said."""

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from image_tars import file, make_tar, sha256

from insula.image.reference import parse_platform, parse_reference
from insula.image.registry.challenge import NOBODY, Credentials
from insula.image.registry.patience import Patience
from insula.image.registry.progress import Line
from insula.image.registry.pull import Wanted
from insula.image.registry.registries import Registries
from registry_process import Registry

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
GZIP_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
QUICK = Patience(pause=0.01, pause_most=0.01)
"""Pauses between tries cost a test nothing; how long it waits for an answer stays as it is."""


def gzipped(data: bytes) -> bytes:
    """The same bytes at any time."""
    return gzip.compress(data, mtime=0)


@dataclass
class Made:
    """An image by hand: documents and blobs, by digest."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    top: str = ""

    def blob(self, data: bytes) -> dict[str, Any]:
        digest = "sha256:" + sha256(data)
        self.blobs[digest] = data
        return {"digest": digest, "size": len(data)}

    def manifest(self, document: dict[str, Any], kind: str) -> dict[str, Any]:
        data = json.dumps({"schemaVersion": 2, "mediaType": kind, **document}).encode()
        self.top = "sha256:" + sha256(data)
        self.manifests[self.top] = (data, kind)
        return {"digest": self.top, "size": len(data), "mediaType": kind}

    def image(
        self, layers: list[bytes], architecture: str = "amd64", compress: Callable[[bytes], bytes] = gzipped,
        layer_kind: str = GZIP_LAYER, config: dict[str, Any] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        document = {"architecture": architecture, "os": "linux", "config": config or {},
                    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha256(tar) for tar in layers]}}  # fmt: skip
        raw = self.blob(json.dumps(document).encode())
        packed = [{"mediaType": layer_kind, **self.blob(compress(tar))} for tar in layers]
        found = self.manifest({"config": {"mediaType": OCI_CONFIG, **raw}, "layers": packed}, OCI_MANIFEST)
        return {**found, "platform": {"architecture": architecture, "os": "linux"}}

    def attestation(self, of: str) -> dict[str, Any]:
        """What some builders put beside each image."""
        statement = {
            "mediaType": "application/vnd.in-toto+json",
            **self.blob(json.dumps({"of": of}).encode()),
        }
        config = {"mediaType": OCI_CONFIG, **self.blob(b'{"architecture":"unknown","os":"unknown"}')}
        found = self.manifest({"config": config, "layers": [statement]}, OCI_MANIFEST)
        notes = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": of}
        return {**found, "platform": {"architecture": "unknown", "os": "unknown"}, "annotations": notes}

    def index(self, *entries: dict[str, Any]) -> dict[str, Any]:
        return self.manifest({"manifests": list(entries)}, OCI_INDEX)

    def put(self, registry: Registry, repository: str, tag: str) -> str:
        """Into a registry; the digest of what the tag names."""
        for data in self.blobs.values():
            registry.put_blob(repository, data)
        for digest, (data, kind) in self.manifests.items():
            registry.put_manifest(repository, digest, data, kind)
        data, kind = self.manifests[self.top]
        registry.put_manifest(repository, tag, data, kind)
        return self.top


def tar_of(name: str, size: int = 0, seed: int = 0) -> bytes:
    """A layer of one file, whose bytes no compression makes fewer."""
    return make_tar((name, file(random.Random(seed).randbytes(size) or name.encode())))


# -- pulls and pushes


async def pull(
    registries: Registries, name: str, *platforms: str, all: bool = False, credentials: Credentials = NOBODY
) -> list[Line]:
    wanted = Wanted(tuple(parse_platform(text) for text in platforms), all)
    lines = registries.pull(parse_reference(name), wanted, credentials)
    return [line async for line in lines]


async def push(registries: Registries, name: str, credentials: Credentials = NOBODY) -> list[Line]:
    return [line async for line in registries.push(parse_reference(name), credentials)]


def statuses(lines: list[Line], subject: str = "") -> list[str]:
    """What was said, of one layer, or of nothing in particular; each thing once in a row."""
    said = [line.status for line in lines if line.subject == subject and line.status]
    return [status for number, status in enumerate(said) if number == 0 or said[number - 1] != status]
