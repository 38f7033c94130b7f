"""What a session asks of a running container: its usage, its processes, other limits; and kills that it is told of."""

import asyncio
import dataclasses
import json
import time
from pathlib import Path

import pytest
from scripted_guest import SECONDS, Guest, greeted

from insula.agent.limits import Limits
from insula.agent.messages import decode
from insula.agent.process_table import TABLE_MAX, ProcessesAnswer, Row
from insula.agent.reports import REPORTS, Oom, Reply, Step
from insula.agent.requests import Identity, ListProcesses, MeasureUsage, Update
from insula.agent.session import OOM_SECONDS, GuestFailure, Session
from insula.agent.usage import UsageAnswer
from insula.agent.wire import Frame
from insula.errors import Internal, Unavailable

VECTORS = Path(__file__).parents[2] / "wire" / "vectors" / "frames.json"


def vector(name: str) -> Frame:
    (row,) = [row for row in json.loads(VECTORS.read_text()) if row["name"] == name]
    return Frame(row["type"], row["epoch"], bytes.fromhex(row["payload"]))


def usage_answer() -> UsageAnswer:
    answer = decode(vector("usage answer"), REPORTS)
    assert isinstance(answer, UsageAnswer)
    return answer


def rows(*ids: int) -> tuple[Row, ...]:
    page = decode(vector("processes answer"), REPORTS)
    assert isinstance(page, ProcessesAnswer)
    return tuple(dataclasses.replace(page.rows[0], id=id, pid=id - 100, parent=id - 1) for id in ids)


async def say_pages(guest: Guest, *pages: tuple[int, tuple[Row, ...]]) -> list[int]:
    """Answers with these pages (next, rows), and gives what was asked for."""
    asked = []
    for after, page in pages:
        request = await guest.hear()
        assert isinstance(request, ListProcesses)
        asked.append(request.start)
        guest.say(ProcessesAnswer(request.request, 10**18, 9 * 10**9, after, page))
    return asked


async def lost(session: Session) -> None:
    async with asyncio.timeout(SECONDS):
        await session.lost.wait()


async def test_usage_is_what_the_guest_says() -> None:
    async with greeted() as (guest, session):
        asking = asyncio.ensure_future(session.usage())
        assert await guest.hear() == MeasureUsage(1)
        guest.say(dataclasses.replace(usage_answer(), request=1))
        assert await asking == usage_answer().usage


async def test_a_usage_that_cannot_be_had_says_why() -> None:
    async with greeted() as (guest, session):
        with pytest.raises(GuestFailure, match="cgroup"):
            await asyncio.gather(session.usage(), guest.answer(errno=2, step=Step.CGROUP))


@pytest.mark.parametrize("question", ["usage", "sync"])
async def test_an_answer_to_another_question_breaks_the_session(question: str) -> None:
    async with greeted() as (guest, session):
        asking = asyncio.ensure_future(getattr(session, question)())
        await guest.hear()
        other = Reply(1, Step.REQUEST, 0) if question == "usage" else usage_answer()
        guest.say(dataclasses.replace(other, request=1))
        with pytest.raises(Internal, match="something else"):
            await asking


async def test_processes_are_gathered_from_pages_in_the_containers_own_numbers() -> None:
    async with greeted() as (guest, session):
        table, asked = await asyncio.gather(
            session.processes(), say_pages(guest, (104, rows(101, 102)), (200, rows(150)), (0, rows(200)))
        )
    assert asked == [1, 104, 200]
    assert [(p.pid, p.parent) for p in table.processes] == [(1, 0), (2, 1), (50, 0), (100, 0)]
    first = table.processes[0]
    assert (first.age_ns, first.started_ns, table.clock_ns) == (5 * 10**9, 10**18 - 5 * 10**9, 10**18)
    assert (first.command, first.name, first.command_cut) == (("/bin/sh", "-c", ""), "s\udcff h", True)
    assert not table.cut


async def test_no_processes_are_no_processes() -> None:
    async with greeted() as (guest, session):
        table, _ = await asyncio.gather(session.processes(), say_pages(guest, (0, ())))
    assert (table.processes, table.cut) == ((), False)


async def test_more_processes_than_a_table_holds_are_cut() -> None:
    async with greeted() as (guest, session):
        pages = [(at + 1_000, rows(*range(at, at + 1_000))) for at in range(1_000, 6_000, 1_000)]
        table, _ = await asyncio.gather(session.processes(), say_pages(guest, *pages))
    assert (len(table.processes), table.cut) == (TABLE_MAX, True)


@pytest.mark.parametrize(
    ("pages", "words"),
    [
        ([(2, ())], "followed by 2"),
        ([(102, rows(102))], "followed by 102"),
        ([(0, rows(102, 101))], "not in order"),
        ([(0, rows(102, 102))], "not in order"),
        ([(110, rows(109)), (0, rows(105))], "has listed"),
    ],
)
async def test_pages_that_lead_nowhere_are_a_breach(
    pages: list[tuple[int, tuple[Row, ...]]], words: str
) -> None:
    async with greeted() as (guest, session):
        with pytest.raises(Internal, match=words):
            await asyncio.gather(session.processes(), say_pages(guest, *pages))


async def test_an_update_is_its_limits() -> None:
    async with greeted() as (guest, session):
        limits = Limits(memory=1 << 30, pids=7)
        _, heard = await asyncio.gather(session.update(limits), guest.answer())
        assert heard == Update(1, limits)


async def test_the_clock_is_the_hosts_and_comes_without_entropy() -> None:
    async with greeted() as (guest, session):
        before = time.time_ns()
        _, heard = await asyncio.gather(session.set_clock(), guest.answer())
        assert isinstance(heard, Identity)
        assert before <= heard.clock_ns <= time.time_ns()
        assert heard.entropy == b""


async def test_kills_are_awaited() -> None:
    async with greeted() as (guest, session):
        waiting = [asyncio.ensure_future(session.out_of_memory(seen)) for seen in (0, 0, 2)]
        guest.say(Oom(2))
        async with asyncio.timeout(SECONDS):
            assert await waiting[0] == await waiting[1] == 2
        assert await session.out_of_memory(1) == 2, "what has been told already is not waited for"
        assert not waiting[2].done()
        guest.say(Oom(3))
        async with asyncio.timeout(SECONDS):
            assert await waiting[2] == 3


async def test_who_waits_for_kills_hears_of_the_end() -> None:
    async with greeted() as (guest, session):
        waiting = asyncio.ensure_future(session.out_of_memory())
        await asyncio.gather(session.sync(), guest.answer())
        guest.writer.close()
        with pytest.raises(Unavailable):
            async with asyncio.timeout(SECONDS):
                await waiting
        with pytest.raises(Unavailable):
            await session.out_of_memory()


async def test_a_container_that_is_killed_again_and_again_is_no_flood() -> None:
    """An honest agent tells of it once a second, and a year has many of those."""
    async with greeted() as (guest, session):
        for count in range(1, 6_000):
            session._oom_time -= OOM_SECONDS
            session.receive(Oom(count))
        assert session.failure is None
        guest.raw(b"".join(guest.framed(Oom(count)) for count in range(6_000, 16_000)))
        await lost(session)
        assert "floods" in str(session.failure)
