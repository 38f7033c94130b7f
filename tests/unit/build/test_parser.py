import json
from pathlib import Path

import pytest

from insula.build.parser import Heredoc, parse, split_words
from insula.errors import InvalidArgument

VECTORS = json.loads((Path(__file__).parent / "official_parser.json").read_text())
"""Texts, and what the `dockerfile` package 3.4.0 (the official parser) makes of them."""


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: repr(v["text"])[:60])
def test_as_the_official_parser(vector: dict[str, object]) -> None:
    ours = parse(str(vector["text"]).encode()).instructions
    found = [
        {"name": i.name, "line": i.line, "flags": list(i.flags), "json": i.words is not None, "words": list(i.words or ())}
        for i in ours
    ]  # fmt: skip
    assert found == vector["instructions"]


def test_lines_comments_and_continuations() -> None:
    text = b"# a comment\n\nFROM a\n  RUN one \\\n  # inside\n\n    two\\\\\nRUN x\\"
    first, second, third = parse(text).instructions
    assert (first.text, second.line, second.text) == ("a", 4, "one     two\\\\")
    assert (third.line, third.text) == (8, "x")


def test_directives() -> None:
    parsed = parse(b"# syntax=docker/dockerfile:1\n# check=skip=all\n#escape=`\nFROM a\nRUN x `\n y\n")
    assert parsed.escape == "`"
    assert parsed.directives == {"syntax": "docker/dockerfile:1", "check": "skip=all", "escape": "`"}
    assert parsed.instructions[1].text == "x  y"
    assert parse(b"# a comment\n# escape=`\nFROM a\n").escape == "\\"
    assert parse(b"\xef\xbb\xbfFROM a\r\nRUN b\r\n").instructions[1].text == "b"


def test_here_documents() -> None:
    text = b'FROM a\nCOPY <<"EOF" <<-E2 /x\nhello $X\nEOF\n\tfoo\n\tE2\nRUN <<< x\nRUN cat <<a && <<b\n1\na\n2\nb\n'
    _, copy, here_string, run = parse(text).instructions
    assert copy.heredocs == (Heredoc("EOF", False, "hello $X\n"), Heredoc("E2", True, "foo\n"))
    assert here_string.heredocs == ()
    assert [heredoc.content for heredoc in run.heredocs] == ["1\n", "2\n"]
    assert run.original == "RUN cat <<a && <<b\n1\na\n2\nb"
    (onbuild,) = parse(b"ONBUILD RUN <<E\nx\nE\n").instructions
    assert onbuild.heredocs[0].content == "x\n"


@pytest.mark.parametrize(
    "text,why",
    [
        (b"", "cannot be empty"),
        (b"# only this\n", "file with no instructions"),
        (b"FROM a\n\nRUN <<EOF\nx\n", "on line 3: unterminated heredoc"),
        (b"# escape=x\nFROM a\n", "on line 1: invalid escape token 'x'"),
        (b"# escape=`\n# escape=`\nFROM a\n", "on line 2: only one escape"),
        (b"FROM a\0\n", "NUL"),
        (b"FROM a\n" * 6000, "more than 5000 instructions"),
        (b"x" * (3 << 20), "at most"),
    ],
)
def test_refused(text: bytes, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        parse(text)


def test_words_keep_their_quotes() -> None:
    assert split_words("a\\ b 'c d' \"e f\"g  h") == ["a\\ b", "'c d'", '"e f"g', "h"]
