"""`events`: what was, what comes, and when the stream ends; by the docker command and by hand."""

import asyncio
import json
import time
from typing import Any

import pytest
from plain_engine import PlainEngine

SECONDS = 20.0


async def read_events(reader: asyncio.StreamReader, number: int) -> list[dict[str, Any]]:
    """That many, out of a chunked answer."""
    found = []
    async with asyncio.timeout(SECONDS):
        while len(found) < number:
            size = int(await reader.readline(), 16)
            found.append(json.loads(await reader.readexactly(size)))
            await reader.readline()
    return found


async def replay(plain: PlainEngine, query: str) -> list[str]:
    """The actions of a stream that ends by itself."""
    status, body = await plain.ask(f"/v1.51/events?{query}")
    assert status == 200, body
    return [json.loads(line)["Action"] for line in body.splitlines()]


async def test_a_whole_life_is_told(plain: PlainEngine) -> None:
    since = time.time()
    await plain.docker(
        "run", "-d", "--network", "none", "--name", "one", "--label", "k=v", "test", "sleep", "100"
    )
    await plain.docker("exec", "one", "true")
    await plain.docker("rename", "one", "two")
    await plain.docker("kill", "two")
    await plain.docker("rm", "two")
    seen = await replay(plain, f"since={since:.6f}&until={time.time():.6f}")
    assert seen == [
        "create", "start", "exec_create: true", "exec_start: true", "exec_die", "rename", "kill", "die", "destroy",
    ]  # fmt: skip
    ran = await plain.docker(
        "events", "--since", f"{since:.6f}", "--until", f"{time.time():.6f}", "-f", "event=die",
        "--format", "{{.Type}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.k}} {{.Actor.Attributes.name}}",
    )  # fmt: skip
    assert ran.out == b"container 137 v two\n"


async def test_since_and_until_choose_what_is_replayed(plain: PlainEngine) -> None:
    id = await plain.daemon.create("true")
    made = plain.daemon.events.history()[-1].time_ns
    await plain.daemon.containers.rename(id, "other")
    assert await replay(plain, f"until={time.time()}") == ["create", "rename"]
    exact = f"{made // 10**9}.{made % 10**9:09d}"
    assert await replay(plain, f"since={exact}&until={exact}") == ["create"]
    assert await replay(plain, "since=10m&until=0s") == ["create", "rename"]
    assert await replay(plain, "since=2020-01-01T00:00:00Z&until=2020-01-01T00:00:01.5-01:00") == []


async def test_until_in_the_future_ends_the_stream_then(plain: PlainEngine) -> None:
    head, reader, writer = await plain.send(
        "GET", f"/v1.51/events?until={time.time() + 1:.3f}", b"", "Connection: close"
    )
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: application/json\r\n" in head
    await plain.daemon.create("true")
    body = await asyncio.wait_for(reader.read(), SECONDS)
    assert body.count(b'"create"') == 2  # Action, and the old status
    assert body.endswith(b"0\r\n\r\n")
    writer.close()


async def test_the_header_comes_before_the_first_event(plain: PlainEngine) -> None:
    await plain.daemon.create("true")
    _, reader, writer = await plain.send(
        "GET", "/v1.51/events?filters=%7B%22event%22%3A%5B%22rename%22%5D%7D"
    )
    id = await plain.daemon.create("true", name="old")
    await plain.daemon.containers.rename(id, "new")
    event = (await read_events(reader, 1))[0]
    assert (event["Action"], event["Actor"]["Attributes"]["oldName"]) == ("rename", "/old")
    assert (event["status"], event["id"], event["from"], event["scope"]) == ("rename", id, "test", "local")
    writer.close()


@pytest.mark.parametrize(
    "query,told",
    [
        ("since=x", b"invalid time"),
        ("until=x", b"invalid time"),
        ("since=20&until=10", b"`since` time (20) cannot be after `until` time (10)"),
        ("filters=%7B%22odd%22%3A%5B%22x%22%5D%7D", b"invalid filter 'odd'"),
        ("filters=x", b"invalid filter"),
    ],
)
async def test_what_does_not_parse_is_400(plain: PlainEngine, query: str, told: bytes) -> None:
    status, body = await plain.ask(f"/v1.51/events?{query}")
    assert (status, told in body) == (400, True), body
