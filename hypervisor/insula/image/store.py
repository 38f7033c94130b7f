"""The image store: what `load`, `import`, `images`, `tag`, `rmi` and every start ask.

Order makes it safe to be killed anywhere: blobs, then disks, then one database transaction with the records
of everything that an operation adds. What has no record is garbage, and `open` removes it. Garbage is
collected only while nothing is being added; what a running container's rootfs holds is never removed.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from insula.database import Database, Transaction
from insula.errors import InvalidArgument, Unavailable
from insula.events import Event, EventBus
from insula.image.archive import Loaded, LoadEvent, LoadProgress, read_archive
from insula.image.blobs import BlobStore
from insula.image.catalog import Catalog, in_use_by_container, no_such_image
from insula.image.change import Change, make_imported_config
from insula.image.disk import DiskStore, LayerBlob
from insula.image.intake import ARCHIVE_MAX, receive
from insula.image.jail import JailLimits
from insula.image.layer import Limits
from insula.image.leftovers import Leftovers
from insula.image.manifest import parse_config
from insula.image.packing import pack
from insula.image.record import IMAGE, TAG, Image, NewImage, Removed, Rootfs, Tag, image_from_document
from insula.image.reference import parse_platform, parse_reference
from insula.image.steps import Steps
from insula.image.usage import ImagesUsage, measure_images
from insula.paths import Paths
from insula.thread import in_thread

log = logging.getLogger(__name__)


class ImageStore:
    """All images of one state root. `open` and `close` bracket its life."""

    def __init__(
        self,
        paths: Paths,
        database: Database,
        events: EventBus,
        limits: Limits | None = None,
        jail_limits: JailLimits | None = None,
    ) -> None:
        self._database = database
        self._events = events
        self._limits = limits or Limits()
        self.blobs = BlobStore(paths)
        self.disks = DiskStore(paths, self.blobs, self._limits, jail_limits or JailLimits())
        self.catalog = Catalog()
        self.leftovers = Leftovers(database)
        self._held: Counter[str] = Counter()  # disks of open rootfs
        self._gate = asyncio.Lock()
        self._writers, self._sweep_due = 0, False
        self.pruning = asyncio.Lock()
        self.steps = Steps(self.blobs, self.disks, self.catalog, database, self.writing)

    async def open(self) -> None:
        """Reads the records and removes what an earlier daemon left unfinished."""
        await in_thread(self.blobs.make)
        await in_thread(self.blobs.remove_staged)
        await self.leftovers.open()
        images, tags = await self._database.run(lambda t: (t.all(IMAGE), t.all(TAG)))
        for id, document in images.items():
            try:
                config = parse_config(await self.blobs.read(id))
                if config.id != id:
                    raise InvalidArgument(f"its config has the digest {config.id}")
            except (Unavailable, InvalidArgument) as error:
                log.warning("the image %s is damaged and left out: %s", id, error)
                continue
            self.catalog.images[id] = image_from_document(config, document)
        for name, document in tags.items():
            known = {p: id for p, id in document["platforms"].items() if id in self.catalog.images}
            if known:
                attached = tuple(document.get("attached", ()))
                self.catalog.tags[name] = Tag(known, document["digest"], attached)
        await self._sweep()

    async def close(self) -> None:
        """Ends running converters; the records are complete at any moment."""
        await self.disks.close()

    # -- lookups

    def find(self, reference: str, platform: str | None = None) -> Image:
        """The image that a reference or id names. Raises NotFound, InvalidArgument. See Catalog.find."""
        return self.catalog.find(reference, platform)

    def list(
        self, filters: Mapping[str, Sequence[str]] | None = None, *, every: bool = False
    ) -> tuple[Image, ...]:
        """Images, newest first. filters: as `docker images --filter`; every: a build's steps too. Raises
        InvalidArgument."""
        return tuple(self.catalog.list(filters or {}, every=every))

    def platforms(self, reference: str) -> tuple[str, ...]:
        """The platforms that a reference has. Raises NotFound, InvalidArgument."""
        return tuple(sorted(self.catalog.candidates(reference)))

    async def usage(self) -> ImagesUsage:
        """What all images take of the disk."""
        folders = self.disks.folder, self.blobs.folder
        return await in_thread(measure_images, tuple(self.catalog.images.values()), *folders)

    # -- additions

    async def load(
        self, stream: AsyncIterator[bytes], platform: str | None = None
    ) -> AsyncIterator[LoadEvent]:
        """`docker load`: yields progress, then one Loaded a tag or image. Nothing is kept if it fails.

        platform: keep only this one. Raises InvalidArgument, Unavailable."""
        wanted = parse_platform(platform) if platform else None
        async with self.writing():
            async with self.blobs.staging() as path, self.blobs.staging() as plain:
                await receive(stream, path, ARCHIVE_MAX)
                yield LoadProgress("Reading archive")
                new = await read_archive(path, plain, self.blobs, self.disks.diff_id, wanted)
            images = []
            for number, item in enumerate(new, 1):
                yield LoadProgress("Making disks", current=number, total=len(new))
                images.append(await self._make_image(item))
            await self._commit(list(zip(new, images, strict=True)))
        tags = dict.fromkeys(tag for item in new for tag in item.tags)
        for tag in tags:
            name = parse_reference(tag).familiar
            id = self.find(tag).id
            self.publish("load", id, name)
            yield Loaded(id, name)
        for item, image in zip(new, images, strict=True):
            if not item.tags:
                self.publish("load", image.id, image.id)
                yield Loaded(image.id)

    async def import_(self, stream: AsyncIterator[bytes], change: Change) -> Image:
        """`docker import`: one layer out of a root file system's tar. Raises InvalidArgument, Unavailable."""
        make_imported_config(change, "sha256:" + 64 * "0")  # refuses wrong changes before reading
        async with self.blobs.staging() as path:
            await receive(stream, path, ARCHIVE_MAX)
            return await self.import_file(path, change)

    async def import_file(self, path: Path, change: Change) -> Image:
        """As `import_`, from a file of this host that the store does not keep."""
        tag = parse_reference(change.reference).canonical if change.reference else ""
        async with self.writing():
            layer = await in_thread(self._store_file, path)
            diff_id = await self.disks.diff_id(layer, "the root file system")
            config = make_imported_config(change, diff_id)
            tags = (tag,) if tag else ()
            item = NewImage(config, (layer,), tags, comment=change.message, beside=change.beside)
            image = await self._make_image(item)
            await self._commit([(item, image)])
        self.publish("import", image.id, change.reference or image.id)
        return self.find(image.id)

    async def commit(
        self,
        parent: Image,
        layer: AsyncIterator[bytes],
        make_config: Callable[[str], bytes],
        reference: str = "",
        comment: str = "",
    ) -> Image:
        """An image of another one's layers, which the caller holds, and one more, a tar. make_config: the config, by
        the layer's diff_id. Raises InvalidArgument, Unavailable."""
        tags = (parse_reference(reference).canonical,) if reference else ()
        async with self.blobs.staging() as path:
            await receive(layer, path, ARCHIVE_MAX)
            async with self.writing():
                blob = await in_thread(self._store_file, path)
                diff_id = await self.disks.diff_id(blob, "the container's changes")
                layers = (*(known.digest for known in parent.layers), blob)
                item = NewImage(make_config(diff_id), layers, tags, parent=parent.id, comment=comment)
                image = await self._make_image(item)
                await self._commit([(item, image)])
        if reference:
            self.publish("tag", image.id, parse_reference(reference).familiar)
        return self.find(image.id)

    async def add_images(
        self, items: Sequence[tuple[bytes, Sequence[Path], Sequence[str]]]
    ) -> tuple[Image, ...]:
        """Images made on this host: (config bytes, layer files lowest first, references), in one transaction;
        the references keep their images of other platforms.

        Raises InvalidArgument, Unavailable."""
        async with self.writing():
            pairs = []
            for config, files, references in items:
                layers = [await in_thread(self._store_file, file) for file in files]
                tags = tuple(parse_reference(reference).canonical for reference in references)
                item = NewImage(config, tuple(layers), tags, beside=True)
                await in_thread(self.blobs.write_bytes, config)
                pairs.append((item, await self._make_image(item)))
            await self._commit(pairs)
        return tuple(self.find(image.id) for _, image in pairs)

    async def add(self, items: Sequence[NewImage]) -> tuple[Image, ...]:
        """Images of stored blobs, in one transaction; for whoever is `writing`. Raises InvalidArgument."""
        images = [await self._make_image(item) for item in items]
        await self._commit(list(zip(items, images, strict=True)))
        await self.leftovers.forget({digest for image in images for digest in image.blobs()})
        return tuple(self.catalog.shown(image) for image in images)

    async def pack(self, image: Image, told: Callable[[str, int, int], None]) -> Image:
        """The image with a manifest, fit to be pushed; for whoever is `writing`. See packing.py."""
        return await pack(image, self.blobs, self.catalog, self._database, told)

    async def prepare_disk(self, layer: LayerBlob, index: int, count: int) -> None:
        """Makes the disk of one layer of `count`, if it gets one of its own: what `add` will want."""
        await self.disks.prepare(layer, index, count)

    def _store_file(self, path: Path) -> str:
        with path.open("rb") as file:
            return self.blobs.copy_from(file, path.stat().st_size, None, "the layer")

    async def _make_image(self, item: NewImage) -> Image:
        """The image of stored blobs, with its disks made."""
        config = parse_config(item.config)
        if len(config.diff_ids) != len(item.layers):
            raise InvalidArgument(
                f"the image's config names {len(config.diff_ids)} layers, its manifest {len(item.layers)}"
            )
        await in_thread(self.blobs.write_bytes, item.config)
        layers = tuple(LayerBlob(*pair) for pair in zip(item.layers, config.diff_ids, strict=True))
        disks = await self.disks.make(layers)
        disk_size = await in_thread(self.disks.size, disks)
        image = Image(
            id=config.id, config=config, layers=layers, disks=disks, size=0, disk_size=disk_size,
            loaded_at=time.time_ns(), manifest=item.manifest, parent=item.parent, comment=item.comment,
        )  # fmt: skip
        return replace(image, size=disk_size + await in_thread(self.blobs.size, image.blobs()))

    async def _commit(self, pairs: Sequence[tuple[NewImage, Image]]) -> None:
        """Writes all records, then shows them. Images of one operation under one tag are its platforms."""
        tags: dict[str, Tag] = {}
        for item, image in pairs:
            for name in item.tags:
                kept = self.catalog.tags.get(name, Tag({})) if item.beside else Tag({})
                before = tags.get(name, kept)
                platforms = {**before.platforms, str(image.platform): image.id}
                attached = item.attached or (before.attached if before.digest == item.digest else ())
                tags[name] = Tag(platforms, item.digest or before.digest, attached)

        def write(transaction: Transaction) -> None:
            for _, image in pairs:
                transaction.put(IMAGE, image.id, image.to_document())
            for name, tag in tags.items():
                transaction.put(TAG, name, tag.to_document())

        await self._database.run(write)
        for _, image in pairs:
            self.catalog.images[image.id] = image
        self.catalog.tags.update(tags)

    # -- names and removal

    async def tag(self, source: str | Sequence[Image], target: str) -> None:
        """Gives the target's name to what the source names, or to images of different platforms. Raises NotFound,
        InvalidArgument."""
        reference = parse_reference(target)
        if reference.digest:
            raise InvalidArgument("refusing to create a tag with a digest reference")
        if isinstance(source, str):
            found = self.catalog.find_tag(source)
            tag = found[1] if found else Tag({p: i.id for p, i in self.catalog.candidates(source).items()})
        else:
            tag = Tag({str(image.platform): image.id for image in source})
        await self.name(reference.canonical, tag)
        self.publish("tag", self.find(target).id, reference.familiar)

    async def name(self, canonical: str, tag: Tag) -> None:
        """Lets a canonical name, with a tag or pinned to a digest, stand for these images."""
        await self._database.run(lambda t: t.put(TAG, canonical, tag.to_document()))
        if all(id in self.catalog.images for id in tag.platforms.values()):
            self.catalog.tags[canonical] = tag
        else:  # removed meanwhile
            await self._database.run(lambda t: t.delete(TAG, canonical))

    async def remove(
        self,
        reference: str,
        *,
        force: bool = False,
        in_use: set[str] | frozenset[str] = frozenset(),
        parents: bool = True,
    ) -> tuple[Removed, ...]:
        """`docker rmi`: takes the tag away and deletes each image that nothing else names; parents: and the steps
        that it was built from.

        in_use: ids of images that containers use. Raises NotFound, Conflict, InvalidArgument."""
        found = self.catalog.find_tag(reference)
        if found:
            names = [found[0].canonical]
            if not found[0].digest:
                names += self.catalog.pinned_alone(found[0])
            ids = sorted(set(found[1].platforms.values()))
            unnamed = [id for id in ids if set(self.catalog.tags_of(id)) <= set(names)]
            if not force and (used := [id for id in unnamed if id in in_use]):
                raise in_use_by_container(reference, used[0], "must force")
            deleted = [id for id in unnamed if id not in in_use]
        else:
            image = self.catalog.find_by_id(reference)
            if image is None:
                raise no_such_image(reference)
            names = list(self.catalog.names_to_remove(image, reference, force, in_use))
            ids = deleted = [image.id]
        deleted += self.catalog.lonely_parents(deleted, in_use) if parents else []
        whole = found is not None and found[1] is self.catalog.tags.get(names[0])
        await self._delete(names, deleted, whole=whole)
        removed = [Removed(untagged=parse_reference(name).familiar) for name in names]
        for name in names:
            self.publish("untag", (deleted or ids)[0], parse_reference(name).familiar)
        for id in deleted:
            self.publish("delete", id, id)
        return (*removed, *(Removed(deleted=id) for id in deleted))

    async def _delete(self, names: Sequence[str], ids: Sequence[str], *, whole: bool) -> None:
        """Removes tags, or only those of their platforms that are deleted, and images, in one transaction."""
        rest = {} if whole or not ids else self.catalog.narrowed(names, set(ids))

        def write(transaction: Transaction) -> None:
            for name in names:
                if name in rest:
                    transaction.put(TAG, name, rest[name].to_document())
                else:
                    transaction.delete(TAG, name)
            for id in ids:
                transaction.delete(IMAGE, id)

        await self._database.run(write)
        for name in names:
            del self.catalog.tags[name]
        self.catalog.tags.update(rest)
        for id in ids:
            del self.catalog.images[id]
        await self._sweep()

    # -- root file systems

    @asynccontextmanager
    async def open_rootfs(self, image: Image) -> AsyncIterator[Rootfs]:
        """The image's disks, made again if they are missing; they stay until this context ends.

        Raises Unavailable, InvalidArgument."""
        disks = image.disks
        self._held.update(disks)
        try:
            if not await in_thread(self.disks.has, disks):
                made = (await self.steps.complete(image)).disks
                self._held.update(made)
                self._held.subtract(disks)
                disks = made
            yield Rootfs(image.id, tuple(self.disks.path(name) for name in disks), image.config)
        finally:
            self._held.subtract(disks)

    # -- garbage

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """While blobs or disks are added: nothing is collected. After a failure, what was added is."""
        async with self._gate:
            self._writers += 1
        try:
            yield
        except BaseException:
            self._sweep_due = True
            raise
        finally:
            self._writers -= 1
            if self._sweep_due and not self._writers:
                await asyncio.shield(self._sweep())

    async def _sweep(self) -> None:
        """Deletes blobs and disks that no record names and no rootfs holds; later, if something is added."""
        async with self._gate:
            if self._writers:
                self._sweep_due = True
                return
            self._sweep_due = False
            images = self.catalog.images.values()
            blobs = {digest for image in images for digest in image.blobs()}
            blobs |= {digest for tag in self.catalog.tags.values() for digest in (tag.digest, *tag.attached)}
            blobs |= await self.leftovers.forget(blobs)
            disks = {name for image in images for name in image.disks}
            disks |= {name for name, count in self._held.items() if count > 0}
            await in_thread(self.blobs.remove_others, blobs)
            await in_thread(self.disks.remove_others, disks)

    def publish(self, action: str, id: str, name: str) -> None:
        self._events.publish(Event("image", action, id, {"name": name}))
