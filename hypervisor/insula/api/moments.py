"""Points in time, as Docker writes and reads them: RFC 3339 with nanoseconds, Unix time, or an age. Pure."""

import re
import time
from datetime import UTC, datetime

from insula.errors import InvalidArgument

ZERO = "0001-01-01T00:00:00Z"
BILLION = 1_000_000_000
UNIX = re.compile(r"(-?\d{1,12})(?:\.(\d{1,9}))?", re.ASCII)
RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?)?(Z|z|[+-]\d\d:\d\d)?", re.ASCII
)
DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|us|µs|ns|m|s))+", re.ASCII)
UNITS = {"h": 3600 * BILLION, "m": 60 * BILLION, "s": BILLION, "ms": 10**6, "us": 1000, "µs": 1000, "ns": 1}


def format_ns(moment: int) -> str:
    """Unix nanoseconds as RFC 3339, as Go writes it; 0 is never."""
    if not moment:
        return ZERO
    seconds, rest = divmod(moment, BILLION)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{text}{fraction}Z"


def format_ns_seconds(moment: int) -> str:
    """Whole seconds, as volumes have it."""
    return datetime.fromtimestamp(moment // BILLION, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_ns_fixed(moment: int) -> str:
    """With all nine digits, as the lines of a log have it."""
    seconds, rest = divmod(moment, BILLION)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:09d}Z"


def parse_moment(text: str, now_ns: int | None = None) -> int:
    """Unix time, RFC 3339 or an age ("10m") as Unix nanoseconds; empty is 0. Raises InvalidArgument."""
    if not text:
        return 0
    if match := UNIX.fullmatch(text):
        return int(match[1]) * BILLION + int((match[2] or "").ljust(9, "0"))
    if DURATION.fullmatch(text) and len(text) < 64:
        return (time.time_ns() if now_ns is None else now_ns) - parse_duration(text)
    if match := RFC3339.fullmatch(text):
        clock = match[2] or "00:00:00"
        try:
            moment = datetime.fromisoformat(f"{match[1]}T{clock}{(match[4] or 'Z').upper()}")
            seconds = int(moment.timestamp())
        except (ValueError, OverflowError) as error:
            raise InvalidArgument(f"invalid time: {text[:80]!r}") from error
        return seconds * BILLION + int((match[3] or "").ljust(9, "0"))
    raise InvalidArgument(f"invalid time: {text[:80]!r}", "use Unix time, RFC 3339 or an age such as 10m")


def parse_duration(text: str) -> int:
    """Go's form of a duration, in nanoseconds. Raises InvalidArgument."""
    if not DURATION.fullmatch(text) or len(text) > 64:
        raise InvalidArgument(f"invalid duration: {text[:80]!r}", "for example 1h30m")
    total = 0.0
    for number, unit in re.findall(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)", text):
        total += float(number) * UNITS[unit]
    return min(int(total), 1 << 62)
