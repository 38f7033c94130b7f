"""What comes out of kernel images and modules: every compression, and what is no kernel; and the kernel's package:
which one is taken, and when a newer one takes its place."""

import asyncio
import dataclasses
import gzip
import logging
import lzma
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from boot_paths import make_folder
from debian_archive import SECURITY, Mirror, Package, open_mirror
from insula import packages, process
from insula.errors import Internal
from insula.guest.doctor import examine_kernel
from insula.machine.kernel import ELF, _module_order, decompressed, decompressed_kernel, open_kernel
from insula.machine.platform import find_platform
from insula.paths import Paths

DATA = ELF + b"kernel" * 1000


def lz4(data: bytes) -> bytes:
    return subprocess.run([process.tool("lz4"), "-c"], input=data, capture_output=True, check=True).stdout


COMPRESSED = {
    "gzip": gzip.compress(DATA),
    "xz": lzma.compress(DATA, check=lzma.CHECK_CRC32),
    "zstd": zstandard.ZstdCompressor().compress(DATA),
    "lz4": lz4(DATA),
    "nothing": DATA,
}


@pytest.mark.parametrize("name", COMPRESSED)
def test_modules_come_out_of_every_compression(name: str) -> None:
    assert decompressed(COMPRESSED[name]) == DATA


@pytest.mark.parametrize("name", ["gzip", "xz", "zstd", "lz4"])
def test_the_elf_kernel_comes_out_of_a_bzimage(name: str) -> None:
    payload = COMPRESSED[name]
    header = bytearray(0x400)
    header[0x1F1] = 1
    offset = 0x40
    header[0x248:0x24C] = offset.to_bytes(4, "little")
    header[0x24C:0x250] = (len(payload) + 4).to_bytes(4, "little")
    image = bytes(header) + b"\0" * offset + payload + len(DATA).to_bytes(4, "little")
    assert decompressed_kernel(image) == DATA


def test_what_holds_no_kernel_is_refused() -> None:
    with pytest.raises(Internal, match="no ELF kernel"):
        decompressed_kernel(b"\0" * 4096)


def test_modules_are_loaded_after_what_they_need(tmp_path: Path) -> None:
    (tmp_path / "modules.dep").write_text(
        "k/ext4.ko: k/jbd2.ko k/crc16.ko\nk/jbd2.ko:\nk/crc16.ko:\nk/virtio-blk.ko:\n"
    )
    (tmp_path / "modules.builtin").write_text("k/overlay.ko\n")
    order = [path.name for path in _module_order(tmp_path, ("ext4", "overlay", "virtio_blk"))]
    assert order == ["crc16.ko", "jbd2.ko", "ext4.ko", "virtio-blk.ko"]


def test_a_module_the_kernel_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "modules.dep").write_text("")
    (tmp_path / "modules.builtin").write_text("")
    with pytest.raises(Internal, match="no module ext4"):
        _module_order(tmp_path, ("ext4",))


# -- the package

PLATFORM = dataclasses.replace(find_platform("linux/amd64"), modules=(), decompress_kernel=False)
SUITE = PLATFORM.suite


def kernel(version: str) -> list[Package]:
    """A kernel whose image is its version, and the meta-package that leads to it."""
    files = (
        (f"boot/vmlinuz-{version}", version.encode()), (f"lib/modules/{version}/modules.builtin", b""),
        (f"lib/modules/{version}/modules.order", b""),
    )  # fmt: skip
    name = f"linux-image-{version}"
    return [Package(PLATFORM.kernel, version, name), Package(name, version, files=files)]


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """6.1 in the archive, 6.2 in the security archive, which cannot be read."""
    folder = make_folder()
    with open_mirror(folder, PLATFORM.debian) as mirror:
        monkeypatch.setattr(packages, "KEYRING", mirror.keyring)
        mirror.publish("debian", SUITE, kernel("6.1"))
        mirror.publish(SECURITY, f"{SUITE}-security", kernel("6.2"))
        mirror.lag()
        yield mirror
    shutil.rmtree(folder)


@pytest.fixture
def paths(tmp_path: Path, mirror: Mirror) -> Paths:
    made = Paths(tmp_path / "home", tmp_path / "run")
    made.make()
    made.config.write_text(mirror.settings)
    return made


def pass_hours(paths: Paths) -> None:
    os.utime(paths.packages / f"{SUITE}-{PLATFORM.debian}" / "updated", (0, 0))


async def test_a_kernel_without_security_updates_gives_way_as_soon_as_one_has_them(
    mirror: Mirror, paths: Paths
) -> None:
    first = await open_kernel(paths, PLATFORM)
    assert (first.version, first.image.read_bytes()) == ("6.1", b"6.1")
    told = examine_kernel(paths, PLATFORM)
    assert told.state == "warning"
    assert "; without security updates: the mirror's security archive cannot be read" in told.text
    pass_hours(paths)
    assert (await open_kernel(paths, PLATFORM)).version == "6.1"
    mirror.publish(SECURITY, f"{SUITE}-security", kernel("6.2"))
    pass_hours(paths)
    second = await open_kernel(paths, PLATFORM)
    assert (second.version, second.image.read_bytes()) == ("6.2", b"6.2")
    assert second.digest != first.digest
    assert examine_kernel(paths, PLATFORM).state == "ok"


async def test_a_kernel_that_many_ask_for_at_the_same_time_is_made_once(paths: Paths) -> None:
    found = await asyncio.gather(*(open_kernel(paths, PLATFORM) for _ in range(8)))
    assert len({(kernel.image, kernel.initramfs, kernel.digest) for kernel in found}) == 1
    assert found[0].image.read_bytes() == b"6.1"
    assert not list(paths.staging.iterdir())


async def test_a_kernel_package_without_an_image_is_told(mirror: Mirror, paths: Paths) -> None:
    meta, real = kernel("6.3")
    mirror.publish("debian", SUITE, [meta, dataclasses.replace(real, files=real.files[1:])])
    with pytest.raises(Internal, match=r"the kernel package has 0 of boot/vmlinu\[xz\]-6.3 instead of one"):
        await open_kernel(paths, PLATFORM)


async def test_a_kernel_without_security_updates_is_there_without_its_mirror(
    mirror: Mirror, paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    await open_kernel(paths, PLATFORM)
    shutil.rmtree(mirror.keyring.parent / "www")
    pass_hours(paths)
    caplog.clear()
    assert (await open_kernel(paths, PLATFORM)).version == "6.1"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "linux/amd64: the kernel still lacks security updates" in caplog.text
