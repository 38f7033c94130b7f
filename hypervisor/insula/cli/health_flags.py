"""`--health-…` and `--no-healthcheck` of `run` and `create` → HealthConfig. Pure."""

import re
from typing import Any

from insula.cli.failure import UsageFailure
from insula.cli.flags import Options

DURATIONS = {
    "health-interval": "Interval", "health-timeout": "Timeout", "health-start-period": "StartPeriod",
    "health-start-interval": "StartInterval",
}  # fmt: skip
UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
TERM = r"(\d{1,18}(?:\.\d{0,9})?|\.\d{1,9})(ns|us|µs|ms|s|m|h)"
DURATION = re.compile(rf"(-?)((?:{TERM})+|0)", re.ASCII)


def make_healthcheck(options: Options) -> dict[str, Any] | None:
    """None if nothing is asked for. Raises UsageFailure."""
    found: dict[str, Any] = {}
    if options.text("health-cmd"):
        found["Test"] = ["CMD-SHELL", options.text("health-cmd")]
    for flag, field in DURATIONS.items():
        if value := parse_duration(options.text(flag, "0"), flag):
            found[field] = value
    if retries := options.number("health-retries"):
        if retries < 0:
            raise UsageFailure("--health-retries cannot be negative")
        found["Retries"] = retries
    if not options.flag("no-healthcheck"):
        return found or None
    if found:
        raise UsageFailure("--no-healthcheck conflicts with --health-* options")
    return {"Test": ["NONE"]}


def parse_duration(text: str, flag: str) -> int:
    """Go's form (`1m30s`, `500ms`, `0`), in nanoseconds. Raises UsageFailure."""
    found = DURATION.fullmatch(text) if len(text) < 64 else None
    if found is None:
        raise UsageFailure(
            f"invalid argument {text[:80]!r} for --{flag}: a duration is wanted (for example 1m30s)"
        )
    total = 0
    for number, unit in re.findall(TERM, found[2]):
        whole, _, fraction = number.partition(".")
        total += int(whole or 0) * UNITS[unit] + int(fraction.ljust(9, "0")) * UNITS[unit] // 10**9
    if total and found[1]:
        raise UsageFailure(f"--{flag} cannot be negative")
    if total >= 1 << 63:
        raise UsageFailure(f"invalid argument {text[:80]!r} for --{flag}: out of range")
    return total
