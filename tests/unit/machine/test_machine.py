"""What a daemon that died in the middle of a start has left behind."""

import asyncio
import sys
from pathlib import Path

from insula.machine.machine import kill_stray
from insula.paths import Paths

SLEEP = "import time; time.sleep(1000)"


async def sleeper(name: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", SLEEP, "-name", name)


async def test_what_no_file_knows_is_found_by_its_name(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "home", tmp_path / "run")
    for id in ("0123456789abcdef", "fedcba9876543210", "00000000000000aa"):
        paths.machine(id).mkdir(parents=True)
    stray, kept = await sleeper("insula-0123456789abcdef"), await sleeper("insula-fedcba9876543210")
    try:
        killed = await kill_stray(paths, {"fedcba9876543210"})
        assert sorted(killed) == ["00000000000000aa", "0123456789abcdef"]
        assert await stray.wait() == -9
        assert kept.returncode is None
        assert [folder.name for folder in paths.machines.iterdir()] == ["fedcba9876543210"]
    finally:
        kept.kill()
        await kept.wait()


async def test_where_nothing_is_left_nothing_is_done(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "home", tmp_path / "run")
    paths.machines.mkdir(parents=True)
    assert await kill_stray(paths, set()) == []
