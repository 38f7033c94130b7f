"""The one way from a container to the host: `--add-host NAME:host-gateway`, for TCP (UDP is hostward_udp.py's).

What such a container opens to its network's gateway, on whatever port but the name server's, is led by the rules
(nft.py) to a listener of netd's. A child outside the name spaces (resolver.py's) connects to the same port of the
host's own address, the one that it would use to reach others, and hands the connection in. So what is reached is what
listens on all addresses of the host or on that one, and nothing of its loopback alone. The child chooses the
address: netd can ask for a protocol and a port, and no more.
"""

import array
import asyncio
import contextlib
import itertools
import socket
import struct

from insula.network.forward import CONNECTIONS_MAX, join, reset

PORT = 7053
"""Of the listener, in the network's name space: reached by what the rules lead there, and by nothing else."""
SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h
ASKED = struct.Struct("!IBBH")  # number, 4 or 6, a protocol's number, port
ANSWERED = struct.Struct("!IB")  # number, whether a descriptor comes with it
CONNECT_TIMEOUT = 30.0
KINDS = {socket.IPPROTO_TCP: socket.SOCK_STREAM, socket.IPPROTO_UDP: socket.SOCK_DGRAM}
ELSEWHERE = {4: "192.0.2.1", 6: "2001:db8::1"}
"""Addresses that nobody has (RFC 5737, RFC 3849): by which address of its own would the host go there?"""

Pair = socket.socket


class Outside:
    """The child's end: connects, one task for each question."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until netd is gone."""
        loop = asyncio.get_running_loop()
        while message := await loop.sock_recv(self._pair, ASKED.size):
            if len(message) == ASKED.size and len(self._tasks) < CONNECTIONS_MAX:
                task = loop.create_task(self._connect(*ASKED.unpack(message)))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _connect(self, number: int, version: int, protocol: int, port: int) -> None:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        with socket.socket(family, KINDS[protocol] | socket.SOCK_NONBLOCK) as end:
            given: list[int] = []
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await asyncio.get_running_loop().sock_connect(end, (own_address(version), port))
                given = [end.fileno()]
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", given))] if given else []
            with contextlib.suppress(OSError):  # netd is gone, or does not read
                self._pair.sendmsg([ANSWERED.pack(number, bool(given))], ancillary)


def own_address(version: int) -> str:
    """The host's, as others see it. Raises OSError if it has none."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((ELSEWHERE[version], 9))
        return str(probe.getsockname()[0])


class Door:
    """netd's end of the pair: asks the child for connections."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[socket.socket | None]] = {}

    def open(self) -> None:
        """Once, when somebody is to go through."""
        asyncio.get_running_loop().add_reader(self._pair, self._answers)

    async def ask(self, version: int, protocol: int, port: int) -> socket.socket | None:
        """A socket that is connected to a port of the host's; None if nobody takes it there. Raises OSError,
        TimeoutError."""
        number = next(self._numbers) & 0xFFFF_FFFF
        self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            asked = ASKED.pack(number, version, protocol, port)
            await asyncio.get_running_loop().sock_sendall(self._pair, asked)
            async with asyncio.timeout(CONNECT_TIMEOUT + 1):
                return await self._asked[number]
        finally:
            self._asked.pop(number, None)

    def _answers(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._pair, ANSWERED.size, 1)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if len(data) != ANSWERED.size:
            asyncio.get_running_loop().remove_reader(self._pair)  # the child is gone: nothing leads outside
            return
        server = socket.socket(fileno=descriptors[0]) if descriptors else None
        asked = self._asked.get(ANSWERED.unpack(data)[0])
        if asked is not None and not asked.done():
            asked.set_result(server)
        elif server is not None:
            server.close()


class Hostward:
    """Takes the connections that the rules lead here and carries them."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._listeners: list[socket.socket] = []
        self._connections: set[asyncio.Task[None]] = set()

    def listen(self) -> None:
        """Nothing happens if it does already. Raises OSError."""
        if self._listeners:
            return
        loop = asyncio.get_running_loop()
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            self._listeners.append(listener)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address, PORT))
            listener.listen(CONNECTIONS_MAX)
            loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client, _ = listener.accept()
            if len(self._connections) >= CONNECTIONS_MAX:
                client.close()
                return
            client.setblocking(False)
            task = asyncio.get_running_loop().create_task(self._carry(client))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _carry(self, client: socket.socket) -> None:
        with client:
            server = None
            with contextlib.suppress(OSError, TimeoutError):
                version, port = wanted(client)
                server = await self._door.ask(version, socket.IPPROTO_TCP, port)
            if server is None:
                reset(client)
                return
            with server:
                await join(client, server)


def wanted(client: socket.socket) -> tuple[int, int]:
    """IPv4 or IPv6, and the port that the container connected to. Raises OSError."""
    four = client.family == socket.AF_INET
    level = socket.IPPROTO_IP if four else socket.IPPROTO_IPV6
    raw = client.getsockopt(level, SO_ORIGINAL_DST, 16 if four else 28)
    return (4 if four else 6), int.from_bytes(raw[2:4], "big")
