"""`container prune`: what goes, what stays, what it gives back."""

import asyncio
import json
from urllib.parse import quote

import pytest
from plain_engine import PlainEngine

from insula.container.prune import PruneFilter
from insula.errors import Conflict


async def prune(plain: PlainEngine, **filters: list[str]) -> tuple[int, dict[str, object]]:
    text = quote(json.dumps({name.replace("_not", "!"): values for name, values in filters.items()}))
    status, body = await plain.ask(f"/v1.51/containers/prune?filters={text}", "POST")
    return status, json.loads(body)


async def test_what_is_stopped_goes_and_its_space_comes_back(plain: PlainEngine) -> None:
    daemon = plain.daemon
    made = await daemon.create("true")
    ended = await daemon.start("true")
    await daemon.containers.wait(ended)
    running = await daemon.start("sleep", "100")
    disk = daemon.paths.writable_disk(made)
    disk.parent.mkdir(exist_ok=True)
    disk.write_bytes(b"x" * 100_000)
    taken = sum(
        p.stat().st_blocks * 512 for id in (made, ended) for p in daemon.paths.container(id).rglob("*")
    )
    status, told = await prune(plain)
    assert status == 200
    assert sorted(told["ContainersDeleted"]) == sorted([made, ended])  # type: ignore[call-overload]
    assert told["SpaceReclaimed"] == taken > 100_000
    assert [view.id for view in daemon.containers.list()] == [running]
    assert not disk.parent.exists()
    last = daemon.events.history()[-1]
    assert (last.type, last.action, last.actor, last.attributes) == (
        "container",
        "prune",
        "",
        {"reclaimed": str(taken)},
    )
    assert await prune(plain) == (200, {"ContainersDeleted": None, "SpaceReclaimed": 0})


async def test_filters_choose(plain: PlainEngine) -> None:
    for name, labels in (("a", {"k": "1"}), ("b", {"k": "2"}), ("c", {})):
        await plain.daemon.create("true", name=name + name, labels=labels)

    async def left(**filters: list[str]) -> str:
        assert (await prune(plain, **filters))[0] == 200
        return " ".join(sorted(view.name for view in plain.daemon.containers.list()))

    assert await left(until=["24h"]) == "aa bb cc"
    assert await left(label=["k=3"]) == "aa bb cc"
    assert await left(label=["k"], label_not=["k=1"]) == "aa cc"
    assert await left(label_not=["k"]) == "aa"
    assert await left(until=["0s"]) == ""


@pytest.mark.parametrize(
    "filters,told",
    [
        ({"odd": ["1"]}, "invalid filter 'odd'"),
        ({"until": ["1h", "2h"]}, "more than one until filter specified"),
        ({"until": ["x"]}, "invalid time"),
        ({"until": [""]}, "invalid filter 'until'"),
    ],
)
async def test_filters_that_do_not_parse_remove_nothing(
    plain: PlainEngine, filters: dict[str, list[str]], told: str
) -> None:
    await plain.daemon.create("true")
    status, answer = await prune(plain, **filters)
    assert status == 400
    assert told in str(answer["message"])
    assert len(plain.daemon.containers.list()) == 1


async def test_one_prune_at_a_time(plain: PlainEngine) -> None:
    for _ in range(3):
        await plain.daemon.create("true")
    both = [plain.daemon.containers.prune(PruneFilter()) for _ in range(2)]
    first, second = await asyncio.gather(*both, return_exceptions=True)
    assert len(first.ids) == 3  # type: ignore[union-attr]
    assert isinstance(second, Conflict)
    assert "a prune operation is already running" in str(second)


async def test_the_docker_command_prunes(plain: PlainEngine) -> None:
    id = await plain.daemon.create("true")
    ran = await plain.docker("container", "prune", "-f")
    assert ran.out.decode() == f"Deleted Containers:\n{id}\n\nTotal reclaimed space: 0B\n"
