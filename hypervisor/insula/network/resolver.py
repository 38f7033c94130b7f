"""Asks the host's resolvers for what no container is called, and connects to the host where a container may
(hostward.py). A child of netd's that stays outside its name spaces.

netd hands it questions over a socket pair; it sends them on as they are, byte for byte, to the name servers of the
host's /etc/resolv.conf, in turn, and hands the answers back. It keeps no answer and reads nothing in one.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import struct
from pathlib import Path

from insula.network.hostward import Outside

ASKED_MAX = 256
MESSAGE_MAX = 65535
SERVERS_MAX = 3  # resolv.conf(5), MAXNS
TIMEOUT = 3.0
RESOLV_CONF = Path("/etc/resolv.conf")
NUMBER = struct.Struct("!I")


def read_servers(text: str) -> list[str]:
    """The name servers of a resolv.conf, at most three; the host itself if it names none, as resolv.conf(5) says."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            found.append(words[1])
    return found[:SERVERS_MAX] or ["127.0.0.1"]


class Resolver:
    """One end of the pair: reads questions, writes answers."""

    def __init__(self, pair: socket.socket) -> None:
        self._pair = pair
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until netd is gone."""
        loop = asyncio.get_running_loop()
        while message := await loop.sock_recv(self._pair, MESSAGE_MAX + NUMBER.size):
            if len(message) > NUMBER.size and len(self._tasks) < ASKED_MAX:
                task = loop.create_task(self._answer(message[: NUMBER.size], message[NUMBER.size :]))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _answer(self, number: bytes, question: bytes) -> None:
        answer = b""
        try:
            servers = read_servers(RESOLV_CONF.read_text())
        except OSError:
            servers = ["127.0.0.1"]
        for server in servers:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(TIMEOUT):
                    answer = await ask(server, question)
                break
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_sendall(self._pair, number + answer)


async def ask(server: str, question: bytes) -> bytes:
    """One server's answer: by UDP, and by TCP if that was cut short. Raises OSError."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    own = secrets.token_bytes(2)
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as udp:
        await loop.sock_connect(udp, (server, 53))
        await loop.sock_sendall(udp, own + question[2:])
        while True:
            answer = await loop.sock_recv(udp, MESSAGE_MAX)
            if len(answer) >= 12 and answer[:2] == own:
                break
    if answer[2] & 2:  # TC, RFC 1035 4.1.1
        reader, writer = await asyncio.open_connection(server, 53)
        try:
            writer.write(struct.pack("!H", len(question)) + own + question[2:])
            answer = await reader.readexactly(struct.unpack("!H", await reader.readexactly(2))[0])
        finally:
            writer.close()
    return question[:2] + answer[2:]


async def serve(questions: socket.socket, connections: socket.socket) -> None:
    """Until netd is gone."""
    outside = asyncio.create_task(Outside(connections).run())
    await Resolver(questions).run()
    outside.cancel()
    await asyncio.gather(outside, return_exceptions=True)


def start_resolver(drop_to: int | None) -> tuple[socket.socket, socket.socket]:
    """Forks it, as the user of the name spaces where this is root; returns netd's ends of the pairs for questions and
    for connections."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
    if os.fork() == 0:
        status = 1
        try:
            for ours, theirs in pairs:
                ours.close()
                theirs.setblocking(False)
            if drop_to is not None:
                os.setgroups([])
                os.setresgid(drop_to, drop_to, drop_to)
                os.setresuid(drop_to, drop_to, drop_to)
            asyncio.run(serve(pairs[0][1], pairs[1][1]))
            status = 0
        finally:
            os._exit(status)
    for ours, theirs in pairs:
        theirs.close()
        ours.setblocking(False)
    return pairs[0][0], pairs[1][0]
