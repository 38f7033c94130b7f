"""run and its kin: the order of requests, the streams, and every exit status."""

import re
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ID = "c" * 64
UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
WAITING = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SECONDS = 60


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def ending(code: int, error: str = "") -> bytes:
    told = f',"Error":{{"Message":"{error}"}}' if error else ""
    return WAITING + chunk(f'{{"StatusCode":{code}{told}}}\n'.encode()) + b"0\r\n\r\n"


def attached(*writes: bytes) -> Any:
    def stream(end: socket.socket, request: Any) -> bool:
        end.sendall(UPGRADED)
        for data in writes:
            end.sendall(data)
        return False

    return stream


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxI", stream, len(data)) + data


@pytest.fixture
def running(engine: Any, answer: Callable[..., bytes]) -> Any:
    """A scripted engine whose containers print two lines and exit with 7."""
    engine.on("POST /containers/create", answer({"Id": ID, "Warnings": ["mind the gap"]}, 201))
    engine.on(f"POST /containers/{ID}/attach", attached(frame(1, b"out\n"), frame(2, b"err\n")))
    engine.on(f"POST /containers/{ID}/wait", ending(7))
    engine.on(f"POST /containers/{ID}/start", NO_CONTENT)
    return engine


def test_the_order_is_create_attach_wait_start(running: Any) -> None:
    ran = running.insula("run", "--rm", "--name", "bob", "busybox", "true")
    assert running.targets == [
        "POST /containers/create?name=bob",
        f"POST /containers/{ID}/attach?stdout=1&stderr=1&stream=1",
        f"POST /containers/{ID}/wait?condition=removed",
        f"POST /containers/{ID}/start",
    ]
    assert running.requests[1].headers["upgrade"] == "tcp"
    assert (ran.status, ran.out, ran.err) == (7, "out\n", "WARNING: mind the gap\nerr\n")


def test_without_rm_the_next_exit_is_waited_for(running: Any) -> None:
    assert running.insula("run", "-i", "--detach-keys", "x", "busybox", input=b"").status == 7
    assert running.targets[1:3] == [
        f"POST /containers/{ID}/attach?stdin=1&stdout=1&stderr=1&stream=1&detachKeys=x",
        f"POST /containers/{ID}/wait?condition=next-exit",
    ]


def test_in_the_background_the_id_is_all(running: Any) -> None:
    ran = running.insula("run", "-d", "busybox")
    assert (ran.status, ran.out) == (0, ID + "\n")
    assert running.targets == ["POST /containers/create", f"POST /containers/{ID}/start"]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("something is wrong", 125),
        ('exec: "nope": executable file not found in $PATH', 127),
        ('exec: "/nope": stat /nope: no such file or directory', 127),
        ('exec: "/etc/passwd": permission denied', 126),
        ('exec: "/etc": is a directory', 126),
    ],
)
def test_a_start_that_fails(engine: Any, answer: Callable[..., bytes], message: str, status: int) -> None:
    engine.on("POST /containers/create", answer({"Id": ID}, 201))
    engine.on(f"POST /containers/{ID}/attach", attached())
    engine.on(f"POST /containers/{ID}/wait", ending(status))
    engine.on(f"POST /containers/{ID}/start", answer({"message": message}, 400))
    for words in (["run", "busybox"], ["run", "--rm", "busybox"], ["run", "-d", "busybox"]):
        ran = engine.insula(*words)
        assert (ran.status, ran.out, ran.err) == (status, "", f"insula: {message}\n")


def test_an_unknown_image_is_125_for_run_and_1_for_create(engine: Any, answer: Callable[..., bytes]) -> None:
    engine.on("POST /containers/create", answer({"message": "No such image: x"}, 404))
    assert engine.insula("run", "x").status == 125
    assert engine.insula("create", "x").status == 1


def test_no_daemon_is_125(tmp_path: Path, engine: Any) -> None:
    engine.path = tmp_path / "nobody"
    ran = engine.insula("run", "x")
    assert (ran.status, len(ran.err.splitlines())) == (125, 1)


def test_a_wait_that_tells_an_error(running: Any) -> None:
    running.answers.insert(0, (f"POST /containers/{ID}/wait", ending(0, "the machine was killed")))
    ran = running.insula("run", "busybox")
    assert (ran.status, ran.err.splitlines()[-1]) == (125, "insula: the machine was killed")


@pytest.mark.parametrize("said", [WAITING, WAITING + b"0\r\n\r\n"])
def test_a_daemon_that_goes_away_in_the_middle(running: Any, said: bytes) -> None:
    def leave(end: socket.socket, request: Any) -> bool:
        end.sendall(said)
        return False

    running.answers.insert(0, (f"POST /containers/{ID}/wait", leave))
    assert running.insula("run", "busybox").status == 125


def test_input_is_sent_and_its_end_is_told(running: Any) -> None:
    received: list[bytes] = []

    def echo(end: socket.socket, request: Any) -> bool:
        end.sendall(UPGRADED)
        while data := end.recv(65536):
            received.append(data)
        end.sendall(frame(1, b"after the end"))
        return False

    running.answers.insert(0, (f"POST /containers/{ID}/attach", echo))
    ran = running.insula("run", "-i", "busybox", input=b"x" * 300_000)
    assert (ran.status, ran.out) == (7, "after the end")
    assert b"".join(received) == b"x" * 300_000


def test_signals_go_to_the_container(running: Any) -> None:
    killed: list[str] = []

    def stay(end: socket.socket, request: Any) -> bool:
        end.sendall(UPGRADED + frame(1, b"ready\n"))
        while not killed:
            end.recv(1)
        return False

    def kill(end: socket.socket, request: Any) -> bool:
        killed.append(request.target)
        end.sendall(NO_CONTENT)
        for open_end in held:
            open_end.shutdown(socket.SHUT_RDWR)
        return True

    held: list[socket.socket] = []

    def hold(end: socket.socket, request: Any) -> bool:
        held.append(end)
        return bool(stay(end, request))

    running.answers.insert(0, (f"POST /containers/{ID}/attach", hold))
    running.on(f"POST /containers/{ID}/kill", kill)
    child = subprocess.Popen(
        running.command("run", "busybox"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    child.terminate()
    child.communicate(timeout=SECONDS)
    assert (child.returncode, killed) == (7, [f"/containers/{ID}/kill?signal=SIGTERM"])


def test_an_id_file(running: Any, tmp_path: Path) -> None:
    file = tmp_path / "id"
    running.insula("create", "--cidfile", str(file), "busybox")
    assert file.read_text() == ID
    again = running.insula("run", "--cidfile", str(file), "busybox")
    assert again.status == 125 and re.search("remove .* first", again.err)
    assert len(running.requests) == 1


def test_it_wants_a_terminal_for_it(running: Any) -> None:
    ran = running.insula("run", "-it", "busybox", input=b"")
    assert (ran.status, ran.err) == (1, "insula: the input device is not a TTY\n")
    assert running.requests == []
