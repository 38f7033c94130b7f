"""`--squash`: the layers that a build has added, as one.

The layers are tars that Insula's own steps made; each is known by its index (file_tree.py), and the new one is
written out of their contents. What one layer took away of another one is gone; what they took away of the base is
still marked. Nothing is unpacked.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from insula.agent.tar import tar_from_tree
from insula.agent.tree import Entry, Kind
from insula.build.copying import Copying, Item, Wish, tree_of
from insula.build.file_tree import FileTree
from insula.image.disk import LayerBlob
from insula.image.record import Image
from insula.image.steps import Steps
from insula.image.tar_reader import DIRECTORY
from insula.image.unfold import is_compressed
from insula.thread import in_thread

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"


async def squash(
    steps: Steps,
    base: Image | None,
    image: Image,
    document: dict[str, Any],
    names_of_base: Callable[[], Awaitable[set[str]]],
) -> Image:
    """The image of the base's layers and one more. document: the image's config; names_of_base: all of it,
    asked for only if something may have to be marked as gone. Raises InvalidArgument, Conflict, Unavailable."""
    added = image.layers[len(base.layers) if base is not None else 0 :]
    if not added:
        return image
    async with AsyncExitStack() as held:
        trees = [await _open(steps, layer, held) for layer in added]
        merged = await in_thread(merge, trees)
        if merged.marks:
            merged.keep_marks(await names_of_base())
        items = await in_thread(items_of, merged)
        path = await held.enter_async_context(steps.staging())
        layer = await steps.receive(tar_from_tree(_pieces(items)), path)
        history = _history(base, image, document)
        if not layer.digest:
            history[-1]["empty_layer"] = True
        return await steps.add(base, layer, {**document, "history": history})


async def _open(steps: Steps, layer: LayerBlob, held: AsyncExitStack) -> FileTree:
    path = steps.blob(layer.digest)
    what = f"the layer {layer.diff_id[7:19]}"
    if await in_thread(is_compressed, path):  # it has been pushed
        plain = await held.enter_async_context(steps.staging())
        await steps.unfold(path, plain, what)
        path = plain
    return await in_thread(FileTree, path, what)


def _history(base: Image | None, image: Image, document: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps go on to be told; what they wrote is in the one that ends them."""
    kept = len(base.history) if base is not None else 0
    history = list(document.get("history") or ())
    told = [{**step, "empty_layer": True} for step in history[kept:]]
    onto = base.id[7:19] if base is not None else "scratch"
    last = {"created": document["created"], "comment": f"merge {image.id[7:19]} to {onto}"}
    return [*history[:kept], *told, last]


async def _pieces(items: Sequence[Item]) -> AsyncIterator[bytes]:
    pieces = tree_of(items)
    while (piece := await in_thread(next, pieces, None)) is not None:
        yield piece


@dataclass(slots=True)
class Merged:
    """names: each with the tree that has it; None for a mark that something of the base is gone."""

    names: dict[str, FileTree | None] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)

    def drop_below(self, folder: str) -> None:
        prefix = f"{folder}/" if folder else ""
        for name in [name for name in self.names if name.startswith(prefix) and name != folder]:
            del self.names[name]
            self.folders.discard(name)

    def drop(self, name: str) -> None:
        if name in self.folders:
            self.drop_below(name)
        self.folders.discard(name)
        self.names.pop(name, None)

    def take_away(self, name: str) -> None:
        """What a mark of the layer that comes means for those below it."""
        folder, slash, last = name.rpartition("/")
        if last == OPAQUE:
            self.drop_below(folder)
        else:
            self.drop(folder + slash + last.removeprefix(WHITEOUT))
        self.names[name] = None

    @property
    def marks(self) -> list[str]:
        return [name for name, tree in self.names.items() if tree is None]

    def keep_marks(self, base: set[str]) -> None:
        """Those that mean something of the base: where nothing lies below, a guest would see the mark itself."""
        for mark in self.marks:
            folder, slash, last = mark.rpartition("/")
            gone = folder if last == OPAQUE else folder + slash + last.removeprefix(WHITEOUT)
            if gone not in base:
                del self.names[mark]

    def put(self, name: str, tree: FileTree) -> None:
        is_folder = tree.members[name].entry.kind == DIRECTORY
        folder, slash, last = name.rpartition("/")
        mark = folder + slash + WHITEOUT + last
        if not is_folder:
            self.drop(name)
        self.names[name] = tree
        if mark in self.names:  # gone from below, and made anew
            del self.names[mark]
            if is_folder:
                self.names[f"{name}/{OPAQUE}"] = None
        if is_folder:
            self.folders.add(name)


def merge(trees: Sequence[FileTree]) -> Merged:
    """Lowest first. Blocking."""
    merged = Merged()
    for tree in trees:
        names = list(tree.below(""))
        marks = {name for name in names if name.rpartition("/")[2].startswith(WHITEOUT)}
        for name in names:
            if name in marks:
                merged.take_away(name)
        for name in names:
            if name not in marks:
                merged.put(name, tree)
    return merged


def items_of(merged: Merged) -> list[Item]:
    """In the order of a tree. Blocking."""
    copying = Copying("squash", Wish(owner=None))
    # by their parts: a folder comes before what is in it
    for name in sorted(merged.names, key=lambda name: name.split("/")):
        found = merged.names[name]
        if found is None:
            mark = Entry(Kind.FILE, 0o600, path=name.encode("utf-8", "surrogateescape"))
            copying.copy.items.append(Item(mark))
        else:
            copying.take_member(found, name)
    return copying.copy.items
