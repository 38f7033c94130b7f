"""`--format`: the part of Go's templates that Docker's users write. Pure.

    {{.Field.Sub}}  {{json .X}}  {{index .X "key"}}  {{range .X}}…{{else}}…{{end}}  {{range $k, $v := .X}}  {{if}}
    {{with}}  {{.A | upper}}  {{eq .A "b"}}  {{join .X ","}}  len  upper  lower  title  split  println  printf "%s"

A field that is not there is a failure that names it, as a typing error would otherwise print nothing.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from insula.cli.failure import Failure

ACTION = re.compile(r"\{\{(- )?(.*?)( -)?\}\}", re.DOTALL)
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`|:=|[|(),]|[^\s|(),]+')
DEPTH_MAX = 50


class _NoValue:
    def __str__(self) -> str:
        return "<no value>"


@dataclass(slots=True)
class Node:
    """A piece of a template. kind: text, value, if, range, with; words: tokens, or the text itself."""

    kind: str
    words: list[str]
    body: "list[Node]" = field(default_factory=list)
    other: "list[Node]" = field(default_factory=list)


def bad(text: str) -> Failure:
    return Failure(f"template parsing error: {text[:200]}")


def parse_template(text: str) -> list[Node]:
    """Raises Failure."""
    unescaped = text.replace("\\t", "\t").replace("\\n", "\n")
    nodes, left = _parse(_pieces(unescaped), 0)
    if left is not None:
        raise bad(f"unexpected {{{{{left}}}}}")
    return nodes


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """(is an action, text) with the white space that `{{-` and `-}}` take away."""
    position, trim = 0, False
    for match in ACTION.finditer(text):
        before = text[position : match.start()]
        before = before.lstrip() if trim else before
        yield False, before.rstrip() if match[1] else before
        yield True, match[2].strip()
        position, trim = match.end(), bool(match[3])
    rest = text[position:].lstrip() if trim else text[position:]
    if "{{" in rest:
        raise bad("unclosed action")
    yield False, rest


def _parse(pieces: Iterator[tuple[bool, str]], depth: int) -> tuple[list[Node], str | None]:
    """The nodes up to an `end` or `else` (which is given too)."""
    if depth > DEPTH_MAX:
        raise bad("nested too deeply")
    nodes: list[Node] = []
    for action, text in pieces:
        if not action:
            nodes += [Node("text", [text])] if text else []
            continue
        words = TOKEN.findall(text)
        if not words:
            raise bad("missing value for command")
        if words[0] in ("end", "else"):
            return nodes, text
        if words[0] not in ("if", "range", "with"):
            nodes += [] if text.startswith("/*") else [Node("value", words)]
            continue
        nodes.append(_parse_block(pieces, words, depth))
    return nodes, None


def _parse_block(pieces: Iterator[tuple[bool, str]], words: list[str], depth: int) -> Node:
    node = Node(words[0], words[1:])
    node.body, ending = _parse(pieces, depth + 1)
    if ending is not None and ending.startswith("else"):
        if rest := TOKEN.findall(ending)[1:]:
            node.other = [_parse_block(pieces, rest, depth + 1)]
            return node
        node.other, ending = _parse(pieces, depth + 1)
    if ending != "end":
        raise bad(f"{{{{{node.kind}}}}} has no {{{{end}}}}")
    return node


# -- doing it


@dataclass(frozen=True, slots=True)
class Scope:
    """What `.` and `$names` mean at one place."""

    dot: Any
    names: dict[str, Any]


def render(nodes: Sequence[Node], value: Any) -> str:
    """Raises Failure."""
    return "".join(_render(nodes, Scope(value, {"$": value})))


def _render(nodes: Sequence[Node], scope: Scope) -> Iterator[str]:
    for node in nodes:
        if node.kind == "text":
            yield node.words[0]
        elif node.kind == "value":
            if len(node.words) > 2 and node.words[1] == ":=":
                scope.names[node.words[0]] = evaluate(node.words[2:], scope)
            else:
                yield show(evaluate(node.words, scope))
        elif node.kind == "range":
            yield from _render_range(node, scope)
        else:
            value = evaluate(node.words, scope)
            inner = Scope(value, scope.names) if node.kind == "with" and truth(value) else scope
            yield from _render(node.body if truth(value) else node.other, inner)


def _render_range(node: Node, scope: Scope) -> Iterator[str]:
    variables: list[str] = []
    words = node.words
    if ":=" in words:
        place = words.index(":=")
        variables, words = [word for word in words[:place] if word != ","], words[place + 1 :]
    value = evaluate(words, scope)
    if not truth(value):
        yield from _render(node.other, scope)
        return
    if isinstance(value, dict):
        items: Any = sorted(value.items())
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        raise bad(f"range can't iterate over {show(value)}")
    for key, item in items:
        names = dict(zip(variables, [key, item] if len(variables) == 2 else [item], strict=False))
        yield from _render(node.body, Scope(item, {**scope.names, **names}))


def evaluate(words: Sequence[str], scope: Scope) -> Any:
    """A pipeline: each command's value is the next one's last argument."""
    commands: list[list[str]] = [[]]
    depth = 0
    for word in words:
        depth += (word == "(") - (word == ")")
        if word == "|" and depth == 0:
            commands.append([])
        else:
            commands[-1].append(word)
    piped: list[Any] = []
    for command in commands:
        terms = list(_terms(command, scope))
        if not terms:
            raise bad("missing value for command")
        if callable(terms[0]):
            piped = [terms[0](*_check_count(terms, piped))]
        elif len(terms) > 1 or piped:
            raise bad(f"can't give argument to non-function {command[0]}")
        else:
            piped = [terms[0]]
    return piped[0]


def _check_count(terms: list[Any], piped: list[Any]) -> list[Any]:
    arguments = terms[1:] + piped
    least, most = COUNTS.get(terms[0], (0, ANY))
    if not least <= len(arguments) <= most:
        raise bad(f"wrong number of arguments for {NAMES.get(terms[0], 'a field')}: {len(arguments)}")
    return arguments


def _terms(words: Sequence[str], scope: Scope) -> Iterator[Any]:
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "(":
            depth, start = 1, position
            while depth and position < len(words):
                depth += (words[position] == "(") - (words[position] == ")")
                position += 1
            if depth:
                raise bad("unclosed left paren")
            value = evaluate(words[start : position - 1], scope)
            if position < len(words) and words[position].startswith("."):
                value = look_up(value, words[position])
                position += 1
            yield value
        else:
            yield _term(word, scope)


CONSTANTS = {"true": True, "false": False, "nil": None}


def _term(word: str, scope: Scope) -> Any:
    if word.startswith("."):
        return look_up(scope.dot, word)
    if word.startswith("$"):
        name, dot, rest = word.partition(".")
        if name not in scope.names:
            raise bad(f"undefined variable {name}")
        return look_up(scope.names[name], dot + rest)
    if word in CONSTANTS:
        return CONSTANTS[word]
    if word[0] == '"':
        return json.loads(word)
    if word[0] == "`":
        return word[1:-1]
    if word.removeprefix("-").isdigit() and len(word) < 20:
        return int(word)
    if word in FUNCTIONS:
        return FUNCTIONS[word]
    raise bad(f'function "{word}" not defined')


def look_up(value: Any, chain: str) -> Any:
    """`.A.B` of a value. Raises Failure for what is not there."""
    for name in chain.split("."):
        if not name:
            continue
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif value is None:
            return None
        else:
            raise Failure(f'template: <{chain[:80]}>: there is no field "{name[:80]}"')
        if isinstance(value, Method) and value.bare:
            value = value.function()
    return value


class Method:
    """A field that is worked out, and that may take an argument (`.Label "key"`)."""

    def __init__(self, function: Callable[..., Any], bare: bool = True) -> None:
        self.function = function
        self.bare = bare

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)


def truth(value: Any) -> bool:
    return bool(value)


def show(value: Any) -> str:
    """As Go prints it."""
    if value is None:
        return str(_NoValue())
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + " ".join(show(one) for one in value) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{show(one)}" for key, one in sorted(value.items())) + "]"
    return str(value)


# -- functions


def to_json(value: Any) -> str:
    plain = (
        {k: v for k, v in value.items() if not isinstance(v, Method)} if isinstance(value, dict) else value
    )
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False)


def index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, "")
        elif isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
            value = value[key]
        else:
            raise Failure(f"template: index: there is no {str(key)[:80]!r}")
    return value


def length(value: Any) -> int:
    if not isinstance(value, list | dict | str):
        raise Failure("template: len of a thing that has no length")
    return len(value)


def join(values: Any, separator: Any) -> str:
    return str(separator).join(show(value) for value in values or [])


def split(value: Any, separator: Any) -> list[str]:
    return str(value).split(str(separator))


def format_text(form: Any, *values: Any) -> str:
    """printf with %s, %v, %d and %q alone."""
    waiting = list(values)

    def put(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        text = show(waiting.pop(0)) if waiting else "%!(MISSING)"
        return json.dumps(text) if match[0] == "%q" else text

    return re.sub(r"%[svdq%]", put, str(form))


def pad(text: Any, before: Any, after: Any) -> str:
    """With blanks around it; nothing stays nothing."""
    return " " * int(before) + show(text) + " " * int(after) if text else ""


def _either(*values: Any) -> Any:
    return next((value for value in values if truth(value)), values[-1])


def _all(*values: Any) -> Any:
    return next((value for value in values if not truth(value)), values[-1])


ANY = 1000
TABLE: dict[str, tuple[Callable[..., Any], int, int]] = {
    "json": (to_json, 1, 1),
    "index": (index, 1, ANY),
    "len": (length, 1, 1),
    "join": (join, 2, 2),
    "split": (split, 2, 2),
    "pad": (pad, 3, 3),
    "truncate": (lambda value, size: show(value)[: int(size)], 2, 2),
    "upper": (lambda value: show(value).upper(), 1, 1),
    "lower": (lambda value: show(value).lower(), 1, 1),
    "title": (lambda value: show(value).title(), 1, 1),
    "println": (lambda *values: " ".join(map(show, values)) + "\n", 0, ANY),
    "print": (lambda *values: "".join(map(show, values)), 0, ANY),
    "printf": (format_text, 1, ANY),
    "eq": (lambda first, *others: first in others, 2, ANY),
    "ne": (lambda first, second: first != second, 2, 2),
    "not": (lambda value: not truth(value), 1, 1),
    "and": (_all, 1, ANY),
    "or": (_either, 1, ANY),
}
FUNCTIONS = {name: row[0] for name, row in TABLE.items()}
NAMES = {row[0]: name for name, row in TABLE.items()}
COUNTS: Any = {row[0]: row[1:] for row in TABLE.values()}
