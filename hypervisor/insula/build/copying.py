"""What COPY and ADD put where: from patterns and flags to the entries that a guest is to write. Pure but for
hashing.

Sources are names in a FileTree or small texts; the result is a list of items relative to one folder of the image,
with modes and owners as the instruction wants them, and a digest of all that makes a difference. Times make none,
as with Docker. Where the folder is, and whether it is one, the guest says when it writes.
"""

import hashlib
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from insula.agent.tree import END, Entry, Kind
from insula.build.file_tree import CHUNK, FileTree, Member
from insula.build.patterns import has_wildcards, make_ignore
from insula.errors import InvalidArgument
from insula.image import tar_reader

OVERLAY = b"trusted.overlay."  # what these say is the machine's own to say
KINDS = {
    tar_reader.FILE: Kind.FILE, tar_reader.SYMLINK: Kind.SYMBOLIC_LINK, tar_reader.DIRECTORY: Kind.DIRECTORY,
    tar_reader.FIFO: Kind.FIFO, tar_reader.CHARACTER: Kind.CHARACTER_DEVICE,
    tar_reader.BLOCK_DEVICE: Kind.BLOCK_DEVICE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """One entry and where its content is: in a file from an offset on, or here."""

    entry: Entry
    file: Path | None = None
    offset: int = 0
    data: bytes = b""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """How files are to be taken. mode: None leaves each its own; owner: numbers, None leaves each its own;
    parents: with the folders above them; excludes: patterns of what is left out; checksum: of a download;
    unpacks: ADD opens archives."""

    mode: int | None = None
    owner: tuple[int, int] | None = (0, 0)
    parents: bool = False
    excludes: tuple[str, ...] = ()
    checksum: str = ""
    unpacks: bool = True


@dataclass(slots=True)
class Copy:
    """items: in order, by paths relative to the destination's folder; single: one file, whose name the
    destination may give; kind: as history tells it (`file`, `dir`, `multi`)."""

    items: list[Item] = field(default_factory=list)
    single: bool = False
    kind: str = "file"

    def digest(self) -> str:
        """Of everything but times."""
        hash_ = hashlib.sha256()
        for item in self.items:
            entry = item.entry
            known = (entry.kind.value, entry.mode, entry.uid, entry.gid, entry.size, entry.major, entry.minor)
            hash_.update(repr((known, entry.path, entry.link, entry.xattrs, item.digest)).encode())
        return hash_.hexdigest()


class Copying:
    """Collects the items of one instruction."""

    def __init__(self, name: str, wish: Wish) -> None:
        self._name = name
        self._wish = wish
        self._ignore = make_ignore(wish.excludes)
        self._taken: dict[
            tuple[Path, str], bytes
        ] = {}  # where a file is already: others of it are links there
        self._roots: list[str] = []
        self.copy = Copy()

    def finish(self) -> Copy:
        """Raises InvalidArgument if there is nothing."""
        if not self._roots:
            raise InvalidArgument(f"{self._name} failed: no source files were specified")
        self.copy.single = self._roots == ["file"] and not self._wish.parents
        self.copy.kind = self._roots[0] if len(self._roots) == 1 else "multi"
        return self.copy

    def take_text(self, name: str, content: bytes, mode: int = 0o644, mtime: int = 0) -> None:
        """A file of this content (a here-document, a download's small kin)."""
        self._roots.append("file")
        uid, gid = self._wish.owner or (0, 0)
        mode = mode if self._wish.mode is None else self._wish.mode
        extents = ((0, len(content)),) if content else ()
        entry = Entry(Kind.FILE, mode, uid, gid, mtime, size=len(content), path=_bytes(name), extents=extents)
        self.copy.items.append(Item(entry, data=content, digest=hashlib.sha256(content).hexdigest()))

    def take_item(self, item: Item) -> None:
        """A file that is here already."""
        self._roots.append("file")
        self.copy.items.append(item)

    def take_copy(self, other: "Copying") -> None:
        """All of another one's."""
        self._roots += other._roots
        self.copy.items += other.copy.items

    def take(self, tree: FileTree, source: str) -> None:
        """What a pattern means. Raises InvalidArgument."""
        for root in find(self._name, tree, source):
            place = tree.resolve(root)
            if place is None:
                raise _missing(self._name, root)
            if tree.members[place].entry.kind == tar_reader.DIRECTORY:
                self._take_folder(tree, place, self._prefix(tree, source, root, folder=True))
            else:
                prefix = self._prefix(tree, source, root, folder=False)
                name = posixpath.basename(root) or posixpath.basename(place)
                if not self._ignore.drops(name):
                    self._roots.append("file")
                    self._add(tree, place, prefix + name)

    def take_all(self, tree: FileTree) -> None:
        """An unpacked archive: all of it, with the owners that it says unless others are asked for."""
        self._take_folder(tree, "", "")

    def take_member(self, tree: FileTree, name: str) -> None:
        """One name alone, as it is."""
        self._add(tree, name, name)

    def _prefix(self, tree: FileTree, source: str, root: str, *, folder: bool) -> str:
        """With --parents: the folders above, behind the last `/./` of the source, which come along."""
        if not self._wish.parents:
            return ""
        pivot = posixpath.normpath(source.rpartition("/./")[0]).strip("/") if "/./" in source else ""
        kept = root[len(pivot) :].lstrip("/") if pivot else root
        parent = kept if folder else posixpath.dirname(kept)
        parts = parent.split("/") if parent else []
        for number in range(len(parts)):
            path = "/".join(parts[: number + 1])
            place = tree.resolve(f"{pivot}/{path}".strip("/"))
            if place is not None and _bytes(path) not in {item.entry.path for item in self.copy.items}:
                self._add(tree, place, path)
        return f"{parent}/" if parent else ""

    def _take_folder(self, tree: FileTree, place: str, prefix: str) -> None:
        self._roots.append("dir")
        for name in tree.below(place):
            inner = name[len(place) :].lstrip("/")
            if not self._ignore or not self._ignore.drops(inner):
                self._add(tree, name, prefix + inner)

    def _add(self, tree: FileTree, name: str, path: str) -> None:
        member = tree.members[name]
        entry = self._entry(member, _bytes(path))
        if entry.kind is Kind.FILE:
            key = (tree.path, member.same_as or name)
            first = self._taken.setdefault(key, entry.path)
            if first != entry.path and member.entry.size:
                link = replace(entry, kind=Kind.HARD_LINK, link=first, size=0, extents=(), xattrs=())
                self.copy.items.append(Item(link))
                return
            self.copy.items.append(Item(entry, tree.path, member.offset, digest=tree.digest(name)))
        else:
            self.copy.items.append(Item(entry))

    def _entry(self, member: Member, path: bytes) -> Entry:
        source, kind = member.entry, KINDS[member.entry.kind]
        uid, gid = self._wish.owner or (source.uid, source.gid)
        xattrs = tuple(item for item in source.xattrs.items() if not item[0].startswith(OVERLAY))
        mode = source.mode
        if self._wish.mode is not None and kind is not Kind.SYMBOLIC_LINK:
            mode = self._wish.mode
        return Entry(
            kind, mode, uid, gid, source.mtime, source.nanoseconds, *source.device,
            size=source.size if kind is Kind.FILE else 0, path=path, link=source.link,
            xattrs=xattrs, extents=tuple(member.extents) if kind is Kind.FILE else (),
        )  # fmt: skip


def find(name: str, tree: FileTree, source: str) -> list[str]:
    """The roots that a source means. Raises InvalidArgument."""
    clean = posixpath.normpath(source.lstrip("/") or ".")
    if clean.startswith(".."):
        raise InvalidArgument(f"{name} failed: forbidden path outside the build context: {source[:200]} ()")
    clean = "" if clean == "." else clean
    if has_wildcards(clean):
        return tree.glob(clean)
    if tree.resolve(clean) is None:
        raise _missing(name, source)
    return [clean]


def _missing(name: str, source: str) -> InvalidArgument:
    return InvalidArgument(
        f"{name} failed: file not found in build context or excluded by .dockerignore: "
        f"stat {source[:200]}: file does not exist"
    )


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def tree_of(items: Sequence[Item]) -> Iterator[bytes]:
    """The tree's bytes, its end included. Blocking: it reads files."""
    for item in items:
        yield item.entry.encode()
        if item.data:
            yield item.data
        elif item.file is not None and item.entry.stored:
            with item.file.open("rb") as file:
                file.seek(item.offset)
                left = item.entry.stored
                while left:
                    data = file.read(min(left, CHUNK))
                    if not data:
                        raise InvalidArgument(f"{item.entry.path[:200]!r} has become shorter")
                    left -= len(data)
                    yield data
    yield END.encode()
