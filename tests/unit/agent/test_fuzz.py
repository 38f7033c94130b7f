"""Nothing a guest sends does worse than end its own session: seeded mutations of every message, at all layers.

The long run is `pytest -m soak`; the short one has the same inputs, fewer of them.
"""

import json
import random
from pathlib import Path

import pytest
from scripted_guest import greeted

from insula.agent.messages import WINDOW, Message, decode
from insula.agent.reports import (
    REPORTS,
    Credit,
    Exited,
    ExitKind,
    Oom,
    Output,
    OutputEnd,
    ProcessState,
    Reply,
    Step,
)
from insula.agent.requests import REQUESTS
from insula.agent.streams import Process
from insula.agent.tree import decode_entry
from insula.agent.wire import MAGIC, PAYLOAD_MAX, Feed, Frame, encode
from insula.errors import InsulaError, Internal

VECTORS = Path(__file__).parents[2] / "wire" / "vectors"
EPOCH = 5


def seeds(direction: str) -> list[Frame]:
    rows = json.loads((VECTORS / "frames.json").read_text())
    return [Frame(r["type"], EPOCH, bytes.fromhex(r["payload"])) for r in rows if r["direction"] == direction]


def mutated(chance: random.Random, original: bytes) -> bytes:
    """A few damages of the kinds that a wire or an attacker makes."""
    data = bytearray(original) or bytearray(b"\0")
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(data))
        match chance.randrange(5):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                del data[at : at + chance.randrange(1, 30)]
            case 2:
                data[at:at] = chance.randbytes(chance.randrange(1, 30))
            case 3:
                data[at:at] = data[chance.randrange(len(data)) :][:40]
            case _:
                data[at : at + 4] = chance.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", MAGIC, b"\0\0\4\0"])
        data = data or bytearray(b"\0")
    return bytes(data)


def fuzz_payloads(seed: int, count: int) -> int:
    """Decodes mutated payloads, and says how many were refused. Anything but Internal is a failure, as is a
    message that is not the bytes it was read from."""
    chance, refused = random.Random(seed), 0
    sources = [(frame, REQUESTS) for frame in seeds("host")] + [(frame, REPORTS) for frame in seeds("agent")]
    for _ in range(count):
        frame, types = chance.choice(sources)
        payload = mutated(chance, frame.payload)
        try:
            message = decode(Frame(frame.type, EPOCH, payload), types)
        except Internal:
            refused += 1
            continue
        assert message.encode() == payload
    return refused


def fuzz_trees(seed: int, count: int) -> int:
    chance, refused = random.Random(seed), 0
    entries = [bytes.fromhex(row["bytes"])[4:] for row in json.loads((VECTORS / "trees.json").read_text())]
    for _ in range(count):
        try:
            decode_entry(mutated(chance, chance.choice(entries)))
        except Internal:
            refused += 1
    return refused


def fuzz_feed(seed: int, count: int) -> int:
    """Feeds mutated streams in random pieces; says how many frames came through. The stream that follows a
    mutation must be found again."""
    chance, through = random.Random(seed), 0
    sources = [encode(frame.type, EPOCH, frame.payload) for frame in seeds("agent")]
    mark = Frame(69, EPOCH, b"the mark")
    ending = bytes(PAYLOAD_MAX + 20) + encode(mark.type, mark.epoch, mark.payload)
    feed = Feed()
    for turn in range(count):
        if turn % 64 == 0:
            feed = Feed()
            if chance.randrange(2):
                feed.hunt(65, EPOCH)
                feed.feed(encode(65, EPOCH, b""))
        stream = mutated(chance, b"".join(chance.choices(sources, k=2)))
        cut = chance.randrange(len(stream))
        through += len(feed.feed(stream[:cut])) + len(feed.feed(stream[cut:]))
        if turn % 64 == 63:
            assert feed.feed(ending)[-1] == mark
    return through


def plausible(chance: random.Random, processes: list[Process]) -> Message:
    """What an agent might say, with numbers that are mostly right."""
    process, stream = chance.choice([1, 1, 1, 2, 3]), chance.choice([1, 1, 1, 2])
    offset = chance.choice([0, 0, 1, 2, 100, 32_768, 65_536, 65_537, 1 << 40, (1 << 64) - 1])
    if chance.randrange(20):
        stream = 1 if process == 2 else stream
        offset = processes[process - 1]._streams[stream].received if process < 3 else 0
    match chance.randrange(8):
        case 0 | 1 | 2:
            return Output(process, stream, offset, bytes(chance.choice([0, 1, 1, 99, 100, 32_768])))
        case 3 if not chance.randrange(20):
            return OutputEnd(process, stream, offset)
        case 4:
            return Credit(process, offset)
        case 5:
            return Exited(process, ExitKind(chance.randrange(2)), chance.randrange(256), False, False, offset)
        case 6:
            return Oom(offset)
        case _:
            return Reply(chance.choice([0, 1, 2]), Step.EXEC, 2, "sh") if not chance.randrange(20) else Oom(1)


async def fuzz_session(chance: random.Random) -> bool:
    """Up to 200 plausible messages to one session; whether that ended it. The reader of the output gets all of
    it in order and at last the end or the failure, and no more than the window is ever held."""
    states = [ProcessState(n, False, n == 2, 0, 65_536, 0, 1 << 20, 0, 1 << 20) for n in (1, 2)]
    async with greeted(*states) as (guest, session):
        processes = [session.resume(number, 0, 0) for number in (1, 2)]
        for _ in range(200):
            session._connection.data_received(guest.framed(plausible(chance, processes)))
            for process in processes:
                for state in process._streams.values():
                    assert state.received - state.acknowledged <= WINDOW
                assert sum(len(piece.data) for piece in process._pieces) <= 2 * WINDOW
            if session.failure is not None:
                break
        broken = session.failure is not None
        assert not broken or isinstance(session.failure, Internal)
        session.close()
        for process in processes:
            await drain(process)
        return broken


async def drain(process: Process) -> None:
    reached = {1: 0, 2: 0}
    try:
        async for chunk in process:
            assert chunk.offset == reached[chunk.stream]
            reached[chunk.stream] += len(chunk.data)
    except InsulaError:
        assert process._failure is not None
    assert reached == {1: 0, 2: 0} | {n: state.received for n, state in process._streams.items()}


async def fuzz(seed: int, count: int) -> None:
    assert count / 2 < fuzz_payloads(seed, count) < count
    assert count / 2 < fuzz_trees(seed, count // 4) * 4 < count
    assert fuzz_feed(seed, count) > count / 4
    chance, sessions = random.Random(seed), count // 200
    broken = sum([await fuzz_session(chance) for _ in range(sessions)])
    assert 0 < broken <= sessions


async def test_hostile_guests() -> None:
    await fuzz(seed=2, count=100_000)


@pytest.mark.soak
async def test_hostile_guests_at_length() -> None:
    for seed in range(10, 20):
        await fuzz(seed, count=100_000)
