import pytest

from insula.container.restart_policy import RestartPolicy, next_rest, restarts, starts_with_daemon
from insula.errors import InvalidArgument


@pytest.mark.parametrize(
    ("name", "retries", "words"),
    [
        ("sometimes", 0, "unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"),
        ("", 0, "unknown policy ''"),
        ("always", 1, "maximum retry count can only be used with 'on-failure'$"),
        ("no", 1, "maximum retry count can only be used with 'on-failure'$"),
        ("unless-stopped", -1, "can only be used with 'on-failure' and cannot be negative"),
        ("on-failure", -1, "maximum retry count cannot be negative"),
    ],
)  # fmt: skip
def test_what_is_no_policy(name: str, retries: int, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        RestartPolicy(name, retries)


@pytest.mark.parametrize(
    ("policy", "exit_code", "count", "stopped", "again"),
    [
        (RestartPolicy(), 1, 0, False, False),
        (RestartPolicy("always"), 0, 99, False, True),
        (RestartPolicy("always"), 137, 0, True, True),
        (RestartPolicy("unless-stopped"), 0, 0, False, True),
        (RestartPolicy("unless-stopped"), 1, 0, True, False),
        (RestartPolicy("on-failure"), 0, 0, False, False),
        (RestartPolicy("on-failure"), 1, 99, False, True),
        (RestartPolicy("on-failure", 3), 1, 2, False, True),
        (RestartPolicy("on-failure", 3), 1, 3, False, False),
    ],
)
def test_who_is_started_again(
    policy: RestartPolicy, exit_code: int, count: int, stopped: bool, again: bool
) -> None:
    assert restarts(policy, exit_code, count, stopped=stopped) is again


@pytest.mark.parametrize(
    ("name", "stopped", "starts"),
    [
        ("no", False, False),
        ("on-failure", False, False),
        ("always", True, True),
        ("unless-stopped", False, True),
        ("unless-stopped", True, False),
    ],
)
def test_who_is_started_with_the_daemon(name: str, stopped: bool, starts: bool) -> None:
    assert starts_with_daemon(RestartPolicy(name), stopped=stopped) is starts


def test_rests_double_up_to_a_minute_and_begin_anew_after_a_steady_run() -> None:
    rests, rest = [], 0.0
    for _ in range(12):
        rests.append(rest := next_rest(rest, 9.9))
    assert rests == [0.1 * 2**n for n in range(10)] + [60.0, 60.0]
    assert next_rest(60.0, 10.0) == 0.1
