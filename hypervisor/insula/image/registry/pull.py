"""An image out of a registry: manifest, config, layers at the same time, disks, and one transaction at the end.

Of an index the images of the wanted platforms are taken, or all of them with whatever lies beside (attestations), so
that it can be pushed again as it is. What the store has already is not fetched. A pull that ends early leaves no
image; the layers that were whole are there for the next one.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from insula.errors import InsulaError, InvalidArgument, NotFound
from insula.image.disk import LayerBlob
from insula.image.manifest import Descriptor, ImageConfig, Manifest, parse_config, parse_index, parse_manifest
from insula.image.record import NewImage
from insula.image.reference import DEFAULT_DOMAIN, ImagePlatform, Reference, host_architecture
from insula.image.registry.client import RegistryClient
from insula.image.registry.documents import Document, fetch_blob, fetch_manifest
from insula.image.registry.download import Downloads
from insula.image.registry.progress import Lines
from insula.image.registry.refusal import Refused, explain_pull, first_failure
from insula.image.store import ImageStore
from insula.thread import in_thread

ATTACHED_MAX = 64 << 20
IMAGES_MAX = 64
LIST_MAX = 4 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which images of an index. platforms: these, or the host's; all: every one, and what lies beside them."""

    platforms: tuple[ImagePlatform, ...] = ()
    all: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One image of what is pulled, before its layers are here."""

    document: Document
    manifest: Manifest
    config: ImageConfig


class Pull:
    """One pull of one reference."""

    def __init__(
        self,
        client: RegistryClient,
        store: ImageStore,
        downloads: Downloads,
        reference: Reference,
        lines: Lines,
    ) -> None:
        self._client = client
        self._store = store
        self._downloads = downloads
        self._reference = reference
        self._lines = lines

    async def run(self, wanted: Wanted) -> None:
        """Returns when the images are in the store, under the reference. Raises NotFound, Unavailable, Forbidden,
        InvalidArgument."""
        try:
            await self._run(wanted)
        except Refused as refused:
            if refused.status == 404 and not await self._is_there():
                refused = Refused(404, "DENIED", "requested access to the resource is denied")
            raise explain_pull(refused, self._reference) from refused

    async def _is_there(self) -> bool:
        """Whether the Hub's mirror has anything of the repository. The Hub denies what is not there, and clients know
        it by that; a mirror knows no manifest of it."""
        if self._reference.domain != DEFAULT_DOMAIN:
            return True
        try:
            await self._client.read(self._client.url(f"/v2/{self._reference.path}/tags/list?n=1"), LIST_MAX)
        except Refused as refused:
            return refused.status != 404
        except InsulaError:
            return True  # it cannot be asked: then what it has said first stands
        return True

    async def _run(self, wanted: Wanted) -> None:
        reference = self._reference
        top = await fetch_manifest(self._client, reference.path, reference.digest or reference.tag)
        entries = parse_index(top.data, "the index") if top.is_index else ()
        chosen = choose(entries, wanted, self._reference) if top.is_index else ()
        self._lines.put(f"Pulling from {reference.path}", reference.digest or reference.tag)
        async with self._store.writing():
            found = [await self._find_image(top)] if not top.is_index else []
            for entry in chosen:
                document = await fetch_manifest(self._client, reference.path, entry.digest, entry.size)
                if document.is_index:
                    raise InvalidArgument(
                        f"the index of {reference} names a further index, which is not read"
                    )
                found.append(await self._find_image(document, entry.platform))
            if not top.is_index:
                check_platform(found[0].config, wanted, reference)
            attached = await self._fetch_attached(entries) if wanted.all else ()
            digest = await self._keep(top) if top.is_index else ""
            newer = not self._is_here(found, digest)
            if newer:
                await self._fetch_layers(found)
            pinned = replace(reference, digest=top.digest).pinned
            names = (pinned,) if reference.digest else (reference.canonical, pinned)
            await self._store.add(
                [
                    NewImage(
                        image.config.raw, tuple(layer.digest for layer in image.manifest.layers), names,
                        manifest=image.document.digest, digest=digest, attached=attached, beside=True,
                    )
                    for image in found
                ]
            )  # fmt: skip
        self._lines.put(f"Digest: {top.digest}")
        if newer:
            self._lines.put(f"Status: Downloaded newer image for {reference.familiar}")
        else:
            self._lines.put(f"Status: Image is up to date for {reference.familiar}")
        self._store.publish("pull", reference.familiar, reference.familiar_name)

    async def _keep(self, document: Document) -> str:
        return await in_thread(self._store.blobs.write_bytes, document.data)

    async def _find_image(self, document: Document, platform: ImagePlatform | None = None) -> Found:
        """An image's manifest and config. platform: what the index says. Raises as `run`."""
        manifest = parse_manifest(document.data, f"the manifest {document.digest[7:19]}")
        media = manifest.config.media_type
        if "config" not in media and "container.image" not in media:
            raise InvalidArgument(f"{self._reference} is no image, but an artifact ({media[:80]!r})")
        raw = await self._read_config(manifest.config)
        config = parse_config(raw)
        if len(config.diff_ids) != len(manifest.layers):
            raise InvalidArgument(
                f"the image's config names {len(config.diff_ids)} layers, its manifest {len(manifest.layers)}"
            )
        if platform is not None and (platform.os, platform.architecture) != (config.os, config.architecture):
            raise InvalidArgument(f"the index says {platform} of an image that is for {config.platform}")
        await self._keep(document)
        return Found(document, manifest, config)

    async def _read_config(self, blob: Descriptor) -> bytes:
        if await in_thread(self._store.blobs.has, blob.digest):
            return await self._store.blobs.read(blob.digest)
        return await fetch_blob(self._client, self._reference.path, blob, "the image's config")

    def _is_here(self, found: Sequence[Found], digest: str) -> bool:
        """Whether the reference names these images already."""
        reference, catalog = self._reference, self._store.catalog
        tag = catalog.tags.get(reference.pinned if reference.digest else reference.canonical)
        if tag is None or (digest and tag.digest != digest):
            return False
        held = [catalog.images[id] for id in tag.platforms.values()]
        manifests = {image.manifest for image in held}
        return all(image.document.digest in manifests for image in found)

    async def _fetch_attached(self, entries: Sequence[Descriptor]) -> tuple[str, ...]:
        """What an index names beside images: kept as it is, for it belongs to the index."""
        kept: list[str] = []
        left = ATTACHED_MAX
        for entry in entries:
            if is_image(entry):
                continue
            document = await fetch_manifest(self._client, self._reference.path, entry.digest, entry.size)
            if document.is_index:
                raise InvalidArgument(
                    f"the index of {self._reference} names a further index, which is not read"
                )
            manifest = parse_manifest(document.data, f"the manifest {entry.digest[7:19]}")
            kept.append(await self._keep(document))
            for blob in (manifest.config, *manifest.layers):
                left -= blob.size
                if left < 0:
                    raise InvalidArgument(
                        f"what lies beside the images has more than {ATTACHED_MAX >> 20} MiB"
                    )
                await self._downloads.fetch(self._client, self._blob(blob), blob, lambda received: None)
                kept.append(blob.digest)
        return tuple(dict.fromkeys(kept))

    def _blob(self, blob: Descriptor) -> str:
        return f"/v2/{self._reference.path}/blobs/{blob.digest}"

    # -- layers

    async def _fetch_layers(self, found: Sequence[Found]) -> None:
        """All layers, at the same time; the first failure ends the others."""
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                for image in found:
                    count = len(image.manifest.layers)
                    for index, blob in enumerate(image.manifest.layers):
                        if blob.digest not in tasks:
                            layer = LayerBlob(blob.digest, image.config.diff_ids[index])
                            work = self._fetch_layer(blob, layer, index, count)
                            tasks[blob.digest] = group.create_task(work)
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from None

    async def _fetch_layer(self, blob: Descriptor, layer: LayerBlob, index: int, count: int) -> None:
        short = blob.digest[7:19]
        if await in_thread(self._store.blobs.has, blob.digest):
            self._lines.put("Already exists", short)
            return
        self._lines.put("Pulling fs layer", short)

        def told(received: int) -> None:
            self._lines.put("Downloading", short, received, blob.size)

        await self._downloads.fetch(self._client, self._blob(blob), blob, told)
        self._lines.put("Verifying Checksum", short)
        self._lines.put("Download complete", short)
        self._lines.put("Extracting", short, blob.size, blob.size)
        await self._store.prepare_disk(layer, index, count)
        self._lines.put("Pull complete", short)


# -- which images


def is_image(entry: Descriptor) -> bool:
    """Whether an entry of an index is for some platform; attestations are for none."""
    if "vnd.docker.reference.type" in entry.annotations:
        return False
    return entry.platform is None or "unknown" not in (entry.platform.os, entry.platform.architecture)


def choose(entries: Sequence[Descriptor], wanted: Wanted, reference: Reference) -> list[Descriptor]:
    """The entries of an index that are wanted. Raises NotFound for a platform that is not there, InvalidArgument."""
    images = [entry for entry in entries if is_image(entry)]
    if wanted.all:
        if not images:
            raise NotFound(f"the index of {reference} names no image")
        if len(images) > IMAGES_MAX:
            raise InvalidArgument(
                f"the index of {reference} names {len(images)} images ({IMAGES_MAX} at most)"
            )
        return list({entry.digest: entry for entry in images}.values())
    found: dict[str, Descriptor] = {}
    for platform in wanted.platforms or (ImagePlatform("linux", host_architecture()),):
        entry = best_entry(images, platform)
        if entry is None:
            names = ", ".join(sorted(str(entry.platform) for entry in images if entry.platform)) or "none"
            raise NotFound(
                f"no matching manifest for {platform} in the manifest list entries of {reference}",
                f"it has {names[:400]}",
            )
        found[entry.digest] = entry
    return list(found.values())


def best_entry(images: Sequence[Descriptor], wanted: ImagePlatform) -> Descriptor | None:
    """The entry for a platform: the very one, else one that it runs as well (an older variant of ARM)."""
    offers = [entry for entry in images if entry.platform is not None and entry.platform.offers(wanted)]
    for entry in offers:
        if entry.platform == wanted:
            return entry
    if offers:
        return offers[0]
    older = [
        (entry.platform.variant, entry)
        for entry in images
        if entry.platform is not None
        and wanted.architecture == "arm"
        and (entry.platform.os, entry.platform.architecture) == (wanted.os, "arm")
        and entry.platform.variant < wanted.variant
    ]
    return max(older, key=lambda pair: pair[0])[1] if older else None


def check_platform(config: ImageConfig, wanted: Wanted, reference: Reference) -> None:
    """An image without an index is for one platform: it must be that. Raises NotFound."""
    for platform in wanted.platforms:
        if not config.platform.offers(platform):
            raise NotFound(
                f"image with reference {reference} was found but does not provide the specified platform "
                f"({platform}): it is for {config.platform}"
            )
