"""What the command line is tried against: the real API over plain agents, and a scripted engine for what a real
one cannot be made to say."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from plain_daemon import Daemon
from plain_engine import PlainEngine, serve_plain
from plain_guests import kill_all

SECONDS = 60


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


Handler = Callable[[socket.socket, Request], bool]


def json_answer(document: Any, status: int = 200) -> bytes:
    body = json.dumps(document).encode()
    return (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    ) + body


@dataclass
class ScriptedEngine:
    """Answers by the first pattern that matches `METHOD /path?query`. An answer is bytes, or a function that gets
    the connection and says whether HTTP goes on."""

    path: Path
    answers: list[tuple[str, bytes | Handler]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def on(self, pattern: str, answer: bytes | Handler) -> None:
        self.answers.append((pattern, answer))

    @property
    def targets(self) -> list[str]:
        return [f"{request.method} {request.target}" for request in self.requests]

    def serve(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen(16)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                end, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(end,), daemon=True).start()

    def _talk(self, end: socket.socket) -> None:
        with suppress(OSError), end, end.makefile("rb") as reader:  # a client may leave when it likes
            while request := read_request(reader):
                self.requests.append(request)
                answer = self._find(request)
                if callable(answer):
                    if not answer(end, request):
                        return
                else:
                    end.sendall(answer)

    def _find(self, request: Request) -> bytes | Handler:
        for pattern, answer in self.answers:
            if re.match(pattern, f"{request.method} {request.target}"):
                return answer
        return json_answer({"message": "page not found"}, 404)

    def command(self, *words: str) -> list[str]:
        return command(self.path, *words)

    def insula(self, *words: str, input: bytes | None = None, **environment: str) -> Ran:
        done = subprocess.run(
            command(self.path, *words), input=input, capture_output=True, timeout=SECONDS,
            env={**os.environ, **environment},
        )  # fmt: skip
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def command(path: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "insula", "-H", f"unix://{path}", *words]


def read_request(reader: Any) -> Request | None:
    first = reader.readline().decode().split()
    if len(first) != 3:
        return None
    headers = {}
    while line := reader.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(reader.readline(), 16):
            body += reader.read(size)
            reader.readline()
        reader.readline()
    else:
        body = reader.read(int(headers.get("content-length", 0)))
    return Request(first[0], first[1], headers, body)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[ScriptedEngine]:
    scripted = ScriptedEngine(tmp_path / "engine.sock")
    listener = scripted.serve()
    yield scripted
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


class RealEngine:
    """`insula` in front of the real API; containers run as plain processes of this host."""

    def __init__(self, plain: PlainEngine) -> None:
        self.plain = plain
        self.path = plain.path

    def command(self, *words: str) -> list[str]:
        return command(self.path, *words)

    async def insula(self, *words: str, input: bytes | None = None) -> Ran:
        child = await asyncio.create_subprocess_exec(
            *self.command(*words), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(child.communicate(input), SECONDS)
        assert child.returncode is not None
        return Ran(child.returncode, out.decode(), err.decode())


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[RealEngine]:
    daemon = Daemon(tmp_path)
    await daemon.open()
    try:
        async with asyncio.timeout(120), serve_plain(daemon, tmp_path) as plain:
            yield RealEngine(plain)
    finally:
        await daemon.close()
        kill_all(tmp_path)


@pytest.fixture
def answer() -> Callable[..., bytes]:
    return json_answer
