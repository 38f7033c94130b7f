"""Requests at the same instant, drawn from a seed: one wins, the others are told so, and it ends in order.

One interleaving is one container, of a program that lasts or does not, with --rm, a restart policy or neither, and a
dozen requests let loose on it from all sides; in some of them the daemon ends in the middle, and the next one takes up
what there is. Afterwards: every request was answered, everyone who waited too, the container stands in a status
that the next request finds legal, its name is free once it is gone, and nothing is left of it: no task, no
descriptor, no file.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from plain_daemon import Daemon
from plain_guests import reap

from insula.container.restart_policy import RestartPolicy
from insula.container.updating import Update
from insula.errors import InsulaError

SEEDS, ALL_SEEDS, EACH = 10, 100, 10
SECONDS = 30.0
GIVEN_UP = 5.0
REQUESTS = 12
LEGAL = {"created", "running", "paused", "restarting", "exited"}
PROGRAMS = (
    ("sleep", "1000"),
    ("sleep", "1000"),
    ("true",),
    ("sh", "-c", "exit 3"),
    ("sh", "-c", "sleep 0.02"),
)
POLICIES = ("no", "no", "always", "on-failure", "unless-stopped")

Ask = Callable[[], Awaitable[Any]]


def asks(daemon: Daemon, id: str, draw: random.Random) -> list[Ask]:
    """Every request that changes how a container stands, or needs it to stand still; the frequent ones more often."""
    containers = daemon.containers
    policy = RestartPolicy(draw.choice(POLICIES))
    return [
        lambda: containers.start(id),
        lambda: containers.start(id),
        lambda: containers.start(id),
        lambda: containers.stop(id, timeout=0),
        lambda: containers.stop(id, timeout=1),
        lambda: containers.kill(id),
        lambda: containers.kill(id, "TERM"),
        lambda: containers.pause(id),
        lambda: containers.pause(id),
        lambda: containers.unpause(id),
        lambda: containers.restart(id, timeout=0),
        lambda: containers.rename(id, f"name{draw.randrange(3)}"),
        lambda: containers.update(id, Update({"restart": policy})),
        lambda: containers.remove(id),
        lambda: containers.remove(id, force=True),
        lambda: look_at_files(daemon, id),
        lambda: look_at_files(daemon, id),
    ]


async def look_at_files(daemon: Daemon, id: str) -> None:
    """By its own guest, or by one that has its disks meanwhile. One that is paused before it has answered does so when
    it goes on, which may be never: the client gives up."""
    with suppress(TimeoutError):
        async with asyncio.timeout(GIVEN_UP):
            await daemon.containers.files.stat(id, "/tmp")


async def ask(what: Ask, turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    async with asyncio.timeout(SECONDS):
        await what()


async def let_loose(daemon: Daemon, id: str, draw: random.Random, *, broken_off: bool) -> None:
    """Some requests at once. broken_off: the daemon ends, and the next one begins, while they are under way."""
    number = len(asks(daemon, id, draw))
    tasks = [
        asyncio.create_task(ask(asks(daemon, id, draw)[draw.randrange(number)], draw.randrange(60)))
        for _ in range(REQUESTS // 2)
    ]
    if broken_off:
        await asyncio.sleep(draw.random() * 0.03)
        for task in tasks:
            task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert result is None or result == () or isinstance(result, (InsulaError, asyncio.CancelledError)), (
            repr(result)
        )
    if broken_off:
        await daemon.restart()


async def interleave(daemon: Daemon, draw: random.Random) -> None:
    rest = draw.choice((0.0, 10.0**6))
    daemon.rest = lambda seconds: rest
    auto_remove = draw.random() < 0.3
    policy = RestartPolicy("no" if auto_remove else draw.choice(POLICIES))
    id = await daemon.create(*draw.choice(PROGRAMS), name="first", auto_remove=auto_remove, restart=policy)
    waits = [asyncio.ensure_future(daemon.containers.wait(id, "removed"))]
    broken_off = draw.random() < 0.3
    await let_loose(daemon, id, draw, broken_off=broken_off)
    if broken_off:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        waits = []
    await let_loose(daemon, id, draw, broken_off=False)
    legal = LEGAL | {"removing"} if auto_remove else LEGAL  # whoever waited for its end has been told of that
    for view in daemon.containers.list():
        assert view.id == id and view.state.status in legal, view
        assert (view.state.pid != 0) >= (view.state.status in ("running", "paused")), view
        async with asyncio.timeout(SECONDS):
            await daemon.containers.remove(id, force=True)
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*waits)
    assert daemon.containers.list() == ()


def descriptors() -> list[str]:
    """What each open one leads to."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return found


async def run_seed(daemon: Daemon, seed: int) -> None:
    draw = random.Random(seed)
    before = asyncio.all_tasks()
    counts: list[int] = []
    for number in range(EACH):
        try:
            await interleave(daemon, draw)
        except BaseException as error:
            error.add_note(f"seed {seed}, interleaving {number}")
            raise
        reap()
        left = {task for task in asyncio.all_tasks() - before if "WritableDisks._fill" not in repr(task)}
        for _ in range(100):  # tasks that are over, and have not been told so
            if not left:
                break
            await asyncio.sleep(0.01)
            left = {task for task in left if not task.done()}
        assert not left, left
        for _ in range(500):  # connections that are closed in the loop's next turns
            if not counts or len(descriptors()) <= counts[0]:
                break
            await asyncio.sleep(0.01)
        counts.append(len(descriptors()))
        assert list((daemon.paths.home / "containers").iterdir()) == []
    assert counts[-1] <= counts[0] + 1, f"{counts}\n" + "\n".join(sorted(descriptors()))
    for name in ("first", "name0", "name1", "name2"):
        await daemon.containers.remove(await daemon.create("true", name=name))


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_many_ask_at_once(daemon: Daemon, seed: int) -> None:
    await run_seed(daemon, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(SEEDS, ALL_SEEDS))
async def test_many_more_ask_at_once(daemon: Daemon, seed: int) -> None:
    await run_seed(daemon, seed)
