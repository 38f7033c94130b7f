"""Carries what arrives at published ports into the containers. Runs in netd, on sockets that the daemon has bound.

TCP is moved by splice(2), from socket to pipe to socket, so the bytes never pass through Python; each direction ends
by itself (half-closed connections). UDP has a socket of its own to the container for each peer, forgotten when it
has been silent for a while. The container sees its network's gateway as the peer.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

PIPE_BYTES = 1 << 18
CONNECTIONS_MAX = 1024
PEERS_MAX = 1024
UDP_IDLE = 60.0
DATAGRAM_MAX = 65535
CONNECT_TIMEOUT = 30.0
BACKLOG_ROUND = 64
IDLE_PIPES = 32
ACCEPT_AGAIN = 0.2
"""Seconds after this process had no descriptor left for a connection."""
SPLICE_MOVE_NONBLOCK = 1 | 2  # fcntl.h


@dataclass(frozen=True, slots=True)
class Target:
    """Where a published port leads."""

    address: IPv4Address | IPv6Address
    port: int

    @property
    def family(self) -> int:
        return socket.AF_INET if self.address.version == 4 else socket.AF_INET6


class TcpForward:
    """One published TCP port. target: None where the container is on no network: connections are cut short
    then."""

    def __init__(self, listener: socket.socket, target: Target | None) -> None:
        self._listener = listener
        self.target = target
        self._connections: set[asyncio.Task[None]] = set()
        listener.setblocking(False)
        asyncio.get_running_loop().add_reader(listener, self._accept)

    def _accept(self) -> None:
        for _ in range(BACKLOG_ROUND):
            if len(self._connections) >= CONNECTIONS_MAX:
                # the others wait in the listener's queue; looked at again when one has ended
                asyncio.get_running_loop().remove_reader(self._listener)
                return
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError:  # out of descriptors: the queue keeps them, and is not asked all the time
                asyncio.get_running_loop().remove_reader(self._listener)
                asyncio.get_running_loop().call_later(ACCEPT_AGAIN, self._resume)
                return
            client.setblocking(False)
            task = asyncio.get_running_loop().create_task(self._carry(client))
            self._connections.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        self._resume()

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    async def _carry(self, client: socket.socket) -> None:
        target = self.target
        if target is None:
            with client:
                reset(client)
            return
        with client, socket.socket(target.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as server:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await asyncio.get_running_loop().sock_connect(server, (str(target.address), target.port))
            except (OSError, TimeoutError):
                reset(client)
                return
            await join(client, server)

    def lead(self, target: Target | None) -> None:
        """Leads elsewhere from now on. The connections that there are end: their container has left that address."""
        self.target = target
        for task in self._connections:
            task.cancel()

    def close(self) -> None:
        """Takes no further connections; those there are go on to their ends."""
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()

    def cut(self) -> None:
        """Ends the connections too: the container is gone."""
        self.close()
        for task in self._connections:
            task.cancel()


async def join(client: socket.socket, server: socket.socket) -> None:
    """Carries bytes both ways until both have ended; a failure of one is the other's too."""
    for end in (client, server):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(_move(client, server))
            both.create_task(_move(server, client))
    except* OSError:
        reset(client)
        reset(server)


def reset(end: socket.socket) -> None:
    """So that its close tells the other side of the failure."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


class _Pipes:
    """Pipes for splice: one for each direction that has bytes under way, none for those that are silent."""

    def __init__(self) -> None:
        self._idle: list[tuple[int, int]] = []

    def take(self) -> tuple[int, int]:
        if self._idle:
            return self._idle.pop()
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # a user's pipes may be limited: the usual size then
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return reader, writer

    def give_back(self, pipe: tuple[int, int], *, empty: bool) -> None:
        if empty and len(self._idle) < IDLE_PIPES:
            self._idle.append(pipe)
            return
        os.close(pipe[0])
        os.close(pipe[1])


_pipes = _Pipes()


async def _move(source: socket.socket, sink: socket.socket) -> None:
    """Everything from one to the other, and its end. Raises OSError."""
    while True:
        await _ready(source, writing=False)
        pipe, held = _pipes.take(), 0
        try:
            while held := _fill(source, pipe[1]):
                while held:
                    held -= await _drain(pipe[0], sink, held)
        except _Ended:
            break
        finally:
            _pipes.give_back(pipe, empty=held == 0)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class _Ended(Exception):
    """The source has no more."""


def _fill(source: socket.socket, writer: int) -> int:
    """How many bytes came into the pipe; 0: none are there now. Raises _Ended, OSError."""
    try:
        held = os.splice(source.fileno(), writer, PIPE_BYTES, flags=SPLICE_MOVE_NONBLOCK)
    except BlockingIOError:
        return 0
    if not held:
        raise _Ended
    return held


async def _drain(reader: int, sink: socket.socket, held: int) -> int:
    while True:
        try:
            return os.splice(reader, sink.fileno(), held, flags=SPLICE_MOVE_NONBLOCK)
        except BlockingIOError:
            await _ready(sink, writing=True)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _ready(end: socket.socket, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    add(end, _wake, ready)
    try:
        await ready
    finally:
        remove(end)


class UdpForward:
    """One published UDP port. target: None where the container is on no network: nothing is carried then."""

    def __init__(self, listener: socket.socket, target: Target | None) -> None:
        self._listener = listener
        self.target = target
        self._peers: dict[tuple[str, int], socket.socket] = {}
        self._timers: dict[tuple[str, int], asyncio.TimerHandle] = {}
        listener.setblocking(False)
        asyncio.get_running_loop().add_reader(listener, self._from_peer)

    def lead(self, target: Target | None) -> None:
        """Leads elsewhere from now on, for every peer."""
        self.target = target
        for peer in list(self._peers):
            self._forget(peer)

    def _from_peer(self) -> None:
        for _ in range(BACKLOG_ROUND):
            try:
                data, peer = self._listener.recvfrom(DATAGRAM_MAX)
            except OSError:
                return
            if peer not in self._peers and len(self._peers) < PEERS_MAX:
                self._open(peer)
            if peer in self._peers:
                self._touch(peer)
                with contextlib.suppress(OSError):
                    self._peers[peer].send(data)

    def _open(self, peer: tuple[str, int]) -> None:
        target = self.target
        if target is None:
            return
        with contextlib.suppress(OSError):
            own = socket.socket(target.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            own.connect((str(target.address), target.port))
            self._peers[peer] = own
            asyncio.get_running_loop().add_reader(own, self._from_container, own, peer)

    def _from_container(self, own: socket.socket, peer: tuple[str, int]) -> None:
        for _ in range(BACKLOG_ROUND):
            try:
                data = own.recv(DATAGRAM_MAX)
            except OSError:
                return
            self._touch(peer)
            with contextlib.suppress(OSError):
                self._listener.sendto(data, peer)

    def _touch(self, peer: tuple[str, int]) -> None:
        if timer := self._timers.pop(peer, None):
            timer.cancel()
        self._timers[peer] = asyncio.get_running_loop().call_later(UDP_IDLE, self._forget, peer)

    def _forget(self, peer: tuple[str, int]) -> None:
        if timer := self._timers.pop(peer, None):
            timer.cancel()
        if own := self._peers.pop(peer, None):
            asyncio.get_running_loop().remove_reader(own)
            own.close()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        for peer in list(self._peers):
            self._forget(peer)

    cut = close
