"""Attach by websocket: docker-py's own, and clients that break the rules."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import docker
import pytest
import websocket
from plain_engine import PlainEngine

from insula.api.server import ApiServer

SECONDS = 20.0
BINARY, TEXT = 2, 1


@asynccontextmanager
async def tcp(plain: PlainEngine) -> AsyncIterator[str]:
    """The same engine on loopback: docker-py has no websocket over a unix socket."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    server = ApiServer(plain.engine)
    await server.open(listener)
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await server.close()
        listener.close()


@contextmanager
def connect(plain: PlainEngine, path: str) -> Iterator[websocket.WebSocket]:
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(SECONDS)
        end.connect(str(plain.path))
        yield websocket.create_connection(f"ws://docker{path}", socket=end)


async def use(plain: PlainEngine, path: str, play: Callable[[websocket.WebSocket], Any]) -> Any:
    """Plays with a blocking client in a thread."""

    def run() -> Any:
        with connect(plain, path) as client:
            return play(client)

    return await asyncio.to_thread(run)


def read_all(client: websocket.WebSocket, kind: int = BINARY) -> bytes:
    """What comes until the server closes; every message must be of this kind."""
    data = b""
    while True:
        opcode, piece = client.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return data
        assert opcode == kind
        data += piece


async def test_docker_py_attaches(plain: PlainEngine) -> None:
    id = await plain.daemon.create("sh", "-c", "read line; echo got $line", tty=True, open_stdin=True)

    def play(address: str) -> bytes:
        client = docker.APIClient(base_url=f"tcp://{address}", version="1.44", timeout=SECONDS)
        end = client.attach_socket(id, params={"stdin": 1, "stdout": 1, "stream": 1}, ws=True)
        client.start(id)
        end.send("this\n")
        data = read_all(end)
        end.sock.close()
        client.close()
        return data

    async with tcp(plain) as address:
        data = await asyncio.to_thread(play, address)
    assert data.replace(b"\r", b"").endswith(b"got this\n")


async def test_streams_are_not_framed_and_the_end_closes(plain: PlainEngine) -> None:
    id = await plain.daemon.create("sh", "-c", "read go; echo out; echo err >&2", open_stdin=True)
    await plain.daemon.containers.start(id)

    def play(client: websocket.WebSocket) -> bytes:
        client.send_binary(b"go\n")
        return read_all(client)

    data = await use(plain, f"/v1.51/containers/{id}/attach/ws?stdin=1&stdout=1&stderr=1&stream=1", play)
    assert sorted(data.split()) == [b"err", b"out"]


@pytest.mark.parametrize(
    "version,query,wanted,kind",
    [
        ("1.51", "stdout=1", b"out\n", BINARY),
        ("1.42", "stderr=1", b"err\n", BINARY),
        ("1.41", "stdout=1", b"err\nout\n", BINARY),
        ("1.28", "", b"err\nout\n", BINARY),
        ("1.27", "", b"err\nout\n", TEXT),
    ],
)
async def test_versions_choose_streams_and_kind(
    plain: PlainEngine, version: str, query: str, wanted: bytes, kind: int
) -> None:
    id = await plain.daemon.start("sh", "-c", "echo out; echo err >&2")
    await plain.daemon.containers.wait(id)
    path = f"/v{version}/containers/{id}/attach/ws?logs=1&{query}"
    data = await use(plain, path, lambda client: read_all(client, kind))
    assert b"".join(sorted(data.splitlines(keepends=True))) == wanted


async def test_input_that_is_not_attached_is_dropped(plain: PlainEngine) -> None:
    id = await plain.daemon.start("cat", open_stdin=True)

    def play(client: websocket.WebSocket) -> None:
        client.send_binary(b"lost\n")
        client.ping("there?")
        assert client.recv_data(control_frame=True)[0] == websocket.ABNF.OPCODE_PONG

    await use(plain, f"/containers/{id}/attach/ws?stdout=1&stream=1", play)
    await use(plain, f"/containers/{id}/attach/ws?stdin=1&stream=1", lambda client: client.send("kept\n"))
    await plain.daemon.logged(id, b"kept\n")


async def test_detach_keys_leave_it_running(plain: PlainEngine) -> None:
    id = await plain.daemon.start("cat", tty=True, open_stdin=True)

    def play(client: websocket.WebSocket) -> None:
        client.send_binary(b"\x10\x11")
        read_all(client)

    await use(plain, f"/containers/{id}/attach/ws?stdin=1&stdout=1&stream=1", play)
    assert plain.daemon.actions(id)[-2:] == ["attach", "detach"]
    assert plain.daemon.containers.inspect(id).state.running


async def test_a_client_that_goes_is_let_go(plain: PlainEngine) -> None:
    id = await plain.daemon.start("sleep", "100", open_stdin=True)
    path = f"/containers/{id}/attach/ws?stdin=1&stdout=1&stream=1"
    for leave in (lambda client: None, lambda client: client.shutdown(), lambda client: client.close()):
        await use(plain, path, leave)
    assert plain.daemon.containers.inspect(id).state.running


def too_large(client: websocket.WebSocket) -> None:
    client.send_binary(bytes(2 << 20))


def unmasked(client: websocket.WebSocket) -> None:
    client.sock.sendall(b"\x82\x03abc")


def reserved(client: websocket.WebSocket) -> None:
    client.sock.sendall(b"\xf3\x80\0\0\0\0")


def endless(client: websocket.WebSocket) -> None:
    client.sock.sendall(b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0" + bytes(100))


@pytest.mark.parametrize("break_rules", [too_large, unmasked, reserved, endless])
async def test_who_breaks_the_rules_is_put_out(
    plain: PlainEngine, break_rules: Callable[[websocket.WebSocket], None]
) -> None:
    id = await plain.daemon.start("sh", "-c", "cat >/dev/null; sleep 100", open_stdin=True)

    def play(client: websocket.WebSocket) -> None:
        with_errors = (websocket.WebSocketException, OSError)
        try:
            break_rules(client)
            while client.recv_data()[0] != websocket.ABNF.OPCODE_CLOSE:
                pass
        except with_errors:
            pass

    await use(plain, f"/containers/{id}/attach/ws?stdin=1&stdout=1&stream=1", play)
    assert (await plain.ask("/_ping"))[0] == 200
    assert plain.daemon.containers.inspect(id).state.running


async def test_a_flood_of_input_waits_for_the_program(plain: PlainEngine) -> None:
    id = await plain.daemon.start("sh", "-c", "read line; wc -c", open_stdin=True, stdin_once=True)
    piece = b"x" * 65536

    def flood(client: websocket.WebSocket) -> int:
        client.settimeout(1.0)
        sent = 0
        try:
            while sent < 64 << 20:
                client.send_binary(piece)
                sent += len(piece)
        except (websocket.WebSocketException, OSError):
            return sent
        return sent

    await plain.daemon.containers.kill(id, "STOP")
    sent = await use(plain, f"/containers/{id}/attach/ws?stdin=1&stream=1", flood)
    assert sent < 16 << 20  # what sockets, queues and the guest's credit hold, and no more


@pytest.mark.parametrize(
    "path,status",
    [
        ("/containers/{id}/attach/ws?stdout=1", 400),
        ("/containers/{id}/attach/ws?stdout=1&detachKeys=odd", 400),
        ("/containers/nope/attach/ws?stdout=1", 404),
    ],
)
async def test_what_is_no_websocket_is_refused(plain: PlainEngine, path: str, status: int) -> None:
    id = await plain.daemon.create("true")
    answer = await plain.ask(path.format(id=id))
    assert answer[0] == status, answer
    assert "attach" not in plain.daemon.actions(id)
