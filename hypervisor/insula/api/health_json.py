"""Health checks and their results in Docker's JSON, both ways."""

from typing import Any

from insula.api.moments import format_ns
from insula.api.typed import check
from insula.api.versions import Version
from insula.container.health import Health, HealthCheck, HealthStatus

FIELDS = {
    "Test": "test", "Interval": "interval", "Timeout": "timeout", "StartPeriod": "start_period",
    "StartInterval": "start_interval", "Retries": "retries",
}  # fmt: skip


def decode_healthcheck(document: Any, version: Version, warnings: list[str]) -> HealthCheck | None:
    """Config.Healthcheck, whose JSON type has been checked. Raises InvalidArgument."""
    if document is None:
        return None
    proper = {name.lower(): name for name in FIELDS}
    found: dict[str, Any] = {}
    for name, value in document.items():
        known = proper.get(name.lower())
        if known is None:
            if value:
                warnings.append(f"Config.Healthcheck.{name[:80]} is not known and was ignored")
            continue
        check(f"Config.Healthcheck.{known}", "strings" if known == "Test" else "int", value)
        if value is not None:
            found[FIELDS[known]] = tuple(value) if known == "Test" else value
    if version < (1, 44):  # as Docker does
        found.pop("start_interval", None)
    return HealthCheck(**found)


def encode_healthcheck(healthcheck: HealthCheck, version: Version) -> dict[str, Any]:
    """Only what is given, as Docker has it."""
    document = {}
    for name, attribute in FIELDS.items():
        value = getattr(healthcheck, attribute)
        if value and (name != "StartInterval" or version >= (1, 44)):
            document[name] = list(value) if name == "Test" else value
    return document


def encode_health(health: Health) -> dict[str, Any]:
    """State.Health."""
    return {
        "Status": str(health.status),
        "FailingStreak": health.failing_streak,
        "Log": [
            {"Start": format_ns(result.start_ns), "End": format_ns(result.end_ns), "ExitCode": result.exit_code,
             "Output": result.output}
            for result in health.log
        ],
    }  # fmt: skip


def health_text(health: Health | None) -> str:
    """What the list shows after the age."""
    if health is None:
        return ""
    starting = health.status is HealthStatus.STARTING
    return f" ({'health: ' if starting else ''}{health.status})"
