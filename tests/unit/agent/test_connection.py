import asyncio

import pytest
from scripted_guest import SECONDS, connected, greeted

from insula.agent.connection import BACKLOG_MAX, FLUSHING_HELLO, VOID_MAX, Connection, again
from insula.agent.messages import STDOUT, Message
from insula.agent.reports import Credit, Oom, Output, ProcessState, Reply, Step, Welcome
from insula.agent.requests import Hello, Input, Resize, Resume, Signal
from insula.agent.session import open_session
from insula.agent.wire import PAYLOAD_MAX, encode
from insula.errors import InsulaError, Internal, Unavailable


class Upper:
    """Above a connection: remembers what it is told."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.failures: list[InsulaError] = []

    def receive(self, message: Message) -> None:
        self.messages.append(message)

    def on_lost(self, failure: InsulaError) -> None:
        self.failures.append(failure)


async def test_hello_is_repeated_until_it_is_answered_once_after_a_flush() -> None:
    async with connected() as (guest, peer):
        opening = asyncio.ensure_future(open_session(peer, SECONDS))
        for count in range(1, FLUSHING_HELLO + 2):
            await guest.hear_hello()
            assert guest._feed.skipped == (PAYLOAD_MAX if count >= FLUSHING_HELLO else 0)
        guest.say(Welcome(2, False, 0))
        async with await opening as session:
            _, heard = await asyncio.gather(session.signal(1, 1), guest.answer())
            assert heard == Signal(1, 1, 1)


async def test_a_torn_frame_of_an_earlier_daemon_is_ended_by_the_flush() -> None:
    """What an agent has when its former host was killed in the middle of the longest frame."""
    async with connected() as (guest, peer):
        torn = encode(Input(1, 0, b"").TYPE, 9, bytes(PAYLOAD_MAX))[:21]
        assert guest._feed.feed(torn) == []
        session, _ = await asyncio.gather(open_session(peer, SECONDS), guest.greet())
        session.close()


async def test_the_greeting_is_found_behind_an_earlier_connections_output() -> None:
    async with connected() as (guest, peer):
        opening = asyncio.ensure_future(open_session(peer, SECONDS))
        await guest.hear_hello()
        old = encode(67, guest.epoch ^ 1, bytes(13) + bytes(30_000))
        guest.raw(old[77:] + old + old[:4000])
        guest.say(Welcome(2, False, 0))
        async with await opening as session:
            assert session.failure is None


async def test_a_second_answer_to_a_repeated_hello_changes_nothing() -> None:
    async with connected() as (guest, peer):
        opening = asyncio.ensure_future(open_session(peer, SECONDS))
        await guest.hear_hello()
        await guest.hear_hello()
        guest.say(Welcome(2, False, 0))
        async with await opening as session:
            guest.say(Welcome(2, False, 0), Oom(1))
            await asyncio.gather(session.sync(), guest.answer())
            assert session.failure is None


async def test_one_write_one_message_each_way() -> None:
    async with greeted(ProcessState(1, False, False, 0, 9, 0, 0, 0, 0)) as (guest, session):
        session.resume(1, 0, 0)
        assert await guest.hear() == Resume(1, 0, 0)


@pytest.mark.parametrize("rubbish", [b"rubbish", encode(66, 1, b"x")[:-1] + b"y"])
async def test_rubbish_after_the_greeting_ends_the_session(rubbish: bytes) -> None:
    async with greeted() as (guest, session):
        guest.raw(rubbish)
        await asyncio.wait_for(session.lost.wait(), SECONDS)
        assert isinstance(session.failure, Internal)
        assert "belong to no frame" in session.failure.message


async def test_an_unknown_type_and_a_malformed_payload_end_the_session() -> None:
    for type_, payload in ((999, b""), (66, b"x"), (1, b"\1\0")):
        async with greeted() as (guest, session):
            guest.raw(encode(type_, guest.epoch, payload))
            await asyncio.wait_for(session.lost.wait(), SECONDS)
            assert isinstance(session.failure, Internal)


async def test_frames_of_another_epoch_are_void_but_not_without_end() -> None:
    async with greeted() as (guest, session):
        void = encode(Reply.TYPE, guest.epoch ^ 1, Reply(1, Step.REQUEST, 0).encode())
        guest.raw(void * VOID_MAX)
        await asyncio.gather(session.sync(), guest.answer())
        guest.raw(void)
        await asyncio.wait_for(session.lost.wait(), SECONDS)


async def test_a_guest_that_does_not_read_cannot_fill_the_daemons_memory() -> None:
    async with greeted() as (_, session):
        with pytest.raises(Internal, match="does not read"):
            for _ in range(BACKLOG_MAX):
                session.resize(1, 1, 1)
        assert session.lost.is_set()


async def test_a_control_frame_passes_data_that_waits() -> None:
    async with greeted(ProcessState(1, False, False, 0, 1 << 20, 0, 0, 0, 0)) as (guest, session):
        process = session.resume(1, 0, 0)
        guest.say(Credit(1, 1 << 20))
        await asyncio.gather(session.sync(), guest_answers(guest))
        writing = asyncio.ensure_future(process.write(bytes(1 << 20)))
        await asyncio.sleep(0)  # the writer runs until the socket takes no more
        transport = session._connection._transport
        assert transport is not None
        assert transport.get_write_buffer_size()
        session.resize(1, 2, 3)
        in_front = 0
        assert transport.get_write_buffer_size() <= 32_768 + 32 + 28
        while not isinstance(message := await guest.hear(), Resize):
            in_front += isinstance(message, Input)
        assert in_front < 32  # of the 32 data frames, at least one let it pass
        while isinstance(message := await guest.hear(), Input):
            if message.offset + len(message.data) == 1 << 20:
                break
        await writing


async def guest_answers(guest: object) -> None:
    await guest.hear()  # type: ignore[attr-defined]
    await guest.answer()  # type: ignore[attr-defined]


async def test_a_guest_that_does_not_read_does_not_hold_up_a_close() -> None:
    async with greeted(ProcessState(1, False, False, 0, 1 << 20, 0, 0, 0, 0)) as (_, session):
        process = session.resume(1, 0, 0)
        writing = asyncio.ensure_future(process.write(bytes(1 << 19)))
        await asyncio.sleep(0)  # the writer runs until the socket takes no more
        transport = session._connection._transport
        assert transport is not None
        assert transport.get_write_buffer_size()
        session.close()
        with pytest.raises(Unavailable, match="closed"):
            await writing


async def test_a_failure_before_there_is_a_connection_closes_it_when_it_comes() -> None:
    upper = Upper()
    connection = Connection(upper)
    connection.fail(Unavailable("too late"))
    async with connected() as (guest, peer):
        await asyncio.get_running_loop().create_unix_connection(lambda: connection, sock=peer)
        with pytest.raises((EOFError, ConnectionError)):
            await guest.frame()
    assert [f.message for f in upper.failures] == ["too late"]
    with pytest.raises(Unavailable, match="too late"):
        connection.send(Hello())


async def test_frames_behind_a_breach_are_not_taken() -> None:
    async with greeted(ProcessState(1, False, False, 0, 0, 0, 0, 0, 0)) as (guest, session):
        process = session.resume(1, 0, 0)
        guest.say(Oom(1), Reply(77, Step.REQUEST, 0), Output(1, STDOUT, 0, b"x"))
        with pytest.raises(Internal, match="not asked"):
            await anext(process)


def test_a_failure_again_is_another_of_its_kind() -> None:
    first = Unavailable("message", "hint")
    second = again(first)
    assert second is not first
    assert (type(second), second.message, second.hint) == (Unavailable, "message", "hint")
