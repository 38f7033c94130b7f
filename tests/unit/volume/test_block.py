"""Block volumes' disks: sizes that are taken and refused, the file on the host, who holds it."""

import asyncio
from pathlib import Path

import pytest

from insula.errors import InvalidArgument
from insula.volume.block import SIZE_MAX, grow_disk, is_new, make_disk, mark_used, measure_disk, read_size
from insula.volume.volume import Kind, VolumeSpec, new_volume

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "size"),
    [("16m", 16 * MIB), ("1G", 1 << 30), ("1.5g", 1536 * MIB), ("16777217", 17 * MIB), ("1023gb", SIZE_MAX),
     (" 20 MiB ", 20 * MIB)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize(
    "text", ["0", "", "-1", "15m", "1024g", "1t", "9" * 15 + "t", "x", "1e9", "1 0m", "١٦m"]
)
def test_bad_sizes(text: str) -> None:
    with pytest.raises(InvalidArgument):
        read_size(text)


def test_the_disk_is_sparse_and_grows(tmp_path: Path) -> None:
    disk = tmp_path / "_disk"
    asyncio.run(make_disk(disk, 1 << 30))
    assert disk.stat().st_size == 1 << 30
    assert 0 < measure_disk(disk) < 64 * MIB
    assert disk.stat().st_mode & 0o777 == 0o600
    assert disk.read_bytes()[1080:1082] == b"\x53\xef"  # ext4's magic
    grow_disk(disk, 2 << 30)
    grow_disk(disk, 1 << 30)
    assert disk.stat().st_size == 2 << 30
    assert is_new(disk)
    mark_used(disk)
    mark_used(disk)
    assert not is_new(disk)


def test_its_options() -> None:
    spec = VolumeSpec("db", options={"type": "block", "size": "1g"})
    assert spec.kind is Kind.BLOCK
    volume = new_volume(spec, Path("/state"))
    assert (volume.size, volume.mountpoint) == (1 << 30, Path("/state/db/_disk"))
    for bad in (
        {"type": "block"},
        {"type": "block", "size": "0"},
        {"type": "block", "size": "1g", "o": "ro"},
        {"type": "block", "size": "1g", "device": "/dev/sda"},
        {"size": "1g"},
        {"type": "tmpfs", "device": "tmpfs", "size": "1g"},
    ):
        with pytest.raises(InvalidArgument):
            VolumeSpec("db", options=bad)
