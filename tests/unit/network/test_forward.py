"""Published ports over real sockets of this host: half-closed connections, where they lead, what a change does."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from insula.network.forward import Target, TcpForward, UdpForward

LOOPBACK = ip_address("127.0.0.1")


@asynccontextmanager
async def served(word: bytes, begun: asyncio.Event | None = None) -> AsyncIterator[Target]:
    """A server that takes everything, answers with a word and how much it was, and only then ends its direction."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(1)
        begun.set()
        size = len(first + await reader.read())
        writer.write(word + b" %d" % size)
        await writer.drain()
        writer.close()

    begun = begun or asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Target(LOOPBACK, server.sockets[0].getsockname()[1])


def listen(kind: socket.SocketKind = socket.SOCK_STREAM) -> tuple[socket.socket, int]:
    listener = socket.socket(socket.AF_INET, kind)
    listener.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        listener.listen(1024)
    return listener, listener.getsockname()[1]


async def ask(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        writer.write_eof()  # half-closed: the answer is still to come
        return await reader.read()
    finally:
        writer.close()


async def test_an_answer_comes_after_the_question_has_ended() -> None:
    listener, port = listen()
    async with served(b"took") as target:
        forward = TcpForward(listener, target)
        assert await ask(port, b"x" * 3_000_000) == b"took 3000000"
        assert await asyncio.gather(*(ask(port, b"y" * n) for n in range(200))) == [
            b"took %d" % n for n in range(200)
        ]
        forward.cut()


async def test_without_descriptors_a_connection_waits_and_is_not_asked_for_all_the_time() -> None:
    class Exhausted(socket.socket):
        tries = 0

        def accept(self) -> tuple[socket.socket, object]:
            self.tries += 1
            if self.tries <= 3:
                raise OSError(errno.EMFILE, "too many open files")
            return super().accept()

    listener = Exhausted(socket.AF_INET)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    async with served(b"took") as target:
        forward = TcpForward(listener, target)
        assert await ask(listener.getsockname()[1], b"x") == b"took 1"
        assert listener.tries <= 5, "three times in vain, once for it, once for nobody"
        forward.cut()


async def test_the_server_may_end_first() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        assert await reader.read() == b"late"
        heard.set()
        writer.close()

    heard = asyncio.Event()
    listener, port = listen()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        forward = TcpForward(listener, Target(LOOPBACK, server.sockets[0].getsockname()[1]))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.write(b"late")
        writer.close()
        await heard.wait()
        forward.cut()


async def test_a_port_leads_elsewhere_and_nowhere() -> None:
    listener, port = listen()
    begun = asyncio.Event()
    async with served(b"one", begun) as one, served(b"two") as two:
        forward = TcpForward(listener, one)
        assert await ask(port, b"") == b"one 0"
        begun.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"begun")
        await begun.wait()
        forward.lead(two)
        with pytest.raises(ConnectionError):
            assert await reader.read() == b""  # ended, either way
            raise ConnectionError
        writer.close()
        assert await ask(port, b"") == b"two 0"
        forward.lead(None)
        with pytest.raises(ConnectionError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            raise ConnectionError
        forward.cut()


async def test_udp_goes_both_ways_and_elsewhere() -> None:
    loop = asyncio.get_running_loop()
    listener, port = listen(socket.SOCK_DGRAM)
    ends = [listen(socket.SOCK_DGRAM) for _ in range(2)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for end in (client, *(end for end, _ in ends)):
            end.setblocking(False)
        client.connect(("127.0.0.1", port))
        forward = UdpForward(listener, Target(LOOPBACK, ends[0][1]))
        for number, (server, own) in enumerate(ends):
            forward.lead(Target(LOOPBACK, own))
            client.send(b"question %d" % number)
            data, peer = await loop.sock_recvfrom(server, 100)
            assert data == b"question %d" % number
            server.sendto(b"answer", peer)
            assert await loop.sock_recv(client, 100) == b"answer"
            server.close()
        forward.cut()
