"""Image layers, put one over another in memory: the tree that becomes a read-only disk.

Only names and metadata are kept; file content goes into the disk as it passes. One layer alone keeps its
whiteouts in overlayfs's form (a 0/0 character device, `trusted.overlay.opaque`); several merged layers apply
them. Refused: `..`, absolute names, links out of the root, more entries or bytes than the limits.
What cannot be decided without the layers below (a parent directory or a link's target that this layer does
not have) raises NeedsLower: the caller then merges it with them.
"""

from dataclasses import dataclass
from typing import BinaryIO

from insula.errors import InvalidArgument
from insula.image import tar_reader
from insula.image.decompress import Uncompressed
from insula.image.squashfs import BLOCK_SIZE, PREFIXES, FileData, Node
from insula.image.tar_reader import Entry, TarReader, shown

PATH_MAX = 4096
COMPONENT_MAX = 255
SYMLINKS_MAX = 40  # followed for one name, as in the kernel
WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
OVERLAY_XATTR = b"trusted.overlay."


@dataclass(frozen=True, slots=True)
class Limits:
    """What one conversion may cost. stream: uncompressed bytes of one layer; logical: sizes of all files with
    their holes; entries and names_per_directory: counts over all layers of the conversion."""

    stream: int = 64 << 30
    logical: int = 2 << 40
    entries: int = 1_000_000
    names_per_directory: int = 500_000


class NeedsLower(Exception):
    """This layer means something only together with the layers below it."""


class Tree:
    """The merged tree. `add_layer` in order, lowest first; then `finish`, and `root` is complete."""

    def __init__(self, limits: Limits, *, lowest: bool, merged: bool) -> None:
        """lowest: nothing lies below the first layer. merged: whiteouts are applied, not kept."""
        self.root = Node("dir")
        self._limits = limits
        self._lowest = lowest
        self._merged = merged
        self._entries = 0
        self._logical = 0
        self.content = 0  # bytes of the current layer's files
        self._fresh: set[tuple[int, bytes]] = (
            set()
        )  # (id(directory), name): put there, or below, by this layer
        self._whiteouts: list[list[bytes]] = []
        self._what = ""
        self.incomplete = False  # a parent directory was made up: not fit to lie over other layers

    def add_layer(self, stream: Uncompressed, what: str, out: BinaryIO) -> None:
        """Applies one layer's tar; file content goes to `out`. Reads the stream to its end.

        Raises InvalidArgument for what is refused, NeedsLower."""
        self._what, self.content = what, 0
        reader = TarReader(stream, what)
        for entry in reader:
            self._entries += 1
            if self._entries > self._limits.entries:
                raise InvalidArgument(f"{what} has more than {self._limits.entries} entries")
            self._check_size(entry, stream)
            self._apply(entry, reader, out)
        stream.drain()
        self._apply_whiteouts()

    def _fail(self, why: str) -> InvalidArgument:
        return InvalidArgument(f"{self._what}: {why}")

    def _check_size(self, entry: Entry, stream: Uncompressed) -> None:
        if entry.kind != tar_reader.FILE:
            return
        self._logical += entry.size
        self.content += entry.size
        if entry.extents is None and entry.size > stream.remaining:
            raise self._fail(f"{shown(entry.name)} has {entry.size} bytes, {stream.remaining} would fit")
        if self._logical > self._limits.logical:
            raise self._fail(f"its files have more than {self._limits.logical >> 30} GiB together")

    # -- names

    def _split(self, name: bytes, what: str) -> list[bytes]:
        """A name's parts. `./` and doubled slashes are dropped; what could leave the root is refused."""
        if len(name) > PATH_MAX or b"\0" in name:
            raise self._fail(f"{what} {shown(name)} is too long or has a NUL")
        parts = [part for part in name.split(b"/") if part not in (b"", b".")]
        if name.startswith(b"/") and parts:
            raise self._fail(f"{what} {shown(name)} is absolute")
        if b".." in parts:
            raise self._fail(f"{what} {shown(name)} leads upwards")
        if parts and max(map(len, parts)) > COMPONENT_MAX:
            raise self._fail(f"{what} {shown(name)} has a part of more than {COMPONENT_MAX} bytes")
        return parts

    def _parent(self, parts: list[bytes], *, make: bool, fresh: bool = True) -> Node:
        """The directory that holds the last part. Symbolic links on the way are followed inside the root;
        missing directories are made, if the layer decides about them."""
        node, path = self.root, [self.root]
        pending = list(reversed(parts[:-1]))
        followed = 0
        while pending:
            part = pending.pop()
            if part == b"..":
                if len(path) > 1:
                    path.pop()
                node = path[-1]
                continue
            child = node.children.get(part)
            if child is not None and child.kind == "symlink":
                followed += 1
                if followed > SYMLINKS_MAX or len(pending) > PATH_MAX:
                    raise self._fail(f"{shown(b'/'.join(parts))} goes through too many symbolic links")
                if child.target.startswith(b"/"):
                    node, path = self.root, [self.root]
                pending += [p for p in reversed(child.target.split(b"/")) if p not in (b"", b".")]
                continue
            if child is None or child.kind != "dir":
                if child is not None and not make:
                    raise self._fail(f"{shown(b'/'.join(parts))} is below something that is no directory")
                child = self._make_parent(node, part)
            if self._merged and fresh:
                self._fresh.add((id(node), part))
            node = child
            path.append(node)
            if len(path) > PATH_MAX:
                raise self._fail(f"{shown(b'/'.join(parts))} is too deep")
        return node

    def _make_parent(self, node: Node, part: bytes) -> Node:
        if not self._lowest:
            raise NeedsLower
        self.incomplete = True
        self._count()
        child = Node("dir", mtime=node.mtime)
        self._place(node, part, child)
        return child

    def _count(self) -> None:
        self._entries += 1
        if self._entries > self._limits.entries:
            raise InvalidArgument(f"{self._what} has more than {self._limits.entries} entries")

    def _place(self, parent: Node, name: bytes, node: Node) -> None:
        parent.children[name] = node
        if len(parent.children) > self._limits.names_per_directory:
            limit = self._limits.names_per_directory
            raise self._fail(f"a directory has more than {limit} names")
        if self._merged:
            self._fresh.add((id(parent), name))

    # -- entries

    def _apply(self, entry: Entry, reader: TarReader, out: BinaryIO) -> None:
        parts = self._split(entry.name, "the name")
        if not parts:
            if entry.kind == tar_reader.DIRECTORY:
                self._describe(self.root, entry)
            return
        if parts[-1].startswith(WHITEOUT):
            self._note_whiteout(parts)
            return
        if any(part.startswith(WHITEOUT) for part in parts):
            return  # aufs's own bookkeeping
        parent = self._parent(parts, make=True)
        name = parts[-1]
        existing = parent.children.get(name)
        if entry.kind == tar_reader.DIRECTORY:
            if existing is None or existing.kind != "dir":
                existing = Node("dir")
            self._place(parent, name, existing)
            self._describe(existing, entry)
        elif entry.kind == tar_reader.LINK:
            self._link(parent, name, entry)
        else:
            node = Node(entry.kind, device=entry.device)
            self._describe(node, entry)
            if entry.kind == tar_reader.SYMLINK:
                self._check_symlink(parts, entry)
                node.target, node.mode = entry.link, 0o777
            elif entry.kind == tar_reader.FILE:
                copy_data(entry, reader, out, node)
            self._place(parent, name, node)

    def _describe(self, node: Node, entry: Entry) -> None:
        node.mode, node.uid, node.gid, node.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
        kept = {
            name: value
            for name, value in entry.xattrs.items()
            if name[: name.find(b".") + 1] in PREFIXES and not name.startswith(OVERLAY_XATTR)
        }
        node.xattrs = kept or None

    def _link(self, parent: Node, name: bytes, entry: Entry) -> None:
        target = self._split(entry.link, "the hard link's target")
        if not target:
            raise self._fail(f"{shown(entry.name)} is a hard link to a directory")
        found = self._find(target)
        if found is None:
            if not self._lowest:
                raise NeedsLower
            raise self._fail(f"{shown(entry.name)} is a hard link to {shown(entry.link)}, which is not there")
        if found.kind == "dir":
            raise self._fail(f"{shown(entry.name)} is a hard link to a directory")
        self._place(parent, name, found)

    def _find(self, parts: list[bytes]) -> Node | None:
        node = self.root
        for part in parts[:-1]:
            child = node.children.get(part)
            if child is None:
                return None
            if child.kind == "symlink":
                return self._parent(parts, make=False).children.get(parts[-1])
            node = child
        return node.children.get(parts[-1])

    def _check_symlink(self, parts: list[bytes], entry: Entry) -> None:
        if not entry.link or len(entry.link) > PATH_MAX or b"\0" in entry.link:
            raise self._fail(f"the symbolic link {shown(entry.name)} has no usable target")
        if entry.link.startswith(b"/"):
            return  # the guest resolves it inside the container's root
        depth = len(parts) - 1
        for part in entry.link.split(b"/"):
            depth += -1 if part == b".." else 0 if part in (b"", b".") else 1
            if depth < 0:
                raise self._fail(
                    f"the symbolic link {shown(entry.name)} to {shown(entry.link)} leaves the root"
                )

    # -- whiteouts: they concern what lies below this layer, wherever in the layer they stand

    def _note_whiteout(self, parts: list[bytes]) -> None:
        name = parts[-1]
        if name != OPAQUE and (name == WHITEOUT or name.startswith(WHITEOUT + WHITEOUT)):
            return  # aufs's own bookkeeping
        if name in (WHITEOUT + b".", WHITEOUT + b".."):
            raise self._fail(f"the whiteout {shown(name)} names no file")
        self._whiteouts.append(parts)

    def _apply_whiteouts(self) -> None:
        """At the layer's end: an archive may hold them before the directories that they are in."""
        places = [(self._parent(parts, make=True, fresh=False), parts[-1]) for parts in self._whiteouts]
        self._whiteouts.clear()
        for directory, whiteout in places:
            if whiteout == OPAQUE:
                if self._merged:
                    self._purge(directory)
                else:
                    _set_opaque(directory)
                continue
            name = whiteout[len(WHITEOUT) :]
            child = directory.children.get(name)
            if self._merged:
                if child is not None and (id(directory), name) not in self._fresh:
                    del directory.children[name]
                elif child is not None and child.kind == "dir":
                    self._purge(child)
            elif child is None:
                self._place(directory, name, Node("char", mode=0))
            elif child.kind == "dir":
                _set_opaque(child)
        self._fresh.clear()

    def _purge(self, directory: Node) -> None:
        """Removes what lower layers put below a directory."""
        pending = [directory]
        while pending:
            node = pending.pop()
            for name, child in list(node.children.items()):
                if (id(node), name) not in self._fresh:
                    del node.children[name]
                elif child.kind == "dir":
                    pending.append(child)


def _set_opaque(node: Node) -> None:
    node.xattrs = {**(node.xattrs or {}), b"trusted.overlay.opaque": b"y"}


def copy_data(entry: Entry, reader: TarReader, out: BinaryIO, node: Node) -> None:
    """Puts a file's content into the disk, holes as holes."""
    data = FileData(out)
    position = 0
    for offset, length in [(0, entry.size)] if entry.extents is None else entry.extents:
        data.hole(offset - position)
        position = offset + length
        while length:
            chunk = reader.read_data(min(length, BLOCK_SIZE))
            data.write(chunk)
            length -= len(chunk)
    data.hole(entry.size - position)
    data.finish(node)
