"""A real terminal in front of the command: raw and back again, whichever way it ends."""

import os
import signal
import socket
import subprocess
import termios
from pathlib import Path
from typing import Any

import pexpect
import pytest

from insula.cli.terminal import DetachWatch, parse_keys, raw_mode

ID = "d" * 64
UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
SECONDS = 60


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("ctrl-p,ctrl-q", b"\x10\x11"), ("ctrl-P", b"\x10"), ("a,b", b"ab"), ("ctrl-@,ctrl-[,ctrl-_", b"\0\x1b\x1f"),
        ("ctrl-", b""), ("ctrl-pp", b""), ("", b""), ("é", b""),
    ],
)  # fmt: skip
def test_key_sequences(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


def test_keys_are_found_however_they_are_cut() -> None:
    watch = DetachWatch("")
    assert watch.feed(b"ab\x10x\x10") is None
    assert watch.feed(b"\x10") is None
    assert watch.feed(b"\x11rest") == 1
    assert DetachWatch("").feed(b"ab\x10\x11cd") == 4


def test_raw_mode_is_undone_after_a_failure() -> None:
    leader, follower = os.openpty()
    before = termios.tcgetattr(follower)
    with pytest.raises(ZeroDivisionError), raw_mode(follower):
        assert not termios.tcgetattr(follower)[3] & termios.ECHO
        raise ZeroDivisionError
    assert termios.tcgetattr(follower) == before
    os.close(leader)
    os.close(follower)


def test_what_is_no_terminal_is_left_alone(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file, raw_mode(file.fileno()):
        assert file.write(b"x") == 1


class Typed:
    """A scripted engine's terminal: says `ready`, then echoes in brackets; records sizes."""

    def __init__(self, engine: Any, answer: Any) -> None:
        self.ends: list[socket.socket] = []
        engine.on("POST /containers/create", answer({"Id": ID}, 201))
        engine.on(f"POST /containers/{ID}/attach", self.attach)
        engine.on(f"POST /containers/{ID}/wait", self.wait)
        engine.on(f"POST /containers/{ID}/start", b"HTTP/1.1 204 X\r\n\r\n")
        engine.on(f"POST /containers/{ID}/resize", b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n")
        self.code = 5

    def attach(self, end: socket.socket, request: Any) -> bool:
        self.ends.append(end)
        end.sendall(UPGRADED + b"ready\r\n")
        while data := end.recv(100):
            if data == b"\x04":
                return False
            end.sendall(b"[" + data.hex().encode() + b"]")
        return False

    def wait(self, end: socket.socket, request: Any) -> bool:
        end.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + f'{{"StatusCode":{self.code}}}'.encode())
        return False


@pytest.fixture
def typed(engine: Any, answer: Any) -> Typed:
    return Typed(engine, answer)


def spawn(engine: Any, *words: str) -> pexpect.spawn:
    name, *rest = engine.command(*words)
    return pexpect.spawn(name, rest, timeout=SECONDS, dimensions=(30, 90))


def settings(child: pexpect.spawn) -> list[Any]:
    return termios.tcgetattr(child.child_fd)


def test_typed_bytes_go_through_unchanged_and_the_terminal_comes_back(engine: Any, typed: Typed) -> None:
    child = spawn(engine, "run", "-it", "busybox")
    before = settings(child)
    child.expect("ready")
    child.send("\x03")
    child.expect_exact("[03]")
    child.send("a")
    child.expect_exact("[61]")
    assert not settings(child)[3] & termios.ICANON
    child.send("\x04")
    child.expect(pexpect.EOF)
    assert settings(child) == before
    child.close()
    assert child.exitstatus == 5


def test_the_size_goes_along_and_follows(engine: Any, typed: Typed) -> None:
    child = spawn(engine, "run", "-it", "busybox")
    child.expect("ready")
    child.setwinsize(40, 100)
    child.send("x")
    child.expect_exact("[78]")
    assert engine.requests[0].document["HostConfig"]["ConsoleSize"] == [30, 90]
    sizes = [target for target in engine.targets if "resize" in target]
    assert sizes == [f"POST /containers/{ID}/resize?h=30&w=90", f"POST /containers/{ID}/resize?h=40&w=100"]
    child.send("\x04")
    child.expect(pexpect.EOF)


@pytest.mark.parametrize(
    "words,told,status",
    [
        (("run", "-it", "busybox"), "", 0),
        (("start", "-ai", "c"), "", 0),
        (("attach", "c"), "read escape sequence", 1),
        (("exec", "-it", "c", "sh"), "read escape sequence", 1),
    ],
)
def test_detaching_is_no_end(
    engine: Any, typed: Typed, answer: Any, words: tuple[str, ...], told: str, status: int
) -> None:
    shown = {
        "Id": ID,
        "State": {"Running": True},
        "Config": {"Tty": True, "OpenStdin": True},
        "HostConfig": {},
    }
    engine.on("GET /containers/c/json", answer(shown))
    engine.on("POST /containers/c/exec", answer({"Id": ID}, 201))
    engine.on(f"POST /exec/{ID}/start", typed.attach)
    engine.on(f"POST /exec/{ID}/resize", b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n")
    child = spawn(engine, *words)
    before = settings(child)
    child.expect("ready")
    child.send("\x10")
    child.expect_exact("[10]")
    child.send("\x11")
    child.expect(pexpect.EOF)
    assert told in child.before.decode()
    assert bool(told) == ("escape" in child.before.decode())
    assert settings(child) == before
    child.close()
    assert child.exitstatus == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back(engine: Any, typed: Typed, number: int) -> None:
    child = spawn(engine, "run", "-it", "busybox")
    before = settings(child)
    child.expect("ready")
    child.send("a")
    child.expect_exact("[61]")
    child.kill(number)
    child.expect(pexpect.EOF)
    assert settings(child) == before
    child.close()
    assert child.exitstatus == 128 + number


def test_a_lost_connection_gives_the_terminal_back(engine: Any, typed: Typed) -> None:
    child = spawn(engine, "run", "-it", "busybox")
    before = settings(child)
    child.expect("ready")
    child.send("a")
    child.expect_exact("[61]")
    typed.ends[0].shutdown(socket.SHUT_RDWR)
    child.expect(pexpect.EOF)
    assert settings(child) == before


def test_a_slow_answer_is_told_at_a_terminal_only(engine: Any, answer: Any) -> None:
    import threading

    go_on = threading.Event()

    def slow(end: socket.socket, request: Any) -> bool:
        assert go_on.wait(SECONDS)
        end.sendall(b"HTTP/1.1 204 X\r\n\r\n")
        return True

    engine.on("POST /containers/create", answer({"Id": ID}, 201))
    engine.on(f"POST /containers/{ID}/start", slow)
    child = spawn(engine, "run", "-d", "busybox")
    child.expect("starting the container's machine … [1-9]".encode())
    go_on.set()
    child.expect_exact("\r\x1b[K" + ID)
    child.expect(pexpect.EOF)
    quiet = subprocess.run(engine.command("run", "-d", "busybox"), capture_output=True, timeout=SECONDS)
    assert quiet.stderr == b""
