"""All volumes of one state root: their records and folders. Who uses one is asked of whoever knows (`Users`).

A folder is made before its record and goes after it, so a daemon that dies between leaves an empty folder at most,
which the next start takes away, and never a record without one.
"""

import asyncio
import logging
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from insula.database import Database
from insula.errors import Conflict, InsulaError, NotFound, Unavailable
from insula.events import Event, EventBus
from insula.paths import Paths
from insula.volume.block import NEW, grow_disk, make_disk, mark_used, measure_disk
from insula.volume.volume import Kind, Volume, VolumeSpec, new_volume, volume_from_document

VOLUME = "volume"
FILES_MAX = 1_000_000
USERS_SHOWN = 5
REMOVED = ".removed-"
"""No volume's name begins so."""

Users = Callable[[str], Sequence[str]]
"""A volume's name → the ids of the containers that have it."""

log = logging.getLogger(__name__)


class Volumes:
    """For the event loop's thread only."""

    def __init__(self, paths: Paths, database: Database, events: EventBus) -> None:
        self._folder = paths.volumes
        self._database = database
        self._events = events
        self._volumes: dict[str, Volume] = {}
        self._filling: dict[str, asyncio.Lock] = {}
        self._claims: Counter[str] = Counter()
        self._holders: dict[str, tuple[str, int]] = {}
        self._let_go = asyncio.Event()
        self._changing = (
            asyncio.Lock()
        )  # or a folder could be made anew under a name that is just being taken away
        self.users: Users = lambda name: ()
        """Set once, by whoever has containers."""

    async def open(self) -> None:
        """Reads the records; takes away what an interrupted creation or removal left."""
        documents = await self._database.run(lambda t: t.all(VOLUME))
        for name, document in documents.items():
            try:
                self._volumes[name] = volume_from_document(name, document, self._folder)
            except (InsulaError, KeyError, TypeError) as error:
                log.error("the record of volume %s cannot be read: %s", name[:80], error)
        await asyncio.to_thread(_sweep, self._folder, set(documents))

    # -- looking

    def all(self) -> tuple[Volume, ...]:
        """By name."""
        return tuple(self._volumes[name] for name in sorted(self._volumes))

    def find(self, name: str) -> Volume:
        """Raises NotFound."""
        if name not in self._volumes:
            raise NotFound(f"get {name[:120]}: no such volume")
        return self._volumes[name]

    def has(self, name: str) -> bool:
        return name in self._volumes

    @contextmanager
    def claimed(self, name: str) -> Iterator[None]:
        """Meanwhile it is not removed: a container that nobody knows yet is to have it."""
        self._claims[name] += 1
        try:
            yield
        finally:
            self._claims[name] -= 1
            if not self._claims[name]:
                del self._claims[name]

    def holder(self, name: str) -> str:
        """Who has a block volume's disk in a machine; empty: nobody."""
        return self._holders.get(name, ("", 0))[0]

    @contextmanager
    def held(self, name: str, holder: str) -> Iterator[None]:
        """A block volume's disk is in this holder's machine, who may hold it several times over. Raises Conflict if
        it is in another's."""
        who, count = self._holders.get(name, (holder, 0))
        if who != holder:
            raise Conflict(f"volume {name} is attached to {who}")
        self._holders[name] = (holder, count + 1)
        try:
            yield
        finally:
            _, count = self._holders.pop(name)
            if count > 1:
                self._holders[name] = (holder, count - 1)
            self._let_go.set()

    async def until_let_go(self, name: str) -> None:
        """Returns when nobody holds a block volume's disk."""
        while self.holder(name):
            self._let_go.clear()
            await self._let_go.wait()

    async def mark_used(self, volume: Volume) -> None:
        """A machine gets a block volume's disk: from now on it is nobody's to fill. Raises Unavailable."""
        try:
            await asyncio.to_thread(mark_used, volume.mountpoint)
        except OSError as error:
            raise Unavailable(f"volume {volume.name}: {error.strerror}: {error.filename}") from error

    def _is_free(self, name: str) -> bool:
        return not self.users(name) and not self._claims[name]

    async def sizes(self) -> dict[str, int]:
        """Bytes that each volume's own files take; -1 where they are not its own."""
        return {volume.name: await self.size(volume) for volume in self.all()}

    async def size(self, volume: Volume) -> int:
        if volume.spec.kind is Kind.BLOCK:
            return await asyncio.to_thread(measure_disk, volume.mountpoint)
        if volume.spec.kind is not Kind.FOLDER:
            return -1
        return await asyncio.to_thread(_measure, volume.mountpoint)

    def filling(self, name: str) -> asyncio.Lock:
        """Held while a volume that is new gets the image's files."""
        return self._filling.setdefault(name, asyncio.Lock())

    # -- making

    async def create(self, spec: VolumeSpec) -> Volume:
        """The volume of that name if there is one, as in Docker; a block volume that is asked for larger grows.
        Raises Conflict if it was made otherwise, Unavailable."""
        async with self._changing:
            return await self._create(spec)

    async def _create(self, spec: VolumeSpec) -> Volume:
        if spec.name in self._volumes:
            known = self._volumes[spec.name]
            if known.spec.kind is Kind.BLOCK and spec.options and spec.kind is Kind.BLOCK:
                return await self._grow(known, spec)
            if spec.options and spec.options != known.spec.options:
                raise Conflict(
                    f"create {spec.name}: conflict: volume name must be unique: it is there with other options"
                )
            return known
        volume = new_volume(spec, self._folder)
        try:
            await asyncio.to_thread(_make, volume)
            if spec.kind is Kind.BLOCK:
                await make_disk(volume.mountpoint, volume.size)
        except OSError as error:
            raise Unavailable(f"create {volume.name}: {error.strerror}: {error.filename}") from error
        await self._database.run(lambda t: t.put(VOLUME, volume.name, volume.to_document()))
        self._volumes[volume.name] = volume
        self._publish("create", volume)
        return volume

    async def _grow(self, known: Volume, spec: VolumeSpec) -> Volume:
        """The disk at once; its file system when a machine mounts it next."""
        grown = replace(known, spec=replace(known.spec, options=spec.options))
        if grown.size < known.size:
            raise Conflict(
                f"create {spec.name}: conflict: volume name must be unique: it is there with "
                f"{known.spec.options['size']}, and a block volume does not shrink"
            )
        if grown.size > known.size:
            try:
                await asyncio.to_thread(grow_disk, known.mountpoint, grown.size)
            except OSError as error:
                raise Unavailable(f"create {spec.name}: {error.strerror}: {error.filename}") from error
            await self._database.run(lambda t: t.put(VOLUME, grown.name, grown.to_document()))
            self._volumes[grown.name] = grown
        return self._volumes[known.name]

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Raises NotFound (unless force), Conflict (in use), Unavailable."""
        async with self._changing:
            doomed = await self._remove(name, force=force)
        if doomed is not None:
            await asyncio.to_thread(_discard, doomed)

    async def _remove(self, name: str, *, force: bool) -> Path | None:
        """What is to be discarded of it: that may take long, and nobody else comes by it."""
        if force and name not in self._volumes:
            return None
        volume = self.find(name)
        users = self.users(name)
        if not self._is_free(name):
            raise Conflict(f"remove {name}: volume is in use - [{', '.join(users[:USERS_SHOWN])}]")
        del self._volumes[name]
        self._filling.pop(name, None)
        await self._database.run(lambda t: t.delete(VOLUME, name))
        try:
            doomed = await asyncio.to_thread(_set_aside, volume)
        except OSError as error:
            raise Unavailable(f"remove {name}: {error.strerror}: {error.filename}") from error
        self._publish("destroy", volume)
        return doomed

    async def release(self, names: Iterable[str]) -> None:
        """The anonymous volumes of a container that is gone, but for those that others have. What fails is logged."""
        for name in names:
            volume = self._volumes.get(name)
            if volume is None or not volume.anonymous or not self._is_free(name):
                continue
            try:
                await self.remove(name)
            except InsulaError as error:
                log.warning("volume %s is left behind: %s", name[:12], error)

    async def prune(self, matches: Callable[[Volume], bool]) -> tuple[list[str], int]:
        """Removes those that match and nobody has. Their names, and the bytes given back."""
        removed, reclaimed = [], 0
        for volume in self.all():
            if not (self._is_free(volume.name) and matches(volume)):
                continue
            size = await self.size(volume)
            if not self._is_free(volume.name) or volume.name not in self._volumes:
                continue
            await self.remove(volume.name)
            removed.append(volume.name)
            reclaimed += max(0, size)
        self._events.publish(Event("volume", "prune", "", {"reclaimed": str(reclaimed)}))
        return removed, reclaimed

    def _publish(self, action: str, volume: Volume) -> None:
        self._events.publish(Event("volume", action, volume.name, {"driver": "local"}))


# -- on the disk: blocking, for threads


def _make(volume: Volume) -> None:
    """The mode is Docker's; the folder above it lets nobody else in."""
    volume.mountpoint.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if volume.spec.kind is Kind.FOLDER:
        volume.mountpoint.mkdir(exist_ok=True)
        volume.mountpoint.chmod(0o755)


def _set_aside(volume: Volume) -> Path | None:
    """Under a name of its own: one of the same name may come and go before it is discarded."""
    folder = volume.mountpoint.parent
    if not folder.exists():
        return None
    return folder.rename(folder.with_name(f"{REMOVED}{secrets.token_hex(16)}"))


def _discard(doomed: Path) -> None:
    """Guests have written what is in it: links are removed, not followed. What cannot be removed goes at a later
    daemon's start."""
    try:
        _open_up(doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        log.warning("%s, of a volume that was removed, is left behind: %s", doomed, error)


def _open_up(folder: Path) -> None:
    """An ordinary user's own folders may have been closed to the user by a guest."""
    if os.geteuid() == 0:
        return
    for place, folders, _ in os.walk(folder):
        os.chmod(place, 0o700)
        for name in folders:
            if not os.path.islink(path := os.path.join(place, name)):
                os.chmod(path, 0o700)


def _sweep(folder: Path, known: set[str]) -> None:
    for path in folder.iterdir() if folder.exists() else ():
        if path.name in known:
            continue
        if path.name.startswith(REMOVED) or (path / NEW).exists():  # or a disk whose record was never written
            _discard(path)
        else:
            try:  # one whose record was never written is empty
                if (path / "_data").is_dir():
                    (path / "_data").rmdir()
                path.rmdir()
            except OSError:
                log.warning("%s is no volume that is known, and is left alone", path)


def _measure(folder: Path) -> int:
    """A file of several names counts once."""
    total, seen = 0, set()
    for count, (place, _, names) in enumerate(os.walk(folder)):
        if count > FILES_MAX:
            break
        for name in names:
            try:
                status = os.lstat(os.path.join(place, name))
            except OSError:
                continue
            if (status.st_dev, status.st_ino) not in seen:
                if status.st_nlink > 1:
                    seen.add((status.st_dev, status.st_ino))
                total += status.st_size
    return total
