"""The disk that takes a container's writes: a copy of a blank file system (guest/blank_disk.py), made before it is
needed.

A few copies lie ready, so that a start only renames one.
"""

import asyncio
import secrets
from pathlib import Path

from insula.errors import InsulaError, Unavailable
from insula.guest.blank_disk import SIZE, VERSION, copy_sparse, make_blank
from insula.paths import Paths

SPARES = 4


class WritableDisks:
    """`open` and `close` bracket its life."""

    def __init__(self, paths: Paths, spares: int = SPARES) -> None:
        self._paths = paths
        self._wanted = spares
        self._blank = paths.writable_layers / f"blank-{VERSION}-{SIZE >> 30}g.ext4"
        self._spares: list[Path] = []
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Finds what is ready and starts making the rest."""
        await asyncio.to_thread(self._find)
        self._refill()

    def _find(self) -> None:
        self._blank.parent.mkdir(mode=0o700, exist_ok=True)
        for path in self._blank.parent.iterdir():
            if path.suffix == ".part":
                path.unlink()
            elif path.suffix == ".spare":
                self._spares.append(path)

    async def take(self, container_id: str, size: int = 0) -> Path:
        """The container's own disk: made now if it has none. size: bytes, 0 for the default. Raises Unavailable."""
        path = self._paths.writable_disk(container_id)
        try:
            if size not in (0, SIZE):
                if not await asyncio.to_thread(path.exists):
                    await self._make(path, size)
                return path
            spare = self._spares.pop() if self._spares else None
            if await asyncio.to_thread(_place, spare, path):
                self._refill()
                return path
            if spare is not None:
                self._spares.append(spare)
            if not await asyncio.to_thread(path.exists):
                await self._make_blank()
                await asyncio.to_thread(self._copy, path)
        except OSError as error:
            raise Unavailable(f"cannot make the writable layer {path}: {error.strerror}") from error
        return path

    def _refill(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._fill())

    async def _fill(self) -> None:
        """A failure (no space, no mkfs) is told to whoever then needs a disk."""
        try:
            await self._make_blank()
            while len(self._spares) < self._wanted:
                spare = self._blank.with_name(f"{secrets.token_hex(8)}.spare")
                await asyncio.to_thread(self._copy, spare)
                self._spares.append(spare)
        except (OSError, InsulaError):
            pass

    async def _make_blank(self) -> None:
        if not await asyncio.to_thread(self._blank.exists):
            await self._make(self._blank, SIZE)

    async def _make(self, path: Path, size: int) -> None:
        """A new file system, whole or not at all."""
        for folder in (self._blank.parent, path.parent):
            await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        await make_blank(path, size, self._blank.parent)

    def _copy(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy_sparse(self._blank, path)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


def _place(spare: Path | None, path: Path) -> bool:
    """Gives a spare to a container, unless there is none or it has a disk."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if spare is None or path.exists():
        return False
    spare.rename(path)
    return True
