"""Which names a pattern means: Go's `filepath.Match`, which COPY and ADD use, and the lines of a `.dockerignore`.
Pure.

Compiled once into regular expressions without nested repetition, so a hostile pattern costs no more than its
length times the name's. Names are relative, with `/` between their parts. Both ends of a build go by it: the command
sends no file that is ignored, and the daemon does not rely on that.
"""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

PATTERN_MAX = 4096
DEEP_MAX = 5
LINES_MAX = 10_000
IGNORE_MAX = 1 << 20
SPECIAL = re.compile(r"[*?\[\\]")


class BadPattern(ValueError):
    """A pattern that is none, in one line."""


def has_wildcards(pattern: str) -> bool:
    return SPECIAL.search(pattern) is not None


def compile_match(pattern: str) -> re.Pattern[str]:
    """As `filepath.Match`: `*` and `?` stop at a `/`, `[a-z]`, `[^a]`, `\\` takes the meaning away. Raises
    BadPattern."""
    return re.compile(_translate(pattern, deep=False), re.DOTALL)


def _translate(pattern: str, *, deep: bool) -> str:
    """Each star but the last takes the first place that fits and does not come back to it: so nothing multiplies."""
    if len(pattern) > PATTERN_MAX or pattern.count("**") > DEEP_MAX:
        raise BadPattern(f"the pattern {pattern[:80]!r} is too long")
    pieces, stars = [""], 0
    at = 0
    while at < len(pattern):
        text, at, star = _piece(pattern, at, deep=deep)
        stars += star
        if star:
            pieces.append(text)
        else:
            pieces[-1] += text
    head, *groups = pieces
    return head + "".join(
        group if number == stars else f"(?>{group})" for number, group in enumerate(groups, 1)
    )


def _piece(pattern: str, at: int, *, deep: bool) -> tuple[str, int, bool]:
    """What one letter, class or star becomes; where the next begins; whether it is a star that stops at a `/`."""
    letter = pattern[at]
    at += 1
    if letter == "*" and deep and pattern[at : at + 1] == "*":
        if pattern[at + 1 : at + 2] == "/":
            return "(?:.*/)?", at + 2, False
        return ".*", at + 1, False
    if letter == "*":
        return "[^/]*?", at, True
    if letter == "?":
        return "[^/]", at, False
    if letter == "[":
        return (*_class(pattern, at), False)
    if letter == "\\":
        if at >= len(pattern):
            raise BadPattern(f"syntax error in pattern {pattern[:80]!r}")
        return re.escape(pattern[at]), at + 1, False
    return re.escape(letter), at, False


def _class(pattern: str, at: int) -> tuple[str, int]:
    """A class of letters, as Go has it: ranges, `^` first for all others, a backslash before any letter."""
    bad = BadPattern(f"syntax error in pattern {pattern[:80]!r}")
    negated = pattern[at : at + 1] == "^"
    at += negated
    ranges = ""
    while pattern[at : at + 1] != "]" or not ranges:
        low, at = _letter(pattern, at, bad)
        high = low
        if pattern[at : at + 1] == "-":
            high, at = _letter(pattern, at + 1, bad)
        if low > high:
            raise bad
        ranges += f"{re.escape(low)}-{re.escape(high)}"
    return f"(?!/)[{'^' if negated else ''}{ranges}]", at + 1


def _letter(pattern: str, at: int, bad: BadPattern) -> tuple[str, int]:
    letter = pattern[at : at + 1]
    if not letter or letter in "-]":
        raise bad
    if letter == "\\":
        at += 1
        letter = pattern[at : at + 1]
        if not letter:
            raise bad
    return letter, at + 1


@dataclass(frozen=True, slots=True)
class _Line:
    pattern: re.Pattern[str]
    keeps: bool


class Ignore:
    """The lines of a `.dockerignore`: the last one that means a name, or a folder above it, decides."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises BadPattern."""
        self._lines: list[_Line] = []
        for pattern in patterns:
            keeps = pattern.startswith("!")
            text = pattern[1:].strip() if keeps else pattern
            if keeps and not text:
                raise BadPattern('illegal exclusion pattern: "!"')
            clean = posixpath.normpath(text).lstrip("/")
            if clean in (".", ""):
                continue  # it would mean everything, and Docker has it mean nothing
            # what lies below a folder that is meant, is meant too
            self._lines.append(
                _Line(re.compile(f"(?:{_translate(clean, deep=True)})(?:/.*)?", re.DOTALL), keeps)
            )

    def __bool__(self) -> bool:
        return bool(self._lines)

    @property
    def keeps_any(self) -> bool:
        """Whether something in a folder that is meant may be kept after all."""
        return any(line.keeps for line in self._lines)

    def drops(self, name: str) -> bool:
        """Whether a name is not to be there."""
        for line in reversed(self._lines):
            if line.pattern.fullmatch(name):
                return not line.keeps
        return False


def read_ignore(raw: bytes) -> Ignore:
    """Raises BadPattern."""
    if len(raw) > IGNORE_MAX:
        raise BadPattern(f"the .dockerignore has more than {IGNORE_MAX} bytes")
    text = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines()]
    wanted = [line for line in lines if line and not line.startswith("#")]
    if len(wanted) > LINES_MAX:
        raise BadPattern(f"the .dockerignore has more than {LINES_MAX} lines")
    return Ignore(wanted)
