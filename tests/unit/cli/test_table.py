"""Columns, sizes and ages."""

import time

import pytest

from insula.cli.table import (
    View,
    age,
    clean,
    duration,
    human_bytes,
    human_size,
    print_rows,
    short_id,
    shorten,
)
from insula.cli.template import Method

VIEW = View((("ID", "ID"), ("STATUS", "Status")), {"Extra": "EXTRA"})
ROWS = [
    {"ID": "1", "Status": "Up", "Extra": "x", "Label": Method(lambda key="": f"<{key}>", bare=False)},
    {"ID": "longer", "Status": "Exited (0)", "Extra": "y", "Label": Method(lambda key="": "", bare=False)},
]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("", "ID       STATUS\n1        Up\nlonger   Exited (0)\n"),
        ("table", "ID       STATUS\n1        Up\nlonger   Exited (0)\n"),
        ("{{.ID}}|{{.Extra}}", "1|x\nlonger|y\n"),
        ("table {{.Extra}}\\t{{.ID}}", "EXTRA   ID\nx       1\ny       longer\n"),
        ('table {{.ID}}\\t{{.Label "com"}}', "ID       COM\n1        <com>\nlonger\n"),
        ("json", '{"ID":"1","Status":"Up","Extra":"x"}\n{"ID":"longer","Status":"Exited (0)","Extra":"y"}\n'),
    ],
)
def test_forms(form: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, VIEW, form)
    assert capsys.readouterr().out == text


def test_nothing_that_moves_the_cursor_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    evil = {"ID": "\x1b[2Ja\nb", "Status": "\r\x07c"}
    print_rows([evil], VIEW, "")
    print_rows([evil], VIEW, "{{.ID}}")
    assert "\x1b" not in capsys.readouterr().out
    assert clean("a\nb") == "a b"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (1234, "1.23kB"),
        (4_260_000, "4.26MB"),
        (999_900, "1e+03kB"),
        (1_500_000_000, "1.5GB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert human_size(size) == text.replace("1e+03kB", "1000kB")


def test_binary_sizes() -> None:
    assert human_bytes(8 << 30) == "8GiB"
    assert human_bytes(3 << 29) == "1.5GiB"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"),
        (150, "2 minutes"), (3600, "About an hour"), (7200, "2 hours"), (3 * 86400, "3 days"),
        (21 * 86400, "3 weeks"), (90 * 86400, "3 months"), (3 * 365 * 86400, "3 years"),
    ],
)  # fmt: skip
def test_ages(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def test_an_age_in_the_future_is_now() -> None:
    assert age(time.time() + 100) == "Less than a second ago"


def test_ids_and_commands_are_cut() -> None:
    assert short_id("sha256:0123456789abcdef", whole=False) == "0123456789ab"
    assert short_id("sha256:0123", whole=True) == "sha256:0123"
    assert shorten("a" * 30, 20, whole=False) == "a" * 19 + "…"
    assert shorten("a" * 30, 20, whole=True) == "a" * 30
