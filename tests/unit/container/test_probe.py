import pytest

from insula.container.probe import OUTPUT_MAX, ProbeOutput, format_duration


def said(*pieces: bytes) -> str:
    output = ProbeOutput()
    for piece in pieces:
        output.take(piece)
    return output.text


def test_output_is_bounded() -> None:
    assert said(b"a", b"b") == "ab"
    assert said(b"x" * OUTPUT_MAX) == "x" * OUTPUT_MAX
    assert said(b"x" * OUTPUT_MAX, b"") == "x" * OUTPUT_MAX
    assert said(b"x" * OUTPUT_MAX, b"y") == "x" * OUTPUT_MAX + "..."
    assert said(b"x" * (OUTPUT_MAX - 1), b"yz", b"z" * 100_000) == "x" * (OUTPUT_MAX - 1) + "y..."


def test_what_is_no_text_is_replaced() -> None:
    assert said(b"\xff\xfeok") == "��ok"


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (1_000_000, "1ms"), (1_500_000, "1.5ms"), (1_000_001, "1.000001ms"), (10**9, "1s"), (1_500_000_000, "1.5s"),
        (10**9 + 1, "1.000000001s"), (60 * 10**9, "1m0s"), (90 * 10**9, "1m30s"), (3600 * 10**9, "1h0m0s"),
        (7384 * 10**9 + 5 * 10**8, "2h3m4.5s"), (100 * 10**9, "1m40s"),
    ],
)  # fmt: skip
def test_durations_as_go_writes_them(nanoseconds: int, text: str) -> None:
    assert format_duration(nanoseconds) == text
