"""One entry of a log: a line of Docker's json-file, with the streams' ends added. Pure.

    {"log":"text\\n","stream":"stdout","attrs":{…},"time":"2026-01-31T12:00:00.123456789Z","offset":[5,0]}

attrs is there where `--log-opt` asks for attributes. offset: the ends of stdout and stderr behind this entry,
counted over all runs of the container. Bytes that are no UTF-8 are kept as lone surrogates (surrogateescape).
"""

import json
import re
import time
from calendar import timegm
from dataclasses import dataclass, field
from functools import lru_cache

ENTRY_MAX = 16_384
ATTRIBUTES_MAX = 32 << 10
LINE_MAX = (
    1 << 18
)  # more than the longest line: each byte of an entry at most six characters, and its attributes
STREAM_NAMES = {1: "stdout", 2: "stderr"}
STREAM_NUMBERS = {name: number for number, name in STREAM_NAMES.items()}


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line, or a part of one. stream: 1 stdout, 2 stderr; data ends with a newline if the line ends;
    end: the stream's offset behind it."""

    stream: int
    data: bytes
    time_ns: int
    end: int = 0
    attributes: dict[str, str] = field(default_factory=dict)


def encode_entry(stream: int, data: bytes, time_ns: int, ends: tuple[int, int], attributes: str) -> bytes:
    """attributes: what `encode_attributes` gave."""
    text = json.dumps(data.decode("utf-8", "surrogateescape"))
    head = f'{{"log":{text},"stream":"{STREAM_NAMES[stream]}",{attributes}'
    return f'{head}"time":"{format_time(time_ns)}","offset":[{ends[0]},{ends[1]}]}}\n'.encode()


def encode_attributes(attributes: dict[str, str]) -> str:
    """The part of a line that tells them; empty if there are none."""
    return f'"attrs":{json.dumps(attributes)},' if attributes else ""


def decode_entry(line: bytes) -> LogEntry | None:
    """One line of the file; None for what is no entry (somebody else may have written to it)."""
    try:
        entry = json.loads(line)
        stream = STREAM_NUMBERS[entry["stream"]]
        data = entry["log"].encode("utf-8", "surrogateescape")
        end = int(entry["offset"][stream - 1])
        attributes = {str(name): str(value) for name, value in entry.get("attrs", {}).items()}
        return LogEntry(stream, data, parse_time(entry["time"]), end, attributes)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def decode_ends(line: bytes) -> tuple[int, int] | None:
    """Where the two streams stand behind a line; None for what is no entry."""
    try:
        out, err = json.loads(line)["offset"]
        return int(out), int(err)
    except (ValueError, KeyError, TypeError):
        return None


def format_time(time_ns: int) -> str:
    """RFC 3339 with nanoseconds, as Docker's logs have it."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    return f"{_format_second(seconds)}.{nanoseconds:09d}Z"


@lru_cache(64)
def _format_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


@lru_cache(1024)
def parse_time(text: str) -> int:
    """The reverse of `format_time`. Raises ValueError."""
    parts = [int(part) for part in re.split(r"[-T:]", text[:19])]
    fraction = text[20:29].rstrip("Z").ljust(9, "0")
    return timegm((*parts, 0, 0, 0)) * 1_000_000_000 + int(fraction)
