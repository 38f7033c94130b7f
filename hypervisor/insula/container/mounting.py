"""From what create asks for to mount points, with the volumes that they need; and from those to a machine's shares.

Volumes are made at create, as in Docker, and those that were made for a create that failed go again. Sources are
looked at when they are used: at each start, and whenever a stopped container's files are.
"""

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from insula.agent.boot_document import SOCKETS_MAX, Mount, MountKind, disk_mount, socket_mount
from insula.container.mount_point import MountPoint, in_order, point_of
from insula.container.mount_request import MountRequest
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec
from insula.container.tmpfs import MS_RDONLY, normal_path, parse_tmpfs
from insula.errors import InsulaError, InvalidArgument, NotImplemented, Unavailable
from insula.machine.shares import PLACES, Share
from insula.machine.spec import BLOCK_DISKS
from insula.volume.block import is_new
from insula.volume.source import Source, find_source
from insula.volume.volume import Kind, Volume, VolumeSpec
from insula.volume.volumes import Volumes

Others = Callable[[str], tuple[MountPoint, ...]]
"""A container's name → its mount points. Raises NotFound."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A mount point as a machine gets it. share: None for memory of the machine's own; socket: the host's socket that
    connections to it are carried to, without links; disk: a block volume's."""

    point: MountPoint
    mount: Mount
    share: Share | None = None
    fills: bool = False
    """It is a new volume that is to have the image's files."""
    socket: Path | None = None
    disk: Path | None = None


# -- at create


async def make_mount_points(
    spec: ContainerSpec, settings: Settings, volumes: Volumes, others: Others, claims: ExitStack
) -> tuple[tuple[MountPoint, ...], tuple[str, ...]]:
    """And the names of the volumes that were not there. claims: what keeps the volumes from being removed meanwhile,
    for the caller to close once the container is known. Raises NotFound, InvalidArgument, Conflict, Unavailable; then
    no volume is left that was not there."""
    maker = _Maker(volumes, claims)
    try:
        points = await _points(spec, settings, maker, others)
        _check_blocks(points.values(), volumes)
    except BaseException:
        claims.close()
        await remove_made(volumes, maker.made)
        raise
    return tuple(in_order(points.values())), tuple(maker.made)


def _check_blocks(points: Iterable[MountPoint], volumes: Volumes) -> None:
    names = [point.name for point in points if is_block(point, volumes)]
    for name in names:
        if names.count(name) > 1:
            raise InvalidArgument(f"the block volume {name} can be mounted once in a container")
    if len(names) > BLOCK_DISKS:
        raise InvalidArgument(f"a container has {BLOCK_DISKS} block volumes at most, not {len(names)}")
    for point in points:
        if point.subpath and point.name in names:
            raise NotImplemented(  # noqa: F901 - our error, not Python's constant
                f"no part of the block volume {point.name} can be mounted: the host cannot look into it",
                "mount all of it",
            )


def is_block(point: MountPoint, volumes: Volumes) -> bool:
    """Whether it is of a volume that is a disk."""
    return bool(point.name) and volumes.has(point.name) and volumes.find(point.name).spec.kind is Kind.BLOCK


async def remove_made(volumes: Volumes, names: Iterable[str]) -> None:
    """Those that were made for a container that has not come to be; if somebody else has one by now, it stays."""
    for name in names:
        with suppress(InsulaError):
            await volumes.remove(name)


class _Maker:
    """Volumes for one container. made: those that were not there."""

    def __init__(self, volumes: Volumes, claims: ExitStack) -> None:
        self.made: list[str] = []
        self._volumes = volumes
        self._claims = claims

    def claim(self, name: str) -> None:
        self._claims.enter_context(self._volumes.claimed(name))

    async def make(self, spec: VolumeSpec) -> Volume:
        before = spec.name and self._volumes.has(spec.name)
        if before:
            self.claim(spec.name)
        volume = await self._volumes.create(spec)
        if not before:
            self.claim(volume.name)
            self.made.append(volume.name)
        return volume


async def _points(
    spec: ContainerSpec, settings: Settings, maker: _Maker, others: Others
) -> dict[str, MountPoint]:
    """By target; what is asked for itself goes over what another container has, an image's volume under all."""
    points: dict[str, MountPoint] = {}
    for from_ in spec.volumes_from:
        for point in others(from_.container):
            if point.kind != "tmpfs":
                if point.name:
                    maker.claim(point.name)
                read_only = point.read_only if from_.read_only is None else from_.read_only
                kept = replace(point, read_only=read_only, anonymous=False, no_copy=True)
                points[point.target] = kept
    for request in spec.mounts:
        points[request.path] = await _point(request, maker)
    taken = {*points, *map(normal_path, spec.tmpfs)}
    for target in dict.fromkeys((*settings.volumes, *spec.volumes)):
        if normal_path(target) not in taken:
            request = MountRequest("volume", "", target, driver=spec.volume_driver)
            points[request.path] = await _point(request, maker)
    if len(points) > PLACES:
        raise InvalidArgument(f"a container has {PLACES} mounts at most")
    return points


async def _point(request: MountRequest, maker: _Maker) -> MountPoint:
    if request.kind == "tmpfs":
        return point_of(request, "", "", anonymous=False)
    if request.kind == "bind":
        if not request.plain and not await asyncio.to_thread(os.path.exists, request.source):
            raise InvalidArgument(
                f'invalid mount config for type "bind": bind source path does not exist: {request.source}'
            )
        return point_of(request, request.source, "", anonymous=False)
    spec = VolumeSpec(request.source, request.driver, request.driver_options, request.labels)
    volume = await maker.make(spec)
    return point_of(request, str(volume.mountpoint), volume.name, anonymous=not request.source)


# -- at a start


async def place_mounts(
    spec: ContainerSpec, points: Iterable[MountPoint], volumes: Volumes, *, filling: bool = False
) -> tuple[Placed, ...]:
    """Every mount of a container in the order of mounting, its sources found. filling: new volumes are to get the
    image's files, those too that the container may only read. Raises InvalidArgument, NotFound, NotImplemented,
    Unavailable."""
    placed: list[Placed] = []
    used, sockets = {True: 0, False: 0}, 0
    for point in _all_in_order(spec, points):
        volume = volumes.find(point.name) if point.name else None
        if volume is not None and volume.spec.kind is Kind.TMPFS:
            point = replace(point, options=volume.spec.options.get("o", ""))
        if point.kind == "tmpfs" or (volume is not None and volume.spec.kind is Kind.TMPFS):
            placed.append(Placed(point, _tmpfs(point)))
            continue
        if volume is not None and volume.spec.kind is Kind.BLOCK:
            number = sum(at.disk is not None for at in placed)
            placed.append(await asyncio.to_thread(_place_disk, point, volume, number, filling))
            continue
        source = await asyncio.to_thread(_find, point, volume)
        if source.socket is not None:
            placed.append(Placed(point, socket_mount(point.target, *source.socket), socket=source.path))
            sockets += 1
            if sockets > SOCKETS_MAX:
                raise InvalidArgument(f"a container has {SOCKETS_MAX} sockets of the host's at most")
            continue
        number = used[source.is_folder]
        used[source.is_folder] += 1
        placed.append(_place(point, volume, source, number, filling=filling))
    return tuple(placed)


SOCKETS = "sockets"


def note_sockets(record: dict[str, Any], placed: Iterable[Placed]) -> None:
    """Puts into a guest's record which of its mounts are sockets of the host's, found at this start: whoever adopts
    it is to follow no link again, for a guest may have made it."""
    record[SOCKETS] = {str(place): str(at.socket) for place, at in enumerate(placed) if at.socket is not None}


def sockets_of(record: dict[str, Any] | None) -> dict[int, Path]:
    """By the place that a mount has in the boot document."""
    return {int(place): Path(path) for place, path in (record or {}).get(SOCKETS, {}).items()}


def _all_in_order(spec: ContainerSpec, points: Iterable[MountPoint]) -> list[MountPoint]:
    tmpfs = [
        MountPoint("tmpfs", normal_path(target), options=options) for target, options in spec.tmpfs.items()
    ]
    return in_order((*points, *tmpfs))


def _tmpfs(point: MountPoint) -> Mount:
    options = ",".join(part for part in (point.options, "ro" if point.read_only else "") if part)
    parsed = parse_tmpfs(point.target, options)
    return Mount(MountKind.TMPFS, "tmpfs", parsed.target, parsed.flags, parsed.data)


def _find(point: MountPoint, volume: Volume | None) -> Source:
    """Blocking."""
    path = Path(point.source)
    if volume is not None:
        path = volume.folder
    elif point.plain and not os.path.lexists(path):
        try:
            path.mkdir(parents=True)
            path.chmod(0o755)
        except OSError as error:
            raise Unavailable(f"error while creating mount source path '{path}': {error.strerror}") from error
    return find_source(path, point.subpath)


def _place(point: MountPoint, volume: Volume | None, source: Source, number: int, *, filling: bool) -> Placed:
    own = volume is not None and volume.spec.kind is Kind.FOLDER
    never = volume is not None and "ro" in volume.spec.options.get("o", "").split(",")
    fills = filling and volume is not None and _can_be_filled(volume)
    fills = fills and not (point.no_copy or point.subpath or never) and is_empty(source.path)
    read_only = (point.read_only and not fills) or never
    share = Share(
        source.path,
        source.identity,
        source.is_folder,
        number,
        read_only=read_only,
        recursive=point.recursive and not own,
        deep_read_only=point.deep_read_only,
        kept=own,
    )
    flags = MS_RDONLY if read_only else 0
    mount = Mount(MountKind.SHARE, f"{share.tag}:{share.name}", point.target, flags)
    return Placed(point, mount, share, fills)


def _place_disk(point: MountPoint, volume: Volume, number: int, filling: bool) -> Placed:
    """Blocking."""
    fills = filling and not point.no_copy and is_new(volume.mountpoint)
    flags = MS_RDONLY if point.read_only and not fills else 0
    mount = disk_mount(f"block{number}", point.target, volume.size, flags)
    return Placed(point, mount, fills=fills, disk=volume.mountpoint)


async def wants_filling(points: Iterable[MountPoint], volumes: Volumes) -> bool:
    """Whether there may be a volume that is to have the image's files. Raises NotFound."""
    for point in points:
        if point.name and not point.no_copy:
            volume = volumes.find(point.name)
            if _can_be_filled(volume) and await asyncio.to_thread(is_unfilled, volume):
                return True
    return False


def _can_be_filled(volume: Volume) -> bool:
    """A folder of the host's cannot be given the image's owners by an ordinary user's daemon."""
    return volume.spec.kind in (Kind.FOLDER, Kind.BLOCK) or (
        volume.spec.kind is Kind.BIND and os.geteuid() == 0
    )


def is_unfilled(volume: Volume) -> bool:
    """Blocking. Into a disk nobody looks: it is one that no machine has had."""
    return is_new(volume.mountpoint) if volume.spec.kind is Kind.BLOCK else is_empty(volume.folder)


def is_empty(folder: Path) -> bool:
    """Blocking."""
    try:
        with os.scandir(folder) as entries:
            return next(iter(entries), None) is None
    except OSError:
        return False
