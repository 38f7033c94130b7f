"""Who has a block volume's disk: refused by name while it runs, waited for where it is about to be gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from insula.container import attaching
from insula.container.attaching import hold_disks
from insula.container.mount_point import MountPoint
from insula.container.mounting import place_mounts
from insula.container.spec import ContainerSpec
from insula.database import Database
from insula.errors import Conflict, NotFound
from insula.events import EventBus
from insula.paths import Paths
from insula.volume.volume import VolumeSpec
from insula.volume.volumes import Volumes

POINT = MountPoint("volume", "/d", name="db")


@dataclass
class FileGuest:
    """One that holds until it is ended."""

    held: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def end(self) -> None:
        await self.held.aclose()


@dataclass
class Other:
    record: Any
    is_live: bool
    file_guest: FileGuest = field(default_factory=FileGuest)


@dataclass
class Parts:
    volumes: Volumes
    registry: Any


def record(id: str, name: str = "") -> Any:
    return SimpleNamespace(id=id, name=name or id, mounts=(POINT, MountPoint("bind", "/b", "/x")))


class Registry(dict[str, Other]):
    def find(self, reference: str) -> Other:
        if reference not in self:
            raise NotFound(reference)
        return self[reference]


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Any]:
    paths = Paths(tmp_path / "home", tmp_path / "run")
    paths.make()
    database = Database(paths.database)
    await database.open()
    volumes = Volumes(paths, database, EventBus())
    await volumes.open()
    await volumes.create(VolumeSpec("db", options={"type": "block", "size": "16m"}))
    yield Parts(volumes, Registry())
    await database.close()


async def test_a_container_that_runs_keeps_it(parts: Any) -> None:
    parts.registry["one"] = Other(record("one", "holder"), is_live=True)
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        await hold_disks(parts, record("one"), first)
        await hold_disks(parts, record("one"), first)  # a start takes over from its own files' machine
        with pytest.raises(Conflict, match="attached to container holder"):
            await hold_disks(parts, record("two"), second)
        await first.aclose()
        await hold_disks(parts, record("two"), second)


async def test_a_machine_for_files_makes_way(parts: Any) -> None:
    other = parts.registry["one"] = Other(record("one"), is_live=False)
    await hold_disks(parts, record("one"), other.file_guest.held)
    async with AsyncExitStack() as second:
        await hold_disks(parts, record("two"), second)
        assert parts.volumes.holder("db") == "two"


async def test_one_that_has_been_removed_is_waited_for(parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = AsyncExitStack()
    await hold_disks(parts, record("removed"), gone)
    async with AsyncExitStack() as second:
        waiting = asyncio.create_task(hold_disks(parts, record("two"), second))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        await gone.aclose()
        await waiting
    assert parts.volumes.holder("db") == ""
    monkeypatch.setattr(attaching, "GONE_SECONDS", 0.0)
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        await hold_disks(parts, record("f" * 64), first)
        with pytest.raises(Conflict, match=r"attached to container f{12}:"):
            await hold_disks(parts, record("two"), second)


async def test_what_a_machine_is_told_of_it(parts: Any) -> None:
    spec = ContainerSpec(image="x")
    point = MountPoint("volume", "/d", name="db", read_only=True)
    (filled,) = await place_mounts(spec, (point,), parts.volumes, filling=True)
    (placed,) = await place_mounts(spec, (point,), parts.volumes)
    assert (filled.fills, filled.mount.flags) == (True, 16 << 32)
    assert (placed.fills, placed.mount.flags, placed.mount.source) == (False, 1 | 16 << 32, "block0")
    assert placed.disk == parts.volumes.find("db").mountpoint and placed.share is None
    await parts.volumes.mark_used(parts.volumes.find("db"))
    (again,) = await place_mounts(spec, (POINT,), parts.volumes, filling=True)
    assert not again.fills
