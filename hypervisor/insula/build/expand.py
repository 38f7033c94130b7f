"""Variables in a Dockerfile's words: `$NAME`, `${NAME}`, `${NAME:-word}`, `${NAME:+word}`, `${NAME:?word}` (each
also without the colon), `${NAME#pattern}` and its kin, quotes and escapes. Pure.

Works as the Dockerfile reference says and as a shell would: single quotes keep everything, an escaped `$` is a
dollar. Refused: what has no end, and operators that are not known. The result of one word is bounded.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from insula.errors import InvalidArgument

RESULT_MAX = 1 << 20
DEPTH_MAX = 50
NO_END = "syntax error: missing '}'"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?\-$!]")


@dataclass(slots=True)
class _Place:
    """Where in a text; used: the names that were looked up."""

    text: str
    escape: str
    values: Mapping[str, str]
    keeps: bool
    at: int = 0
    depth: int = 0

    def more(self) -> bool:
        return self.at < len(self.text)

    def peek(self) -> str:
        return self.text[self.at] if self.more() else ""

    def take(self) -> str:
        letter = self.text[self.at]
        self.at += 1
        return letter


def expand(text: str, values: Mapping[str, str], escape: str = "\\", *, keeps: bool = False) -> str:
    """One word, with quotes taken out. keeps: quotes and escapes other than a dollar's stay (here-documents). Raises
    InvalidArgument."""
    place = _Place(text, escape, values, keeps)
    result = _until(place, "")
    if len(result) > RESULT_MAX:
        raise InvalidArgument(f"a word becomes longer than {RESULT_MAX} bytes")
    return result


def expand_words(text: str, values: Mapping[str, str], escape: str = "\\") -> list[str]:
    """Each word of a line; an unquoted variable's value may be several, as in a shell."""
    found: list[str] = []
    for word in _raw_words(text, escape):
        bare = re.fullmatch(r"\$(\w+|\{\w+\})", word)
        value = expand(word, values, escape)
        found += value.split() if bare else [value]
    return found


def _raw_words(text: str, escape: str) -> list[str]:
    words, word, quote, at, depth = [], "", "", 0, 0
    while at < len(text):
        letter = text[at]
        if letter == escape and quote != "'" and at + 1 < len(text):
            word += text[at : at + 2]
            at += 2
            continue
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif text.startswith("${", at):
            depth += 1
        elif letter == "}" and depth:
            depth -= 1
        elif letter.isspace() and not depth:
            if word:
                words.append(word)
            word = ""
            at += 1
            continue
        word += letter
        at += 1
    return [*words, word] if word else words


def _until(place: _Place, end: str) -> str:
    """Up to an end, which is left to be taken."""
    parts: list[str] = []
    while place.more() and (not end or place.peek() != end):
        letter = place.peek()
        if letter == "'" and not place.keeps:
            parts.append(_single(place))
        elif letter == '"' and not place.keeps:
            parts.append(_double(place))
        elif letter == "$":
            parts.append(_variable(place))
        elif letter == place.escape:
            parts.append(_escaped(place))
        else:
            parts.append(place.take())
    return "".join(parts)


def _escaped(place: _Place) -> str:
    place.take()
    if not place.more():
        return place.escape if place.keeps else ""
    letter = place.take()
    return place.escape + letter if place.keeps and letter not in "$" + place.escape else letter


def _single(place: _Place) -> str:
    place.take()
    end = place.text.find("'", place.at)
    if end < 0:
        raise InvalidArgument("unexpected end of statement while looking for matching single-quote")
    found, place.at = place.text[place.at : end], end + 1
    return found


def _double(place: _Place) -> str:
    place.take()
    parts: list[str] = []
    while place.more():
        letter = place.peek()
        if letter == '"':
            place.take()
            return "".join(parts)
        if letter == "$":
            parts.append(_variable(place))
        elif letter == place.escape:
            place.take()
            if not place.more():
                raise InvalidArgument("unexpected end of statement while looking for matching double-quote")
            after = place.take()
            parts.append(after if after in ('"', "$", place.escape) else place.escape + after)
        else:
            parts.append(place.take())
    raise InvalidArgument("unexpected end of statement while looking for matching double-quote")


def _variable(place: _Place) -> str:
    place.take()
    if place.peek() != "{":
        match = NAME.match(place.text, place.at)
        if match is None:
            return "$"
        place.at = match.end()
        return place.values.get(match[0], "")
    place.take()
    match = NAME.match(place.text, place.at)
    if match is None:
        raise InvalidArgument("syntax error: a variable without a name" if place.more() else NO_END)
    place.at = match.end()
    place.depth += 1
    if place.depth > DEPTH_MAX:
        raise InvalidArgument("variables are nested too deeply")
    value = _modified(place, match[0])
    place.depth -= 1
    if place.peek() != "}":
        raise InvalidArgument(NO_END)
    place.take()
    return value


def _modified(place: _Place, name: str) -> str:
    value = place.values.get(name)
    if place.peek() in ("}", ""):
        return value or ""
    colon = place.peek() == ":"
    if colon:
        place.take()
    operator = place.take() if place.more() else ""
    if not colon and operator in "#%/" and operator:
        return _stripped(place, operator, value or "")
    if operator not in ("-", "+", "?") or not operator:
        raise InvalidArgument(f"unsupported modifier ({operator}) in substitution")
    word = _until(place, "}")
    given = bool(value) if colon else value is not None
    if operator == "+":
        return word if given else ""
    if operator == "?" and not given:
        raise InvalidArgument(f"{name}: {word or 'is not allowed to be ' + ('empty' if colon else 'unset')}")
    return (value or "") if given else word


def _stripped(place: _Place, operator: str, value: str) -> str:
    """`#` and `%` take a pattern from the beginning or the end, doubled the longest; `/` replaces, doubled all."""
    double = place.peek() == operator
    if double:
        place.take()
    if operator == "/":
        pattern = _until_slash(place)
        replacement = ""
        if place.peek() == "/":
            place.take()
            replacement = _until(place, "}")
        return re.sub(
            _shell_pattern(pattern, greedy=True), lambda _: replacement, value, count=0 if double else 1
        )
    pattern = _until(place, "}")
    compiled = re.compile(_shell_pattern(pattern, greedy=True), re.DOTALL)
    lengths = range(len(value) + 1)
    for length in reversed(lengths) if double else lengths:
        if operator == "#" and compiled.fullmatch(value[:length]):
            return value[length:]
        if operator == "%" and compiled.fullmatch(value[len(value) - length :]):
            return value[: len(value) - length]
    return value


def _until_slash(place: _Place) -> str:
    start = place.at
    while place.more() and place.peek() not in "/}":
        place.at += 2 if place.peek() == place.escape else 1
    return place.text[start : min(place.at, len(place.text))]


def _shell_pattern(pattern: str, *, greedy: bool) -> str:
    """`*` and `?` alone are special; the number of stars is bounded, for they multiply."""
    if pattern.count("*") > 10 or len(pattern) > 1000:
        raise InvalidArgument("a pattern in a substitution is too long")
    return "".join(
        ".*" if letter == "*" else "." if letter == "?" else re.escape(letter) for letter in pattern
    )
