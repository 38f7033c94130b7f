import time

import pytest

from insula.patterns import BadPattern, Ignore, compile_match, has_wildcards, read_ignore

# of the tables of Go's path/filepath match_test.go, by their meaning
MATCHES = [
    ("abc", "abc", True), ("*", "abc", True), ("*c", "abc", True), ("a*", "a", True), ("a*", "abc", True),
    ("a*", "ab/c", False), ("a*/b", "abc/b", True), ("a*/b", "a/c/b", False), ("a*b*c*d*e*/f", "axbxcxdxe/f", True),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/f", True), ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", False),
    ("a*b?c*x", "abxbbxdbxebxczzx", True), ("a*b?c*x", "abxbbxdbxebxczzy", False), ("ab[c]", "abc", True),
    ("ab[b-d]", "abc", True), ("ab[e-g]", "abc", False), ("ab[^c]", "abc", False), ("ab[^e-g]", "abc", True),
    ("a\\*b", "a*b", True), ("a\\*b", "ab", False), ("a?b", "a☺b", True), ("a[^a]b", "a☺b", True),
    ("[a-ζ]*", "α", True), ("*[a-ζ]", "A", False), ("a?b", "a/b", False), ("a*b", "a/b", False),
    ("[\\]a]", "]", True), ("[\\-]", "-", True), ("[x\\-]", "x", True), ("*x", "xxx", True), ("*ab*ab", "abab", True),
    ("[^x]", "/", False),
]  # fmt: skip


@pytest.mark.parametrize("pattern,name,matches", MATCHES)
def test_as_go_matches(pattern: str, name: str, matches: bool) -> None:
    assert bool(compile_match(pattern).fullmatch(name)) is matches


@pytest.mark.parametrize(
    "pattern", ["[]a]", "[-]", "[x-]", "[-x]", "[", "[^", "[^bc", "a[", "[b-a]", "a\\", "[a-b-c]"]
)
def test_bad_patterns(pattern: str) -> None:
    with pytest.raises(BadPattern):
        compile_match(pattern)


def test_a_hostile_pattern_costs_little() -> None:
    began = time.process_time()
    assert not compile_match("*a" * 200 + "b").fullmatch("a" * 4000)
    assert not Ignore(["**/*a**/*a**/*ab"]).drops("a/" * 100)
    assert time.process_time() - began < 20


def test_wildcards() -> None:
    assert [has_wildcards(p) for p in ("a/b", "a*", "a?", "a[b]", "a\\b")] == [False, True, True, True, True]


@pytest.mark.parametrize(
    "lines,name,dropped",
    [
        (["a"], "a", True),
        (["a"], "a/b", True),
        (["a"], "ab", False),
        (["a/"], "a/b", True),
        (["/a"], "a", True),
        (["./a"], "a", True),
        (["*.log"], "x.log", True),
        (["*.log"], "d/x.log", False),
        (["**/*.log"], "d/e/x.log", True),
        (["**/*.log"], "x.log", True),
        (["**"], "any/thing", True),
        (["a/**/b"], "a/b", True),
        (["a/**/b"], "a/x/y/b", True),
        (["*", "!keep"], "keep", False),
        (["*", "!keep"], "other", True),
        (["dir", "!dir/keep"], "dir/keep", False),
        (["dir", "!dir/keep", "dir/keep"], "dir/keep", True),
        (["*.md", "!README*.md", "README-secret.md"], "README-secret.md", True),
        (["*.md", "!README*.md"], "README-a.md", False),
        (["."], "a", False),
        (["a/../b"], "b", True),
    ],
)
def test_ignore(lines: list[str], name: str, dropped: bool) -> None:
    assert Ignore(lines).drops(name) is dropped


def test_the_file() -> None:
    ignore = read_ignore(b"\xef\xbb\xbf# a comment\n\n  tmp  \r\n!tmp/x\n")
    assert ignore.drops("tmp") and not ignore.drops("tmp/x") and not ignore.drops("# a comment")
    assert not read_ignore(b"\n#\n")
    with pytest.raises(BadPattern, match="illegal exclusion pattern"):
        read_ignore(b"!\n")
