"""Sockets of the host's that the agent listens for: each connection's two directions, their ends, how many there are."""

import hashlib
import random
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from host_end import HostEnd, PlainAgent

CONNECTIONS = 64


@pytest.fixture
def sockets(host: HostEnd, tmp_path: Path) -> Iterator[list[Path]]:
    """Two of them, in a container that waits; other mounts lie before and between them in a real one."""
    paths = [tmp_path / "one", tmp_path / "two"]
    mounts = [{"kind": 4, "source": "", "target": str(path), "flags": 0o660, "data": ""} for path in paths]
    host.boot("sleep", "1000", boot={"mounts": mounts})
    yield paths
    assert host.ask("STOP").ok
    for path in paths:
        assert not path.exists()


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(str(path))
    return client


def test_both_directions_and_their_ends(host: HostEnd, sockets: list[Path]) -> None:
    data = random.Random(4).randbytes(1_500_000)
    with connect(sockets[1]) as client:
        mount, remote = host.connection()
        assert mount == 1
        client.sendall(b"asked")
        client.shutdown(socket.SHUT_WR)
        host.until(lambda: remote.ended)
        assert remote.stdout == b"asked" and remote.exit is None
        client.setblocking(False)
        got, at = bytearray(), 0
        while at < len(data):
            while remote.credit == at and take(client, got):
                host.receive()
            size = min(32768, remote.credit - at, len(data) - at)
            host.input(remote, at, data[at : at + size])
            at += size
            host.barrier()
            take(client, got)
        host.input_end(remote, at)
        client.settimeout(30)
        while piece := client.recv(1 << 16):
            got += piece
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()
    assert host.finish(remote).value == 0
    host.release(remote)


def take(client: socket.socket, got: bytearray) -> bool:
    """What there is; whether there was anything."""
    before = len(got)
    try:
        while piece := client.recv(1 << 16):
            got += piece
    except BlockingIOError:
        pass
    return len(got) > before


def test_a_large_question(host: HostEnd, sockets: list[Path]) -> None:
    data = random.Random(5).randbytes(3_000_000)
    path, digest = sockets[0], hashlib.sha256()
    sender = host.spawn("python3", "-c", f"import random, socket; s = socket.socket(socket.AF_UNIX); s.connect({str(path)!r});"
                        " s.sendall(random.Random(5).randbytes(3_000_000)); s.shutdown(1); print(s.recv(9))")  # fmt: skip
    _, remote = host.connection()
    host.until(lambda: remote.ended)
    digest.update(remote.stdout)
    assert digest.digest() == hashlib.sha256(data).digest()
    host.feed(remote, b"answered")
    host.finish(remote)
    host.finish(sender)
    assert sender.stdout == b"b'answered'\n"
    host.release(remote)


def test_a_client_that_goes_ends_it_though_the_host_is_silent(host: HostEnd, sockets: list[Path]) -> None:
    client = connect(sockets[0])
    _, remote = host.connection()
    host.until(lambda: remote.credit)
    host.input(remote, 0, b"never read")
    client.close()
    host.finish(remote)
    host.release(remote)


def test_the_host_can_end_it(host: HostEnd, sockets: list[Path]) -> None:
    with connect(sockets[0]) as client:
        _, remote = host.connection()
        assert host.signal(remote).ok
        assert client.recv(9) == b""
        host.finish(remote)
        assert host.signal(remote).errno == 3
    host.release(remote)


def test_signals_to_all_do_not_reach_the_agent_by_them(host: HostEnd, sockets: list[Path]) -> None:
    with connect(sockets[0]):
        _, remote = host.connection()
        assert host.ask("SIGNAL", (0).to_bytes(4, "little") + (15).to_bytes(4, "little")).ok
        assert host.run("echo", "lives").stdout == b"lives\n"
    host.finish(remote)
    host.release(remote)


def test_so_many_at_a_time_and_the_next_waits(host: HostEnd, sockets: list[Path]) -> None:
    with ExitStack() as held:
        clients = [held.enter_context(connect(sockets[n % 2])) for n in range(CONNECTIONS + 1)]
        remotes = [host.connection()[1] for _ in range(CONNECTIONS)]
        host.barrier()
        assert not host.connections
        for remote in remotes:
            assert host.signal(remote).ok
            host.finish(remote)
        host.barrier()
        assert not host.connections, "they are the host's until it has released them"
        host.release(remotes[0])
        _, last = host.connection()
        for remote in remotes[1:]:
            host.release(remote)
        assert len(select.select(clients, [], [], 30)[0]) == CONNECTIONS, "all but the last one"
    host.finish(last)
    host.release(last)


def test_another_host_finds_the_sockets_and_none_of_the_connections(
    agent: PlainAgent, host: HostEnd, sockets: list[Path]
) -> None:
    with connect(sockets[0]) as client:
        _, remote = host.connection()
        before = agent.descriptors()
        del host.remotes[remote.number]
        host.close()
        later = agent.connect(host.remotes)
        assert client.recv(9) == b""
        with connect(sockets[1]) as early:
            mount, other = later.connection()
            assert mount == 1
            later.feed(other, b"here")
            assert early.recv(9) == b"here"
        later.finish(other)
        later.release(other)
        later.barrier()
    assert len(agent.descriptors()) < len(before)
    host.socket, host.buffer, host.epoch = later.socket, later.buffer, later.epoch
    host.request, host.replies = later.request, later.replies
