import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from insula.container.writable import WritableDisks
from insula.guest.blank_disk import SIZE, copy_sparse, journal_size
from insula.paths import Paths
from insula.process import tool


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path / "home", tmp_path / "run")
    paths.make()
    return paths


async def test_a_disk_is_large_sparse_private_and_sound(paths: Paths) -> None:
    disks = WritableDisks(paths, spares=1)
    await disks.open()
    path = await disks.take("c1")
    await disks.close()
    stat = path.stat()
    assert (path, stat.st_size) == (paths.writable_disk("c1"), SIZE)
    assert stat.st_blocks * 512 < 2 << 20
    assert stat.st_mode & 0o777 == 0o600
    check = await asyncio.to_thread(subprocess.run, [tool("e2fsck"), "-fn", str(path)], capture_output=True)
    assert check.returncode == 0, check.stdout
    shown = await asyncio.to_thread(subprocess.run, [tool("dumpe2fs"), str(path)], capture_output=True)
    assert b"ITABLE_ZEROED" in shown.stdout
    assert b"Reserved block count:     0" in shown.stdout


@pytest.mark.parametrize("size", [32 << 20, (300 << 20) + 1024, 5 << 30])
async def test_a_disk_of_another_size(paths: Paths, size: int) -> None:
    disks = WritableDisks(paths, spares=0)
    path = await disks.take("c1", size)
    assert path.stat().st_size == size
    assert path.stat().st_blocks * 512 < 4 << 20
    check = await asyncio.to_thread(subprocess.run, [tool("e2fsck"), "-fn", str(path)], capture_output=True)
    assert check.returncode == 0, check.stdout
    path.write_bytes(b"mine")
    assert await disks.take("c1", size) == path
    assert path.read_bytes() == b"mine"
    assert list(paths.writable_layers.iterdir()) == []


def test_a_journal_leaves_room() -> None:
    assert [journal_size(size << 20) for size in (32, 128, 512, 4096, 65536)] == [4, 8, 32, 64, 64]


async def test_each_has_its_own_and_keeps_it(paths: Paths) -> None:
    disks = WritableDisks(paths, spares=2)
    await disks.open()
    made = [await disks.take(f"c{number}") for number in range(5)]
    made[0].write_bytes(b"mine")
    assert await disks.take("c0") == made[0]
    assert made[0].read_bytes() == b"mine"
    assert len({path.stat().st_ino for path in made}) == 5
    await disks.close()


async def test_spares_outlive_the_daemon_and_unfinished_files_do_not(paths: Paths) -> None:
    disks = WritableDisks(paths, spares=2)
    await disks.open()
    await disks.take("c0")
    await asyncio.wait([disks._task])  # type: ignore[list-item]
    await disks.close()
    (paths.writable_layers / "left.part").touch()
    spares = {path.stat().st_ino for path in paths.writable_layers.glob("*.spare")}
    again = WritableDisks(paths, spares=2)
    await again.open()
    assert (await again.take("c1")).stat().st_ino in spares
    assert not (paths.writable_layers / "left.part").exists()
    await again.close()


def test_a_copy_is_the_same_and_as_sparse(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    with source.open("wb") as file:
        for offset in (0, 5 << 20, 900 << 20):
            file.seek(offset)
            file.write(os.urandom(3000))
        file.truncate(1 << 30)
    copy_sparse(source, target)
    assert target.stat().st_size == 1 << 30
    assert target.stat().st_blocks == source.stat().st_blocks
    with source.open("rb") as one, target.open("rb") as two:
        for offset in (0, 5 << 20, 900 << 20, 700 << 20):
            assert os.pread(one.fileno(), 4096, offset) == os.pread(two.fileno(), 4096, offset)
    copy_sparse(Path("/dev/null"), tmp_path / "empty")
    assert (tmp_path / "empty").stat().st_size == 0
