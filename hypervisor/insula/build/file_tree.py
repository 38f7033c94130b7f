"""The files that COPY and ADD take from: a tar on disk, known by its index and never unpacked.

The context, another image's files, an archive that ADD opens: each is one plain file with an index in memory of
names, metadata and where the content lies. So a context of gigabytes costs memory for its names alone, and no
name that somebody has chosen ever becomes a path of this host. Links are followed here, within the tree.
Blocking; for a thread.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from insula.build.patterns import Ignore, compile_match, has_wildcards
from insula.errors import InvalidArgument
from insula.image.tar_reader import DIRECTORY, FILE, LINK, SYMLINK, Entry, TarReader, shown

MEMBERS_MAX = 1_000_000
NAMES_MAX = 256 << 20
LINKS_MAX = 40
CHUNK = 1 << 20


@dataclass(slots=True)
class Member:
    """One name. offset: of its stored content in the file; same_as: of a hard link, the name it is another one of."""

    entry: Entry
    offset: int = 0
    same_as: str = ""
    digest: str = field(default="", repr=False)

    @property
    def extents(self) -> list[tuple[int, int]]:
        if self.entry.extents is not None:
            return self.entry.extents
        return [(0, self.entry.size)] if self.entry.size else []


class _File:
    """An open file as the tar reader wants it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.position = 0

    def read(self, n: int) -> bytes:
        data = self.file.read(n)
        self.position += len(data)
        return data

    def skip(self, n: int) -> None:
        """Over content: where the file ends, reading goes on to say so."""
        self.file.seek(n, os.SEEK_CUR)
        self.position += n


class FileTree:
    """The members of a tar, by their names (relative, `/` between parts, the root is empty)."""

    def __init__(self, path: Path, what: str) -> None:
        """what: names it in failures. Raises InvalidArgument for what is no plain tar."""
        self.path = path
        self.members: dict[str, Member] = {"": Member(_folder())}
        self._children: dict[str, dict[str, None]] = {"": {}}
        self._what = what
        self._names = 0
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            source = _File(file)
            reader = TarReader(source, what, skip=source.skip)
            for entry in reader:
                offset = reader.data_offset()
                if entry.kind == FILE and offset + _stored(entry) > size:
                    raise InvalidArgument(f"{what} is not a usable tar archive: it is truncated")
                self._add(entry, offset)

    def _add(self, entry: Entry, offset: int) -> None:
        name = self._clean(entry.name)
        self._names += len(name)
        if len(self.members) > MEMBERS_MAX or self._names > NAMES_MAX:
            raise InvalidArgument(f"{self._what} has more than {MEMBERS_MAX} members")
        if entry.kind == LINK:
            target = self._clean(entry.link)
            found = self.members.get(target)
            if found is None or found.entry.kind == DIRECTORY:
                raise InvalidArgument(f"{self._what}: {shown(entry.name)} is a link to what is not there")
            self._place(name, Member(found.entry, found.offset, found.same_as or target))
            return
        self._place(name, Member(entry, offset))

    def _clean(self, raw: bytes) -> str:
        name = raw.decode("utf-8", "surrogateescape")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts or "\0" in name or len(raw) > 4095:
            raise InvalidArgument(f"{self._what}: the name {shown(raw)} leads out, or is none")
        return "/".join(parts)

    def _place(self, name: str, member: Member) -> None:
        """With the folders above it, where the tar leaves them out."""
        if not name:
            if member.entry.kind == DIRECTORY:
                self.members[""] = member
            return
        before = self.members.get(name)
        if before is not None and before.entry.kind == DIRECTORY != member.entry.kind:
            self._drop_below(name)
        self.members[name] = member
        if member.entry.kind == DIRECTORY:
            self._children.setdefault(name, {})
        parent, _, last = name.rpartition("/")
        if parent not in self._children:
            self._place(parent, Member(_folder()))
        self._children[parent][last] = None

    def _drop_below(self, name: str) -> None:
        for child in list(self._children.pop(name, {})):
            self._drop_below(f"{name}/{child}")
            del self.members[f"{name}/{child}"]

    def drop_ignored(self, ignore: Ignore) -> None:
        """Takes away what a `.dockerignore` means; folders stay where something in them does."""
        for name in sorted(self.members, key=lambda name: -name.count("/")):
            if name and not self._children.get(name) and ignore.drops(name):
                del self.members[name]
                self._children.pop(name, None)
                parent, _, last = name.rpartition("/")
                del self._children[parent][last]

    # -- looking

    def resolve(self, name: str) -> str | None:
        """What a name leads to with all links followed, within the tree; None if it is not there."""
        pending = [part for part in reversed(name.split("/")) if part not in ("", ".")]
        place: list[str] = []
        followed = 0
        while pending:
            part = pending.pop()
            if part == "..":
                place = place[:-1]
                continue
            path = "/".join([*place, part])
            member = self.members.get(path)
            if member is None:
                return None
            if member.entry.kind == SYMLINK:
                followed += 1
                if followed > LINKS_MAX:
                    return None
                target = member.entry.link.decode("utf-8", "surrogateescape")
                place = [] if target.startswith("/") else place
                pending += [item for item in reversed(target.split("/")) if item not in ("", ".")]
                continue
            place.append(part)
        return "/".join(place)

    def glob(self, pattern: str) -> list[str]:
        """The names that a pattern means, sorted; one without wildcards means itself. Links on the way are followed.
        Raises InvalidArgument for a bad pattern."""
        found = [""]
        for part in (part for part in pattern.split("/") if part not in ("", ".")):
            found = [name for base in found for name in self._glob_in(base, part)]
        return found

    def _glob_in(self, base: str, part: str) -> list[str]:
        folder = self.resolve(base)
        children = self._children.get(folder, {}) if folder is not None else {}
        prefix = f"{base}/" if base else ""
        if not has_wildcards(part):
            return [prefix + part] if part in children else []
        match = compile_match(part)
        return [prefix + child for child in sorted(children) if match.fullmatch(child)]

    def below(self, name: str) -> Iterator[str]:
        """All names in a folder, each before what is in it, in the order of their letters."""
        pending = [iter(sorted(self._children.get(name, {})))]
        place = [name] if name else []
        while pending:
            child = next(pending[-1], None)
            if child is None:
                pending.pop()
                if len(pending) >= 1:
                    place.pop()
                continue
            path = "/".join([*place, child])
            yield path
            if path in self._children:
                place.append(child)
                pending.append(iter(sorted(self._children[path])))

    # -- content

    def read(self, name: str, limit: int) -> bytes:
        """A small file's content. Raises InvalidArgument if it is larger, or no file."""
        member = self.members[name]
        if member.entry.kind != FILE or member.entry.size > limit:
            raise InvalidArgument(f"{name[:200]} in {self._what} is no file, or has more than {limit} bytes")
        content = bytearray(member.entry.size)
        with self.path.open("rb") as file:
            file.seek(member.offset)
            for offset, length in member.extents:
                content[offset : offset + length] = file.read(length)
        return bytes(content)

    def digest(self, name: str) -> str:
        """The SHA-256 of a file's content, its holes by their lengths."""
        member = self.members[name]
        if not member.digest:
            hash_ = hashlib.sha256()
            with self.path.open("rb") as file:
                file.seek(member.offset)
                for offset, length in member.extents:
                    hash_.update(b"%d %d " % (offset, length))
                    while length and (data := file.read(min(length, CHUNK))):
                        hash_.update(data)
                        length -= len(data)
            member.digest = hash_.hexdigest()
        return member.digest


def _folder() -> Entry:
    return Entry(b"", DIRECTORY, 0o755, 0, 0, 0)


def _stored(entry: Entry) -> int:
    return entry.size if entry.extents is None else sum(length for _, length in entry.extents)
