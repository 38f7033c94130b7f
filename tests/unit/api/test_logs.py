import pytest

from insula.api.containers import log_line, read_tail
from insula.container.logs import LogEntry

ENTRY = LogEntry(
    1, b"said\n", 1_700_000_000_120_000_000, 5, {"tag": "a b", "app": "x=y&z", "dot": "a.b-c_d~é"}
)


@pytest.mark.parametrize(
    ("times", "details", "line"),
    [
        (False, False, b"said\n"),
        (True, False, b"2023-11-14T22:13:20.120000000Z said\n"),
        (False, True, b"app=x%3Dy%26z,dot=a.b-c_d~%C3%A9,tag=a+b said\n"),
        (
            True,
            True,
            b"2023-11-14T22:13:20.120000000Z app=x%3Dy%26z,dot=a.b-c_d~%C3%A9,tag=a+b said\n",
        ),
    ],
)
def test_a_line_as_docker_shows_it(times: bool, details: bool, line: bytes) -> None:
    assert log_line(ENTRY, times, details) == line


def test_details_of_an_entry_without_any() -> None:
    assert log_line(LogEntry(1, b"said\n", 0), False, True) == b" said\n"


@pytest.mark.parametrize(("text", "lines"), [("all", None), ("", None), ("0", 0), ("10", 10), ("-1", None), ("x", None)])  # fmt: skip
def test_tail(text: str, lines: int | None) -> None:
    assert read_tail(text) == lines
