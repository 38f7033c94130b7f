"""Signals by Docker's names: `TERM`, `SIGTERM`, `15`, `RTMIN+3`. The numbers are Linux's on every guest."""

import re
import signal

from insula.errors import InvalidArgument

RTMIN, RTMAX = 34, 64
SIGNALS = {item.name[3:]: int(item) for item in signal.Signals if item.name.startswith("SIG")} | {
    "RTMIN": RTMIN,
    "RTMAX": RTMAX,
}


def parse_signal(text: str) -> int:
    """The number of a signal. Raises InvalidArgument for what is none."""
    name = text.upper().removeprefix("SIG")
    if text.isascii() and text.isdigit() and len(text) < 4:
        if 1 <= int(text) <= RTMAX:
            return int(text)
    elif name in SIGNALS:
        return SIGNALS[name]
    elif match := re.fullmatch(r"RT(MIN\+|MAX-)(\d{1,2})", name):
        number = RTMIN + int(match[2]) if match[1] == "MIN+" else RTMAX - int(match[2])
        if RTMIN <= number <= RTMAX:
            return number
    raise InvalidArgument(f"Invalid signal: {text[:80]}")
