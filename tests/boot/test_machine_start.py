"""A start that fails, or is broken off, leaves no process, no folder and no descriptor."""

import asyncio
import os
from pathlib import Path

import pytest

from insula.errors import Unavailable
from insula.machine.jail import Jail, JailRoot
from insula.machine.machine import Memory, open_machine
from insula.machine.platform import find_platform
from insula.machine.spec import Kernel, MachineSpec
from insula.paths import Paths

pytestmark = pytest.mark.boot


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def attempt(tmp_path: Path, root: Path) -> None:
    paths = Paths(tmp_path / "home", tmp_path / "run")
    paths.make()
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"not a kernel")
    spec = MachineSpec(find_platform("linux/amd64"), "tcg", 256, 1, Kernel(kernel, kernel, "d", "v"), "b")
    ram = os.memfd_create("ram")
    try:
        async with open_machine(
            paths, "0" * 16, spec, Jail(JailRoot(root, "b"), None, "tcg"), Memory(ram, False, None)
        ):
            pass
    finally:
        os.close(ram)
        assert list(paths.machines.iterdir()) == []


async def test_a_jail_without_qemu_is_a_clear_failure(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("dev", "proc"):
        (root / name).mkdir(parents=True)
    await asyncio.to_thread(lambda: None)  # the thread pool's own descriptors are there before counting
    before = descriptors()
    with pytest.raises(Unavailable, match="did not start: bwrap: execvp /usr/bin/qemu-system-x86_64"):
        await attempt(tmp_path, root)
    assert descriptors() <= before + 2  # asyncio's child watcher may keep a pidfd for a moment


async def test_a_root_that_is_not_there_is_a_clear_failure(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="did not start: bwrap: Can't find source path"):
        await attempt(tmp_path, tmp_path / "nothing")
