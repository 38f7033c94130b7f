"""What counts as a machine at rest, with programs of this host's in QEMU's place."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from insula.machine import settling
from insula.machine.settling import settle


class Port:
    """A monitor that sees the other end go after so many questions."""

    def __init__(self, questions: int) -> None:
        self.questions = questions

    async def is_left(self, port: str) -> bool:
        assert port == "agent"
        self.questions -= 1
        return self.questions <= 0


@contextmanager
def program(*words: str) -> Iterator[int]:
    child = subprocess.Popen(words)
    try:
        yield child.pid
    finally:
        child.kill()
        child.wait()


async def test_one_that_does_nothing_is_waited_for_until_its_port_is_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = Port(40)
    with program("sleep", "1000") as pid:
        await settle(pid, port, "agent")  # type: ignore[arg-type]
    assert port.questions == 0
    assert caplog.records == []


@pytest.mark.parametrize("words", [("sh", "-c", "while :; do :; done"), ("sleep", "1000")])
async def test_one_that_is_busy_or_not_left_is_given_up(
    words: tuple[str, ...], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "LOOKS_MAX", 20)
    with program(*words) as pid:
        await settle(pid, Port(0 if words[0] == "sh" else 1000), "agent")  # type: ignore[arg-type]
    (record,) = caplog.records
    assert "does not come to rest" in record.getMessage()
