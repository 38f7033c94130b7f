"""Against Python's own engine where the two agree, and against what only a bounded one survives."""

import random
import re

import pytest

from insula.api.pattern import Matcher
from insula.errors import InvalidArgument

NAMES = ["web", "web-1", "my_web.2", "WEB", "db", "a", "aaa", "/web", "p0_x", "x" * 40]
PATTERNS = [
    "web", "^web$", "^web", "web$", "we?b", "w.b", "[a-c]+", "[^a-z]", "(web|db)$", "(?:we)b", "\\d+$", "\\w-\\d",
    "a{2}", "a{2,}", "a{1,2}$", "^a{3}$", "x{39,41}$", "x{41}", "(a|b)*$", "^(a*)*$", "\\.2", "[.]2", "(?i)^web$",
    "(?i:W)eb", "\\bweb\\b", "\\Bb", "[\\d]", "[[:digit:]]" if False else "[0-9]", "^$", "", "|db", "web|", "a+?a",
    "[]a]", "[a-]", "[-a]", "\\x61$", "\\Adb\\Z".replace("\\Z", "$"), "()", "(())*db", "a*{"[:2], "\\S", "\\W", "_",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_it_finds_what_python_finds(pattern: str) -> None:
    for name in NAMES:
        found = re.search(pattern, name) is not None or pattern == name
        assert Matcher([pattern]).matches(name) == found, (pattern, name)


def test_random_patterns_agree_with_python() -> None:
    draw = random.Random(20260801)
    pieces = [
        "a",
        "b",
        ".",
        "[ab]",
        "[^a]",
        "(a|b)",
        "(ab)*",
        "a*",
        "b+",
        "a?",
        "(a*b)+",
        "^",
        "$",
        "|",
        "b{1,2}",
    ]
    for _ in range(3000):
        pattern = "".join(draw.choice(pieces) for _ in range(draw.randint(1, 6)))
        text = "".join(draw.choice("abc") for _ in range(draw.randint(0, 8)))
        assert Matcher([pattern]).matches(text) == (re.search(pattern, text) is not None), (pattern, text)


@pytest.mark.parametrize(
    "pattern", ["[", "(", ")", "*a", "a**", "a{2}{3}", "[b-a]", "[[:odd:]]", "a{1001}", "\\y", "\\"]
)
def test_what_is_no_expression_is_only_what_it_spells(pattern: str) -> None:
    assert not Matcher([pattern]).matches("a")
    assert Matcher([pattern]).matches(pattern)


@pytest.mark.parametrize("pattern", ["\\pL", "(?m)a", "\\Qa", "(" * 60 + ")" * 60, "(a)" * 1500, "(?P<n>a)"])
def test_what_is_not_understood_says_so(pattern: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid filter 'name=") as caught:
        Matcher([pattern])
    assert len(str(caught.value)) < 200


def test_a_pattern_that_backtracks_is_quick() -> None:
    assert not Matcher(["(a+)+$", "(a|a)*b", "(a*)*c"]).matches("a" * 254 + "!")


def test_a_pattern_that_costs_too_much_is_refused() -> None:
    matcher = Matcher(["((((a{0,900}){0,900}){0,900}){0,900}b{900}){900}"] * 1)
    with pytest.raises(InvalidArgument, match="cost too much"):
        for _ in range(100_000):
            matcher.matches("a" * 255)


def test_several_values_are_alternatives() -> None:
    matcher = Matcher(["^a$", "b"])
    assert [matcher.matches(text) for text in ("a", "ab", "aa", "xbx", "c")] == [
        True,
        True,
        False,
        True,
        False,
    ]
