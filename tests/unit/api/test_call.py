import pytest

from insula.api.call import kind_of, read_filters, read_integer, read_object
from insula.errors import InvalidArgument


def test_filters_in_both_forms_are_the_same() -> None:
    assert read_filters('{"label":{"a=b":true,"c":false}}') == {"label": ["a=b"]}
    assert read_filters('{"label":["a=b"]}') == {"label": ["a=b"]}
    assert read_filters("") == {}


@pytest.mark.parametrize(
    "text", ["{", "[]", "3", '{"a":1}', '{"a":[1]}', '{"a":{"b":"true"}}', "[" * 100_000]
)
def test_filters_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid filter"):
        read_filters(text)


@pytest.mark.parametrize("text,number", [("0", 0), ("-1", -1), ("+5", 5), ("9223372036854775807", 2**63 - 1)])
def test_integers(text: str, number: int) -> None:
    assert read_integer(text) == number


@pytest.mark.parametrize("text", ["", "x", "1.0", "--1", "٣", "9" * 19, "9" * 5000, " 1"])
def test_integers_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"strconv\.Atoi"):
        read_integer(text)


def test_kinds_have_json_s_names() -> None:
    values = [None, True, 1, 1.5, "x", [], {}]
    assert [kind_of(v) for v in values] == ["null", "bool", "number", "number", "string", "array", "object"]


@pytest.mark.parametrize(
    "raw", [b"", b"x", b"[]", b"1", b"\xff", b'{"a":' * 50_000, b'{"a":' + b"9" * 6000 + b"}"]
)
def test_what_is_no_object(raw: bytes) -> None:
    with pytest.raises(InvalidArgument, match="invalid JSON"):
        read_object(raw)
