"""Layers → read-only disks, made once by a jailed converter and shared by every container.

A layer's disk is named by its diff_id and this converter's version; the digest of what the converter really
read must be that diff_id, or nothing is kept. A machine takes MAX_LAYER_DISKS disks: the lowest layers of a
deeper image are merged into one, and so are layers that cannot be read without those below them. However many
ask for a disk at a time, one converter runs.
"""

import asyncio
import errno
import hashlib
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from insula import errors
from insula.errors import InsulaError, Internal, InvalidArgument, Unavailable
from insula.image.blobs import BlobStore, full_disk, sync_folder
from insula.image.jail import JailLimits, jail_argv
from insula.image.layer import Limits
from insula.image.shared import SharedWork
from insula.image.squashfs import data_size
from insula.lent import open_lent_blocking
from insula.paths import Paths
from insula.process import TAIL, run
from insula.thread import in_thread

MAX_LAYER_DISKS = 8
CONVERTERS_MAX = 2
VERSION = "v2"
SECONDS = 1800.0
XCPU_STATUS = 128 + 24


@dataclass(frozen=True, slots=True)
class LayerBlob:
    """One layer of an image: its blob as it came, and the digest of its content uncompressed."""

    digest: str
    diff_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a converter said of its layers."""

    diff_ids: tuple[str, ...]
    needs_lower: bool
    incomplete: bool


class DiskStore:
    """The folder of layer disks."""

    def __init__(self, paths: Paths, blobs: BlobStore, limits: Limits, jail_limits: JailLimits) -> None:
        self.folder = paths.layer_disks
        self._blobs = blobs
        self._limits = limits
        self._jail_limits = jail_limits
        self._conversions: SharedWork[str | None] = SharedWork()
        self._slots = asyncio.Semaphore(CONVERTERS_MAX)

    def path(self, name: str) -> Path:
        return self.folder / name

    def size(self, names: Sequence[str]) -> int:
        """Bytes of some disks together. Blocking."""
        return sum(self.path(name).stat().st_size for name in names)

    def layer_sizes(self, layers: Sequence[LayerBlob]) -> list[int]:
        """Bytes of each layer's files, from its own disk, or of its blob if it has none. Blocking."""
        return [self._layer_size(layer) for layer in layers]

    def _layer_size(self, layer: LayerBlob) -> int:
        digits = layer.diff_id.removeprefix("sha256:")
        own = (self.path(f"{digits}-{VERSION}.squashfs"), self.path(f"{digits}-base-{VERSION}.squashfs"))
        for path in own:
            with suppress(FileNotFoundError), path.open("rb") as image:
                return data_size(image)
        with suppress(FileNotFoundError):
            return self._blobs.path(layer.digest).stat().st_size
        return 0

    def has(self, names: Sequence[str]) -> bool:
        return bool(names) and all(self.path(name).exists() and _version(name) == VERSION for name in names)

    def remove_others(self, wanted: set[str]) -> int:
        """Deletes every disk that is not wanted; gives the bytes that were freed. Blocking."""
        freed = 0
        for path in self.folder.iterdir():
            if path.name not in wanted:
                freed += path.stat().st_size
                path.unlink(missing_ok=True)
        return freed

    async def make(self, layers: Sequence[LayerBlob]) -> tuple[str, ...]:
        """The names of an image's disks, lowest first; those that are missing are made.

        Raises InvalidArgument for a layer that is refused or is not what its digest says."""
        merged = merged_layers(len(layers))
        names: list[str] = []
        if merged or not layers:
            names.append(await self._merge(layers[:merged]))
        for index in range(merged, len(layers)):
            name = await self._single(layers[index], index)
            if name is None:
                names = [await self._merge(layers[: index + 1])]
            else:
                names.append(name)
        return tuple(names)

    async def prepare(self, layer: LayerBlob, index: int, count: int) -> None:
        """Makes the disk of one layer of an image of `count`, if it has one of its own: what `make` will find."""
        if index >= merged_layers(count):
            await self._single(layer, index)

    async def diff_id(self, digest: str, what: str) -> str:
        """The digest of a layer blob's uncompressed content, for formats that do not tell it."""
        async with self._blobs.staging() as out:
            answer = await self._convert([self._blobs.path(digest)], [what], out, mode="digest")
        return answer.diff_ids[0]

    async def unfold(self, source: Path, out: Path, what: str, place: tuple[int, int] | None = None) -> None:
        """Writes what a compressed file, or a piece of one (offset, size), unfolds to into a new staged file. Raises
        InvalidArgument for what is damaged or unfolds to too much, Unavailable."""
        async with self._slots:
            await self._convert([source], [what], out, "unfold", place)

    # -- one disk

    async def _single(self, layer: LayerBlob, index: int) -> str | None:
        """A layer's own disk; None if it needs those below it."""
        digits = layer.diff_id.removeprefix("sha256:")
        name, base = f"{digits}-{VERSION}.squashfs", f"{digits}-base-{VERSION}.squashfs"
        for candidate in (name, base) if index == 0 else (name,):
            if self.path(candidate).exists():
                return candidate

        async def build() -> str | None:
            mode = "lowest" if index == 0 else "upper"
            async with self._blobs.staging() as out:
                answer = await self._convert(
                    [self._blobs.path(layer.digest)], [f"layer {index + 1}"], out, mode
                )
                if answer.needs_lower:
                    return None
                _check_digests([layer], answer, index)
                return await self._keep(out, base if answer.incomplete else name)

        return await self._once(name + ("-lowest" if index == 0 else ""), build)

    async def _merge(self, layers: Sequence[LayerBlob]) -> str:
        chain = hashlib.sha256(" ".join(layer.diff_id for layer in layers).encode()).hexdigest()
        name = f"{chain}-merged-{VERSION}.squashfs"
        if self.path(name).exists():
            return name

        async def build() -> str | None:
            whats = [f"layer {index + 1}" for index in range(len(layers))]
            async with self._blobs.staging() as out:
                answer = await self._convert(
                    [self._blobs.path(one.digest) for one in layers], whats, out, "merge"
                )
                _check_digests(layers, answer, 0)
                return await self._keep(out, name)

        made = await self._once(name, build)
        assert made is not None, "a merge needs no lower layer"
        return made

    async def _once(self, key: str, build: Callable[[], Awaitable[str | None]]) -> str | None:
        async def limited() -> str | None:
            async with self._slots:
                return await build()

        return await self._conversions.run(key, limited)

    async def close(self) -> None:
        """Ends the converters that still run."""
        await self._conversions.close()

    async def _keep(self, staged: Path, name: str) -> str:
        def rename() -> None:
            staged.chmod(0o400)
            staged.rename(self.path(name))
            sync_folder(self.folder)

        try:
            await in_thread(rename)
        except OSError as error:
            raise full_disk(error, self.folder) from error
        return name

    # -- the converter

    async def _convert(
        self,
        sources: Sequence[Path],
        whats: Sequence[str],
        out: Path,
        mode: str,
        place: tuple[int, int] | None = None,
    ) -> Answer:
        descriptors: list[int] = []
        try:
            await in_thread(self._open, sources, out, descriptors)
            layers = [{"fd": fd, "what": what} for fd, what in zip(descriptors, whats, strict=False)]
            request = {"mode": mode, "layers": layers, "out": descriptors[-1], "limits": asdict(self._limits),
                       "place": place}  # fmt: skip
            argv = jail_argv(json.dumps(request), self._jail_limits)
            finished = await run(argv, timeout=SECONDS, check=False, pass_fds=descriptors)
        except OSError as error:
            raise full_disk(error, out.parent) from error
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        if finished.status != 0:
            raise self._died(finished.status, finished.stderr)
        return self._read_answer(finished.stdout, out.parent)

    def _open(self, sources: Sequence[Path], out: Path, descriptors: list[int]) -> None:
        for source in sources:
            descriptors.append(open_lent_blocking(source))
        descriptors.append(os.open(out, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def _died(self, status: int, stderr: bytes) -> InsulaError:
        if status in (XCPU_STATUS, -9, 128 + 9):
            return InvalidArgument(
                f"a layer cannot be converted within {self._jail_limits.seconds} s of processor time"
            )
        said = stderr[-TAIL:].decode(errors="replace").strip()
        return Internal(f"the layer converter ended with {status}: {said}")

    def _read_answer(self, stdout: bytes, folder: Path) -> Answer:
        """The converter has read hostile data: what it says is checked too."""
        try:
            answer: dict[str, Any] = json.loads(stdout)
            if "error" in answer:
                raise self._refusal(answer, folder)
            diff_ids = tuple(str(layer["diff_id"])[:80] for layer in answer["layers"])
            return Answer(diff_ids, bool(answer["needs_lower"]), bool(answer["incomplete"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Internal("the layer converter gave no usable answer") from error

    def _refusal(self, answer: dict[str, Any], folder: Path) -> InsulaError:
        message, hint = str(answer["message"])[:1000], str(answer.get("hint", ""))[:1000]
        if answer["error"] == "OSError":
            if answer["errno"] == errno.EFBIG:
                return InvalidArgument(
                    f"a layer's disk would have more than {self._jail_limits.output >> 20} MiB"
                )
            return full_disk(OSError(int(answer["errno"]), message), folder)
        if answer["error"] == InvalidArgument.__name__:
            return InvalidArgument(message, hint)
        return (
            Internal(message, hint)
            if answer["error"] == errors.Internal.__name__
            else Unavailable(message, hint)
        )


def merged_layers(count: int) -> int:
    """How many of an image's layers, from the lowest, share one disk."""
    return count - MAX_LAYER_DISKS + 1 if count > MAX_LAYER_DISKS else 0


def _check_digests(layers: Sequence[LayerBlob], answer: Answer, first: int) -> None:
    for index, (layer, found) in enumerate(zip(layers, answer.diff_ids, strict=True)):
        if layer.diff_id != found:
            raise InvalidArgument(f"layer {first + index + 1} has the digest {found}, not {layer.diff_id}")


def _version(name: str) -> str:
    return name.removesuffix(".squashfs").rpartition("-")[2]
