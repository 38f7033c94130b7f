"""Attach, exec, logs and wait by the docker command and by hand, against containers that really run."""

import asyncio
import json
import socket
import struct

import pytest
from plain_engine import PlainEngine

from insula.api.streams import frame


async def read_frames(reader: asyncio.StreamReader) -> list[tuple[int, bytes]]:
    frames = []
    while True:
        try:
            head = await reader.readexactly(8)
        except asyncio.IncompleteReadError:
            return frames
        stream, length = struct.unpack(">BxxxI", head)
        frames.append((stream, await reader.readexactly(length)))


async def test_run_prints_both_streams_and_gives_the_exit_code(plain: PlainEngine) -> None:
    ran = await plain.docker(
        "run", "--rm", "--network", "none", "test", "sh", "-c", "echo out; echo err >&2; exit 7"
    )
    assert (ran.status, ran.out) == (7, b"out\n")
    assert b"err\n" in ran.err
    assert (await plain.docker("ps", "-aq")).out == b""


async def test_run_with_input_sees_its_end(plain: PlainEngine) -> None:
    data = b"".join(b"%d\n" % n for n in range(100_000))
    ran = await plain.docker(
        "run", "--rm", "-i", "--network", "none", "test", "sh", "-c", "cat; echo end", input=data
    )
    assert (ran.status, ran.out) == (0, data + b"end\n"), ran.err


async def test_a_detached_run_can_be_waited_for_and_read(plain: PlainEngine) -> None:
    id = (await plain.docker("run", "-d", "--name", "ab", "test", "sh", "-c", "echo one; exit 3")).out.strip()
    assert (await plain.docker("wait", "ab")).out == b"3\n"
    assert (await plain.docker("logs", "ab")).out == b"one\n"
    timed = (await plain.docker("logs", "-t", "--tail", "1", id.decode())).out
    assert timed.endswith(b"Z one\n")
    shown = json.loads((await plain.docker("inspect", "ab")).out)[0]
    assert shown["State"]["ExitCode"] == 3
    assert shown["State"]["Status"] == "exited"
    assert (await plain.docker("rm", "ab")).out == b"ab\n"


async def test_exec_runs_beside_and_gives_its_code(plain: PlainEngine) -> None:
    await plain.docker("run", "-d", "--name", "ab", "test", "sleep", "100")
    ran = await plain.docker("exec", "-i", "ab", "sh", "-c", "cat; echo err >&2; exit 5", input=b"hello")
    assert (ran.status, ran.out, ran.err) == (5, b"hello", b"err\n")
    missing = await plain.docker("exec", "ab", "/no/such/program")
    assert missing.status in (126, 127), missing
    assert b"no such file" in (missing.out + missing.err).lower()
    assert (await plain.docker("rm", "-f", "ab")).status == 0
    assert (await plain.docker("exec", "ab", "true")).status == 1


async def test_a_missing_program_is_127(plain: PlainEngine) -> None:
    ran = await plain.docker("run", "--rm", "test", "/no/such/program")
    assert ran.status == 127, ran
    assert (await plain.docker("ps", "-aq")).out == b""


async def test_the_header_of_wait_comes_before_the_result(plain: PlainEngine) -> None:
    id = await plain.daemon.start("sleep", "100")
    head, reader, writer = await plain.send("POST", f"/v1.44/containers/{id}/wait")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Type: application/json\r\n" in head
    await plain.daemon.containers.kill(id)
    assert b'{"StatusCode": 137}' in await reader.readuntil(b"}")
    writer.close()


async def test_attach_upgrades_and_frames(plain: PlainEngine) -> None:
    id = await plain.daemon.create("sh", "-c", "echo out; echo err >&2", tty=False)
    head, reader, writer = await plain.send(
        "POST",
        f"/v1.44/containers/{id}/attach?stdout=1&stderr=1&stream=1",
        b"",
        "Upgrade: tcp",
        "Connection: Upgrade",
    )
    assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n")
    assert b"application/vnd.docker.multiplexed-stream" in head
    await plain.daemon.containers.start(id)
    assert sorted(await read_frames(reader)) == [(1, b"out\n"), (2, b"err\n")]
    writer.close()


async def read_late(plain: PlainEngine, path: str, body: bytes) -> tuple[bytes, bytes]:
    """What a client of docker-py's kind finds that is long in coming: by its first read, and after that."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as end:
        end.setblocking(False)
        await loop.sock_connect(end, str(plain.path))
        lines = [f"POST {path} HTTP/1.1", "Host: docker", "Content-Type: application/json"]
        lines += [f"Content-Length: {len(body)}", "Upgrade: tcp", "Connection: Upgrade", "", ""]
        await loop.sock_sendall(end, "\r\n".join(lines).encode() + body)
        await asyncio.sleep(0.5)
        first, rest = await loop.sock_recv(end, 65536), b""
        while data := await loop.sock_recv(end, 65536):
            rest += data
    return first, rest


async def test_output_waits_until_the_client_has_read_the_header(plain: PlainEngine) -> None:
    id = await plain.daemon.start("sh", "-c", "echo logged; sleep 100")
    asked = await plain.ask(f"/containers/{id}/exec", "POST", b'{"Cmd": ["echo", "a"], "AttachStdout": true}')
    exec_id = json.loads(asked[1])["Id"]
    head, rest = await read_late(plain, f"/v1.44/exec/{exec_id}/start", b"{}")
    assert head.endswith(b"\r\n\r\n"), head
    assert rest == frame(1, b"a\n")
    head, rest = await read_late(plain, f"/v1.44/containers/{id}/attach?logs=1&stdout=1", b"")
    assert head.endswith(b"\r\n\r\n"), head
    assert rest == frame(1, b"logged\n")


async def test_a_client_that_never_reads_the_header_is_written_to_all_the_same(
    plain: PlainEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("insula.api.unread.SECONDS", 0.1)
    id = await plain.daemon.start("sh", "-c", "echo logged; sleep 100")
    await plain.docker("logs", id)
    head, rest = await read_late(plain, f"/v1.44/containers/{id}/attach?logs=1&stdout=1", b"")
    assert head + rest == head.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + frame(1, b"logged\n")
    assert head.endswith(b"logged\n")


async def test_attach_without_upgrade_is_a_raw_200(plain: PlainEngine) -> None:
    id = await plain.daemon.create("sh", "-c", "echo out")
    head, reader, writer = await plain.send("POST", f"/v1.30/containers/{id}/attach?stdout=1&stream=1")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"application/vnd.docker.raw-stream" in head
    await plain.daemon.containers.start(id)
    assert await read_frames(reader) == [(1, b"out\n")]
    writer.close()


async def test_output_goes_on_after_the_client_ended_its_input(plain: PlainEngine) -> None:
    id = await plain.daemon.create("sh", "-c", "cat; sleep 0.2; echo late", open_stdin=True, stdin_once=True)
    _, reader, writer = await plain.send(
        "POST",
        f"/containers/{id}/attach?stdin=1&stdout=1&stream=1",
        b"",
        "Upgrade: tcp",
        "Connection: Upgrade",
    )
    await plain.daemon.containers.start(id)
    writer.write(b"in\n")
    writer.write_eof()
    assert b"".join(data for _, data in await read_frames(reader)) == b"in\nlate\n"
    writer.close()


VANISHING = [
    ("POST", "/containers/{id}/attach?stdout=1&stream=1"),
    ("POST", "/containers/{id}/attach?stdin=1&stdout=1&stream=1"),
    ("POST", "/containers/{id}/wait"),
    ("GET", "/containers/{id}/logs?stdout=1&follow=1"),
    ("GET", "/events"),
]


@pytest.mark.parametrize("method,path", VANISHING)
async def test_a_client_that_vanishes_leaves_nothing_behind(
    plain: PlainEngine, method: str, path: str
) -> None:
    id = await plain.daemon.start("sleep", "100")
    before = len(asyncio.all_tasks())
    for _ in range(20):
        _, _, writer = await plain.send(
            method, path.format(id=id), b"", "Upgrade: tcp", "Connection: Upgrade"
        )
        writer.close()
        await writer.wait_closed()
    while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.01)  # ends by the fixture's limit if they never go
    assert (await plain.docker("rm", "-f", id)).status == 0


async def test_a_stop_is_carried_through_without_its_client(plain: PlainEngine) -> None:
    command = "trap 'sleep 0.3; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    id = await plain.daemon.start("sh", "-c", command)
    head, reader, follower = await plain.send("GET", f"/containers/{id}/logs?stdout=1&follow=1")
    assert head.startswith(b"HTTP/1.1 200")
    await reader.readuntil(b"ready")
    follower.close()
    _, events, listener = await plain.send("GET", '/events?filters={"event":["kill"]}')
    _, writer = await plain.connect()
    writer.write(f"POST /containers/{id}/stop HTTP/1.1\r\nHost: d\r\n\r\n".encode())
    await events.readuntil(b"kill")
    writer.close()
    listener.close()
    assert (await plain.daemon.containers.wait(id)).exit_code == 5


async def test_detach_keys_leave_it_running(plain: PlainEngine) -> None:
    id = await plain.daemon.create("cat", open_stdin=True, tty=True)
    _, reader, writer = await plain.send(
        "POST", f"/containers/{id}/attach?stdin=1&stdout=1&stream=1&detachKeys=a,b", b"", "Upgrade: tcp",
        "Connection: Upgrade",
    )  # fmt: skip
    await plain.daemon.containers.start(id)
    writer.write(b"xa")
    writer.write(b"by")
    assert b"b" not in await reader.read()
    assert plain.daemon.containers.inspect(id).state.running
    writer.close()


async def test_a_slow_reader_stops_its_program_and_loses_nothing(plain: PlainEngine) -> None:
    ran = await plain.docker("run", "--rm", "test", "sh", "-c", "seq 300000")
    assert ran.out == b"".join(b"%d\n" % n for n in range(1, 300_001))


async def test_logs_follow_to_the_end(plain: PlainEngine) -> None:
    id = await plain.daemon.start("sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done")
    assert (await plain.docker("logs", "-f", id)).out == b"1\n2\n3\n"
    assert (await plain.docker("logs", "--tail", "2", id)).out == b"2\n3\n"
    head, _, writer = await plain.send("GET", f"/containers/{id}/logs")
    assert head.startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_events_are_seen_as_they_happen(plain: PlainEngine) -> None:
    head, reader, writer = await plain.send("GET", '/events?filters={"type":["container"],"event":["die"]}')
    assert head.startswith(b"HTTP/1.1 200 ")
    id = await plain.daemon.start("sh", "-c", "exit 4")
    event = json.loads(await read_event(reader))
    assert (event["Action"], event["Actor"]["ID"]) == ("die", id)
    assert event["Actor"]["Attributes"]["exitCode"] == "4"
    writer.close()


async def read_event(reader: asyncio.StreamReader) -> bytes:
    await reader.readline()  # the chunk's size
    return await reader.readline()


async def test_a_stream_that_fails_says_so_in_itself(plain: PlainEngine) -> None:
    head, reader, writer = await plain.send("POST", "/insula/bootstrap", b'{"what":"busybox"}')
    assert head.startswith(b"HTTP/1.1 200 ")
    body = await reader.readuntil(b"0\r\n\r\n")
    assert b'"status": "begun with busybox"' in body
    assert b'"error": "no further"' in body
    writer.close()
