import pytest
from hypothesis import given
from hypothesis import strategies as st

from insula.agent.wire import MAGIC, PAYLOAD_MAX, RUBBISH_MAX, Feed, Frame, encode
from insula.errors import Internal, InvalidArgument

frames = st.builds(
    Frame, st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.binary(max_size=200)
)  # fmt: skip
rubbish = st.one_of(st.binary(max_size=60), st.just(b"INS"), st.just(b"INSL"), st.just(b"INSL\x08\0\0\0"))


def bytes_of(frame: Frame) -> bytes:
    return encode(frame.type, frame.epoch, frame.payload)


def test_a_frame_is_the_bytes_that_the_page_says() -> None:
    assert encode(1, 0x01020304, b"\x01\x00").hex() == "494e534c02000000040302010100000066b8aa460100"


def test_a_payload_beyond_the_limit_is_refused() -> None:
    assert len(encode(1, 1, bytes(PAYLOAD_MAX))) == PAYLOAD_MAX + 20
    with pytest.raises(InvalidArgument, match="262145 bytes"):
        encode(1, 1, bytes(PAYLOAD_MAX + 1))


@given(st.lists(frames, max_size=5), st.data())
def test_frames_come_out_as_they_went_in_however_they_are_cut(sent: list[Frame], data: st.DataObject) -> None:
    stream, feed = b"".join(map(bytes_of, sent)), Feed()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    got = [f for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) for f in feed.feed(stream[a:b])]
    assert got == sent
    assert feed.skipped == 0


@given(st.lists(st.tuples(rubbish, frames), min_size=1, max_size=4))
def test_after_rubbish_comes_the_next_frame(parts: list[tuple[bytes, Frame]]) -> None:
    """Rubbish that looks like the head of a frame may take what follows for its payload, until that is there
    and the checksum tells; so zeros enough follow."""
    feed = Feed()
    stream = b"".join(before + bytes_of(frame) for before, frame in parts)
    got = feed.feed(stream + bytes(PAYLOAD_MAX + 20))
    assert got == [frame for _, frame in parts]


@given(frames, st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_yields_nothing_else(frame: Frame, at: int, bit: int) -> None:
    damaged = bytearray(bytes_of(frame))
    damaged[at % len(damaged)] ^= 1 << bit
    assert Feed().feed(bytes(damaged) + bytes(PAYLOAD_MAX + 20)) == []


def test_the_reader_keeps_no_more_than_one_frame() -> None:
    feed = Feed()
    for _ in range(50):
        feed.feed(bytes(65536))
    assert len(feed._buffer) < len(MAGIC)
    feed.feed(encode(1, 1, bytes(PAYLOAD_MAX))[:-1])
    assert len(feed._buffer) <= PAYLOAD_MAX + 20


def test_endless_rubbish_is_given_up() -> None:
    feed = Feed()
    with pytest.raises(Internal, match="rubbish"):
        for _ in range(RUBBISH_MAX // 65536 + 1):
            feed.feed(bytes(65536))


def heads(count: int) -> bytes:
    """Heads of frames as long as can be, each in the payload of those before."""
    return (MAGIC + PAYLOAD_MAX.to_bytes(4, "little") + bytes(12)) * count


def test_frames_within_frames_cannot_buy_endless_checksums() -> None:
    feed = Feed()
    with pytest.raises(Internal, match="rubbish"):
        feed.feed(heads(30_000))


@pytest.mark.parametrize("size", [1, 5, 1000, 1 << 20])
def test_a_hunt_is_not_held_up_by_the_torn_end_of_an_earlier_connection(size: int) -> None:
    torn = encode(67, 1, bytes(30_000))[:20_000]
    stream = (
        b"rest of a frame" + encode(67, 1, b"old") + torn + encode(65, 2, b"welcome") + encode(66, 2, b"next")
    )
    feed = Feed()
    feed.hunt(65, 2)
    got = [frame for at in range(0, len(stream), size) for frame in feed.feed(stream[at : at + size])]
    assert got == [Frame(65, 2, b"welcome"), Frame(66, 2, b"next")]
    assert feed.skipped == 0


@pytest.mark.parametrize("piece", [7, 4096])
def test_a_hunt_through_decoys_is_given_up(piece: int) -> None:
    stream, feed = heads(20_000), Feed()
    feed.hunt(65, 2)
    with pytest.raises(Internal, match="rubbish"):
        for at in range(0, len(stream), piece):
            feed.feed(stream[at : at + piece])


def test_a_hunt_takes_no_frame_of_another_epoch_or_type() -> None:
    feed = Feed()
    feed.hunt(65, 2)
    assert feed.feed(encode(65, 1, b"") + encode(66, 2, b"") + encode(65, 3, b"")) == []
    assert feed.feed(encode(65, 2, b"")) == [Frame(65, 2, b"")]
