"""The state machine over values: Docker's own cases (moby daemon/health_test.go) and the edges between them."""

import itertools
from dataclasses import replace

import pytest

from insula.container.health import (
    SECOND,
    Health,
    HealthCheck,
    HealthStatus,
    ProbeResult,
    after,
    begin,
    interval,
    merge_checks,
    rest,
    wait_adopted,
)
from insula.errors import InvalidArgument

STARTED = 1_000 * SECOND
CHECK = HealthCheck(("CMD", "true"))
STARTING, HEALTHY, UNHEALTHY = HealthStatus.STARTING, HealthStatus.HEALTHY, HealthStatus.UNHEALTHY


def result(seconds: float, exit_code: int) -> ProbeResult:
    moment = STARTED + int(seconds * SECOND)
    return ProbeResult(moment, moment + SECOND, exit_code, "")


def run(
    check: HealthCheck, *results: tuple[float, int], health: Health | None = None
) -> list[tuple[str, int]]:
    """Status and streak after each result."""
    health = health or begin(None)
    seen = []
    for seconds, code in results:
        health = after(health, check, result(seconds, code), STARTED)
        seen.append((health.status.value, health.failing_streak))
    return seen


def test_it_starts_fails_succeeds_and_fails() -> None:
    seen = run(HealthCheck(retries=1), (1, 1), (2, 0), (3, 1))
    assert seen == [("unhealthy", 1), ("healthy", 0), ("unhealthy", 1)]


def test_as_many_failures_in_a_row_as_retries_say() -> None:
    seen = run(
        HealthCheck(retries=3), (20, 1), (40, 1), (60, 1), (80, 1), (90, 0), (95, 1), (99, 1), (100, 0)
    )
    assert seen == [
        ("starting", 1), ("starting", 2), ("unhealthy", 3), ("unhealthy", 4), ("healthy", 0), ("healthy", 1),
        ("healthy", 2), ("healthy", 0),
    ]  # fmt: skip


def test_three_is_the_default() -> None:
    assert run(CHECK, (1, 1), (2, 2), (3, -1)) == [("starting", 1), ("starting", 2), ("unhealthy", 3)]


def test_failures_within_the_start_period_do_not_count() -> None:
    check = HealthCheck(retries=2, start_period=30 * SECOND)
    assert run(check, (20, 1), (50, 1), (80, 0)) == [("starting", 0), ("starting", 1), ("healthy", 0)]
    assert run(check, (29.999, 1), (30, 1), (31, 1)) == [("starting", 0), ("starting", 1), ("unhealthy", 2)]


def test_once_healthy_the_start_period_is_over() -> None:
    check = HealthCheck(retries=2, start_period=30 * SECOND)
    assert run(check, (1, 0), (2, 1), (3, 1)) == [("healthy", 0), ("healthy", 1), ("unhealthy", 2)]


def test_the_last_five_results_are_kept() -> None:
    health = begin(None)
    for number in range(9):
        health = after(health, CHECK, result(number, number), STARTED)
    assert [item.exit_code for item in health.log] == [4, 5, 6, 7, 8]


def test_a_new_run_starts_anew_but_for_the_log() -> None:
    before = after(Health(UNHEALTHY, 7), CHECK, result(1, 1), STARTED)
    assert begin(before) == Health(STARTING, 0, before.log)
    assert begin(None) == Health(STARTING, 0, ())


def test_what_rests_is_unhealthy() -> None:
    assert rest(Health(HEALTHY, 1)) == Health(UNHEALTHY, 1)


def test_how_long_until_the_next_probe() -> None:
    check = HealthCheck(interval=10 * SECOND, start_period=60 * SECOND, start_interval=2 * SECOND)
    at = lambda seconds: STARTED + seconds * SECOND  # noqa: E731
    starting, healthy = Health(STARTING), Health(HEALTHY)
    assert interval(starting, check, STARTED, at(0)) == 2 * SECOND
    assert interval(healthy, check, STARTED, at(0)) == 10 * SECOND
    assert interval(starting, check, STARTED, at(60)) == 10 * SECOND
    assert interval(starting, CHECK, STARTED, at(0)) == 30 * SECOND
    assert interval(starting, replace(CHECK, start_period=SECOND), STARTED, at(0)) == 5 * SECOND


def test_an_adopted_check_goes_on_where_the_last_one_ended() -> None:
    check = HealthCheck(interval=10 * SECOND)
    health = Health(HEALTHY, 0, (result(100, 0),))  # which ended at 101
    waits = {110: 1, 101: 10, 50: 10, 111: 0, 500: 0}
    for seconds, wait in waits.items():
        assert wait_adopted(health, check, STARTED, STARTED + seconds * SECOND) == wait * SECOND
    assert wait_adopted(Health(), check, STARTED, STARTED + 4 * SECOND) == 6 * SECOND
    before = Health(STARTING, 0, (result(-100, 0),))  # of an earlier run
    assert wait_adopted(before, check, STARTED, STARTED + 4 * SECOND) == 6 * SECOND


def test_any_order_of_results_stays_within_the_rules() -> None:
    check = HealthCheck(retries=2, start_period=3 * SECOND)
    for codes in itertools.product((0, 1, -1), repeat=6):
        health = begin(None)
        for seconds, code in enumerate(codes):
            before, health = health, after(health, check, result(seconds, code), STARTED)
            assert (health.status is HEALTHY) <= (health.failing_streak < 2)
            assert (health.status is UNHEALTHY) <= (health.failing_streak >= 2)
            assert (health.status is STARTING) <= (before.status is STARTING)
            assert (code == 0) == (health.status is HEALTHY and health.failing_streak == 0)


# -- what is asked for


def test_an_image_s_check_is_inherited_field_by_field() -> None:
    image = HealthCheck(("CMD", "a"), 1 * SECOND, 2 * SECOND, 3, 4 * SECOND, 5 * SECOND)
    assert merge_checks(None, None) is None
    assert merge_checks(None, image) == merge_checks(HealthCheck(), image) == image
    asked = HealthCheck(("CMD-SHELL", "b"), retries=9)
    assert merge_checks(asked, None) == asked
    assert merge_checks(asked, image) == replace(image, test=("CMD-SHELL", "b"), retries=9)
    off = merge_checks(HealthCheck(("NONE",)), image)
    assert off is not None and off.is_off and not off.is_on


def test_commands() -> None:
    assert HealthCheck(("CMD", "a", "b")).command(()) == ("a", "b")
    assert HealthCheck(("CMD-SHELL", "a b")).command(()) == ("/bin/sh", "-c", "a b")
    assert HealthCheck(("CMD-SHELL", "a b")).command(("/bin/bash", "-lc")) == ("/bin/bash", "-lc", "a b")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"interval": -1}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"interval": 999_999}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"timeout": 3}, "Timeout in Healthcheck cannot be less than 1ms"),
        ({"start_period": -SECOND}, "StartPeriod in Healthcheck cannot be less than 1ms"),
        ({"start_interval": 1}, "StartInterval in Healthcheck cannot be less than 1ms"),
        ({"retries": -1}, "Retries in Healthcheck cannot be negative"),
        ({"test": ("EXEC", "true")}, r"Unknown healthcheck type 'EXEC' \(expected 'CMD'\)"),
        ({"test": ("",)}, "Unknown healthcheck type ''"),
        ({"test": ("CMD",)}, "healthcheck has no command"),
        ({"test": ("CMD", "")}, "healthcheck has no command"),
        ({"test": ("CMD-SHELL",)}, "healthcheck has no command"),
    ],
)
def test_refusals(given: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        HealthCheck(**given)  # type: ignore[arg-type]


def test_what_passes() -> None:
    for check in (
        HealthCheck(),
        HealthCheck(("NONE",)),
        HealthCheck(("CMD-SHELL", "")),
        HealthCheck(interval=1_000_000),
    ):
        assert check.is_on == (check.test == ("CMD-SHELL", ""))
