"""What comes out of kernel images and modules: every compression, and what is no kernel."""

import gzip
import lzma
import subprocess
from pathlib import Path

import pytest
import zstandard

from insula import process
from insula.errors import Internal
from insula.machine.kernel import ELF, _module_order, decompressed, decompressed_kernel

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
