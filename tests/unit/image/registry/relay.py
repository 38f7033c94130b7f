"""A relay in front of a registry, on real TCP: it notes what is asked for, holds answers back, and cuts connections at
seeded places."""

import random
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from registry_process import Registry

UPWARD = 200_000
REQUEST = re.compile(rb"GET /v2/[^ ]*/blobs/(sha256:[0-9a-f]{64}) HTTP/1\.1\r\n(.*?)\r\n\r\n", re.DOTALL)
RANGE = re.compile(rb"[Rr]ange: bytes=(\d+)-")


@dataclass
class Asked:
    """One request for a blob. start: the first byte that was asked for."""

    digest: str
    start: int


@dataclass
class Relay:
    """upward: how many connections are cut while much is sent; cuts: how many connections are still to be cut. hold: answers beyond so many bytes wait for `go`."""

    registry: Registry
    cuts: int
    dice: random.Random
    hold: bool
    beyond: int
    upward: int
    listener: socket.socket
    asked: list[Asked] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ends: list[socket.socket] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def starts(self, digest: str) -> list[int]:
        return [one.start for one in self.asked if one.digest == digest]

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            host, _, port = self.registry.address.partition(":")
            server = socket.create_connection((host, int(port)))
            self._ends += [client, server]
            for work in (self._pass_requests, self._pass_answers):
                threading.Thread(target=work, args=(client, server), daemon=True).start()

    def _pass_requests(self, client: socket.socket, server: socket.socket) -> None:
        seen, sent = b"", 0
        with suppress(OSError):
            while data := client.recv(65536):
                seen += data
                while found := REQUEST.search(seen):
                    start = RANGE.search(found[2])
                    self.asked.append(Asked(found[1].decode(), int(start[1]) if start else 0))
                    seen = seen[found.end() :]
                sent += len(data)
                with self._lock:
                    cut = self.upward > 0 and sent > UPWARD
                    self.upward -= cut
                if cut:
                    client.shutdown(socket.SHUT_RDWR)
                    break
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _pass_answers(self, client: socket.socket, server: socket.socket) -> None:
        """What is passed on before a cut arrives: the connection is ended, not reset."""
        left = self.dice.randint(4_000, 200_000)  # beyond the head of an answer
        passed = 0
        with suppress(OSError):
            while data := server.recv(16384):
                passed += len(data)
                if self.hold and passed > self.beyond:
                    self.reached.set()
                    self.go.wait()
                with self._lock:
                    cut = self.cuts > 0 and len(data) >= left
                    self.cuts -= cut
                client.sendall(data[:left] if cut else data)
                left -= len(data)
                if cut:
                    break
            client.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.go.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        for end in (self.listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def open_relay(
    registry: Registry,
    cuts: int = 0,
    seed: int = 0,
    hold: bool = False,
    beyond: int = 100_000,
    upward: int = 0,
) -> Iterator[Relay]:
    relay = Relay(
        registry, cuts, random.Random(seed), hold, beyond, upward, socket.create_server(("127.0.0.1", 0))
    )
    threading.Thread(target=relay.serve, daemon=True).start()
    try:
        yield relay
    finally:
        relay.close()
