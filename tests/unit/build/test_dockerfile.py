import pytest

from insula.build.dockerfile import depends_on, find_target, flags_of, pairs_of, read_dockerfile
from insula.errors import InvalidArgument


def names(text: str, target: str = "") -> list[str]:
    """The stages that a target needs."""
    found = read_dockerfile(text.encode())
    bases = {stage.index: stage.base for stage in found.stages}
    return [stage.shown for stage in depends_on(found.stages, find_target(found.stages, target), bases)]


def test_stages() -> None:
    found = read_dockerfile(b"ARG V=1\nFROM a:$V AS One\nRUN x\nFROM --platform=$BUILDPLATFORM one\nCMD y\n")
    assert [i.text for i in found.arguments] == ["V=1"]
    one, two = found.stages
    assert (one.base, one.name, one.line, [i.name for i in one.instructions]) == ("a:$V", "one", 2, ["RUN"])
    assert (two.base, two.platform, two.shown) == ("one", "$BUILDPLATFORM", "1")


def test_only_what_is_needed() -> None:
    text = (
        "FROM a AS base\nFROM base AS left\nFROM a AS unused\nFROM a AS right\n"
        "RUN --mount=type=bind,from=left,target=/x y\nFROM a\nCOPY --from=right x y\nCOPY --from=image z z\n"
    )
    assert names(text) == ["base", "left", "right", "4"]
    assert names(text, "left") == ["base", "left"]
    assert names(text, "2") == ["unused"]


@pytest.mark.parametrize(
    "text,why",
    [
        ("FROM a\nFOO b\n", "on line 2: unknown instruction: FOO"),
        ("RUN a\n", "on line 1: no build stage in current context"),
        ("ARG A\n", "no build stage"),
        ("FROM\n", "FROM requires either one or three arguments"),
        ("FROM a b\n", "FROM requires either one or three arguments"),
        ("FROM a AS 1\n", "invalid name for build stage"),
        ("FROM a\n\nRUN --foo=1 b\n", "on line 3: unknown flag: --foo"),
        ("FROM a\nCOPY --chown a b\n", "missing a value on flag: chown"),
        ("FROM a\nCOPY --link=x a b\n", "expecting boolean value for flag link, not: x"),
        ("FROM a\nCOPY --chown=1 --chown=2 a b\n", "duplicate flag specified: chown"),
        ("FROM a\nRUN\n", "RUN requires at least one argument"),
        ("FROM a\nUSER\n", "USER requires exactly one argument"),
        ("FROM a\nCOPY a\n", "COPY requires at least two arguments, but only one was provided"),
        ("FROM a\nADD\n", "ADD requires at least one argument"),
        ("FROM a\nSHELL sh\n", "SHELL requires the arguments to be in JSON form"),
        ("FROM a\nENV A\n", "ENV must have two arguments"),
        ("FROM a\nENV A=1 B\n", 'can\'t find = in "B"'),
        ("FROM a\nLABEL =x\n", "LABEL names can not be blank"),
        ("FROM a\nONBUILD ONBUILD RUN a\n", "Chaining ONBUILD"),
        ("FROM a\nONBUILD FROM a\n", "FROM isn't allowed as an ONBUILD trigger"),
        ("FROM a\nONBUILD COPY x\n", "on line 2: COPY requires at least two"),
        ("FROM a AS x\nCOPY --from=x a b\n", "circular dependency detected on stage: x"),
        ("FROM a AS x\nCOPY --from=1 a b\nFROM x\n", "invalid stage index"),
    ],
)
def test_refused_with_the_line(text: str, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        names(text)


def test_a_target_that_is_not_there() -> None:
    with pytest.raises(InvalidArgument, match='target stage "x" could not be found'):
        names("FROM a\n", "x")


def test_flags_and_pairs() -> None:
    text = b"FROM a\nCOPY --exclude=x --exclude=y --parents a b\nENV A=1 B='c d'\nLABEL a b  c\n"
    copy, env, old = read_dockerfile(text).stages[0].instructions
    assert flags_of(copy) == {"exclude": ["x", "y"], "parents": ["true"]}
    assert pairs_of(env) == [("A", "1"), ("B", "'c d'")]
    assert pairs_of(old) == [("a", "b  c")]
