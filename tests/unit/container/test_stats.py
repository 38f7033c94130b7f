"""Samplers over a real session, whose guest counts the questions."""

import asyncio
import os
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from scripted_guest import SECONDS, Guest, greeted

from insula.agent.messages import Message
from insula.agent.requests import MeasureUsage
from insula.agent.session import Session
from insula.agent.streams import Process
from insula.agent.usage import CpuUsage, GuestCpu, MemoryUsage, PidsUsage, Usage, UsageAnswer
from insula.container.beginning import Running
from insula.container.state import Status
from insula.container.stats import Readable, Sample, Stats

NOWHERE: Any = None
"""Its place in networks, which is of no matter here."""


def usage(number: int) -> Usage:
    cpu = CpuUsage(number, 0, 0, 0, 0, 0)
    return Usage(1, 1, MemoryUsage(*[0] * 22), cpu, GuestCpu(1, 1), PidsUsage(1, 0), (), ())


class Asked:
    """A run whose guest answers when it may, with the number of the question as its counter."""

    def __init__(self, guest: Guest, session: Session) -> None:
        self.asked = 0
        self.status = Status.RUNNING
        self.answers = asyncio.Event()
        self.answers.set()
        machine = SimpleNamespace(pid=os.getpid())
        handles: Any = SimpleNamespace(session=session, machine=machine)
        self._running = Running(handles, Process(NoSender(), 1, tty=False), NOWHERE, (0, 0), (0, 0))
        self._guest = guest

    async def answer(self) -> None:
        while True:
            request = await self._guest.hear()
            assert isinstance(request, MeasureUsage)
            self.asked += 1
            await self.answers.wait()
            self._guest.say(UsageAnswer(request.request, usage(self.asked)))

    def look(self) -> Readable:
        return Readable(self.status, self._running if self.status is not Status.EXITED else None)

    def lose(self) -> None:
        self._guest.writer.close()


class NoSender:
    """The main process is not spoken to here."""

    def send(self, message: Message) -> None:
        raise AssertionError(message)

    async def drained(self) -> None:
        raise AssertionError


@pytest.fixture
async def guest() -> AsyncIterator[Asked]:
    async with asyncio.timeout(SECONDS), greeted() as (scripted, session):
        asked = Asked(scripted, session)
        answering = asyncio.create_task(asked.answer())
        yield asked
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)


def number(sample: Sample) -> int | None:
    return None if sample.usage is None else sample.usage.cpu.usage_ns


async def test_one_sample_is_one_question(guest: Asked) -> None:
    stats = Stats(guest.look)
    assert [number(await stats.take()) for _ in range(3)] == [1, 2, 3]
    sample = await stats.take()
    assert sample.qemu is not None and sample.qemu.resident > 0


async def test_what_does_not_run_is_not_asked(guest: Asked) -> None:
    stats = Stats(guest.look)
    await stats.take()
    guest.status = Status.EXITED
    assert (number(await stats.take()), guest.asked) == (None, 1)


async def test_what_is_paused_has_its_last_sample_again(guest: Asked) -> None:
    stats = Stats(guest.look)
    guest.status = Status.PAUSED
    assert number(await stats.take()) is None
    guest.status = Status.RUNNING
    first = await stats.take()
    guest.status = Status.PAUSED
    again = await stats.take()
    assert (number(again), guest.asked) == (1, 1) and again.read_ns > first.read_ns


async def test_a_guest_that_does_not_answer_is_asked_once_and_waited_for_shortly(guest: Asked) -> None:
    stats = Stats(guest.look)
    await stats.take()
    guest.answers.clear()
    found = await asyncio.gather(stats.take(), stats.take())
    assert [number(sample) for sample in found] == [1, 1]
    assert guest.asked == 2
    guest.answers.set()
    assert number(await stats.take()) in (2, 3)


async def test_a_lost_session_is_no_news(guest: Asked) -> None:
    stats = Stats(guest.look)
    guest.lose()
    assert number(await stats.take()) is None


async def test_many_who_look_are_one_sampler(guest: Asked) -> None:
    stats, removed = Stats(guest.look), asyncio.get_running_loop().create_future
    places = [stats.follow(removed()) for _ in range(20)]
    found = await asyncio.gather(*(anext(aiter(place)) for place in places))
    assert {number(sample) for sample in found} == {1}
    assert guest.asked == 1
    for place in places:
        place.close()
    before = guest.asked
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if "Stats._sample" in repr(task.get_coro())]
    assert guest.asked == before


async def test_a_slow_reader_gets_the_latest_and_holds_up_nobody(guest: Asked) -> None:
    stats, loop = Stats(guest.look), asyncio.get_running_loop()
    slow, quick = stats.follow(loop.create_future()), stats.follow(loop.create_future())
    seen = []
    async for sample in quick:
        seen.append(number(sample))
        if len(seen) == 3:
            break
    assert seen == [1, 2, 3]
    assert number(await anext(aiter(slow))) == 3
    slow.close()
    quick.close()


async def test_it_ends_with_the_container(guest: Asked) -> None:
    removed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    place = Stats(guest.look).follow(removed)
    reading = asyncio.create_task(collect(place))
    await asyncio.sleep(0)
    removed.set_result(None)
    await reading
    place.close()


async def collect(place: Any) -> list[Sample]:
    return [sample async for sample in place]
