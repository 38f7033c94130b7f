"""A kernel by its path: what is kept of it, and what is no kernel."""

import gzip
import os
import zlib
from pathlib import Path

import pytest

from insula.errors import InvalidArgument
from insula.machine.kernel import ELF
from insula.machine.own_kernel import KEPT, keep_own_kernel
from insula.machine.platform import find_platform
from insula.paths import Paths

BANNER = b"\0Linux version 6.9.1-mine (me@here) #1\n\0"
AMD64, ARM64 = find_platform("linux/amd64"), find_platform("linux/arm64")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path / "home", tmp_path / "run")
    paths.make()
    return paths


def bzimage(kernel: bytes) -> bytes:
    payload = gzip.compress(kernel) + len(kernel).to_bytes(4, "little")
    header = bytearray(0x400)
    header[0x1F1] = 1
    header[0x24C:0x250] = len(payload).to_bytes(4, "little")
    return bytes(header) + payload


@pytest.mark.parametrize("packed", [False, True])
def test_what_boots_is_the_elf_inside(paths: Paths, tmp_path: Path, packed: bool) -> None:
    kernel = ELF + BANNER
    file = tmp_path / "vmlinuz"
    file.write_bytes(bzimage(kernel) if packed else kernel)
    kept = keep_own_kernel(paths, AMD64, file)
    assert (kept.version, kept.image.read_bytes()) == ("6.9.1-mine", kernel)
    assert kept.image.parent == paths.kernels and kept.image.stat().st_mode & 0o777 == 0o644
    assert keep_own_kernel(paths, AMD64, file) == kept
    assert list(paths.staging.iterdir()) == []


def test_another_platform_boots_the_image_as_it_is(paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / "Image"
    for image in (b"MZ" + BANNER, gzip.compress(b"MZ" + BANNER)):
        file.write_bytes(image)
        kept = keep_own_kernel(paths, ARM64, file)
        assert (kept.version, kept.image.read_bytes()) == ("6.9.1-mine", image)


def bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(bytes(1 << 24)) for _ in range(40)) + packer.flush()


def test_what_is_no_kernel(paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / "file"
    for data in (
        b"",
        b"root:x:0:0\n",
        os.urandom(5000),
        ELF + bytes(100),
        bzimage(b"no elf"),
        gzip.compress(b"x")[:-9],
    ):
        file.write_bytes(data)
        for platform in (AMD64, ARM64):
            with pytest.raises(InvalidArgument, match=f"is no kernel for {platform.name}"):
                keep_own_kernel(paths, platform, file)
    file.write_bytes(bomb())
    with pytest.raises(InvalidArgument, match="is no kernel for"):
        keep_own_kernel(paths, ARM64, file)


def test_what_is_no_file(paths: Paths, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name, words in (
        ("none", "cannot be read"),
        ("fifo", "is no file"),
        (".", "is no file"),
        ("nul\0", "cannot"),
    ):
        with pytest.raises(InvalidArgument, match=words):
            keep_own_kernel(paths, AMD64, tmp_path / name)
    with pytest.raises(InvalidArgument, match="is no file"):
        keep_own_kernel(paths, AMD64, Path("/dev/zero"))
    with open(tmp_path / "large", "wb") as file:
        file.truncate((256 << 20) + 1)
    with pytest.raises(InvalidArgument, match="at most 256 MiB"):
        keep_own_kernel(paths, AMD64, tmp_path / "large")


def test_the_last_ones_are_kept(paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / "kernel"
    for number in range(KEPT + 3):
        file.write_bytes(ELF + BANNER + bytes([number]))
        last = keep_own_kernel(paths, AMD64, file)
        os.utime(last.image, (number, number))
    left = sorted(path.read_bytes()[-1] for path in paths.kernels.glob("own-*"))
    assert left == list(range(3, KEPT + 3))
