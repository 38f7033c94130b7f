"""`RUN --mount=type=bind`: files of the context, of another stage or of an image, mounted for one step.

They come as COPY's do, entry by entry, and a machine writes them into a volume of the build's own, which the step
has mounted: read-only, or, if it asked to write, one that is filled for it alone. The volume goes with the machine;
what a killed daemon left of them goes when the next one starts.
"""

import secrets
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace

from insula.agent.boot_document import Mount
from insula.build.cache_mounts import Fill, Places
from insula.build.copying import Copy
from insula.build.running import FILLED, BindMount
from insula.container.mount_point import MountPoint
from insula.container.parts import Parts
from insula.container.spec import ContainerSpec
from insula.errors import Conflict, NotFound
from insula.thread import in_thread
from insula.volume.volume import VolumeSpec
from insula.volume.volumes import Volumes

LABEL = "insula.build-bind"
FOLDER, FILE = "d", "f"
"""What the volume holds: a folder's content in the one, or a single file under the other's name."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A mount and the files that it shows."""

    mount: BindMount
    copy: Copy


class Binds:
    """What one machine has been given. Equal files are written once."""

    def __init__(self, parts: Parts, places: Places) -> None:
        self._volumes = parts.volumes
        self._places = places
        self._filled: dict[str, str] = {}
        self._held = AsyncExitStack()

    async def close(self) -> None:
        """Once the machine is gone."""
        await self._held.aclose()

    async def mount(self, machine: int, spec: ContainerSpec, bound: Bound, fill: Fill) -> Mount:
        """machine: its process. Raises InsulaError."""
        key = f"{bound.copy.single} {await in_thread(bound.copy.digest)}"
        if bound.mount.writable:
            key = secrets.token_hex(8)
        if key not in self._filled:
            self._filled[key] = await self._make(machine, spec, bound.copy, fill)
        point = MountPoint(
            "volume", bound.mount.target, name=self._filled[key], read_only=not bound.mount.writable, no_copy=True,
            subpath=FILE if bound.copy.single else FOLDER,
        )  # fmt: skip
        return await self._places.place(machine, spec, point)

    async def _make(self, machine: int, spec: ContainerSpec, copy: Copy, fill: Fill) -> str:
        name = f"build-bind-{secrets.token_hex(12)}"
        await self._volumes.create(VolumeSpec(name, labels={LABEL: ""}))
        self._held.push_async_callback(_remove, self._volumes, name)
        self._held.enter_context(self._volumes.claimed(name))
        mount = await self._places.place(machine, spec, MountPoint("volume", FILLED, name=name, no_copy=True))
        if copy.single:
            (item,) = copy.items
            renamed = replace(item, entry=replace(item.entry, path=FILE.encode()))
            await fill(mount, FILLED, (renamed,))
        else:
            await fill(mount, f"{FILLED}/{FOLDER}", copy.items)
        return name


async def _remove(volumes: Volumes, name: str) -> None:
    with suppress(Conflict, NotFound):
        await volumes.remove(name)


async def remove_left(volumes: Volumes) -> None:
    """Those of an earlier daemon's builds."""
    for volume in volumes.all():
        if LABEL in volume.spec.labels:
            await _remove(volumes, volume.name)
