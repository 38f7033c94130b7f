"""The way from a container to the host (hostward.py) for UDP. Runs in netd.

The rules hand the datagrams to a socket of netd's as they are (a transparent proxy), for a redirected datagram would
not say which port it was for. Each pair of the container's port and the host's has two sockets: one outside,
connected to the host's port, and one inside, which answers from the gateway's port that was asked. A pair that has
been silent for a while is forgotten.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from insula.network.forward import BACKLOG_ROUND, DATAGRAM_MAX, PEERS_MAX, UDP_IDLE
from insula.network.hostward import PORT, Door

IP_TRANSPARENT, IP_RECVORIGDSTADDR = 19, 20  # linux/in.h; the second is also the number of what comes beside
IPV6_RECVORIGDSTADDR, IPV6_TRANSPARENT = 74, 75  # linux/in6.h
ANCILLARY_MAX = 256
WAITING_MAX = 16
"""Datagrams of a pair that wait for the host's port; further ones are dropped."""

Key = tuple[int, tuple[str, int], int]
"""4 or 6, who asks, and the port that is asked."""


@dataclass
class Pair:
    """outside: None until the child has connected it; waiting: what came before."""

    inside: socket.socket
    timer: asyncio.TimerHandle
    outside: socket.socket | None = None
    waiting: deque[bytes] = field(default_factory=lambda: deque(maxlen=WAITING_MAX))


class HostwardUdp:
    """Carries what the rules hand here."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._listeners: list[socket.socket] = []
        self._pairs: dict[Key, Pair] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self) -> None:
        """Nothing happens if it does already. Raises OSError."""
        if self._listeners:
            return
        for version, address in ((4, "0.0.0.0"), (6, "::")):
            listener = transparent(version)
            self._listeners.append(listener)
            if version == 4:
                listener.setsockopt(socket.IPPROTO_IP, IP_RECVORIGDSTADDR, 1)
            else:
                listener.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, 1)
            listener.bind((address, PORT))
            asyncio.get_running_loop().add_reader(listener, self._from_containers, listener, version)

    def _from_containers(self, listener: socket.socket, version: int) -> None:
        for _ in range(BACKLOG_ROUND):
            try:
                data, beside, _, asker = listener.recvmsg(DATAGRAM_MAX, ANCILLARY_MAX)
            except OSError:
                return
            if asked := asked_of(beside):
                gateway, port = asked
                key = (version, (asker[0], asker[1]), port)
                pair = self._pairs.get(key) or self._open(key, gateway)
                if pair is not None:
                    self._outward(key, pair, data)

    def _open(self, key: Key, gateway: str) -> Pair | None:
        version, asker, port = key
        if len(self._pairs) >= PEERS_MAX:
            return None
        inside = transparent(version)
        try:
            inside.bind((gateway, port))
            inside.connect(asker)
        except OSError:
            inside.close()
            return None
        loop = asyncio.get_running_loop()
        self._pairs[key] = pair = Pair(inside, loop.call_later(UDP_IDLE, self._forget, key))
        loop.add_reader(inside, self._from_container, key, pair)
        task = loop.create_task(self._connect(key, pair))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return pair

    async def _connect(self, key: Key, pair: Pair) -> None:
        outside = None
        with contextlib.suppress(OSError, TimeoutError):
            outside = await self._door.ask(key[0], socket.IPPROTO_UDP, key[2])
        if self._pairs.get(key) is not pair:  # forgotten meanwhile
            if outside is not None:
                outside.close()
        elif outside is None:
            self._forget(key)
        else:
            outside.setblocking(False)
            pair.outside = outside
            asyncio.get_running_loop().add_reader(outside, self._from_host, key, pair)
            while pair.waiting:
                self._outward(key, pair, pair.waiting.popleft())

    def _outward(self, key: Key, pair: Pair, data: bytes) -> None:
        self._touch(key, pair)
        if pair.outside is None:
            pair.waiting.append(data)
            return
        with contextlib.suppress(OSError):  # nobody listens there, or nobody reads: as with any datagram
            pair.outside.send(data)

    def _from_container(self, key: Key, pair: Pair) -> None:
        """The kernel gives a pair's socket what comes after the first."""
        for _ in range(BACKLOG_ROUND):
            try:
                data = pair.inside.recv(DATAGRAM_MAX)
            except OSError:
                return
            self._outward(key, pair, data)

    def _from_host(self, key: Key, pair: Pair) -> None:
        for _ in range(BACKLOG_ROUND):
            if pair.outside is None:
                return
            try:
                data = pair.outside.recv(DATAGRAM_MAX)
            except OSError:
                return
            self._touch(key, pair)
            with contextlib.suppress(OSError):
                pair.inside.send(data)

    def forget(self, addresses: Iterable[IPv4Address | IPv6Address]) -> None:
        """Whoever has these addresses next may not go on with what was theirs."""
        gone = {str(address) for address in addresses}
        for key in [key for key in self._pairs if key[1][0] in gone]:
            self._forget(key)

    def _touch(self, key: Key, pair: Pair) -> None:
        pair.timer.cancel()
        pair.timer = asyncio.get_running_loop().call_later(UDP_IDLE, self._forget, key)

    def _forget(self, key: Key) -> None:
        if pair := self._pairs.pop(key, None):
            pair.timer.cancel()
            for end in (pair.inside, pair.outside):
                if end is not None:
                    asyncio.get_running_loop().remove_reader(end)
                    end.close()
            pair.outside = None


def transparent(version: int) -> socket.socket:
    """A socket that the rules can hand datagrams of others' addresses to. Raises OSError."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if version == 4:
            made.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
        else:
            made.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    except OSError:
        made.close()
        raise
    return made


def asked_of(beside: list[tuple[int, int, bytes]]) -> tuple[str, int] | None:
    """The address and port that a datagram was for, by what the kernel tells beside it (a sockaddr)."""
    for level, kind, data in beside:
        port = int.from_bytes(data[2:4], "big")
        if (level, kind) == (socket.IPPROTO_IP, IP_RECVORIGDSTADDR):
            return socket.inet_ntop(socket.AF_INET, data[4:8]), port
        if (level, kind) == (socket.IPPROTO_IPV6, IPV6_RECVORIGDSTADDR):
            return socket.inet_ntop(socket.AF_INET6, data[8:24]), port
    return None
