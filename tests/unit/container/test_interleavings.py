"""Requests at the same instant, drawn from a seed: one wins, the others are told so, and it ends in order."""

import asyncio
import random

import pytest
from plain_daemon import Daemon

from insula.errors import InsulaError

ROUNDS = 8


@pytest.mark.parametrize("seed", range(4))
async def test_many_ask_at_once(daemon: Daemon, seed: int) -> None:
    draw = random.Random(seed)
    containers = daemon.containers
    for number in range(ROUNDS):
        id = await daemon.create("sleep", "1000", name=f"c{number}", auto_remove=draw.random() < 0.3)
        asks = [
            lambda id=id: containers.start(id),
            lambda id=id: containers.start(id),
            lambda id=id: containers.stop(id, timeout=0),
            lambda id=id: containers.kill(id),
            lambda id=id: containers.restart(id, timeout=0),
            lambda id=id: containers.remove(id),
            lambda id=id: containers.remove(id, force=True),
        ]

        async def ask(what: int, delay: int, asks: list = asks) -> None:
            for _ in range(delay):
                await asyncio.sleep(0)
            await asks[what]()

        asked = [ask(draw.randrange(len(asks)), draw.randrange(40)) for _ in range(6)]
        for result in await asyncio.gather(*asked, return_exceptions=True):
            assert result is None or isinstance(result, InsulaError), repr(result)
        left = [view for view in containers.list() if view.id == id]
        for view in left:
            assert view.state.status in ("created", "running", "exited"), view
            await containers.remove(id, force=True)
    assert containers.list() == ()
    assert list((daemon.paths.home / "containers").iterdir()) == []
