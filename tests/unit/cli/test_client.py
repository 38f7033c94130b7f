"""HTTP from the client's side: whatever way an answer is framed or cut, and answers that are none."""

import os
import socket
import struct
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insula.cli.client import Client, path, quote, target
from insula.cli.failure import ApiFailure, Disconnected, Failure

JSON = b'{"a": [1, 2]}'
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(JSON) + JSON
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n"
    + JSON[:3]
    + b"\r\na;x=y\r\n"
    + JSON[3:]
    + b"\r\n0\r\n\r\n"
)
TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\n" + JSON


@pytest.fixture
def client(engine: Any) -> Iterator[Client]:
    with Client(str(engine.path)) as client:
        yield client


def bytewise(raw: bytes) -> Any:
    def send(end: socket.socket, request: Any) -> bool:
        for byte in raw:
            end.sendall(bytes([byte]))
        return False

    return send


def at_once(raw: bytes) -> Any:
    def send(end: socket.socket, request: Any) -> bool:
        end.sendall(raw)
        return False

    return send


@pytest.mark.parametrize("raw", [WHOLE, CHUNKED, TO_THE_END])
@pytest.mark.parametrize("how", [bytewise, at_once])
def test_every_framing(engine: Any, client: Client, raw: bytes, how: Callable[[bytes], Any]) -> None:
    engine.on("GET /x", how(raw))
    assert client.call("GET", "/x") == {"a": [1, 2]}


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", WHOLE[:-1], CHUNKED[:-9],
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20000,
        b"x" * 200_000,
    ],
)  # fmt: skip
def test_answers_that_are_none(engine: Any, client: Client, raw: bytes) -> None:
    engine.on("GET /x", at_once(raw))
    with pytest.raises(Disconnected):
        client.call("GET", "/x")


def test_an_answer_that_is_not_json(engine: Any, client: Client) -> None:
    engine.on("GET /x", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
    with pytest.raises(Failure, match="not JSON"):
        client.call("GET", "/x")


def test_a_refusal_is_told_in_its_own_words(
    engine: Any, client: Client, answer: Callable[..., bytes]
) -> None:
    engine.on("GET /json", answer({"message": "No such container: x"}, 404))
    engine.on("GET /text", b"HTTP/1.1 500 X\r\nContent-Length: 5\r\n\r\noops\n")
    with pytest.raises(ApiFailure, match=r"^No such container: x$") as caught:
        client.call("GET", "/json")
    assert caught.value.code == 404
    with pytest.raises(ApiFailure, match=r"^oops$"):
        client.call("GET", "/text")


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(Disconnected, match="cannot connect"):
        Client(str(tmp_path / "nothing")).call("GET", "/x")


def test_one_connection_serves_calls_one_after_the_other(
    engine: Any, client: Client, answer: Callable[..., bytes]
) -> None:
    ends: list[socket.socket] = []

    def reply(end: socket.socket, request: Any) -> bool:
        ends.append(end)
        end.sendall(answer({}))
        return True

    engine.on("GET /x", reply)
    for _ in range(3):
        client.call("GET", "/x")
    assert len(ends) == 3 and len({id(end) for end in ends}) == 1


def test_objects_of_a_stream_come_as_they_are_sent(engine: Any, client: Client) -> None:
    go_on = threading.Event()

    def send(end: socket.socket, request: Any) -> bool:
        end.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"n": 1}\r\n1\r\n\n\r\n')
        assert go_on.wait(30)
        end.sendall(b'9\r\n{"n": 2}\n\r\n0\r\n\r\n')
        return False

    engine.on("GET /x", send)
    objects = client.open("GET", "/x").objects()
    assert next(objects) == {"n": 1}
    go_on.set()
    assert list(objects) == [{"n": 2}]


def test_an_upload_that_is_refused_in_the_middle_tells_why(engine: Any, answer: Callable[..., bytes]) -> None:
    """The engine answers, stops reading and closes while we still send."""
    listener = socket.socket(socket.AF_UNIX)
    place = str(engine.path) + "2"
    listener.bind(place)
    listener.listen(1)

    def refuse() -> None:
        end, _ = listener.accept()
        end.recv(100)
        end.sendall(answer({"message": "the archive is corrupt"}, 400))
        end.shutdown(socket.SHUT_RD)
        time.sleep(0)
        end.close()

    threading.Thread(target=refuse, daemon=True).start()
    with listener, Client(place) as other, pytest.raises(ApiFailure, match="the archive is corrupt"):
        other.upload("/images/load", {}, (b"x" * 65536 for _ in range(1000)))


def test_a_connection_that_breaks_is_a_failure(engine: Any, client: Client) -> None:
    def reset(end: socket.socket, request: Any) -> bool:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    engine.on("GET /x", reset)
    with pytest.raises(Disconnected):
        client.call("GET", "/x")


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("containers", "bob", "json"), "/containers/bob/json"),
        (("images", "host:5000/a/b:tag@sha256:0", "json"), "/images/host:5000/a/b:tag@sha256:0/json"),
        (("containers", "a?b#c d\r\n", "json"), "/containers/a%3Fb%23c%20d%0D%0A/json"),
    ],
)
def test_paths_are_quoted(parts: tuple[str, ...], text: str) -> None:
    assert path(*parts) == text


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(Failure, match="empty"):
        path("containers", " ", "json")


def test_queries() -> None:
    assert target("/x", {"a": True, "b": False, "c": None, "d": 0, "e": ["1", "2"]}) == "/x?a=1&d=0&e=1&e=2"
    assert target("/x", {"a": None}) == "/x"


@given(st.text(max_size=50))
def test_it_quotes_as_the_standard_library_does(text: str) -> None:
    assert quote(text, "/:@") == urllib.parse.quote(text, "/:@")
    assert quote(text) == urllib.parse.quote(text, "")


def test_words_that_are_no_utf8_keep_their_bytes() -> None:
    assert quote(os.fsdecode(b"a\xff b")) == "a%FF%20b"
