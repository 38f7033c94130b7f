import asyncio
import errno
import gc
import os
import weakref
from pathlib import Path

import pytest
from scripted_guest import SECONDS, Guest, connected, greeted

from insula.agent.boot_document import BootDocument, ProcessFlag, ProcessSpec
from insula.agent.messages import STDERR, STDOUT
from insula.agent.reports import (
    Credit,
    Exited,
    ExitKind,
    Oom,
    Output,
    OutputEnd,
    ProcessState,
    Reply,
    Step,
    Welcome,
)
from insula.agent.requests import (
    Ack,
    Boot,
    Freeze,
    Identity,
    PowerOff,
    Release,
    Resize,
    Resume,
    Signal,
    Spawn,
    Stop,
    Sync,
    Thaw,
    TreeRead,
    TreeWrite,
)
from insula.agent.session import STEP_WORDS, GuestFailure, Session, open_session
from insula.agent.streams import Chunk, Exit
from insula.errors import Conflict, Internal, InvalidArgument, NotFound, Unavailable

TRUE = ProcessSpec(number=1, arguments=("true",))
STATE = ProcessState(4, False, False, 5, 100, 10, 30, 20, 40)


def document(**changes: object) -> BootDocument:
    return BootDocument(number=1, main=TRUE, disks=False, **changes)  # type: ignore[arg-type]


async def lost(session: Session) -> None:
    async with asyncio.timeout(SECONDS):
        await session.lost.wait()


# -- opening


async def test_opening_gives_what_the_agent_has() -> None:
    async with greeted(STATE) as (_, session):
        assert session.welcome == Welcome(2, True, 1, (STATE,))
        assert session.failure is None


async def test_a_path_is_connected_to(tmp_path: Path) -> None:
    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Guest(reader, writer).greet()
        await reader.read()
        writer.close()

    path = tmp_path / "agent"
    async with await asyncio.start_unix_server(agent, path):
        async with await open_session(path, SECONDS) as session:
            assert session.welcome.version == 2


async def test_a_missing_socket_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"cannot connect to the guest's agent at .*: No such file"):
        await open_session(tmp_path / "agent", SECONDS)


async def test_a_silent_guest_is_given_up_in_time() -> None:
    async with connected() as (guest, peer):
        with pytest.raises(Unavailable, match=r"did not answer within 0\.3 s"):
            await open_session(peer, 0.3)
        await guest.hear_hello()
        with pytest.raises((EOFError, ConnectionError)):
            while True:
                await guest.frame()


async def test_a_guest_that_hangs_up_is_unavailable() -> None:
    async with connected() as (guest, peer):
        guest.writer.close()
        with pytest.raises(Unavailable, match="was lost"):
            await open_session(peer, SECONDS)


async def test_another_version_is_refused() -> None:
    async with connected() as (guest, peer):
        opening = asyncio.ensure_future(open_session(peer, SECONDS))
        await guest.hear_hello()
        guest.say(Welcome(3, False, 0))
        with pytest.raises(Internal, match="version 3"):
            await opening


async def test_cancelled_opening_leaves_nothing() -> None:
    async with connected() as (guest, peer):
        opening = asyncio.ensure_future(open_session(peer, SECONDS))
        await guest.hear_hello()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        with pytest.raises((EOFError, ConnectionError)):
            while True:
                await guest.frame()


# -- requests


async def test_each_request_is_its_message() -> None:
    async with greeted() as (guest, session):
        for call, message in (
            (session.signal(3, 15), Signal(1, 3, 15)),
            (session.freeze(), Freeze(2)),
            (session.thaw(), Thaw(3)),
            (session.sync(), Sync(4)),
            (session.stop(), Stop(5)),
            (session.identity(7, b"entropy"), Identity(6, 7, b"entropy")),
            (session.boot(document()), Boot(7, document())),
            (session.spawn(ProcessSpec(number=2, arguments=("sh",))), Spawn(8, ProcessSpec(number=2, arguments=("sh",)))),
            (session.tree_read(8, "/etc", 1), TreeRead(9, 8, "/etc", 1)),
            (session.tree_write(9, "/srv", 2), TreeWrite(10, 9, "/srv", 2)),
        ):  # fmt: skip
            _, heard = await asyncio.gather(call, guest.answer())
            assert heard == message
        session.resize(1, 24, 80)
        session.power_off()
        assert [await guest.hear(), await guest.hear()] == [Resize(1, 24, 80), PowerOff()]
        assert session.new_number() == 10


async def test_answers_find_their_requests_in_any_order() -> None:
    async with greeted() as (guest, session):
        calls = [asyncio.ensure_future(session.signal(n, 9)) for n in (1, 2, 3)]
        numbers = [(await guest.hear()).request for _ in calls]  # type: ignore[attr-defined]
        guest.say(*(Reply(n, Step.REQUEST, n) for n in reversed(numbers)))
        failures = await asyncio.gather(*calls, return_exceptions=True)
        assert [f.errno for f in failures if isinstance(f, GuestFailure)] == numbers


@pytest.mark.parametrize("step", list(Step))
async def test_a_failure_says_what_failed_on_what(step: Step) -> None:
    async with greeted() as (guest, session):
        call = session.boot(document())
        with pytest.raises(GuestFailure) as caught:
            await asyncio.gather(call, guest.answer(errno=errno.ENOENT, step=step, detail="no\nsuch"))
        failure = caught.value
        assert (failure.step, failure.errno, failure.detail) == (step, errno.ENOENT, "no\nsuch")
        assert (
            failure.message
            == f"the guest could not {STEP_WORDS[step]}: No such file or directory: 'no\\nsuch'"
        )
        _, process = await asyncio.gather(
            guest.answer(), session.boot(document())
        )  # the number is free again
        assert process.number == 1


async def test_an_answer_that_does_not_come_is_unavailable_and_may_come_late() -> None:
    async with greeted() as (guest, session):
        with pytest.raises(Unavailable, match="did not answer to boot"):
            await session.boot(document(), timeout=0.05)
        await guest.answer()
        await asyncio.gather(session.sync(), guest.answer())
        assert session.failure is None


async def test_an_answer_to_nothing_breaks_the_session() -> None:
    async with greeted() as (guest, session):
        guest.say(Reply(1, Step.REQUEST, 0))
        await lost(session)
        with pytest.raises(Internal, match="not asked"):
            await session.sync()


# -- processes


async def test_output_and_exit_that_come_with_the_answer_are_kept() -> None:
    async with greeted() as (guest, session):
        early = (
            Credit(1, 9),
            Output(1, STDOUT, 0, b"out"),
            Output(1, STDERR, 0, b"err"),
            Exited(1, ExitKind.EXITED, 3, False, False, 7),
        )
        process, _ = await asyncio.gather(
            session.boot(document()), guest.answer(*early, OutputEnd(1, 1, 3), OutputEnd(1, 2, 3))
        )
        assert [chunk async for chunk in process] == [Chunk(STDOUT, 0, b"out"), Chunk(STDERR, 0, b"err")]
        assert await process.exit() == Exit(ExitKind.EXITED, 3, False, False, 7)


async def test_a_number_is_used_once() -> None:
    async with greeted() as (guest, session):
        await asyncio.gather(session.spawn(TRUE), guest.answer())
        with pytest.raises(Conflict, match="process 1 has been started"):
            await session.spawn(TRUE)


async def test_a_repeated_spawn_is_resumed_from_its_beginning() -> None:
    async with greeted(ProcessState(1, False, False, 0, 0, 0, 4, 0, 0)) as (guest, session):
        process, _ = await asyncio.gather(session.spawn(TRUE), guest.answer())
        assert await guest.hear() == Resume(1, 0, 0)
        guest.say(Output(1, STDOUT, 0, b"four"))
        assert await anext(process) == Chunk(STDOUT, 0, b"four")


async def test_resuming_goes_on_where_the_log_ends() -> None:
    async with greeted(STATE) as (guest, session):
        process = session.resume(4, 12, 25)
        assert await guest.hear() == Resume(4, 12, 25)
        guest.say(Output(4, STDOUT, 10, b"0123"), Output(4, STDERR, 25, b"e"))
        assert [await anext(process), await anext(process)] == [
            Chunk(STDOUT, 12, b"23"),
            Chunk(STDERR, 25, b"e"),
        ]
        await process.write(b"x")
        assert (await guest.hear()).offset == 5  # type: ignore[attr-defined]
        with pytest.raises(Conflict, match="has been resumed"):
            session.resume(4, 12, 25)


@pytest.mark.parametrize(("out", "err"), [(9, 20), (31, 20), (10, 19), (10, 41)])
async def test_resuming_where_the_guest_has_nothing_is_refused(out: int, err: int) -> None:
    async with greeted(STATE) as (_, session):
        with pytest.raises(InvalidArgument, match="the guest has"):
            session.resume(4, out, err)
        with pytest.raises(NotFound, match="no process 5"):
            session.resume(5, 0, 0)


async def test_a_terminal_has_one_stream() -> None:
    spec = ProcessSpec(number=2, arguments=("sh",), flags=ProcessFlag.TTY)
    async with greeted(ProcessState(9, True, True, 0, 0, 0, 0, 0, 0)) as (guest, session):
        process, _ = await asyncio.gather(session.spawn(spec), guest.answer(OutputEnd(2, STDOUT, 0)))
        assert [chunk async for chunk in process] == []
        resumed = session.resume(9, 0, 77)
        assert await guest.hear() == Resume(9, 0, 0)
        guest.say(OutputEnd(9, STDOUT, 0), Output(2, STDERR, 0, b"x"))
        assert [chunk async for chunk in resumed] == []
        await lost(session)
        assert "second stream" in str(session.failure)


async def test_releasing_ends_what_is_unread() -> None:
    async with greeted() as (guest, session):
        process, _ = await asyncio.gather(session.spawn(TRUE), guest.answer())
        with pytest.raises(Conflict, match="still runs"):
            session.release(1)
        guest.say(Exited(1, ExitKind.KILLED, 9, True, True, 0))
        assert await process.exit() == Exit(ExitKind.KILLED, 9, True, True, 0)
        session.release(1)
        assert await guest.hear() == Release(1)
        with pytest.raises(Conflict, match="has been released"):
            await anext(process)
        guest.say(Output(1, STDOUT, 0, b"last words"))
        await asyncio.gather(session.sync(), guest.answer())
        assert session.failure is None


# -- the end


async def test_when_the_connection_is_lost_everything_that_waits_fails() -> None:
    async with greeted() as (guest, session):
        process, _ = await asyncio.gather(
            session.boot(document()), guest.answer(Output(1, STDOUT, 0, b"kept"))
        )
        waiting = [
            asyncio.ensure_future(call)
            for call in (session.sync(), process.exit(), process.write(b"no credit"), session.spawn(ProcessSpec(number=2, arguments=("a",))))
        ]  # fmt: skip
        await guest.hear()
        await guest.hear()
        guest.writer.close()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(r) for r in results] == [Unavailable] * 4
        assert len({id(r) for r in results}) == 4  # each its own, with its own traceback
        assert await anext(process) == Chunk(STDOUT, 0, b"kept")
        with pytest.raises(Unavailable):
            await anext(process)
        process.acknowledge(STDOUT, 4)  # of no use now, and no harm
        with pytest.raises(Unavailable):
            await session.sync()
        with pytest.raises(Unavailable):
            session.resize(1, 1, 1)
        assert session.lost.is_set()


async def test_closing_detaches_after_what_was_sent() -> None:
    async with greeted() as (guest, session):
        for _ in range(100):
            session.resize(1, 2, 3)
        session.close()
        assert isinstance(session.failure, Unavailable)
        session.close()
        assert [await guest.hear() for _ in range(100)] == [Resize(1, 2, 3)] * 100
        with pytest.raises(EOFError):
            await guest.frame()


async def test_oom_is_counted() -> None:
    async with greeted() as (guest, session):
        guest.say(Oom(2), Oom(1))
        await asyncio.gather(session.sync(), guest.answer())
        assert session.oom_count == 2


@pytest.mark.parametrize(
    ("breach", "words"),
    [
        (Output(1, STDOUT, 1, b"x"), "gap"),
        (Output(1, STDOUT, (1 << 64) - 1, b"x"), "gap"),
        (OutputEnd(1, STDOUT, 1), "elsewhere"),
        (Credit(1, 1 << 21), "input"),
        (Welcome(2, False, 0), "without being asked"),
    ],
)
async def test_a_breach_ends_the_session_with_its_reason(breach: object, words: str) -> None:
    async with greeted() as (guest, session):
        process, _ = await asyncio.gather(session.boot(document()), guest.answer())
        guest.say(breach)  # type: ignore[arg-type]
        with pytest.raises(Internal, match=words):
            await process.exit()
        assert isinstance(session.failure, Internal)


async def test_more_than_the_window_is_a_breach() -> None:
    async with greeted() as (guest, session):
        process, _ = await asyncio.gather(session.boot(document()), guest.answer())
        guest.say(Output(1, STDOUT, 0, bytes(32_768)), Output(1, STDOUT, 32_768, bytes(32_768)))
        await asyncio.gather(session.sync(), guest.answer())
        process.acknowledge(STDOUT, 1)
        assert await guest.hear() == Ack(1, STDOUT, 1)
        guest.say(Output(1, STDOUT, 65_536, b"1"))
        await asyncio.gather(session.sync(), guest.answer())
        guest.say(Output(1, STDOUT, 65_537, b"2"))
        await lost(session)
        assert "more output of process 1 than it may" in str(session.failure)


@pytest.mark.parametrize(
    "idle", [Output(9, STDOUT, 0, b"x"), Output(1, STDOUT, 0, b""), Oom(1), Credit(1, 0)]
)
async def test_a_flood_of_frames_that_say_nothing_ends_the_session(idle: object) -> None:
    async with greeted() as (guest, session):
        await asyncio.gather(session.boot(document()), guest.answer())
        guest.raw(guest.framed(idle) * 10_000)  # type: ignore[arg-type]
        await lost(session)
        assert "floods" in str(session.failure)


async def test_nothing_is_left_of_a_session() -> None:
    before = os.listdir("/proc/self/fd")
    async with greeted() as (guest, session):
        await asyncio.gather(session.boot(document()), guest.answer())
    left = weakref.ref(session)
    del guest, session
    gc.collect()
    assert left() is None
    assert os.listdir("/proc/self/fd") == before
