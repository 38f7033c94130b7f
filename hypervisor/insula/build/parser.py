"""A Dockerfile's text as instructions, by Docker's own rules of lines. Pure.

Knows what a line is (continuations by the escape character, comments, here-documents), what a flag is, and JSON
lists; what an instruction *means* is dockerfile.py's and the words in it are expand.py's. Refused with Docker's
words and the line: no instruction at all, a here-document without an end, more of anything than the limits. See
docs/decisions/ for why this is not the official parser's binding.
"""

import json
import re
from dataclasses import dataclass

from insula.errors import InvalidArgument

DOCKERFILE_MAX = 2 << 20
INSTRUCTIONS_MAX = 5_000
HEREDOCS_MAX = 100

DIRECTIVE = re.compile(r"#[ \t]*([A-Za-z][A-Za-z0-9]*)[ \t]*=[ \t]*(.+?)[ \t]*")
DIRECTIVES = ("escape", "syntax", "check")
COMMENT = re.compile(r"[ \t\r\v\f]*#")
HEREDOC = re.compile(r"(\d*)<<(-?)([^<]*)")
HEREDOC_NAME = re.compile(r"""(?:"([^"]+)"|'([^']+)'|([A-Za-z0-9_.\-/@%+=:,~!]+))""")
WITH_HEREDOCS = ("ADD", "COPY", "RUN")
WITH_JSON = ("ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME")
WITH_FLAGS = ("ADD", "COPY", "FROM", "HEALTHCHECK", "RUN")


@dataclass(frozen=True, slots=True)
class Heredoc:
    """name: of its end; expands: variables in it are replaced; content: with the tabs of `<<-` taken away."""

    name: str
    expands: bool
    content: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """name: in capitals; text: all behind the name and the flags, continuations joined; line: where it begins; words:
    of the JSON form, else None; original: as history tells it."""

    name: str
    text: str
    line: int
    flags: tuple[str, ...] = ()
    words: tuple[str, ...] | None = None
    heredocs: tuple[Heredoc, ...] = ()
    original: str = ""


@dataclass(frozen=True, slots=True)
class Parsed:
    """escape: the character; directives: `syntax`, `check` and `escape` as far as they are there."""

    instructions: tuple[Instruction, ...]
    escape: str
    directives: dict[str, str]


def fail(line: int, why: str) -> InvalidArgument:
    """A failure of a line, in Docker's words."""
    return InvalidArgument(f"dockerfile parse error on line {line}: {why}")


def parse(raw: bytes) -> Parsed:
    """Raises InvalidArgument."""
    if len(raw) > DOCKERFILE_MAX:
        raise InvalidArgument(f"the Dockerfile has {len(raw)} bytes ({DOCKERFILE_MAX} at most)")
    text = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    if "\0" in text:
        raise InvalidArgument("the Dockerfile has a NUL in it")
    lines = text.split("\n")
    directives = _directives(lines)
    escape = directives.get("escape", "\\")
    found: list[Instruction] = []
    at = 0
    while at < len(lines):
        start, line, at = _join(lines, at, escape)
        if not line:
            continue
        instruction, at = _instruction(line, start, lines, at)
        found.append(instruction)
        if len(found) > INSTRUCTIONS_MAX:
            raise fail(start, f"more than {INSTRUCTIONS_MAX} instructions")
    if not found:
        raise InvalidArgument(
            "file with no instructions" if text.strip() else "the Dockerfile cannot be empty"
        )
    return Parsed(tuple(found), escape, directives)


def _directives(lines: list[str]) -> dict[str, str]:
    """Those before everything else. Raises InvalidArgument."""
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = DIRECTIVE.fullmatch(line.rstrip("\r"))
        if match is None or match[1].lower() not in DIRECTIVES:
            break
        name = match[1].lower()
        if name in found:
            raise fail(number, f"only one {name} parser directive can be used")
        if name == "escape" and match[2] not in ("\\", "`"):
            raise fail(number, f"invalid escape token '{match[2][:40]}' does not match ` or \\")
        found[name] = match[2]
    return found


def _join(lines: list[str], at: int, escape: str) -> tuple[int, str, int]:
    """A whole line: where it begins (from 1), itself, and where the next one does. Comments, and empty lines
    within it, are not there."""
    whole, start = "", 0
    while at < len(lines):
        line = lines[at].rstrip("\r")
        at += 1
        if COMMENT.match(line) or not line.strip():
            continue
        body, goes_on = _continued(line, escape)
        whole += body if start else body.lstrip(" \t\v\f")
        start = start or at
        if not goes_on:
            break
    return start, whole.strip(" \t\r\v\f"), at


def _continued(line: str, escape: str) -> tuple[str, bool]:
    """Whether it ends with one escape character, blanks behind it aside; two of them are none."""
    stripped = line.rstrip(" \t")
    if len(stripped) - len(stripped.rstrip(escape)) != 1:
        return line, False
    return stripped[:-1], True


def _instruction(line: str, start: int, lines: list[str], at: int) -> tuple[Instruction, int]:
    name, _, rest = re.sub(r"[ \t\v\f\r]", " ", line, count=1).partition(" ")
    name = name.upper()
    rest = rest.strip()
    heredocs: tuple[Heredoc, ...] = ()
    inner = rest.partition(" ")[0].upper() if name == "ONBUILD" else name
    original = line
    if inner in WITH_HEREDOCS and "<<" in rest:
        first = at
        heredocs, at = _heredocs(rest, start, lines, at)
        if heredocs:
            original = "\n".join([line, *(item.rstrip("\r") for item in lines[first:at])])
    flags: tuple[str, ...] = ()
    if name in WITH_FLAGS:
        flags, rest = _flags(rest)
    words = _json_words(rest) if name in WITH_JSON and not heredocs else None
    return Instruction(name, rest, start, flags, words, heredocs, original), at


def reparse(instruction: Instruction, text: str) -> Instruction:
    """What ONBUILD holds, as an instruction of its own, on the same line."""
    found, _ = _instruction(text.split("\n")[0].strip(), instruction.line, text.split("\n")[1:], 0)
    return found


def _flags(rest: str) -> tuple[tuple[str, ...], str]:
    """The leading words that begin with `--`, with their quotes and escapes taken out."""
    flags: list[str] = []
    while rest.startswith("--"):
        end = _word_end(rest)
        word, rest = rest[:end], rest[end:].lstrip()
        if word == "--":
            break
        flags.append(re.sub(r"\\(.)|[\"']", lambda m: m[1] or "", word))
    return tuple(flags), rest


def _word_end(text: str) -> int:
    quote = ""
    skip = False
    for number, letter in enumerate(text):
        if skip:
            skip = False
        elif letter == "\\":
            skip = True
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter.isspace():
            return number
    return len(text)


def _json_words(text: str) -> tuple[str, ...] | None:
    if not text.startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(value)


def _heredocs(rest: str, start: int, lines: list[str], at: int) -> tuple[tuple[Heredoc, ...], int]:
    """The here-documents that a line names, taken from the lines behind it. Raises InvalidArgument."""
    found = []
    for chomp, name, expands in heredoc_names(rest):
        content = []
        while True:
            if at >= len(lines):
                raise fail(start, "unterminated heredoc")
            line = lines[at].rstrip("\r")
            at += 1
            line = line.lstrip("\t") if chomp else line
            if line == name:
                break
            content.append(line + "\n")
        found.append(Heredoc(name, expands, "".join(content)))
        if len(found) > HEREDOCS_MAX:
            raise fail(start, f"more than {HEREDOCS_MAX} here-documents")
    return tuple(found), at


def heredoc_names(rest: str) -> list[tuple[bool, str, bool]]:
    """(`<<-`, name, unquoted) of each word that begins one; a here-string (`<<<`) begins none."""
    found = []
    for word in split_words(rest):
        match = HEREDOC.fullmatch(word)
        name = HEREDOC_NAME.fullmatch(match[3]) if match else None
        if match and name:
            found.append((bool(match[2]), name[1] or name[2] or name[3], name[3] is not None))
    return found


def split_words(text: str) -> list[str]:
    """Words as they are written, quotes and escapes included."""
    words = []
    text = text.strip()
    while text:
        end = _word_end(text)
        words.append(text[:end])
        text = text[end:].lstrip()
    return words
