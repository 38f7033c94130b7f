"""What a container has mounted, as its record keeps it: decided once at create, the same at every start. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from insula.container.mount_request import MountRequest


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One. kind: 'bind', 'volume', 'tmpfs'; target: normal; source: a path of the host, of a volume its folder;
    name: the volume's; anonymous: the volume was made for this container; plain, mode, recursive, deep_read_only,
    subpath, no_copy, options: as MountRequest has them."""

    kind: str
    target: str
    source: str = ""
    name: str = ""
    read_only: bool = False
    anonymous: bool = False
    plain: bool = False
    mode: str = ""
    recursive: bool = True
    deep_read_only: bool = True
    subpath: str = ""
    no_copy: bool = False
    options: str = ""


def point_of(request: MountRequest, source: str, name: str, *, anonymous: bool) -> MountPoint:
    """source: where a volume's files are, or what was asked for."""
    return MountPoint(
        kind=request.kind,
        target=request.path,
        source=source,
        name=name,
        read_only=request.read_only,
        anonymous=anonymous,
        plain=request.plain,
        mode=request.mode,
        recursive=request.recursive,
        deep_read_only=request.deep_read_only,
        subpath=request.subpath,
        no_copy=request.no_copy,
        options=request.options,
    )


def in_order(points: Iterable[MountPoint]) -> list[MountPoint]:
    """What lies below another comes later."""
    return sorted(points, key=lambda point: point.target.count("/") if point.target != "/" else 0)


def point_for(points: Iterable[MountPoint], path: str) -> MountPoint | None:
    """The one that a normal path lies in, by its words alone; None: the container's own files."""
    found = None
    for point in in_order(points):
        if path == point.target or path.startswith(f"{point.target}/"):
            found = point
    return found
