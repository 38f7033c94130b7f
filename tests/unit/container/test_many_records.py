"""A daemon on many records: what its start does with files, and a list with records, must not grow with them (or not
by their square, or be made anew for those that lie still)."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from plain_daemon import Daemon

from insula.container.registry import Registry

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


async def test_a_list_goes_through_the_records_once(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once for each of them: 1,000 are listed in the time of 1,000."""
    for _ in range(10):
        await daemon.create("true")
    passes = 0
    real = Registry.__iter__

    def counted(registry: Registry[Any]) -> Iterator[Any]:
        nonlocal passes
        passes += 1
        return real(registry)

    monkeypatch.setattr(Registry, "__iter__", counted)
    assert len(daemon.containers.list()) == 10
    assert passes == 1


async def test_what_lies_still_is_seen_once(daemon: Daemon) -> None:
    """The same view until something of it changes, and another for each look at what runs."""
    still = await daemon.create("true", name="still")
    first = daemon.containers.inspect(still)
    assert daemon.containers.list() == (first,)
    await daemon.containers.rename(still, "renamed")
    second = daemon.containers.inspect(still)
    assert (first.name, second.name) == ("still", "renamed")
    await daemon.containers.start(still)
    await daemon.containers.wait(still)
    ended = daemon.containers.inspect(still)
    assert (second.state.status, ended.state.status) == ("created", "exited")
    assert daemon.containers.inspect(still) is ended
    running = await daemon.start("sleep", "100")
    assert daemon.containers.inspect(running) is not daemon.containers.inspect(running)
