"""`wait` in its three conditions, over every way in which a container may end; and `rename`, `resize`."""

import asyncio
import json
from urllib.parse import quote

import pytest
from plain_engine import PlainEngine

from insula.container.view import WaitResult

SECONDS = 20.0


class Wait:
    """A wait whose header has come: it is registered."""

    def __init__(self, plain: PlainEngine, id: str, query: str = "", version: str = "1.51") -> None:
        self.plain, self.target = plain, f"/v{version}/containers/{id}/wait{query}"

    async def __aenter__(self) -> "Wait":
        _, self.reader, self.writer = await self.plain.send("POST", self.target, b"", "Connection: close")
        return self

    async def __aexit__(self, *problem: object) -> None:
        self.writer.close()

    async def result(self) -> dict[str, object]:
        async with asyncio.timeout(SECONDS):
            body = await self.reader.read()
        return json.loads(body.split(b"\r\n")[1])  # type: ignore[no-any-return]


async def ask(plain: PlainEngine, id: str, query: str = "") -> tuple[int, dict[str, object]]:
    status, body = await plain.ask(f"/v1.51/containers/{id}/wait{query}", "POST")
    return status, json.loads(body)


async def test_not_running_is_at_once_for_what_does_not_run(plain: PlainEngine) -> None:
    made = await plain.daemon.create("true")
    ended = await plain.daemon.start("sh", "-c", "exit 4")
    assert await ask(plain, ended) == (200, {"StatusCode": 4})
    for query in ("", "?condition=", "?condition=not-running"):
        assert await ask(plain, made, query) == (200, {"StatusCode": 0})
        assert await ask(plain, ended, query) == (200, {"StatusCode": 4})


async def test_next_exit_is_of_the_next_run(plain: PlainEngine) -> None:
    id = await plain.daemon.start("sh", "-c", "read code; exit $code", open_stdin=True)
    await plain.daemon.containers.kill(id)
    async with Wait(plain, id, "?condition=next-exit") as waiting:
        await plain.daemon.containers.start(id)
        await plain.daemon.containers.kill(id, "TERM")
        assert await waiting.result() == {"StatusCode": 143}


async def test_removed_is_after_the_removal(plain: PlainEngine) -> None:
    id = await plain.daemon.start("sh", "-c", "exit 5")
    await plain.daemon.containers.wait(id)
    async with (
        Wait(plain, id, "?condition=removed") as removed,
        Wait(plain, id, "?condition=next-exit") as ended,
    ):
        await plain.daemon.containers.remove(id)
        assert await removed.result() == await ended.result() == {"StatusCode": 5}
    assert (await ask(plain, id))[0] == 404


async def test_removed_with_auto_remove_from_before_the_start_and_from_the_middle(plain: PlainEngine) -> None:
    id = await plain.daemon.create("sh", "-c", "read line; exit 6", open_stdin=True, auto_remove=True)
    async with Wait(plain, id, "?condition=removed") as early:
        await plain.daemon.containers.start(id)
        async with Wait(plain, id, "?condition=removed") as late, Wait(plain, id) as exits:
            await plain.docker("attach", id, input=b"go\n")
            assert await exits.result() == {"StatusCode": 6}
            assert await early.result() == await late.result() == {"StatusCode": 6}
    assert (await ask(plain, id, "?condition=removed"))[0] == 404


async def test_a_removal_that_fails_ends_the_wait_with_the_reason(plain: PlainEngine) -> None:
    id = await plain.daemon.create("true")
    folder = plain.daemon.paths.container(id)
    folder.parent.mkdir(exist_ok=True)
    folder.write_bytes(b"no folder, so it cannot be removed as one")
    async with Wait(plain, id, "?condition=removed") as waiting:
        assert (await plain.ask(f"/containers/{id}", "DELETE"))[0] == 500
        result = await waiting.result()
    assert result["StatusCode"] == 0
    assert "cannot be removed" in result["Error"]["Message"]  # type: ignore[index]
    folder.unlink()
    assert (await plain.ask(f"/containers/{id}", "DELETE"))[0] == 204


async def test_an_unknown_condition_is_400(plain: PlainEngine) -> None:
    id = await plain.daemon.create("true")
    status, answer = await ask(plain, id, "?condition=odd")
    assert (status, answer["message"]) == (400, 'invalid condition: "odd"')


async def test_before_1_30_there_was_no_condition_and_no_early_header(plain: PlainEngine) -> None:
    id = await plain.daemon.start("sleep", "100")
    reader, writer = await plain.connect()
    writer.write(f"POST /v1.29/containers/{id}/wait?condition=removed HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.2)
    await plain.daemon.containers.kill(id)
    assert b"\r\nContent-Length: " in await reader.readuntil(b'{"StatusCode":137}')
    writer.close()


async def test_who_goes_takes_nothing_along(plain: PlainEngine) -> None:
    id = await plain.daemon.start("sleep", "100")
    async with Wait(plain, id):
        pass
    await plain.daemon.containers.kill(id)
    assert await plain.daemon.containers.wait(id) == WaitResult(137)


# -- rename


@pytest.mark.parametrize(
    "name,status,told",
    [
        ("two", 204, ""),
        ("/two", 204, ""),
        ("", 400, "Neither old nor new names may be empty"),
        ("/", 400, "Neither old nor new names may be empty"),
        ("one", 400, "Renaming a container with the same name as its current name"),
        (
            "taken",
            409,
            'Error when allocating new name: Conflict. The container name "/taken" is already in use by',
        ),
        ("a b", 400, "Error when allocating new name: Invalid container name (a b), only [a-zA-Z0-9]"),
    ],
)
async def test_rename(plain: PlainEngine, name: str, status: int, told: str) -> None:
    id = await plain.daemon.create("true", name="one")
    await plain.daemon.create("true", name="taken")
    answer = await plain.ask(f"/containers/one/rename?name={quote(name, safe='')}", "POST")
    message = json.loads(answer[1])["message"] if answer[1] else ""
    assert (answer[0], told in message) == (status, True), answer
    assert plain.daemon.containers.inspect(id).name == ("two" if status == 204 else "one")
    assert (await plain.ask("/containers/create?name=one", "POST", b'{"Image":"test"}'))[0] == (
        201 if status == 204 else 409
    )


# -- resize


@pytest.mark.parametrize("query", ["", "?h=1", "?h=x&w=1", "?h=1&w=-1", "?h=4294967296&w=1"])
async def test_sizes_that_are_none_are_400(plain: PlainEngine, query: str) -> None:
    id = await plain.daemon.start("sleep", "100", tty=True)
    assert (await plain.ask(f"/containers/{id}/resize{query}", "POST"))[0] == 400


async def test_resize_needs_a_container_that_runs(plain: PlainEngine) -> None:
    id = await plain.daemon.create("sleep", "100", tty=True)
    status, body = await plain.ask(f"/containers/{id}/resize?h=10&w=20", "POST")
    assert (status, f"container {id} is not running" in body.decode()) == (409, True)
    await plain.daemon.containers.start(id)
    assert (await plain.ask(f"/containers/{id}/resize?h=10&w=20", "POST"))[0] == 200
    last = plain.daemon.events.history()[-1]
    assert (last.action, last.attributes["height"], last.attributes["width"]) == ("resize", "10", "20")


# -- checkpoints


async def test_checkpoints_say_why_not(plain: PlainEngine) -> None:
    id = await plain.daemon.create("true")
    asked = [("GET", "checkpoints", b""), ("POST", "checkpoints", b'{"CheckpointID":"c"}'),
             ("DELETE", "checkpoints/c", b""), ("POST", "start?checkpoint=c", b"")]  # fmt: skip
    for method, path, body in asked:
        status, told = await plain.ask(f"/containers/{id}/{path}", method, body)
        assert (status, b"checkpoints are not there yet: " in told) == (501, True), told
    for method, path, body in asked[:3]:
        assert (await plain.ask(f"/containers/nope/{path}", method, body))[0] == 404
    assert (await plain.ask(f"/containers/{id}/checkpoints", "POST", b"{"))[0] == 400
