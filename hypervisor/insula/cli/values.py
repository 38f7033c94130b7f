"""What a flag's value says: sizes, numbers, pairs, as Docker's users write them. Pure."""

from typing import TYPE_CHECKING

from insula.cli.failure import UsageFailure

if TYPE_CHECKING:
    from decimal import Decimal

UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse_size(text: str, flag: str) -> int:
    """`512m`, `2GiB`, `1.5g`, bytes without a unit. Raises UsageFailure."""
    if text == "-1" and flag == "memory-swap":
        return -1
    word = text.strip().lower()
    number = word.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = word[len(number) :].strip().removesuffix("ib") or ""
    unit = unit.removesuffix("b") if len(unit) > 1 else unit
    value = parse_decimal(number)
    if value is None or unit not in UNITS or value < 0:
        raise UsageFailure(f"invalid argument {text[:80]!r} for --{flag}: invalid size (for example 512m)")
    size = int(value * UNITS[unit])
    if size >= 1 << 63:
        raise UsageFailure(f"invalid argument {text[:80]!r} for --{flag}: out of range")
    return size


def parse_decimal(text: str) -> "Decimal | None":
    """A plain decimal number of sensible length; None for anything else."""
    from decimal import Decimal, InvalidOperation

    if len(text) > 30 or not text.isascii() or not text.replace(".", "", 1).removeprefix("-").isdigit():
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def parse_cpus(text: str) -> int:
    """In billionths. Raises UsageFailure."""
    value = parse_decimal(text)
    if value is None or value >= 1 << 32:
        raise UsageFailure(f"invalid argument {text[:80]!r} for --cpus: invalid number (for example 1.5)")
    nano = value * 1_000_000_000
    if nano != int(nano):
        raise UsageFailure(f"invalid argument {text[:80]!r} for --cpus: value is too precise")
    return int(nano)


def pairs(texts: list[str]) -> dict[str, str]:
    """KEY=VALUE, or KEY alone. Raises UsageFailure."""
    found = {}
    for text in texts:
        key, _, value = text.partition("=")
        if not key:
            raise UsageFailure(f"invalid argument {text[:80]!r}: KEY=VALUE is wanted")
        found[key] = value
    return found
