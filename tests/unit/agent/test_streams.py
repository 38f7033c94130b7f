"""One process, without a session: what it holds, says and refuses."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insula.agent.messages import DATA_MAX, STDERR, STDOUT, WINDOW, Message
from insula.agent.reports import Credit, Exited, ExitKind, Output, OutputEnd
from insula.agent.requests import Ack, Input, InputEnd
from insula.agent.streams import PIECES_MAX, Chunk, Process
from insula.errors import Conflict, Internal, InvalidArgument, Unavailable

GONE = Exited(1, ExitKind.EXITED, 0, False, False, 0)


class Sent:
    """Remembers what was sent; `full` holds data back, as a peer that does not read does."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.room = asyncio.Event()
        self.room.set()

    def send(self, message: Message) -> None:
        self.messages.append(message)

    async def drained(self) -> None:
        await self.room.wait()


def started(*, tty: bool = False) -> tuple[Process, Sent]:
    sent = Sent()
    return Process(sent, 1, tty=tty), sent


async def settle() -> None:
    """Lets every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def held(process: Process, count: int) -> list[Chunk]:
    return [await anext(process) for _ in range(count)]


# -- output


async def test_reading_does_not_acknowledge() -> None:
    process, sent = started()
    process.take_output(Output(1, STDOUT, 0, b"abc"))
    await anext(process)
    assert sent.messages == []
    process.acknowledge(STDOUT, 2)
    process.acknowledge(STDOUT, 2)
    process.acknowledge(STDOUT, 1)
    assert sent.messages == [Ack(1, STDOUT, 2)]


@pytest.mark.parametrize(("stream", "offset"), [(STDOUT, 4), (STDERR, 1), (3, 0)])
async def test_what_has_not_come_cannot_be_acknowledged(stream: int, offset: int) -> None:
    process, _ = started()
    process.take_output(Output(1, STDOUT, 0, b"abc"))
    with pytest.raises(InvalidArgument, match="has not come"):
        process.acknowledge(stream, offset)


async def test_repeats_are_cut_away() -> None:
    process, _ = started()
    assert process.take_output(Output(1, STDOUT, 0, b"abc"))
    assert not process.take_output(Output(1, STDOUT, 0, b"abc"))
    assert not process.take_output(Output(1, STDOUT, 1, b""))
    assert process.take_output(Output(1, STDOUT, 1, b"bcd"))
    process.take_output_end(OutputEnd(1, STDOUT, 4))
    assert not process.take_output(Output(1, STDOUT, 3, b"d"))
    assert not process.take_output_end(OutputEnd(1, STDOUT, 4))
    process.take_output_end(OutputEnd(1, STDERR, 0))
    assert b"".join([chunk.data async for chunk in process]) == b"abcd"


async def test_nothing_comes_after_the_end() -> None:
    process, _ = started()
    process.take_output_end(OutputEnd(1, STDOUT, 0))
    with pytest.raises(Internal, match="after its end"):
        process.take_output(Output(1, STDOUT, 0, b"x"))


async def test_the_reader_is_woken_by_output_end_and_failure() -> None:
    process, _ = started()
    reading = asyncio.ensure_future(anext(process))
    await settle()
    process.take_output(Output(1, STDERR, 0, b"x"))
    assert await reading == Chunk(STDERR, 0, b"x")
    reading = asyncio.ensure_future(anext(process))
    await settle()
    process.take_output_end(OutputEnd(1, STDOUT, 0))
    await settle()
    assert not reading.done()
    process.fail(Unavailable("gone"))
    with pytest.raises(Unavailable, match="gone"):
        await reading


async def test_output_that_has_all_ended_outlives_the_session() -> None:
    process, _ = started()
    process.take_output(Output(1, STDOUT, 0, b"x"))
    process.take_output_end(OutputEnd(1, STDOUT, 1))
    process.take_output_end(OutputEnd(1, STDERR, 0))
    process.take_exit(GONE)
    process.fail(Unavailable("gone"))
    assert [chunk async for chunk in process] == [Chunk(STDOUT, 0, b"x")]
    assert (await process.exit()).value == 0


async def test_small_pieces_are_joined() -> None:
    process, _ = started()
    for offset in range(WINDOW):
        process.take_output(Output(1, STDOUT, offset, b"x"))
    assert await held(process, 2) == [
        Chunk(STDOUT, 0, b"x" * DATA_MAX),
        Chunk(STDOUT, DATA_MAX, b"x" * DATA_MAX),
    ]


async def test_single_bytes_of_both_streams_take_bounded_memory() -> None:
    process, _ = started()
    for offset in range(WINDOW):
        process.take_output(Output(1, STDOUT, offset, b"o"))
        process.take_output(Output(1, STDERR, offset, b"e"))
    assert len(process._pieces) <= PIECES_MAX + 1
    for stream in (STDOUT, STDERR):
        process.take_output_end(OutputEnd(1, stream, WINDOW))
    reached = {STDOUT: 0, STDERR: 0}
    async for chunk in process:
        assert chunk.offset == reached[chunk.stream]
        reached[chunk.stream] += len(chunk.data)
    assert reached == {STDOUT: WINDOW, STDERR: WINDOW}


@given(
    st.lists(
        st.tuples(
            st.sampled_from([STDOUT, STDERR]), st.integers(0, 30), st.binary(max_size=40), st.booleans()
        )
    )
)
async def test_output_is_what_was_sent_in_the_order_of_arrival(
    steps: list[tuple[int, int, bytes, bool]],
) -> None:
    """Each step sends something that overlaps what was sent by some bytes, and perhaps reads one chunk."""
    process, _ = started()
    whole, got, arrived = {1: b"", 2: b""}, {1: b"", 2: b""}, b""
    order = b""

    async def read() -> None:
        nonlocal order
        chunk = await anext(process)
        assert chunk.offset == len(got[chunk.stream])
        got[chunk.stream] += chunk.data
        order += bytes([chunk.stream]) * len(chunk.data)

    for stream, back, fresh, reads in steps:
        offset = max(0, len(whole[stream]) - back)
        process.take_output(Output(1, stream, offset, whole[stream][offset:] + fresh))
        whole[stream] += fresh
        arrived += bytes([stream]) * len(fresh)
        if reads and process._pieces:
            await read()
    while process._pieces:
        await read()
    assert got == whole
    assert order == arrived


# -- input


async def test_input_waits_for_credit() -> None:
    process, sent = started()
    writing = asyncio.ensure_future(process.write(b"hello"))
    await settle()
    assert sent.messages == []
    process.take_credit(Credit(1, 2))
    await settle()
    assert sent.messages == [Input(1, 0, b"he")]
    assert not process.take_credit(Credit(1, 1))
    process.take_credit(Credit(1, 100))
    await writing
    assert sent.messages == [Input(1, 0, b"he"), Input(1, 2, b"llo")]
    await process.end_input()
    await process.end_input()
    assert sent.messages[2:] == [InputEnd(1, 5)]
    with pytest.raises(Conflict, match="has been ended"):
        await process.write(b"x")


async def test_input_goes_in_frames_that_a_control_frame_may_pass() -> None:
    process, sent = started()
    process.take_credit(Credit(1, 1 << 20))
    sent.room.clear()
    writing = asyncio.ensure_future(process.write(bytes(2 * DATA_MAX + 1)))
    await settle()
    assert sent.messages == []
    sent.room.set()
    await writing
    assert [len(m.data) for m in sent.messages if isinstance(m, Input)] == [DATA_MAX, DATA_MAX, 1]


@pytest.mark.parametrize("how", ["exit", "end", "failure"])
async def test_waiting_input_is_let_go(how: str) -> None:
    process, sent = started()
    writing = asyncio.ensure_future(process.write(b"never read"))
    await settle()
    if how == "exit":
        process.take_exit(GONE)
        await writing
    elif how == "end":
        await process.end_input()
        with pytest.raises(Conflict):
            await writing
    else:
        process.fail(Unavailable("gone"))
        with pytest.raises(Unavailable):
            await writing
        with pytest.raises(Unavailable):
            await process.end_input()
    assert [m for m in sent.messages if isinstance(m, Input)] == []


# -- exit


async def test_an_exit_is_told_to_all_and_not_changed() -> None:
    process, _ = started()
    waiting = [asyncio.ensure_future(process.exit()) for _ in range(3)]
    await settle()
    assert not process.ended
    assert process.take_exit(Exited(1, ExitKind.KILLED, 9, True, False, 5))
    assert not process.take_exit(GONE)
    assert {(e.kind, e.value, e.oom, e.time_ns) for e in await asyncio.gather(*waiting)} == {
        (ExitKind.KILLED, 9, True, 5)
    }
