"""The grammar of a verb's command line, as Docker's users type it. Pure.

`-it`, `-m512m`, `-m 512m`, `--memory=512m`, `--rm=false`; `--` ends the flags, and so does the first argument where
what follows belongs to somebody else (`run`, `exec`). A table and a page of code instead of a library: this starts
in a millisecond where a library takes twenty, and libraries do not know that grammar. For the same reason what `run`
imports has no dataclasses: their module takes ten.
"""

from collections.abc import Sequence
from typing import NamedTuple

from insula.cli.failure import UsageFailure

BOOL, TEXT, NUMBER, MANY = "", "string", "int", "list"
TRUE_WORDS = ("1", "t", "true", "TRUE", "True")
FALSE_WORDS = ("0", "f", "false", "FALSE", "False")


class Flag(NamedTuple):
    """One option. kind: BOOL, TEXT, NUMBER or MANY (may be repeated); default: of a BOOL that is on."""

    name: str
    short: str
    kind: str
    help: str
    default: bool = False


class Options:
    """What was typed: flags by name, and arguments in their order."""

    def __init__(
        self, values: dict[str, list[str]] | None = None, arguments: list[str] | None = None
    ) -> None:
        self.values = values if values is not None else {}
        self.arguments = arguments if arguments is not None else []

    def given(self, name: str) -> bool:
        return name in self.values

    def flag(self, name: str, default: bool = False) -> bool:
        return self.values[name][-1] in TRUE_WORDS if name in self.values else default

    def text(self, name: str, default: str = "") -> str:
        return self.values[name][-1] if name in self.values else default

    def texts(self, name: str) -> list[str]:
        return self.values.get(name, [])

    def number(self, name: str) -> int | None:
        return int(self.values[name][-1]) if name in self.values else None


def parse(flags: Sequence[Flag], words: Sequence[str], mixed: bool = True) -> Options:
    """mixed: flags may come after arguments. Raises UsageFailure."""
    by_name = {flag.name: flag for flag in flags}
    by_short = {flag.short: flag for flag in flags if flag.short}
    options = Options()
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        if word == "--":
            break
        if word.startswith("--"):
            _take_long(by_name, word[2:], waiting, options)
        elif word.startswith("-") and word != "-":
            _take_short(by_short, word[1:], waiting, options)
        else:
            options.arguments.append(word)
            if not mixed:
                break
    options.arguments += reversed(waiting)
    return options


def _take_long(by_name: dict[str, Flag], word: str, waiting: list[str], options: Options) -> None:
    name, equals, value = word.partition("=")
    if (flag := by_name.get(name)) is None:
        raise UsageFailure(f"unknown flag: --{name}")
    if not equals:
        value = "true" if flag.kind == BOOL else _next(waiting, f"--{name}")
    _keep(flag, value, options)


def _take_short(by_short: dict[str, Flag], letters: str, waiting: list[str], options: Options) -> None:
    """Several letters in one word; the first that takes a value takes the rest."""
    for number, letter in enumerate(letters):
        if (flag := by_short.get(letter)) is None:
            raise UsageFailure(f"unknown shorthand flag: '{letter}' in -{letters}")
        rest = letters[number + 1 :]
        if flag.kind == BOOL and not rest.startswith("="):
            _keep(flag, "true", options)
            continue
        value = rest.removeprefix("=") if rest else _next(waiting, f"-{letter}")
        _keep(flag, value, options)
        return


def _next(waiting: list[str], flag: str) -> str:
    if not waiting:
        raise UsageFailure(f"flag needs an argument: {flag}")
    return waiting.pop()


def _keep(flag: Flag, value: str, options: Options) -> None:
    """Raises UsageFailure for a value that is not of the flag's kind."""
    if flag.kind == BOOL and value not in TRUE_WORDS + FALSE_WORDS:
        raise UsageFailure(f"invalid argument {value[:80]!r} for --{flag.name}: true or false")
    if flag.kind == NUMBER and not (value.removeprefix("-").isascii() and value.removeprefix("-").isdigit()):
        raise UsageFailure(f"invalid argument {value[:80]!r} for --{flag.name}: not a whole number")
    if flag.kind == NUMBER and len(value) > 18:
        raise UsageFailure(f"invalid argument {value[:80]!r} for --{flag.name}: out of range")
    if flag.kind == MANY:
        options.values.setdefault(flag.name, []).append(value)
    else:
        options.values[flag.name] = [value]


def describe(flags: Sequence[Flag]) -> str:
    """The options' part of a verb's help."""
    rows = []
    for flag in flags:
        short = f"-{flag.short}, " if flag.short else "    "
        rows.append((f"  {short}--{flag.name}{' ' if flag.kind else ''}{flag.kind}", flag.help))
    width = max((len(left) for left, _ in rows), default=0)
    return "\n".join(f"{left:<{width}}   {text}" for left, text in rows)
