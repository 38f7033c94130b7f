"""Stages at the same time: who waits for whom, and in which order it is told."""

import asyncio
from typing import Any

import pytest

from insula.build.turns import KEPT_MAX, Turn, Turns
from insula.errors import InvalidArgument


class Told:
    def __init__(self) -> None:
        self.lines: list[int] = []

    async def send(self, line: dict[str, Any]) -> None:
        self.lines.append(line["n"])


async def test_what_is_independent_goes_on_at_once_and_is_told_in_order() -> None:
    told, second = Told(), asyncio.Event()

    async def do(index: int, turn: Turn) -> None:
        if index == 0:
            await second.wait()  # never set if the other waited for this one
        await turn.send({"n": index})
        if index == 1:
            second.set()

    await Turns([0, 1], {0: [], 1: []}, told.send).run(do)
    assert told.lines == [0, 1]


async def test_a_stage_waits_for_what_it_needs() -> None:
    order: list[int] = []

    async def do(index: int, turn: Turn) -> None:
        order.append(index)
        await asyncio.sleep(0)

    turns = Turns([0, 2, 5], {0: [], 2: [0], 5: [2, 0]}, Told().send)
    await turns.run(do)
    assert order == [0, 2, 5] and turns.left == []


async def test_a_failure_ends_the_others_and_is_told_out_of_turn() -> None:
    told, ended = Told(), asyncio.Event()

    async def do(index: int, turn: Turn) -> None:
        await turn.send({"n": index})
        if index == 1:
            raise InvalidArgument("wrong")
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(InvalidArgument, match="wrong"):
        await Turns([0, 1], {0: [], 1: []}, told.send).run(do)
    assert ended.is_set() and told.lines == [0, 1]


async def test_who_has_told_too_much_waits() -> None:
    told, full = Told(), asyncio.Event()

    async def do(index: int, turn: Turn) -> None:
        if index == 0:
            await full.wait()
            return
        for number in range(KEPT_MAX + 100):
            if number == KEPT_MAX:
                full.set()
            await turn.send({"n": number})

    await Turns([0, 1], {0: [], 1: []}, told.send).run(do)
    assert told.lines == list(range(KEPT_MAX + 100))


async def test_who_waits_unforeseen_makes_room() -> None:
    turns = Turns(range(6), {n: [0] if n else [] for n in range(6)}, Told().send)
    found: list[bool] = []

    async def do(index: int, turn: Turn) -> None:
        if index in (1, 2, 3, 4):
            found.append(await turns.wait(5))

    await turns.run(do)
    assert found == [True] * 4 and not await turns.wait(9)
