import pytest

from insula.build.expand import expand, expand_words
from insula.errors import InvalidArgument

VALUES = {"A": "one", "EMPTY": "", "LIST": "a b", "PATH_": "/usr/local/bin", "F": "foobarbaz"}


@pytest.mark.parametrize(
    "text,result",
    [
        ("plain", "plain"), ("$A", "one"), ("${A}", "one"), ("x$A.y", "xone.y"), ("${A}s", "ones"), ("$As", ""),
        ("\\$A", "$A"), ("\\${A}", "${A}"), ("'$A'", "$A"), ('"$A b"', "one b"), ('"a\\"b"', 'a"b'), ('"a\\b"', "a\\b"),
        ("a\\ b", "a b"), ("\\\\", "\\"), ("$", "$"), ("a$ b", "a$ b"), ("${NO}", ""), ("${NO:-x}", "x"),
        ("${NO-x}", "x"), ("${EMPTY-x}", ""), ("${EMPTY:-x}", "x"), ("${A:-x}", "one"), ("${A:+x}", "x"),
        ("${EMPTY:+x}", ""), ("${EMPTY+x}", "x"), ("${NO:+x}", ""), ("${NO:-$A}", "one"), ("${NO:-${A}/b}", "one/b"),
        ("${NO:-'a b'}", "a b"), ("${A:?msg}", "one"), ("${PATH_#/usr}", "/local/bin"), ("${PATH_##*/}", "bin"),
        ("${PATH_%/*}", "/usr/local"), ("${PATH_%%/*}", ""), ("${F/ba/X}", "fooXrbaz"), ("${F//ba/X}", "fooXrXz"),
        ("${F/ba}", "foorbaz"), ("${A}${A}", "oneone"), ('"', None), ("'", None), ("${", None), ("${A", None),
        ("${A:", None), ("${A:x}", None), ("${NO:?gone}", None), ("${A!}", None), ("${}", None), ('"\\', None),
    ],
)  # fmt: skip
def test_words(text: str, result: str | None) -> None:
    if result is None:
        with pytest.raises(InvalidArgument):
            expand(text, VALUES)
    else:
        assert expand(text, VALUES) == result


def test_another_escape() -> None:
    assert expand("c:\\$A`$A", VALUES, "`") == "c:\\one$A"


def test_here_documents_keep_quotes() -> None:
    assert expand("say \"$A\" '$A' \\$A \\n", VALUES, keeps=True) == "say \"one\" 'one' $A \\n"


def test_lists() -> None:
    assert expand_words("80 $LIST \"$LIST\" ${LIST} '$A'", VALUES) == ["80", "a", "b", "a b", "a", "b", "$A"]
    assert expand_words("a\\ b c", VALUES) == ["a b", "c"]


def test_bounds() -> None:
    with pytest.raises(InvalidArgument, match="nested too deeply"):
        expand("${A:+" * 60 + "}" * 60, VALUES)
    with pytest.raises(InvalidArgument, match="longer than"):
        expand("$B" * 1100, {"B": "x" * 1000})
    with pytest.raises(InvalidArgument, match="too long"):
        expand("${F#" + "*a" * 20 + "}", VALUES)
