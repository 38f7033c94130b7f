"""Where COPY and ADD take from: the context, another stage or image, an address, a here-document, an archive.

Gives a Copy (copying.py), and what of it the cache goes by. Files that are made on the way (a download, an archive's
content, another image's files) are staged, and gone with the build.
"""

import posixpath
import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from insula.agent.tree import Entry, Kind
from insula.build.copying import Copy, Copying, Item, Wish
from insula.build.file_tree import FileTree
from insula.build.parser import Instruction
from insula.build.patterns import compile_match, has_wildcards
from insula.build.stage_machine import StageMachine
from insula.container.trees import TreeFailure
from insula.errors import InvalidArgument
from insula.image.download import check_source, download, is_address
from insula.image.intake import ARCHIVE_MAX, receive
from insula.image.steps import Steps
from insula.image.tar_reader import FILE
from insula.image.unfold import is_compressed
from insula.thread import in_thread

TAR_MAGIC, TAR_AT = b"ustar", 257
NUMBERS = re.compile(r"[0-9]{1,9}(?::[0-9]{1,9})?")


class Taking:
    """Of one build. held: what ends with it."""

    def __init__(self, context: FileTree, steps: Steps, held: AsyncExitStack) -> None:
        self._context = context
        self._steps = steps
        self._held = held

    async def stage(self) -> Path:
        return await self._held.enter_async_context(self._steps.staging())

    async def from_context(
        self, instruction: Instruction, sources: list[str], wish: Wish, expand_text: Callable[[str], str]
    ) -> Copy:
        """expand_text: for here-documents. Raises InvalidArgument, Unavailable, NotImplemented."""
        copying = Copying(instruction.name, wish)
        texts = {heredoc.name: heredoc for heredoc in instruction.heredocs}
        for source in sources:
            match = re.fullmatch(r"<<-?[\"']?([^\"']+?)[\"']?", source)
            if match and match[1] in texts:
                heredoc = texts[match[1]]
                text = expand_text(heredoc.content) if heredoc.expands else heredoc.content
                copying.take_text(heredoc.name, text.encode("utf-8", "surrogateescape"))
            elif instruction.name == "ADD" and (is_address(source) or source.startswith(("git", "ssh"))):
                check_source(source, "ADD")
                if is_address(source):
                    await self._download(copying, source, wish)
                else:
                    await in_thread(copying.take, self._context, source)
            elif instruction.name == "ADD" and wish.unpacks:
                await self._add(copying, source, wish)
            else:
                await in_thread(copying.take, self._context, source)
        return copying.finish()

    async def _download(self, copying: Copying, source: str, wish: Wish) -> None:
        found = await download(source, await self.stage(), "ADD", checksum=wish.checksum)
        size = (await in_thread(found.path.stat)).st_size
        uid, gid = wish.owner or (0, 0)
        entry = Entry(
            Kind.FILE, 0o600 if wish.mode is None else wish.mode, uid, gid, found.mtime, size=size,
            path=found.name.encode("utf-8", "surrogateescape") or b"index", extents=((0, size),) if size else (),
        )  # fmt: skip
        copying.take_item(Item(entry, found.path, digest=found.digest))

    async def _add(self, copying: Copying, source: str, wish: Wish) -> None:
        """A file of the context that is an archive is unpacked, whatever it is called."""
        tree = self._context
        place = tree.resolve(posixpath.normpath(source.lstrip("/") or "."))
        member = tree.members.get(place) if place is not None else None
        if (
            has_wildcards(source)
            or member is None
            or member.entry.kind != FILE
            or member.entry.extents is not None
        ):
            await in_thread(copying.take, tree, source)
            return
        archive = await self._open_archive(tree, member.offset, member.entry.size, source)
        if archive is None:
            await in_thread(copying.take, tree, source)
        else:
            own = Copying("ADD", replace(wish, owner=None) if wish.owner == (0, 0) else wish)
            await in_thread(own.take_all, archive)
            copying.take_copy(own)

    async def _open_archive(self, tree: FileTree, offset: int, size: int, source: str) -> FileTree | None:
        """What is in a file of the context if it is a tar, compressed or not; None if it is something else."""
        what = f"the archive {source[:200]}"
        if not await in_thread(is_compressed, tree.path, offset) and not await in_thread(
            _is_tar, tree.path, offset, size
        ):
            return None
        plain = await self.stage()
        try:
            if await in_thread(is_compressed, tree.path, offset):
                await self._steps.unfold(tree.path, plain, what, (offset, size))
            else:
                await in_thread(_cut_out, tree.path, plain, offset, size)
            if not await in_thread(_is_tar, plain, 0, (await in_thread(plain.stat)).st_size):
                return None
            return await in_thread(FileTree, plain, what)
        except InvalidArgument:
            if await in_thread(_is_tar, tree.path, offset, size):
                raise
            return None  # it only looks like one: copied as it is

    async def from_machine(self, name: str, machine: StageMachine, sources: list[str], wish: Wish) -> Copy:
        """Of another stage's or image's files. Raises InvalidArgument."""
        copying = Copying(name, wish)
        for source in sources:
            clean = posixpath.normpath(source.replace("/./", "/").lstrip("/") or ".").removeprefix(".")
            if clean.startswith(".."):
                raise InvalidArgument(
                    f"{name} failed: forbidden path outside the build context: {source[:200]} ()"
                )
            try:
                names = await _matching(machine, clean) if has_wildcards(clean) else [clean]
                if not names:
                    raise InvalidArgument(f"{name} failed: no source files were specified")
                for found in names:
                    path = await self.stage()
                    await receive(machine.tar(found), path, ARCHIVE_MAX)
                    tree = await in_thread(FileTree, path, f"the files at {found[:200]}")
                    pivot = source if "/./" in source and not has_wildcards(clean) else found
                    await in_thread(copying.take, tree, pivot)
            except TreeFailure as error:
                raise InvalidArgument(
                    f"{name} failed: stat {source[:200]}: {str(error).rpartition(': ')[2]}"
                ) from error
        return copying.finish()


async def _matching(machine: StageMachine, pattern: str) -> list[str]:
    parts = pattern.split("/")
    fixed = next(number for number, part in enumerate(parts) if has_wildcards(part))
    folder, rest = "/".join(parts[:fixed]), compile_match("/".join(parts[fixed:]))
    names = [name for name in await machine.names(folder) if rest.fullmatch(name)]
    return sorted(f"{folder}/{name}".lstrip("/") for name in names)


def _is_tar(path: Path, offset: int, size: int) -> bool:
    with path.open("rb") as file:
        file.seek(offset + TAR_AT)
        return size >= 512 and file.read(len(TAR_MAGIC)) == TAR_MAGIC


def _cut_out(source: Path, target: Path, offset: int, size: int) -> None:
    with source.open("rb") as file, target.open("xb") as out:
        file.seek(offset)
        while size and (data := file.read(min(size, 1 << 20))):
            out.write(data)
            size -= len(data)


def read_mode(text: str) -> int:
    """`--chmod=755`. Raises InvalidArgument."""
    if not re.fullmatch(r"[0-7]{1,5}", text) or int(text, 8) > 0o7777:
        raise InvalidArgument(
            f"invalid chmod parameter: '{text[:40]}'. it should be octal string and between 0 and 07777"
        )
    return int(text, 8)


def read_owner(text: str) -> tuple[tuple[int, int] | None, str]:
    """`--chown`: numbers, or else the name that the guest is to look up; a name alone is the group's too."""
    if NUMBERS.fullmatch(text):
        uid, _, gid = text.partition(":")
        return (int(uid), int(gid or uid)), ""
    return (0, 0), text if ":" in text else f"{text}:{text}"
