"""An image into a registry: its layers at the same time, configs, manifests, and an index where there are several.

What is pushed is what the store has: a pulled image goes back byte by byte, and under the same index, if everything
that the index names is here or there. Else an index of the images that are here is made. An image that came without a
manifest gets one first (see image/packing.py).
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from insula.errors import NotFound, Unavailable
from insula.image.catalog import Catalog
from insula.image.manifest import digest_of, parse_index, parse_manifest
from insula.image.record import Image, Tag
from insula.image.reference import ImagePlatform, Reference, parse_reference
from insula.image.registry.client import RegistryClient
from insula.image.registry.documents import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, read_media_type
from insula.image.registry.progress import Line, Lines
from insula.image.registry.refusal import Refused, explain, first_failure
from insula.image.registry.upload import Upload, has_document, put_document
from insula.image.store import ImageStore
from insula.thread import in_thread

UPLOADS_MAX = 5
NEIGHBOURS_MAX = 4


@dataclass(frozen=True, slots=True)
class Top:
    """What the tag will name in the registry, and the digests of its index's images, or none."""

    data: bytes
    kind: str
    children: tuple[str, ...] = ()


class Push:
    """One push of the tags of one repository."""

    def __init__(
        self,
        client: RegistryClient,
        store: ImageStore,
        lines: Lines,
        neighbours: Mapping[str, str],
        wanted: ImagePlatform | None = None,
    ) -> None:
        """neighbours: see `find_neighbours`; wanted: only the image of this platform."""
        self._client = client
        self._store = store
        self._lines = lines
        self._neighbours = neighbours
        self._wanted = wanted
        self._slots = asyncio.Semaphore(UPLOADS_MAX)

    async def run(self, references: Sequence[Reference]) -> None:
        """Returns when the registry has everything. Raises NotFound, Unavailable, Forbidden."""
        name = references[0].name
        self._lines.put(f"The push refers to repository [{name}]")
        try:
            async with self._store.writing():
                for reference in references:
                    await self._push(reference)
        except Refused as refused:
            raise explain(refused) from refused

    async def _push(self, reference: Reference) -> None:
        tag = self._store.catalog.tags.get(reference.canonical)
        if tag is None:
            raise NotFound(f"An image does not exist locally with the tag: {reference.familiar_name}")
        images = [self._store.catalog.images[id] for id in tag.platforms.values()]
        if self._wanted is not None:
            images = [image for image in images if image.platform.offers(self._wanted)]
            if not images:
                raise NotFound(f"image {reference} has no platform {self._wanted}")
        images = [await self._store.pack(image, self._compressing) for image in images]
        await self._push_layers(reference, images)
        for image in images:
            await self._upload(reference, image.id, "")
            data = await self._store.blobs.read(image.manifest)
            await self._put(reference, image.manifest, data, read_media_type(data, "the manifest"))
        top = await self._find_top(reference, tag, images)
        for digest in top.children:
            if digest in tag.attached:
                await self._push_attached(reference, digest)
        await self._put(reference, reference.tag, top.data, top.kind)
        digest = digest_of(top.data)
        named = Tag({str(i.platform): i.id for i in images}, digest if top.children else "", tag.attached)
        await self._store.name(f"{reference.name}@{digest}", named)
        if self._wanted is None:
            await self._store.name(reference.canonical, named)
        self._lines.put(f"{reference.tag}: digest: {digest} size: {len(top.data)}")
        self._lines.add(Line("", aux={"Tag": reference.tag, "Digest": digest, "Size": len(top.data)}))
        self._store.publish("push", reference.familiar, reference.familiar_name)

    def _compressing(self, diff_id: str, current: int, total: int) -> None:
        self._lines.put("Compressing", diff_id[7:19], current, total)

    # -- blobs

    async def _push_layers(self, reference: Reference, images: Sequence[Image]) -> None:
        """All layers of all images, at the same time; the first failure ends the others."""
        layers = {layer.digest: layer.diff_id[7:19] for image in images for layer in image.layers}
        for short in layers.values():
            self._lines.put("Preparing", short)
        try:
            async with asyncio.TaskGroup() as group:
                for digest, short in layers.items():
                    group.create_task(self._upload(reference, digest, short))
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from None

    async def _upload(self, reference: Reference, digest: str, short: str) -> None:
        """short: what to call it in lines of progress, or empty for none."""
        file = self._store.blobs.path(digest)
        if not await in_thread(file.exists):
            raise Unavailable(f"the blob {digest} of {reference} is not here", "pull or load the image again")
        size = await in_thread(self._store.blobs.size, [digest])

        def told(sent: int) -> None:
            if short:
                self._lines.put("Pushing", short, sent, size)

        upload = Upload(self._client, reference.path, digest, file)
        async with self._slots:
            how = await upload.run(self._neighbours.get(digest, ""), told)
        if short:
            self._lines.put(how, short)

    async def _push_attached(self, reference: Reference, digest: str) -> None:
        """A manifest that the index names beside its images, and its blobs before it."""
        data = await self._store.blobs.read(digest)
        manifest = parse_manifest(data, f"the manifest {digest[7:19]}")
        for blob in (manifest.config, *manifest.layers):
            await self._upload(reference, blob.digest, "")
        await self._put(reference, digest, data, read_media_type(data, "the manifest"))

    async def _put(self, reference: Reference, name: str, data: bytes, kind: str) -> None:
        await put_document(self._client, reference.path, name, data, kind)

    # -- what the tag names

    async def _find_top(self, reference: Reference, tag: Tag, images: Sequence[Image]) -> Top:
        """The index that the images came in, if it can be whole there; the image, if it is one; else a new index."""
        if tag.digest and self._wanted is None and await in_thread(self._store.blobs.has, tag.digest):
            data = await self._store.blobs.read(tag.digest)
            entries = [entry.digest for entry in parse_index(data, "the index")]
            ours = {image.manifest for image in images}
            here = ours | set(tag.attached)
            if ours <= set(entries) and await self._are_there(
                reference, [d for d in entries if d not in here]
            ):
                return Top(data, read_media_type(data, "the index"), tuple(entries))
        if len(images) == 1:
            data = await self._store.blobs.read(images[0].manifest)
            return Top(data, read_media_type(data, "the manifest"))
        data = await self._make_index(images)
        return Top(data, read_media_type(data, "the index"), tuple(image.manifest for image in images))

    async def _are_there(self, reference: Reference, digests: Sequence[str]) -> bool:
        for digest in digests:
            if not await has_document(self._client, reference.path, digest):
                return False
        return True

    async def _make_index(self, images: Sequence[Image]) -> bytes:
        """An index of some images, of Docker's kind if they are. The store keeps it."""
        entries = []
        for image in sorted(images, key=lambda image: str(image.platform)):
            data = await self._store.blobs.read(image.manifest)
            platform = {"architecture": image.platform.architecture, "os": image.platform.os}
            if image.platform.variant:
                platform["variant"] = image.platform.variant
            kind = read_media_type(data, "the manifest")
            entries.append(
                {"mediaType": kind, "size": len(data), "digest": image.manifest, "platform": platform}
            )
        docker = all(entry["mediaType"] == DOCKER_MANIFEST for entry in entries)
        kind = DOCKER_INDEX if docker else OCI_INDEX
        raw = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode()
        await in_thread(self._store.blobs.write_bytes, raw)
        return raw


def find_neighbours(catalog: Catalog, references: Sequence[Reference]) -> dict[str, str]:
    """For layers of what is pushed: a repository of the same registry that should have them, for images that were
    pulled from there, or pushed to it, have them."""
    images = [
        catalog.images[id] for ref in references for id in catalog.tags[ref.canonical].platforms.values()
    ]
    layers = {layer.digest for image in images for layer in image.layers}
    found: dict[str, str] = {}
    for name, tag in catalog.tags.items():
        known = parse_reference(name)
        if not known.digest or known.domain != references[0].domain or known.path == references[0].path:
            continue
        if known.path not in found.values() and len(set(found.values())) >= NEIGHBOURS_MAX:
            continue
        for id in tag.platforms.values():
            for layer in catalog.images[id].layers:
                if layer.digest in layers:
                    found.setdefault(layer.digest, known.path)
    return found
