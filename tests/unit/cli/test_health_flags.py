from typing import Any

import pytest

from insula.cli.create_flags import RUN_FLAGS
from insula.cli.failure import UsageFailure
from insula.cli.flags import parse
from insula.cli.health_flags import make_healthcheck, parse_duration

SECOND = 10**9


def make(*words: str) -> dict[str, Any] | None:
    return make_healthcheck(parse(RUN_FLAGS, [*words, "busybox"], mixed=False))


def test_what_is_made_of_them() -> None:
    assert make() is None
    assert make("--health-cmd", "curl -f http://localhost") == {
        "Test": ["CMD-SHELL", "curl -f http://localhost"]
    }
    assert make(
        "--health-interval", "1m30s", "--health-timeout=500ms", "--health-retries", "2", "--health-start-period", "1h",
        "--health-start-interval", "1.5s",
    ) == {
        "Interval": 90 * SECOND, "Timeout": SECOND // 2, "Retries": 2, "StartPeriod": 3600 * SECOND,
        "StartInterval": 3 * SECOND // 2,
    }  # fmt: skip
    assert make("--no-healthcheck") == {"Test": ["NONE"]}
    assert make("--health-interval", "0", "--health-retries", "0", "--health-cmd", "") is None


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--health-interval", "-1s"], "--health-interval cannot be negative"),
        (["--health-start-period", "-5m"], "--health-start-period cannot be negative"),
        (["--health-retries", "-1"], "--health-retries cannot be negative"),
        (["--health-retries", "two"], "not a whole number"),
        (["--no-healthcheck", "--health-cmd", "true"], "--no-healthcheck conflicts with --health-"),
        (["--health-timeout", "soon"], "a duration is wanted"),
    ],
)
def test_refusals(words: list[str], text: str) -> None:
    with pytest.raises(UsageFailure, match=text):
        make(*words)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("0", 0), ("1ns", 1), ("2us", 2000), ("2µs", 2000), ("1h2m3.5s", 3723_500_000_000), (".5s", SECOND // 2),
     ("1.s", SECOND)],
)  # fmt: skip
def test_durations(text: str, nanoseconds: int) -> None:
    assert parse_duration(text, "x") == nanoseconds


@pytest.mark.parametrize(
    "text", ["", "5", "1 s", "s", "1s1", "1d", "--1s", "1e3s", "9" * 70 + "s", "1" * 15 + "h", "-"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageFailure):
        parse_duration(text, "x")
