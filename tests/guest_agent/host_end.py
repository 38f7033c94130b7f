"""A host's end of the wire, for tests of the real agent: small, synchronous, and none of Insula's own code.

It speaks frames as the golden vectors have them (and borrows their encoders), keeps what each process wrote, and
waits for one message at a time. It acknowledges output by itself unless told not to.
"""

import os
import signal
import socket
import struct
import subprocess
import sys
import zlib
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "wire" / "vectors"))

import make_vectors as wire  # noqa: E402

HEADER = 20
TYPES = {kind: name for _, kind, name, _ in wire.HOST + wire.AGENT}
NUMBERS = {name: kind for kind, name in TYPES.items()}
OUTSIDE, TTY, STDIN = 16, 1, 2
OWN_NUMBERS = 3 << 30  # from here on they are the agent's, of connections
PATIENCE = 30  # seconds until a missing message is a failure


def capabilities() -> dict[str, int]:
    """What this process has: a plain agent cannot give more."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    has, may = int(status["CapEff"], 16), int(status["CapBnd"], 16)
    return {"bounding": may, "effective": has, "permitted": has}


@dataclass
class Message:
    name: str
    epoch: int
    payload: bytes

    def unpack(self, form: str) -> tuple[int, ...]:
        return struct.unpack_from("<" + form, self.payload)


@dataclass
class Reply:
    step: int
    errno: int
    detail: str

    @property
    def ok(self) -> bool:
        return (self.step, self.errno, self.detail) == (0, 0, "")


@dataclass
class Exit:
    kind: int
    value: int
    flags: int
    clock: int


@dataclass
class Remote:
    """What is known of one process of the agent."""

    number: int
    output: dict[int, bytearray] = field(default_factory=lambda: {1: bytearray(), 2: bytearray()})
    ended: set[int] = field(default_factory=set)
    exit: Exit | None = None
    credit: int = 0
    streams: int = 2

    @property
    def stdout(self) -> bytes:
        return bytes(self.output[1])

    @property
    def stderr(self) -> bytes:
        return bytes(self.output[2])


def parse_welcome(payload: bytes) -> dict:
    version, state, number, count = struct.unpack_from("<HBII", payload)
    form = "<IBBQQQQQQ"
    keys = ["process", "ended", "flags", "input_taken", "input_limit", "stdout_acknowledged", "stdout_end"]
    keys += ["stderr_acknowledged", "stderr_end"]
    rows = [
        dict(zip(keys, struct.unpack_from(form, payload, 11 + i * struct.calcsize(form)), strict=True))
        for i in range(count)
    ]
    return {
        "version": version,
        "state": state,
        "boot_number": number,
        "processes": {r["process"]: r for r in rows},
    }


@dataclass
class Page:
    clock: int
    uptime: int
    after: int
    rows: list[dict]


ROW = "<7IBBIiIQQQQQ"
ROW_KEYS = [
    "id",
    "parent",
    "pid",
    "group",
    "session",
    "uid",
    "gid",
    "state",
    "flags",
    "terminal",
    "nice",
    "threads",
]
ROW_KEYS += ["start", "user", "system", "virtual", "resident"]


def parse_rows(data: bytes, count: int) -> list[dict]:
    rows = []
    for _ in range(count):
        row = dict(zip(ROW_KEYS, struct.unpack_from(ROW, data), strict=True))
        data = data[struct.calcsize(ROW) :]
        for key in ("name", "command"):
            size = int.from_bytes(data[:4], "little")
            row[key], data = data[4 : 4 + size], data[4 + size :]
        rows.append(row)
    assert not data
    return rows


class HostEnd:
    """One connection. A second one to the same agent takes over `remotes`."""

    def __init__(self, connection: socket.socket, remotes: dict[int, Remote] | None = None):
        self.socket = connection
        self.socket.settimeout(PATIENCE)
        self.epoch = int.from_bytes(os.urandom(4), "little") | 1
        self.buffer = bytearray()
        self.remotes = {} if remotes is None else remotes
        self.request = 0
        self.next_process = 1 + max((known for known in self.remotes if known < OWN_NUMBERS), default=0)
        self.acknowledge = True
        self.replies: dict[int, Reply] = {}
        self.seen: deque[Message] = deque(maxlen=4096)
        self.pages: dict[int, Page] = {}
        self.welcome: dict = {}
        self.oom = 0
        self.connections: deque[tuple[int, Remote]] = deque()

    # frames

    def send(self, name: str, payload: bytes, epoch: int | None = None) -> None:
        self.socket.sendall(self.frame(name, payload, epoch))

    def frame(self, name: str, payload: bytes, epoch: int | None = None) -> bytes:
        return wire.frame(self.epoch if epoch is None else epoch, NUMBERS[name], payload)

    def receive(self) -> Message:
        """The next message, handled; an invalid frame or the end of the connection is a failure."""
        while True:
            if len(self.buffer) >= HEADER:
                size = int.from_bytes(self.buffer[4:8], "little")
                if len(self.buffer) >= HEADER + size:
                    return self.handle(self.cut(size))
            data = self.socket.recv(1 << 16)
            if not data:
                raise EOFError("the agent closed the connection")
            self.buffer += data

    def cut(self, size: int) -> Message:
        raw = bytes(self.buffer[: HEADER + size])
        del self.buffer[: HEADER + size]
        magic, length, epoch, kind, reserved, crc = struct.unpack_from("<IIIHHI", raw)
        assert (magic, reserved) == (wire.MAGIC, 0)
        assert length <= 262_144
        assert crc == zlib.crc32(raw[HEADER:], zlib.crc32(raw[:16] + b"\0\0\0\0"))
        return Message(TYPES[kind], epoch, raw[HEADER:])

    def handle(self, message: Message) -> Message:
        self.seen.append(message)
        getattr(self, "on_" + message.name.lower())(message)
        return message

    def on_welcome(self, message: Message) -> None:
        self.welcome = parse_welcome(message.payload)

    def on_reply(self, message: Message) -> None:
        request, step, errno, size = message.unpack("IHiI")
        assert len(message.payload) == 14 + size
        assert request not in self.replies, "answered twice"
        self.replies[request] = Reply(step, errno, message.payload[14:].decode())

    def on_output(self, message: Message) -> None:
        number, stream, offset = message.unpack("IBQ")
        got, data = self.remotes[number].output[stream], message.payload[13:]
        assert 0 < len(data) <= 32768
        assert offset == len(got), f"a gap or a repeat: {offset} after {len(got)}"
        assert stream not in self.remotes[number].ended
        got += data
        if self.acknowledge:
            self.ack(number, stream)

    def on_output_end(self, message: Message) -> None:
        number, stream, offset = message.unpack("IBQ")
        assert offset == len(self.remotes[number].output[stream])
        self.remotes[number].ended.add(stream)

    def on_credit(self, message: Message) -> None:
        number, limit = message.unpack("IQ")
        assert limit > self.remotes[number].credit
        self.remotes[number].credit = limit

    def on_exit(self, message: Message) -> None:
        number, *rest = message.unpack("IBIBQ")
        self.remotes[number].exit = Exit(*rest)

    def on_oom(self, message: Message) -> None:
        (self.oom,) = message.unpack("Q")

    def on_connection(self, message: Message) -> None:
        number, mount = message.unpack("II")
        assert number >= OWN_NUMBERS and number not in self.remotes
        self.remotes[number] = Remote(number, streams=1)
        self.connections.append((mount, self.remotes[number]))

    def on_usage_answer(self, message: Message) -> None:
        raise AssertionError("a plain agent has no usage to tell")

    def on_processes_answer(self, message: Message) -> None:
        request, clock, uptime, after, count = message.unpack("IQQII")
        assert request not in self.pages, "answered twice"
        self.pages[request] = Page(clock, uptime, after, parse_rows(message.payload[28:], count))

    # messages

    def hello(self) -> dict:
        self.send("HELLO", wire.u16(2))
        while True:
            message = self.receive()
            if message.name == "WELCOME" and message.epoch == self.epoch:
                return self.welcome

    def ask(self, name: str, payload: bytes = b"") -> Reply:
        return self.answer(self.begin(name, payload))

    def begin(self, name: str, payload: bytes = b"") -> int:
        self.request += 1
        self.send(name, wire.u32(self.request) + payload)
        return self.request

    def answer(self, request: int) -> Reply:
        while request not in self.replies:
            self.receive()
        return self.replies[request]

    def processes(self, start: int = 1) -> Page:
        request = self.begin("PROCESSES", wire.u32(start))
        while request not in self.pages:
            assert request not in self.replies, self.replies[request]
            self.receive()
        return self.pages[request]

    def spec(self, *arguments: str, **changes) -> dict:
        changes.setdefault("flags", OUTSIDE)
        changes.setdefault("environment", ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C"])
        spec = wire.plain_process(self.next_process, *arguments, **(capabilities() | changes))
        self.next_process = max(self.next_process, spec["process"]) + 1
        return spec

    def expect(self, spec: dict) -> Remote:
        return self.remotes.setdefault(
            spec["process"], Remote(spec["process"], streams=1 if spec["flags"] & TTY else 2)
        )

    def spawn(self, *arguments: str, **changes) -> Remote:
        spec = self.spec(*arguments, **changes)
        remote = self.expect(spec)
        reply = self.ask("SPAWN", wire.process(spec))
        assert reply.ok, reply
        return remote

    def boot(self, *arguments: str, number: int = 1, boot: dict | None = None, **changes) -> Remote:
        spec = self.spec(*arguments, **({"flags": 0} | changes))
        remote = self.expect(spec)
        reply = self.ask("BOOT", wire.boot(wire.plain_boot(number, spec, **(boot or {}))))
        assert reply.ok, reply
        return remote

    def ack(self, number: int, stream: int, offset: int | None = None) -> None:
        offset = len(self.remotes[number].output[stream]) if offset is None else offset
        self.send("ACK", wire.u32(number) + wire.u8(stream) + wire.u64(offset))

    def resume(self, remote: Remote, stdout: int | None = None, stderr: int | None = None) -> None:
        one = len(remote.output[1]) if stdout is None else stdout
        two = len(remote.output[2]) if stderr is None else stderr
        self.send("RESUME", wire.u32(remote.number) + wire.u64(one) + wire.u64(two))

    def input(self, remote: Remote, offset: int, data: bytes) -> None:
        self.send("INPUT", wire.u32(remote.number) + wire.u64(offset) + data)

    def input_end(self, remote: Remote, offset: int) -> None:
        self.send("INPUT_END", wire.u32(remote.number) + wire.u64(offset))

    def feed(self, remote: Remote, data: bytes, start: int = 0, end: bool = True) -> None:
        """Sends all of it as credit allows."""
        at = start
        while at < start + len(data):
            size = min(32768, remote.credit - at, start + len(data) - at)
            if size <= 0:
                self.receive()
                continue
            self.input(remote, at, data[at - start : at - start + size])
            at += size
        if end:
            self.input_end(remote, at)

    def signal(self, remote: Remote | None, number: int = signal.SIGKILL) -> Reply:
        return self.ask("SIGNAL", wire.u32(remote.number if remote else 0) + wire.u32(number))

    def release(self, remote: Remote) -> None:
        self.send("RELEASE", wire.u32(remote.number))
        del self.remotes[remote.number]

    def tree(self, name: str, path: str, flags: int, *owner: str) -> Remote:
        remote = self.expect(wire.plain_process(self.next_process))
        self.next_process += 1
        reply = self.ask(
            name,
            wire.u32(remote.number) + wire.string(path) + wire.u32(flags) + b"".join(map(wire.string, owner)),
        )
        assert reply.ok, reply
        return remote

    # waiting

    def until(self, true) -> None:
        while not true():
            self.receive()

    def finish(self, remote: Remote) -> Exit:
        self.until(lambda: remote.exit and len(remote.ended) == remote.streams)
        assert remote.exit
        return remote.exit

    def run(self, *arguments: str, **changes) -> Remote:
        remote = self.spawn(*arguments, **changes)
        self.finish(remote)
        return remote

    def connection(self) -> tuple[int, Remote]:
        """The next one that was made to a socket: its mount, and its streams."""
        self.until(lambda: self.connections)
        return self.connections.popleft()

    def barrier(self) -> None:
        """All that was sent has been handled when an answer to something else comes."""
        assert self.ask("SIGNAL", wire.u32(2**32 - 1) + wire.u32(0)).errno == 3

    def close(self) -> None:
        self.socket.close()


class PlainAgent:
    """The real binary as an ordinary process, listening on a unix socket."""

    def __init__(self, binary: Path, directory: Path):
        self.path = directory / "agent"
        self.errors = directory / "errors"
        listening = socket.socket(socket.AF_UNIX)
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [binary, "--listen", self.path], stderr=errors, stdin=subprocess.DEVNULL
            )
        listening.close()
        self.hosts: list[HostEnd] = []

    def connect(self, remotes: dict[int, Remote] | None = None, hello: bool = True) -> HostEnd:
        connection = socket.socket(socket.AF_UNIX)
        while True:
            try:
                connection.connect(str(self.path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                assert self.process.poll() is None, self.errors.read_text()
        host = HostEnd(connection, remotes)
        self.hosts.append(host)
        if hello:
            host.hello()
        return host

    def reconnect(self, host: HostEnd) -> HostEnd:
        """As after the death of a daemon: the old end is gone, the new one knows what the old one had recorded."""
        host.close()
        return self.connect(host.remotes)

    def descriptors(self) -> set[str]:
        return set(os.listdir(f"/proc/{self.process.pid}/fd"))

    def close(self) -> None:
        for host in self.hosts:
            host.close()
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0, self.errors.read_text()
        assert "Sanitizer" not in self.errors.read_text(), self.errors.read_text()
