import pytest
from hypothesis import given
from hypothesis import strategies as st

from insula.api.moments import BILLION, format_ns, format_ns_fixed, parse_duration, parse_moment
from insula.errors import InvalidArgument


@pytest.mark.parametrize(
    "text,moment",
    [
        ("", 0),
        ("0", 0),
        ("1700000000", 1_700_000_000 * BILLION),
        ("1700000000.5", 1_700_000_000 * BILLION + 500_000_000),
        ("1700000000.000000001", 1_700_000_000 * BILLION + 1),
        ("2023-11-14T22:13:20Z", 1_700_000_000 * BILLION),
        ("2023-11-14T22:13:20.25+00:00", 1_700_000_000 * BILLION + 250_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000 * BILLION),
        ("2023-11-14", 1_699_920_000 * BILLION),
        ("10m", 400 * BILLION),
        ("1h", -2600 * BILLION),
    ],
)
def test_moments(text: str, moment: int) -> None:
    assert parse_moment(text, now_ns=1000 * BILLION) == moment


@pytest.mark.parametrize("text", ["x", "2023-13-40", "1h1", "-", "10 m", "9" * 40, "1e5", "٣"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_moment(text)


def test_durations() -> None:
    assert parse_duration("1h30m") == 5400 * BILLION
    assert parse_duration("1.5s") == 1_500_000_000
    assert parse_duration("250ms") == 250_000_000
    with pytest.raises(InvalidArgument):
        parse_duration("soon")


def test_never_is_year_one() -> None:
    assert format_ns(0) == "0001-01-01T00:00:00Z"


@given(st.integers(1, 4_000_000_000 * BILLION))
def test_what_is_written_is_read(moment: int) -> None:
    assert parse_moment(format_ns(moment)) == moment
    assert parse_moment(format_ns_fixed(moment)) == moment
