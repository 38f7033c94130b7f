"""A daemon's start on many records: what it does with files must not grow with them."""

import sys
from typing import Any

from plain_daemon import Daemon

_counting: list[str] | None = None


def _count(event: str, arguments: tuple[Any, ...]) -> None:
    if _counting is not None and event in (
        "open",
        "os.listdir",
        "os.scandir",
        "os.mkdir",
        "os.rename",
        "os.remove",
    ):
        _counting.append(f"{event} {arguments[0]}")


sys.addaudithook(_count)


async def start(daemon: Daemon) -> list[str]:
    """What a next daemon does with files, by Python's own account, until it is open and has listed everything."""
    global _counting
    await daemon.close()
    _counting = []
    try:
        await daemon.open()
        assert all(view.state.status == "created" for view in daemon.containers.list())
        return _counting
    finally:
        _counting = None


async def test_a_start_touches_no_file_of_a_stopped_container(daemon: Daemon) -> None:
    await daemon.create("true")
    few = await start(daemon)
    for _ in range(100):
        await daemon.create("true")
    many = await start(daemon)
    assert len(daemon.containers.list()) == 101
    assert len(many) == len(few), [line for line in many if line not in few]
    assert not [line for line in many if "/containers/" in line]
