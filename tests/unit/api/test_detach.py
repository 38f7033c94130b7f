import pytest
from hypothesis import given
from hypothesis import strategies as st

from insula.api.detach import DetachKeys, parse_keys
from insula.errors import InvalidArgument


@pytest.mark.parametrize(
    "text,keys",
    [
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("a", b"a"),
        ("ctrl-a,x", b"\x01x"),
        ("ctrl-@", b"\0"),
        ("ctrl-[", b"\x1b"),
    ],
)
def test_keys(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["", "ctrl-", "ctrl-!", "ab", ",", "é", ",".join("a" * 40)])
def test_what_is_no_sequence(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_keys(text)


def test_with_a_terminal_there_is_a_default_without_one_there_is_none() -> None:
    assert DetachKeys.parse("", True).feed(b"x\x10\x11y") == (b"x", True)
    assert DetachKeys.parse("", False).feed(b"x\x10\x11y") == (b"x\x10\x11y", False)


def test_a_begun_sequence_is_held_back_until_it_is_broken() -> None:
    keys = DetachKeys(b"\x10\x11")
    assert keys.feed(b"a\x10") == (b"a", False)
    assert keys.feed(b"b") == (b"\x10b", False)
    assert keys.feed(b"\x10\x10") == (b"\x10", False)
    assert keys.flush() == b"\x10"
    assert keys.flush() == b""


@given(st.lists(st.binary(max_size=8).map(lambda b: bytes(x % 4 for x in b)), max_size=8))
def test_nothing_is_lost_however_it_is_cut(pieces: list[bytes]) -> None:
    keys = DetachKeys(b"\x00\x01\x02")
    out, found = b"", False
    for piece in pieces:
        passed, found = keys.feed(piece)
        out += passed
        if found:
            break
    whole = b"".join(pieces)
    if found:
        assert whole.startswith(out + b"\x00\x01\x02")
    else:
        assert out + keys.flush() == whole
