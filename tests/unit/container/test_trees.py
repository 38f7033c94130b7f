"""Trees of guests that say what no agent would: every copy ends, with an error of ours and nothing left."""

import asyncio

import pytest
from scripted_guest import Guest, greeted

from insula.agent.messages import STDERR, STDOUT
from insula.agent.reports import Exited, ExitKind, Output, OutputEnd
from insula.agent.requests import Signal, TreeRead
from insula.agent.tree import END, Entry, Kind, ReadFlag
from insula.container import trees
from insula.container.file_guest import Visit
from insula.container.trees import TreeFailure, stat
from insula.errors import InsulaError, Internal, Unavailable


async def tell(
    guest: Guest, stdout: bytes, stderr: bytes = b"", status: int = 0, killed: bool = False
) -> None:
    """One whole tree process, as this guest has it."""
    asked = await guest.answer()
    assert isinstance(asked, TreeRead)
    number = asked.process
    kind = ExitKind.KILLED if killed else ExitKind.EXITED
    guest.say(
        *((Output(number, STDOUT, 0, stdout),) if stdout else ()),
        *((Output(number, STDERR, 0, stderr),) if stderr else ()),
        OutputEnd(number, STDOUT, len(stdout)),
        OutputEnd(number, STDERR, len(stderr)),
        Exited(number, kind, status, False, False, 1),
    )


FILE = Entry(Kind.FILE, size=3)


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"stdout": b"rubbish" * 10}, Internal), ({"stdout": b""}, Internal), ({"stdout": b"\xff\xff\xff\xff"}, Internal),
        ({"stdout": END.encode()}, Internal), ({"stdout": FILE.encode()[:-3]}, Internal),
        ({"stdout": b"", "stderr": b"/\xff\x00\x1b[2J" * 900, "status": 2}, TreeFailure),
        ({"stdout": b"", "status": 255}, TreeFailure), ({"stdout": b"", "status": 9, "killed": True}, Unavailable),
    ],
)  # fmt: skip
async def test_what_is_no_tree_is_an_error(told: dict[str, object], error: type[InsulaError]) -> None:
    async with greeted() as (guest, session):
        asking = asyncio.create_task(stat(Visit(session), "x", ReadFlag(0)))
        await tell(guest, **told)  # type: ignore[arg-type]
        with pytest.raises(error) as caught:
            await asking
        assert len(str(caught.value)) < 2000
        assert not session._processes


async def test_what_a_path_is() -> None:
    async with greeted() as (guest, session):
        visit = Visit(session)
        asking = asyncio.create_task(stat(visit, "x", ReadFlag.RESOLVE))
        await tell(guest, FILE.encode() + END.encode())
        assert await asking == FILE
        assert visit.moved == len(FILE.encode() + END.encode())


async def test_a_tree_that_is_broken_off_is_killed_in_the_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "END_SECONDS", 0.2)
    async with greeted() as (guest, session):
        asking = asyncio.create_task(stat(Visit(session), "x", ReadFlag(0)))
        asked = await guest.answer()
        asking.cancel()
        heard = await guest.answer()
        assert isinstance(asked, TreeRead) and isinstance(heard, Signal)
        assert (heard.process, heard.signal) == (asked.process, 9)
        with pytest.raises(asyncio.CancelledError):  # though this guest never tells that it has ended
            await asking


async def test_a_guest_that_is_gone() -> None:
    async with greeted() as (guest, session):
        asking = asyncio.create_task(stat(Visit(session), "x", ReadFlag(0)))
        await guest.answer()
        guest.writer.close()
        with pytest.raises(InsulaError):
            await asking
