"""Connections carried to sockets of the host's, and what a guest may not say of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from scripted_guest import SECONDS, greeted

from insula.agent.connections import CONNECTIONS_MAX, OWN_NUMBERS
from insula.agent.messages import STDOUT
from insula.agent.reports import Connected, Credit, Exited, ExitKind, Output, OutputEnd
from insula.agent.requests import Ack, Input, InputEnd, Release, Signal
from insula.agent.session import Session
from insula.container.sockets import carry_sockets
from insula.errors import Internal

FIRST = OWN_NUMBERS


def over(number: int) -> Exited:
    return Exited(number, ExitKind.EXITED, 0, False, False, 0)


@asynccontextmanager
async def carrying(session: Session, sources: dict[int, Path]) -> AsyncIterator[None]:
    task = asyncio.create_task(carry_sockets(session, sources))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


@asynccontextmanager
async def echo(path: Path) -> AsyncIterator[None]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"got " + await reader.read())
        writer.close()

    async with await asyncio.start_unix_server(answer, path):
        yield


async def test_it_is_carried_to_the_socket_of_its_mount(tmp_path: Path) -> None:
    async with greeted() as (guest, session), echo(tmp_path / "s"), carrying(session, {3: tmp_path / "s"}):
        guest.say(Connected(FIRST, 3), Credit(FIRST, 65536), Output(FIRST, STDOUT, 0, b"asked"))
        assert await guest.hear() == Ack(FIRST, STDOUT, 5)
        guest.say(OutputEnd(FIRST, STDOUT, 5))
        assert await guest.hear() == Input(FIRST, 0, b"got asked")
        assert await guest.hear() == InputEnd(FIRST, 9)
        guest.say(over(FIRST))
        assert await guest.hear() == Release(FIRST)


@pytest.mark.parametrize("mount", [1, 2, 3, 4, 9])
async def test_what_cannot_be_connected_to_is_cut(tmp_path: Path, mount: int) -> None:
    """A plain file, nothing at all, a link to a socket and one to its folder, which a guest may have made; no such
    mount."""
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "s")
    (tmp_path / "folder").symlink_to(tmp_path)
    names = ("file", "nothing", "link", "folder/s")
    sources = {place: tmp_path / name for place, name in enumerate(names, 1)}
    async with greeted() as (guest, session), echo(tmp_path / "s"), carrying(session, sources):
        guest.say(Connected(FIRST, mount))
        cut = await guest.answer()
        assert isinstance(cut, Signal) and cut.process == FIRST
        guest.say(OutputEnd(FIRST, STDOUT, 0), over(FIRST))
        assert await guest.hear() == Release(FIRST)


@pytest.mark.parametrize("numbers", [(1,), (FIRST, FIRST), tuple(range(FIRST, FIRST + CONNECTIONS_MAX + 1))])
async def test_more_than_there_may_be_ends_the_session(numbers: tuple[int, ...]) -> None:
    """A number that is the host's, one twice, too many."""
    async with greeted() as (guest, session):
        guest.say(*(Connected(number, 0) for number in numbers))
        async with asyncio.timeout(SECONDS):
            await session.lost.wait()
        assert isinstance(session.failure, Internal)
        with pytest.raises(Internal):
            for _ in numbers:
                await session.connection()


async def test_the_carrier_ends_with_its_session(tmp_path: Path) -> None:
    async with greeted() as (guest, session):
        task = asyncio.create_task(carry_sockets(session, {}))
        guest.writer.close()
        async with asyncio.timeout(SECONDS):
            await task
