"""What a path in a container is, as clients of the archive endpoints are told; and how they write paths. Pure."""

import posixpath
from dataclasses import dataclass

from insula.agent.process_spec import PATH_MAX
from insula.agent.tree import Entry, Kind
from insula.errors import InvalidArgument

FileKind = Kind
DIRECTORY_SIZE = 4096  # what a file system says of a small one


@dataclass(frozen=True, slots=True)
class PathStat:
    """name: the path's last part as it was asked for; mode: permission bits with set-id and sticky; link_target: of a
    symbolic link, where it leads to in the end, from the container's root."""

    name: str
    kind: FileKind
    size: int
    mode: int
    mtime_ns: int
    link_target: str


def stat_of(path: str, entry: Entry) -> PathStat:
    """path: as `absolute` gives it."""
    link = entry.link.decode("utf-8", "surrogateescape") if entry.kind is FileKind.SYMBOLIC_LINK else ""
    sizes = {FileKind.DIRECTORY: DIRECTORY_SIZE, FileKind.SYMBOLIC_LINK: len(entry.link)}
    size = sizes.get(entry.kind, entry.size)
    mtime_ns = entry.mtime_seconds * 1_000_000_000 + entry.mtime_nanoseconds
    return PathStat(base_of(path), entry.kind, size, entry.mode, mtime_ns, link)


def absolute(path: str) -> str:
    """From the container's root, `.` and `..` taken out as they are written, a `/` or `/.` at the end kept: by those
    a client asks for what a link leads to. Raises InvalidArgument."""
    if "\0" in path or len(path.encode("utf-8", "surrogateescape")) > PATH_MAX:
        raise InvalidArgument("the path is not a path in a container: it is too long or has a NUL in it")
    clean = posixpath.normpath("/" + path.lstrip("/"))
    if clean == "/":
        return "/"
    if path.rpartition("/")[2] == "." and path != ".":
        return f"{clean}/."
    return f"{clean}/" if path.endswith("/") else clean


def base_of(path: str) -> str:
    """The last part: of `/` that itself, of `/etc/` `etc`, of `/etc/.` the dot."""
    return path.rstrip("/").rpartition("/")[2] or "/"


def below_root(path: str) -> str:
    """As the agent takes it."""
    return path.lstrip("/")
