"""QEMU's command line, word for word: tests/unit/machine/golden holds what each shape makes.

A change of a golden file is a change of every template's key: read the difference before you accept it
(INSULA_GOLDEN=write writes them anew)."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from insula.machine.argv import argv
from insula.machine.platform import find_platform
from insula.machine.spec import LAYER_DISKS, Descriptors, Kernel, MachineSpec

GOLDEN = Path(__file__).parent / "golden"
KERNEL = Kernel(Path("/k/kernel"), Path("/k/initramfs"), "digest", "6.1")
CLONE = Descriptors(qmp=10, agent=11, kernel=12, initramfs=13, ram=14, ram_private=True, state=15)
BOOT = Descriptors(qmp=10, agent=11, kernel=12, initramfs=13, ram=14, ram_private=False, state=None)


def shape(platform: str, accelerator: str = "tcg", memory: int = 1024, cpus: int = 1) -> MachineSpec:
    return MachineSpec(find_platform(platform), accelerator, memory, cpus, KERNEL, "build")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "spec", "fds"),
    [
        ("amd64-tcg-boot", shape("linux/amd64"), BOOT),
        ("amd64-tcg-clone", shape("linux/amd64"), CLONE),
        ("amd64-kvm-clone", shape("linux/amd64", "kvm", 512, 4), CLONE),
        ("arm64-tcg-clone", shape("linux/arm64"), CLONE),
        ("arm64-kvm-boot", shape("linux/arm64", "kvm"), BOOT),
    ],
)
def test_the_command_line_is_the_golden_one(name: str, spec: MachineSpec, fds: Descriptors) -> None:
    words = "\n".join(argv("0123456789abcdef", spec, fds)) + "\n"
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("INSULA_GOLDEN") == "write":
        golden.write_text(words)
    assert words == golden.read_text()


def test_a_clone_differs_from_its_template_only_in_memory_mapping_and_incoming() -> None:
    boot, clone = (argv("x", shape("linux/amd64"), fds) for fds in (BOOT, CLONE))
    assert [word.replace("share=off", "share=on") for word in clone[: len(boot)]] == boot
    assert clone[len(boot) :] == ["-incoming", "defer"]


def test_every_disk_has_a_placeholder_and_a_serial() -> None:
    words = argv("x", shape("linux/amd64"), BOOT)
    serials = [
        word.rpartition("serial=")[2] for word in words if "serial=layer" in word or "serial=writable" in word
    ]
    assert serials == [*(f"layer{n}" for n in range(LAYER_DISKS)), "writable"]


def test_block_volumes_have_disks_that_take_writes_in_a_shape_of_their_own() -> None:
    plain = shape("linux/amd64")
    words = argv("x", replace(plain, blocks=2), BOOT)
    more = [word for word in words if word not in argv("x", plain, BOOT)]
    assert [word.rpartition("serial=")[2] for word in more if "serial=" in word] == ["block0", "block1"]
    assert [word.rpartition("read-only=")[2] for word in more if "read-only=" in word] == ["off", "off"]


def test_nothing_is_a_file_name_of_the_host() -> None:
    for platform in ("linux/amd64", "linux/arm64"):
        paths = [word for word in argv("x", shape(platform), CLONE)[1:] if word.startswith("/")]
        assert all(path.startswith("/proc/self/fd/") for path in paths), paths


def test_mitigations_are_off_only_under_emulation() -> None:
    for platform in ("linux/amd64", "linux/arm64"):
        row = find_platform(platform)
        assert "mitigations=off" in row.tcg.command_line and "nokaslr" in row.tcg.command_line
        assert "mitigations=off" not in row.kvm.command_line and "nokaslr" not in row.kvm.command_line
