from typing import Any

import pytest

from insula.api.health_json import decode_healthcheck, encode_health, encode_healthcheck, health_text
from insula.container.health import Health, HealthCheck, HealthStatus, ProbeResult
from insula.errors import InvalidArgument

NOW, OLD = (1, 51), (1, 43)
WHOLE: dict[str, Any] = {
    "Test": ["CMD", "true"], "Interval": 1_000_000, "Timeout": 2_000_000, "StartPeriod": 3_000_000,
    "StartInterval": 4_000_000, "Retries": 5,
}  # fmt: skip


def decode(document: Any, version: tuple[int, int] = NOW) -> HealthCheck | None:
    warnings: list[str] = []
    found = decode_healthcheck(document, version, warnings)
    assert warnings == []
    return found


def test_there_and_back() -> None:
    check = decode(WHOLE)
    assert check == HealthCheck(("CMD", "true"), 1_000_000, 2_000_000, 5, 3_000_000, 4_000_000)
    assert check is not None and encode_healthcheck(check, NOW) == WHOLE
    assert encode_healthcheck(HealthCheck(), NOW) == {}


def test_null_is_not_given() -> None:
    assert decode(None) is None
    assert decode({"Test": None, "Interval": None}) == HealthCheck() == decode({})
    assert decode({"test": ["NONE"], "RETRIES": 1}) == HealthCheck(("NONE",), retries=1)


def test_the_start_interval_came_with_1_44() -> None:
    check = decode(WHOLE, OLD)
    assert check is not None and check.start_interval == 0
    assert "StartInterval" not in encode_healthcheck(HealthCheck(start_interval=1_000_000), OLD)


@pytest.mark.parametrize(
    "document",
    [
        {"Test": "true"},
        {"Test": [1]},
        {"Interval": "1s"},
        {"Retries": 1.5},
        {"Retries": True},
        {"Timeout": -1},
    ],
)
def test_wrong_types_and_values(document: Any) -> None:
    with pytest.raises(InvalidArgument):
        decode(document)


def test_unknown_fields_are_named() -> None:
    warnings: list[str] = []
    decode_healthcheck({"Odd": 1, "Null": None}, NOW, warnings)
    assert warnings == ["Config.Healthcheck.Odd is not known and was ignored"]


def test_results() -> None:
    health = Health(HealthStatus.UNHEALTHY, 3, (ProbeResult(1_500_000_000, 2_000_000_000, 1, "no"),))
    assert encode_health(health) == {
        "Status": "unhealthy", "FailingStreak": 3,
        "Log": [{"Start": "1970-01-01T00:00:01.5Z", "End": "1970-01-01T00:00:02Z", "ExitCode": 1, "Output": "no"}],
    }  # fmt: skip


def test_words_of_the_list() -> None:
    texts = [health_text(Health(status)) for status in HealthStatus if status is not HealthStatus.NONE]
    assert [health_text(None), *texts] == ["", " (health: starting)", " (healthy)", " (unhealthy)"]
