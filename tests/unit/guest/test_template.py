"""Templates on disk: sealed, whole or absent, evicted by use."""

import mmap
import os
from pathlib import Path

import pytest

from insula.guest.template import (
    Template,
    evict_templates,
    read_template,
    template_key,
    template_sizes,
    write_template,
)
from insula.machine.platform import find_platform
from insula.machine.spec import Kernel, MachineSpec
from insula.paths import Paths

MIB = 1 << 20


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path / "home", tmp_path / "run")
    made.make()
    return made


def frozen(paths: Paths, key: str, data: bytes = b"ram") -> Template:
    template = Template(key, 4)
    os.pwrite(template.ram, data, MIB)
    os.write(template.state, b"state")
    write_template(paths, template, 4)
    return template


def test_what_is_written_is_read_and_holes_stay_holes(paths: Paths) -> None:
    frozen(paths, "k" * 32)
    template = read_template(paths, "k" * 32)
    assert template is not None
    assert os.pread(template.ram, 3, MIB) == b"ram" and os.fstat(template.ram).st_size == 4 * MIB
    assert os.stat(paths.templates / ("k" * 32) / "ram").st_blocks * 512 < MIB
    state = template.open_state()
    assert os.read(state, 10) == b"state"
    os.close(state)


def test_no_holder_of_the_memory_can_change_it(paths: Paths) -> None:
    template = frozen(paths, "k" * 32)
    ram = template.ram
    again = os.open(f"/proc/self/fd/{ram}", os.O_RDWR)
    with pytest.raises(PermissionError):
        os.pwrite(again, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(again, 0)
    with pytest.raises(PermissionError):
        mmap.mmap(again, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    private = mmap.mmap(again, 4 * MIB, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    private[MIB : MIB + 3] = b"own"
    assert os.pread(ram, 3, MIB) == b"ram"
    private.close()
    os.close(again)


def test_a_damaged_template_is_none(paths: Paths) -> None:
    frozen(paths, "k" * 32)
    (paths.templates / ("k" * 32) / "template.json").write_text("{")
    assert read_template(paths, "k" * 32) is None
    assert read_template(paths, "absent") is None


def test_the_least_recently_used_goes_first(paths: Paths) -> None:
    for number, key in enumerate(("a", "b", "c")):
        frozen(paths, key, b"x" * 8192)
        os.utime(paths.templates / key, (number, number))
    one = template_sizes(paths)["a"]
    assert evict_templates(paths, 2 * one, set()) == ["a"]
    assert evict_templates(paths, 0, {"b"}) == ["c"]
    assert set(template_sizes(paths)) == {"b"}


def test_the_key_is_everything_that_shapes_the_machine() -> None:
    def key(
        memory: int = 256, cpus: int = 1, digest: str = "d", build: str = "b", platform: str = "linux/amd64"
    ) -> str:
        kernel = Kernel(Path("/k"), Path("/i"), digest, "v")
        return template_key(MachineSpec(find_platform(platform), "tcg", memory, cpus, kernel, build))

    keys = [key(), key(memory=512), key(cpus=2), key(digest="e"), key(build="c"), key(platform="linux/arm64")]
    assert len(set(keys)) == len(keys)
    assert key() == key()
