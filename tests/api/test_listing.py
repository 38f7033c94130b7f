"""`ps` and its filters, over containers that really run and end."""

import pytest
from plain_engine import PlainEngine

CASES = [
    ((), "running"),
    (("-a",), "made ended running"),
    (("-n", "2"), "ended running"),
    (("-l",), "running"),
    (("-f", "status=running"), "running"),
    (("-f", "status=exited"), "ended"),
    (("-f", "status=created", "-f", "status=exited"), "made ended"),
    (("-f", "exited=3"), "ended"),
    (("-f", "exited=0"), ""),
    (("-a", "-f", "name=ed"), "ended"),
    (("-a", "-f", "name=/made"), "made"),
    (("-a", "-f", "label=k"), "made ended"),
    (("-a", "-f", "label=k=1"), "made"),
    (("-a", "-f", "label=k=1", "-f", "label=k=2"), ""),
    (("-a", "-f", "before=running"), "made ended"),
    (("-a", "-f", "since=made"), "ended running"),
    (("-a", "-f", "network=none"), "made ended running"),
    (("-a", "-f", "network=other"), ""),
    (("-a", "-f", "is-task=true"), ""),
    (("-a", "-f", "health=none"), "made ended running"),
    (("-a", "-f", "health=healthy"), ""),
    (("-a", "-f", "status=running", "-f", "label=k"), ""),
]


async def test_filters(plain: PlainEngine) -> None:
    daemon = plain.daemon
    await daemon.create("true", name="made", labels={"k": "1"})
    ended = await daemon.start("sh", "-c", "exit 3", name="ended", labels={"k": "2"})
    await daemon.containers.wait(ended)
    running = await daemon.start("sleep", "100", name="running")
    for words, names in CASES:
        ran = await plain.docker("ps", "--format", "{{.Names}}", *words)
        assert sorted(ran.out.decode().split()) == sorted(names.split()), (words, ran)
    by_id = await plain.docker("ps", "-q", "--no-trunc", "-f", f"id={running[:8]}")
    assert by_id.out.decode().strip() == running
    shown = (await plain.docker("ps", "-a", "--format", "{{.Names}} {{.Status}}")).out.decode()
    assert "made Created" in shown
    assert "ended Exited (3)" in shown
    assert "running Up" in shown


@pytest.mark.parametrize(
    "words", [("-f", "status=odd"), ("-f", "exited=x"), ("-f", "odd=1"), ("-f", "before=nope")]
)
async def test_filters_that_do_not_parse(plain: PlainEngine, words: tuple[str, str]) -> None:
    ran = await plain.docker("ps", *words)
    assert (ran.status, ran.err.count(b"\n")) == (1, 1), ran


@pytest.mark.parametrize("words", [("-f", "volume=x"), ("-s",)])
async def test_what_is_not_there_yet_says_so(plain: PlainEngine, words: tuple[str, ...]) -> None:
    ran = await plain.docker("ps", *words)
    assert b"yet" in ran.err, ran
