"""A build's images, step by step: an image for each, most of them without a name and without disks of their own.

A step's layer is a tar that Insula itself has written, so its digest is known as it is received and nothing has to
read it again; its disks are made when somebody runs it (`complete`), which for most steps is never. The order of the
store holds: blobs, then disks, then the record.
"""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from insula.database import Database
from insula.errors import Conflict, InvalidArgument, Unavailable
from insula.image.blobs import BlobStore
from insula.image.catalog import Catalog
from insula.image.disk import DiskStore, LayerBlob
from insula.image.intake import ARCHIVE_MAX, receive_hashed
from insula.image.manifest import LAYERS_MAX, ImageConfig, parse_config
from insula.image.record import IMAGE, Image
from insula.image.reference import ImagePlatform
from insula.thread import in_thread

EMPTY_MAX = 1024
"""Bytes of a tar without any member: its end."""


@dataclass(frozen=True, slots=True)
class NewLayer:
    """A layer in staging. digest: empty if there is nothing in it."""

    path: Path
    digest: str


class Steps:
    """From the store, of which it is a part: what it writes is the store's."""

    def __init__(
        self,
        blobs: BlobStore,
        disks: DiskStore,
        catalog: Catalog,
        database: Database,
        writing: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        self._blobs = blobs
        self._disks = disks
        self._catalog = catalog
        self._database = database
        self._writing = writing

    def staging(self) -> AbstractAsyncContextManager[Path]:
        """A name for a file that is gone afterwards, whatever happens to the daemon."""
        return self._blobs.staging()

    def blob(self, digest: str) -> Path:
        """Where a layer's blob is."""
        return self._blobs.path(digest)

    async def unfold(
        self, source: Path, target: Path, what: str, place: tuple[int, int] | None = None
    ) -> None:
        """See DiskStore.unfold: compressed files of strangers, in the converter's jail."""
        await self._disks.unfold(source, target, what, place)

    def scratch(self, platform: ImagePlatform) -> Image:
        """The image of nothing, which is in no store: a root without any file."""
        config = make_config(empty_document(platform))
        return Image(config.id, config, (), (), 0, 0, 0)

    async def receive(self, layer: AsyncIterator[bytes], path: Path) -> NewLayer:
        """Takes a layer into a staged file. Raises InvalidArgument, Unavailable."""
        size, digest = await receive_hashed(layer, path, ARCHIVE_MAX)
        return NewLayer(path, digest if size > EMPTY_MAX else "")

    async def add(self, parent: Image | None, layer: NewLayer | None, document: dict[str, Any]) -> Image:
        """The image of a step. document: its config, without the layers. Raises InvalidArgument, Conflict,
        Unavailable."""
        layers = parent.layers if parent is not None else ()
        async with self._writing():
            if parent is not None and parent.id not in self._catalog.images:
                raise Conflict(f"the image {parent.id[7:19]} was removed while something was built on it")
            if layer is not None and layer.digest:
                if len(layers) >= LAYERS_MAX:
                    raise InvalidArgument(f"an image has {LAYERS_MAX} layers at most")
                await in_thread(self._blobs.take, layer.path, layer.digest)
                layers = (*layers, LayerBlob(layer.digest, layer.digest))
            diff_ids = [known.diff_id for known in layers]
            config = make_config({**document, "rootfs": {"type": "layers", "diff_ids": diff_ids}})
            known = self._catalog.images.get(config.id)
            if known is not None:  # the same again, to the last bit
                return self._catalog.shown(known)
            await in_thread(self._blobs.write_bytes, config.raw)
            image = Image(
                config.id, config, layers, (), 0, 0, time.time_ns(),
                parent=parent.id if parent is not None else "",
            )  # fmt: skip
            image = replace(image, size=await in_thread(self._blobs.size, image.blobs()))
            await self._save(image)
        return self._catalog.shown(image)

    async def complete(self, image: Image) -> Image:
        """The image with its disks, made now if they are missing. Raises InvalidArgument for a layer that is not what
        its digest says, Unavailable."""
        async with self._writing():
            disks = await self._disks.make(image.layers)
            disk_size = await in_thread(self._disks.size, disks)
            blobs = (
                await in_thread(self._blobs.size, image.blobs()) if image.id in self._catalog.images else 0
            )
            image = replace(image, disks=disks, disk_size=disk_size, size=disk_size + blobs)
            if image.id in self._catalog.images and self._catalog.images[image.id].disks != disks:
                await self._save(image.with_names((), ()))
        return self._catalog.shown(image)

    async def is_whole(self, image: Image) -> bool:
        """Whether everything that it is made of is there, each blob in its length."""
        known = self._catalog.images.get(image.id)
        if known is None:
            return False
        try:
            found = await in_thread(self._blobs.size, known.blobs())
        except OSError:
            return False
        return found == known.size - known.disk_size

    async def _save(self, image: Image) -> None:
        await self._database.run(lambda t: t.put(IMAGE, image.id, image.to_document()))
        self._catalog.images[image.id] = image


def empty_document(platform: ImagePlatform) -> dict[str, Any]:
    """A config that says nothing but its platform."""
    document: dict[str, Any] = {
        "architecture": platform.architecture, "os": platform.os, "config": {},
        "rootfs": {"type": "layers", "diff_ids": []}, "history": [],
    }  # fmt: skip
    if platform.variant:
        document["variant"] = platform.variant
    return document


def make_config(document: dict[str, Any]) -> ImageConfig:
    """Sorted, so that equal contents have equal ids. Raises InvalidArgument for what no image can be."""
    raw = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    try:
        return parse_config(raw)
    except RecursionError as error:
        raise Unavailable("the image's config is nested too deeply") from error
