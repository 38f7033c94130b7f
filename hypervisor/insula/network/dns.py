"""The name server of every network: UDP and TCP on the gateway's port 53. What it answers is decided in names.py.

Bounded: questions under way to the host, connections, their lifetime. Beyond that a question is dropped, which a
resolver repeats.
"""

import asyncio
import contextlib
import itertools
import socket
import struct
from ipaddress import IPv4Interface, IPv6Interface, ip_address

from insula.network.names import QUESTION_MAX, IPAddress, Names
from insula.network.resolver import MESSAGE_MAX, NUMBER, TIMEOUT, ask

ASKED_MAX = 256
CONNECTIONS_MAX = 128
CONNECTION_TIMEOUT = 20.0
HOST_TIMEOUT = 12.0
SERVFAIL = 2
LENGTH = struct.Struct("!H")


class Host:
    """The resolver outside, seen from netd: questions by number."""

    def __init__(self, pair: socket.socket) -> None:
        self._pair = pair
        self._numbers = itertools.count()
        self._asked: dict[bytes, asyncio.Future[bytes]] = {}

    async def run(self) -> None:
        """Hands out answers, until the resolver is gone."""
        loop = asyncio.get_running_loop()
        while message := await loop.sock_recv(self._pair, MESSAGE_MAX + NUMBER.size):
            asked = self._asked.pop(message[: NUMBER.size], None)
            if asked is not None and not asked.done():
                asked.set_result(message[NUMBER.size :])

    async def ask(self, question: bytes) -> bytes:
        """Empty if there is no answer to be had."""
        if len(self._asked) >= ASKED_MAX:
            return b""
        number = NUMBER.pack(next(self._numbers) & 0xFFFF_FFFF)
        self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            await asyncio.get_running_loop().sock_sendall(self._pair, number + question)
            async with asyncio.timeout(HOST_TIMEOUT):
                return await self._asked[number]
        except (OSError, TimeoutError):
            return b""
        finally:
            self._asked.pop(number, None)


class NameServer:
    """All gateways' port 53."""

    def __init__(self, names: Names, host: Host) -> None:
        self._names = names
        self._host = host
        self._sockets: dict[str, list[socket.socket]] = {}
        self._servers: dict[str, list[asyncio.Server]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0

    async def listen(self, bridge: str, gateways: tuple[IPv4Interface | IPv6Interface, ...]) -> None:
        """On a bridge's addresses; nothing happens if it does already. Raises OSError."""
        if bridge in self._sockets:
            return
        self._sockets[bridge], self._servers[bridge] = [], []
        for gateway in gateways:
            family = socket.AF_INET if gateway.version == 4 else socket.AF_INET6
            udp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            self._sockets[bridge].append(udp)
            udp.bind((str(gateway.ip), 53))
            asyncio.get_running_loop().add_reader(udp, self._read, udp)
            server = await asyncio.start_server(self._serve, str(gateway.ip), 53, family=family)
            self._servers[bridge].append(server)

    def ignore(self, bridge: str) -> None:
        for udp in self._sockets.pop(bridge, ()):
            asyncio.get_running_loop().remove_reader(udp)
            udp.close()
        for server in self._servers.pop(bridge, ()):
            server.close()

    def _read(self, udp: socket.socket) -> None:
        with contextlib.suppress(OSError):
            question, asker = udp.recvfrom(QUESTION_MAX)
            answer = self._names.answer(question, _address(asker), tcp=False)
            if answer:
                udp.sendto(answer, asker)
            elif answer is not None and len(self._tasks) < ASKED_MAX:
                task = asyncio.get_running_loop().create_task(self._relay(udp, question, asker))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _outside(self, question: bytes, asker: IPAddress) -> bytes:
        """From the asker's own name servers, as this name space reaches them; else from the host's."""
        servers = self._names.servers(asker)
        for server in servers:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(TIMEOUT):
                    return await ask(server, question)
        return (b"" if servers else await self._host.ask(question)) or _failed(question)

    async def _relay(self, udp: socket.socket, question: bytes, asker: tuple[str, int]) -> None:
        answer = await self._outside(question, _address(asker))
        with contextlib.suppress(OSError):  # it has gone, or its network has
            udp.sendto(answer if len(answer) <= QUESTION_MAX else _cut(answer), asker)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._connections >= CONNECTIONS_MAX:
                return
            self._connections += 1
            try:
                async with asyncio.timeout(CONNECTION_TIMEOUT):
                    await self._converse(reader, writer)
            finally:
                self._connections -= 1
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asker = _address(writer.get_extra_info("peername"))
        while True:
            question = await reader.readexactly(LENGTH.unpack(await reader.readexactly(LENGTH.size))[0])
            answer = self._names.answer(question, asker, tcp=True)
            if answer is None:
                return
            answer = answer or await self._outside(question, asker)
            writer.write(LENGTH.pack(len(answer)) + answer)
            await writer.drain()


def _address(peer: tuple[str, int]) -> IPAddress:
    return ip_address(peer[0].partition("%")[0])


def _failed(question: bytes) -> bytes:
    """SERVFAIL, with the question's own number, and nothing else in it."""
    return question[:2] + bytes((0x80 | (question[2] & 1), 0x80 | SERVFAIL)) + bytes(8)


def _cut(answer: bytes) -> bytes:
    """An answer too long for UDP: its head, marked as cut short, so that the asker comes by TCP."""
    return answer[:2] + bytes((answer[2] | 2, answer[3])) + bytes(8)
