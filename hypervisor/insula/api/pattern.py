"""The regular expressions of `--filter name=`, as Go reads them, in bounded time. Pure.

Python's own engine backtracks, so a filter such as `(a+)+$` could hold up the daemon for ever. Here a pattern is a
tree of steps from a set of places in the text to the set of places where a match may end; a set is the bits of one
integer. So nothing backtracks, and a budget bounds what a hostile pattern can cost. As in Docker, what is no
expression matches only the name that is spelled so.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

from insula.errors import InvalidArgument

Ranges = tuple[tuple[int, int], ...]

REPEAT_MAX = 1000
NODES_MAX = 2000
STEPS_MAX = 1_000_000
DEPTH_MAX = 50
SPECIAL = frozenset("\\.+*?()|[]{}^$")
ALL: Ranges = ((0, 0x10FFFF),)
DIGIT: Ranges = ((48, 57),)
SPACE: Ranges = ((9, 10), (12, 13), (32, 32))
WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
ESCAPED_CLASSES: dict[str, Ranges] = {"d": DIGIT, "s": SPACE, "w": WORD}
ESCAPED_LETTERS = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
NAMED: dict[str, Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)), "alpha": ((65, 90), (97, 122)), "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)), "digit": DIGIT, "lower": ((97, 122),), "punct": ((33, 47), (58, 64), (91, 96),
    (123, 126)), "space": ((9, 13), (32, 32)), "upper": ((65, 90),), "word": WORD,
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}  # fmt: skip


class NotAnExpression(Exception):
    """The text is no regular expression."""


class Subject:
    """The text that is searched, and what may still be spent on it."""

    def __init__(self, text: str, budget: list[int]) -> None:
        self.size = len(text)
        self.every = (1 << (self.size + 1)) - 1
        self._budget = budget
        self._found: dict[int, int] = {}
        self._places: dict[str, int] = {}
        for place, letter in enumerate(text):
            self._places[letter] = self._places.get(letter, 0) | 1 << place

    def spend(self, steps: int = 1) -> None:
        """Raises InvalidArgument when all is spent."""
        self._budget[0] -= steps
        if self._budget[0] < 0:
            raise InvalidArgument("invalid filter 'name': the expressions cost too much to match")

    def letters(self, wanted: "Letters") -> int:
        """The places with a letter that is wanted."""
        key = id(wanted)
        if key not in self._found:
            self.spend(len(self._places) * len(wanted.ranges))
            self._found[key] = sum(places for c, places in self._places.items() if wanted.has(ord(c)))
        return self._found[key]


Step = Callable[[Subject, int], int]


@dataclass(frozen=True, slots=True)
class Letters:
    """One letter out of some ranges, or out of all others."""

    ranges: Ranges
    negated: bool = False
    folded: bool = False

    def has(self, code: int) -> bool:
        codes = {code, *map(ord, (chr(code).lower()[:1], chr(code).upper()[:1]))} if self.folded else (code,)
        return self.negated != any(low <= one <= high for one in codes for low, high in self.ranges)

    def __call__(self, subject: Subject, places: int) -> int:
        subject.spend()
        return (places & subject.letters(self)) << 1


def nothing(subject: Subject, places: int) -> int:
    return places


def at_start(subject: Subject, places: int) -> int:
    return places & 1


def at_end(subject: Subject, places: int) -> int:
    return places & (1 << subject.size)


def at_word(wanted: bool) -> Step:
    """`\\b` and `\\B`."""
    word = Letters(WORD)

    def step(subject: Subject, places: int) -> int:
        subject.spend()
        letters = subject.letters(word)
        edges = letters ^ (letters << 1)
        return places & (edges if wanted else ~edges & subject.every)

    return step


def sequence(steps: list[Step]) -> Step:
    def step(subject: Subject, places: int) -> int:
        for one in steps:
            if not places:
                break
            places = one(subject, places)
        return places

    return step


def alternatives(steps: list[Step]) -> Step:
    def step(subject: Subject, places: int) -> int:
        found = 0
        for one in steps:
            found |= one(subject, places)
        return found

    return step


def repeat(one: Step, least: int, most: int | None) -> Step:
    def step(subject: Subject, places: int) -> int:
        for _ in range(least):
            subject.spend()
            places = one(subject, places)
        found, fresh, count = places, places, least
        while fresh and (most is None or count < most):
            subject.spend()
            fresh = one(subject, fresh) & ~found
            found |= fresh
            count += 1
        return found

    return step


class Parser:
    """One pattern, read once from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._nodes = 0
        self._depth = 0
        self._folded = False
        self._dot: Ranges = ((0, 9), (11, 0x10FFFF))

    def parse(self) -> Step:
        """Raises NotAnExpression, InvalidArgument."""
        step = self._alternatives()
        if self._place < len(self._text):
            raise NotAnExpression
        return step

    def _peek(self, size: int = 1) -> str:
        return self._text[self._place : self._place + size]

    def _take(self) -> str:
        if self._place >= len(self._text):
            raise NotAnExpression
        self._place += 1
        return self._text[self._place - 1]

    def _skip(self, text: str) -> bool:
        if not self._text.startswith(text, self._place):
            return False
        self._place += len(text)
        return True

    def _alternatives(self) -> Step:
        found = [self._sequence()]
        while self._skip("|"):
            found.append(self._sequence())
        return found[0] if len(found) == 1 else alternatives(found)

    def _sequence(self) -> Step:
        steps: list[Step] = []
        while self._place < len(self._text) and self._peek() not in "|)":
            self._nodes += 1
            if self._nodes > NODES_MAX:
                self._refuse("it is too long")
            steps.append(self._repeated(self._atom()))
        return sequence(steps)

    def _repeated(self, step: Step) -> Step:
        """With what follows of `*`, `+`, `?`, `{n,m}`; a further `?` asks for the shortest, which is no matter."""
        bounds = self._bounds()
        if bounds is None:
            return step
        self._skip("?")
        before = self._place
        if self._bounds() is not None:
            self._place = before
            raise NotAnExpression
        return repeat(step, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._skip(sign):
                return bounds
        if self._peek() != "{":
            return None
        inside, closed, _ = self._text[self._place + 1 : self._place + 12].partition("}")
        low, comma, high = inside.partition(",")
        if not closed or not _is_number(low) or (comma and high and not _is_number(high)):
            return None  # a brace is a letter, then
        self._place += len(inside) + 2
        least = int(low)
        most = least if not comma else int(high) if high else None
        if least > REPEAT_MAX or (most is not None and not least <= most <= REPEAT_MAX):
            raise NotAnExpression
        return least, most

    def _atom(self) -> Step:
        letter = self._take()
        if letter == "(":
            return self._group()
        if letter == "[":
            return self._class()
        if letter == "\\":
            return self._escape()
        if letter == ".":
            return Letters(self._dot)
        if letter == "^":
            return at_start
        if letter == "$":
            return at_end
        if letter in "*+?":
            raise NotAnExpression
        return self._letter(ord(letter))

    def _letter(self, code: int) -> Letters:
        return Letters(((code, code),), folded=self._folded)

    def _group(self) -> Step:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            self._refuse("it is nested too deeply")
        folded, dot = self._folded, self._dot
        if self._skip("?") and not self._flags():
            self._depth -= 1
            return nothing  # `(?i)`: for the rest of what it stands in
        step = self._alternatives()
        if not self._skip(")"):
            raise NotAnExpression
        self._depth -= 1
        self._folded, self._dot = folded, dot
        return step

    def _flags(self) -> bool:
        """After `(?`: whether a group follows. Raises InvalidArgument for flags that are not known."""
        on = True
        while (letter := self._take()) not in ":)":
            if letter == "i":
                self._folded = on
            elif letter == "s":
                self._dot = ALL if on else ((0, 9), (11, 0x10FFFF))
            elif letter == "-":
                on = False
            else:
                self._refuse(f"(?{letter} is not understood")
        return letter == ":"

    def _escape(self) -> Step:
        letter = self._take()
        if letter in "bB":
            return at_word(letter == "b")
        if letter in "Az":
            return at_start if letter == "A" else at_end
        if letter.lower() in ESCAPED_CLASSES:
            return Letters(ESCAPED_CLASSES[letter.lower()], negated=letter.isupper())
        return self._letter(self._escaped(letter))

    def _escaped(self, letter: str) -> int:
        """The letter after a backslash, where it stands for one letter."""
        if letter in ESCAPED_LETTERS:
            return ESCAPED_LETTERS[letter]
        if letter == "x":
            digits = self._text[self._place : self._place + 2]
            if self._skip("{"):
                digits = self._text[self._place :].partition("}")[0][:8]
                self._place += 1
            self._place += len(digits)
            try:
                return int(digits, 16)
            except ValueError:
                raise NotAnExpression from None
        if letter in "pPQCG" or letter.isdigit():
            self._refuse(f"\\{letter} is not understood")
        if letter.isalnum():
            raise NotAnExpression
        return ord(letter)

    def _class(self) -> Step:
        negated = self._skip("^")
        ranges: list[tuple[int, int]] = []
        first = True
        while first or self._peek() != "]":
            first = False
            ranges += self._class_item()
        self._take()
        return Letters(tuple(ranges), negated, self._folded)

    def _class_item(self) -> Iterable[tuple[int, int]]:
        if self._skip("[:"):
            name, closed, _ = self._text[self._place :].partition(":]")
            if not closed or name not in NAMED:
                raise NotAnExpression
            self._place += len(name) + 2
            return NAMED[name]
        letter = self._take()
        if letter == "\\":
            letter = self._take()
            if letter in ESCAPED_CLASSES:
                return ESCAPED_CLASSES[letter]
            low = self._escaped(letter)
        else:
            low = ord(letter)
        if self._peek() != "-" or self._peek(2) in ("-", "-]"):
            return ((low, low),)
        self._take()
        last = self._take()
        high = self._escaped(self._take()) if last == "\\" else ord(last)
        if high < low:
            raise NotAnExpression
        return ((low, high),)

    def _refuse(self, why: str) -> NoReturn:
        raise InvalidArgument(f"invalid filter 'name={self._text[:80]}': {why}")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


class Matcher:
    """All values of one filter, with one budget for all that they are matched against."""

    def __init__(self, values: Iterable[str]) -> None:
        """Raises InvalidArgument for an expression that is not understood or too long."""
        self._budget = [STEPS_MAX]
        self._exact = frozenset(values)
        self._parts: list[str] = []
        self._steps: list[Step] = []
        for value in self._exact:
            if SPECIAL.isdisjoint(value):
                self._parts.append(value)
                continue
            try:
                self._steps.append(Parser(value).parse())
            except NotAnExpression:
                continue  # Docker: it is only what it spells

    def matches(self, text: str) -> bool:
        """Whether a value is the text, or an expression that is found in it. Raises InvalidArgument if the
        expressions cost too much."""
        if text in self._exact or any(part in text for part in self._parts):
            return True
        subject = Subject(text, self._budget)
        return any(step(subject, subject.every) for step in self._steps)
