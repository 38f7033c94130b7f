"""The grammar: what is a flag, what is its value, and where flags end."""

import pytest

from insula.cli.failure import UsageFailure
from insula.cli.flags import BOOL, MANY, NUMBER, TEXT, Flag, describe, parse

FLAGS = (
    Flag("interactive", "i", BOOL, "keep stdin open"),
    Flag("tty", "t", BOOL, "a terminal"),
    Flag("rm", "", BOOL, "remove"),
    Flag("memory", "m", TEXT, "limit"),
    Flag("env", "e", MANY, "variable"),
    Flag("time", "", NUMBER, "seconds"),
)


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["-it"], {"interactive": ["true"], "tty": ["true"]}),
        (["-im", "5m"], {"interactive": ["true"], "memory": ["5m"]}),
        (["-m512m"], {"memory": ["512m"]}),
        (["-m=512m"], {"memory": ["512m"]}),
        (["-m", "512m"], {"memory": ["512m"]}),
        (["--memory=512m"], {"memory": ["512m"]}),
        (["--memory="], {"memory": [""]}),
        (["--memory", "-1"], {"memory": ["-1"]}),
        (["-m", "1", "-m", "2"], {"memory": ["2"]}),
        (["-e", "A=1", "-eB=2", "--env", "C"], {"env": ["A=1", "B=2", "C"]}),
        (["--rm=false"], {"rm": ["false"]}),
        (["--rm", "--rm=0"], {"rm": ["0"]}),
        (["-t=false"], {"tty": ["false"]}),
        (["--time", "-1"], {"time": ["-1"]}),
    ],
)
def test_values(words: list[str], values: dict[str, list[str]]) -> None:
    found = parse(FLAGS, words)
    assert found.values == values
    assert found.arguments == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-ix"], "unknown shorthand flag: 'x' in -ix"),
        (["-m"], "flag needs an argument: -m"),
        (["--memory"], "flag needs an argument: --memory"),
        (["--rm=perhaps"], "true or false"),
        (["--time", "soon"], "not a whole number"),
        (["--time", "9" * 30], "out of range"),
        (["--time", "²"], "not a whole number"),
    ],
)
def test_what_is_refused(words: list[str], told: str) -> None:
    with pytest.raises(UsageFailure, match=told) as caught:
        parse(FLAGS, words)
    assert caught.value.status == 125


def test_flags_may_follow_arguments_where_they_are_our_own() -> None:
    found = parse(FLAGS, ["one", "-t", "two"])
    assert (found.arguments, found.flag("tty")) == (["one", "two"], True)


def test_what_follows_the_image_belongs_to_the_command() -> None:
    found = parse(FLAGS, ["-i", "image", "ls", "-t", "--rm", "--", "-x"], mixed=False)
    assert found.arguments == ["image", "ls", "-t", "--rm", "--", "-x"]
    assert found.values == {"interactive": ["true"]}


def test_two_dashes_end_the_flags() -> None:
    assert parse(FLAGS, ["-i", "--", "-t"]).arguments == ["-t"]


def test_a_single_dash_is_an_argument() -> None:
    assert parse(FLAGS, ["-", "-t"]).arguments == ["-"]


def test_help_names_every_flag() -> None:
    text = describe(FLAGS)
    assert "  -i, --interactive     keep stdin open" in text
    assert "      --time int" in text
