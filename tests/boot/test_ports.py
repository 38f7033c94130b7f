"""Published ports, end to end: in every form, by many connections, with much through one; through the docker command.

The long ones are `soak`; a tenth of each is in every run.
"""

import asyncio
import json
import re
import socket
import struct
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from words import BOTH, BOTH_NEW, Words

from daemon_fixture import DaemonProcess
from insula.machine.platform import host_platform
from insula.network.ports import has_ipv6
from probe_program import server

pytestmark = pytest.mark.boot

UDP_TRIES, UDP_PATIENCE = 60, 1.0
CHUNK = bytes(1 << 16)


def serve(docker: Words, name: str, *words: str) -> None:
    """A container whose server listens on port 80, TCP and UDP."""
    docker.succeed("create", "--name", name, *words, "busybox", "/server", "80")
    docker.succeed("cp", str(server(host_platform().name)), f"{name}:/server")
    docker.succeed("start", name)
    docker.until_lines(name, "ready")


def port_of(docker: Words, name: str, port: str = "80/tcp") -> int:
    return int(docker.succeed("port", name, port).splitlines()[0].rpartition(":")[2])


def told(end: socket.socket) -> int:
    """What the server says, once we have said all."""
    end.shutdown(socket.SHUT_WR)
    answer = b""
    while data := end.recv(100):
        answer += data
    return int(answer)


def upload(where: tuple[str, int], size: int) -> int:
    with socket.create_connection(where, 60) as end:
        for begin in range(0, size, len(CHUNK)):
            end.sendall(CHUNK[: min(len(CHUNK), size - begin)])
        return told(end)


def download(where: tuple[str, int], size: int) -> int:
    got = 0
    with socket.create_connection(where, 60) as end:
        end.sendall(b"D" + struct.pack("!Q", size))
        while data := end.recv(1 << 18):
            got += len(data)
    return got


def ask_by_udp(where: tuple[str, int]) -> bool:
    """Whether a datagram comes back; one that is lost is sent again."""
    family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as end:
        end.settimeout(UDP_PATIENCE)
        end.connect(where)
        for number in range(UDP_TRIES):
            end.send(b"question %d" % number)
            try:
                if end.recv(100).startswith(b"question"):
                    return True
            except OSError:
                continue
    return False


@pytest.fixture
def site(docker: Words) -> Iterator[tuple[str, int]]:
    serve(docker, "site", "-p", "127.0.0.1::80")
    yield "127.0.0.1", port_of(docker, "site")
    docker.succeed("rm", "-f", "site")


@BOTH
def test_every_form(docker: Words) -> None:
    first = free_range(3)
    serve(
        docker, "forms", "-p", "80", "-p", "127.0.0.1::80/udp", "-p", f"127.0.0.1:{first}-{first + 2}:80",
        "-p", f"127.0.0.1:{first}-{first + 1}:80-81/udp",
    )  # fmt: skip
    ports = docker.inspect("forms")["NetworkSettings"]["Ports"]
    numbers = [int(place["HostPort"]) for place in ports["80/tcp"] if place["HostIp"] == "127.0.0.1"]
    assert len(numbers) == 1 and first <= numbers[0] <= first + 2, "one of the range"
    assert [place["HostPort"] for place in ports["81/udp"]] == [str(first + 1)]
    everywhere = {place["HostIp"]: int(place["HostPort"]) for place in ports["80/tcp"]}
    assert upload(("127.0.0.1", everywhere["0.0.0.0"]), 5) == 5
    assert upload(("127.0.0.1", numbers[0]), 6) == 6
    if has_ipv6():
        assert upload(("::1", everywhere["::"]), 7) == 7
    for place in ports["80/udp"]:
        assert ask_by_udp((place["HostIp"], int(place["HostPort"])))
    docker.succeed("rm", "-f", "forms")
    serve(docker, "all", "-P", "--expose", "80", "--expose", "80/udp", "--expose", "8000-8002")
    ports = docker.inspect("all")["NetworkSettings"]["Ports"]
    assert set(ports) == {"80/tcp", "80/udp", "8000/tcp", "8001/tcp", "8002/tcp"}
    assert all(places for places in ports.values())
    assert upload(("127.0.0.1", int(ports["80/tcp"][0]["HostPort"])), 8) == 8
    listed = json.loads(docker.daemon.request("GET", "/containers/json").body)[0]["Ports"]
    assert {"PrivatePort": 8001, "Type": "tcp"}.items() <= next(
        p for p in listed if p["PrivatePort"] == 8001
    ).items()
    docker.succeed("rm", "-f", "all")


def free_range(count: int) -> int:
    """The first of some ports in a row that nobody has now, TCP nor UDP."""
    for first in range(20_000, 30_000, count):
        try:
            for number in range(first, first + count):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(socket.AF_INET, kind) as probe:
                        probe.bind(("0.0.0.0", number))
        except OSError:
            continue
        return first
    raise AssertionError("no port is free")


def test_a_port_in_use_leaves_none_of_the_others(docker: Words) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as next:
        ports = [end.getsockname()[1] for end in (next, taken)]
        next.close()
        words = [word for port in ports for word in ("-p", f"127.0.0.1:{port}:80")]
        said = docker.fail(125, "run", "--name", "late", *words, "busybox", "true")
        assert f"127.0.0.1:{ports[1]}:80/tcp: address already in use" in said
        with socket.create_server(("127.0.0.1", ports[0])):
            pass
    docker.succeed("start", "-a", "late")
    docker.succeed("rm", "late")


def test_sctp_is_refused_by_name(docker: Words) -> None:
    assert "sctp" in docker.fail(1, "create", "-p", "80/sctp", "busybox")


def in_turn(where: tuple[str, int], count: int) -> None:
    for number in range(count):
        assert upload(where, number % 7) == number % 7


async def at_a_time(where: tuple[str, int], count: int) -> None:
    """All are open before the first has its answer."""
    opened = await asyncio.gather(*(asyncio.open_connection(*where) for _ in range(count)))
    for number, (_, writer) in enumerate(opened):
        writer.write(b"x" * number)
        writer.write_eof()
    said = await asyncio.gather(*(reader.read() for reader, _ in opened))
    assert [int(text) for text in said] == list(range(count))
    for _, writer in opened:
        writer.close()


@BOTH
def test_many_connections_and_much_through_one(site: tuple[str, int]) -> None:
    in_turn(site, 1000)
    asyncio.run(at_a_time(site, 500))
    assert upload(site, 100 << 20) == 100 << 20
    assert download(site, 100 << 20) == 100 << 20


@pytest.mark.soak
@BOTH
def test_very_many_and_very_much(site: tuple[str, int]) -> None:
    in_turn(site, 10_000)
    asyncio.run(at_a_time(site, 500))
    assert upload(site, 1 << 30) == 1 << 30
    assert download(site, 1 << 30) == 1 << 30


def receive(end: socket.socket, most: int) -> int:
    """How many bytes came: that many, or all that there were."""
    got = 0
    while got < most and (data := end.recv(min(1 << 18, most - got))):
        got += len(data)
    return got


@BOTH_NEW
def test_what_is_under_way_goes_on_whatever_becomes_of_the_daemon(
    new_daemon: Callable[..., DaemonProcess],
) -> None:
    """A download that is far too long to have come as a whole before, and an upload that is ended afterwards."""
    daemon = new_daemon()
    docker = Words(daemon)
    serve(docker, "site", "-p", "127.0.0.1::80")
    where, size = ("127.0.0.1", port_of(docker, "site")), 64 << 20
    with socket.create_connection(where, 60) as down, socket.create_connection(where, 60) as up:
        down.sendall(b"D" + struct.pack("!Q", size))
        up.sendall(b"before")
        got = receive(down, 1 << 20)
        daemon.kill()
        got += receive(down, 1 << 20)
        up.sendall(b"between")
        assert upload(where, 9) == 9, "nor does a new connection need it"
        daemon.start()
        got += receive(down, size)
        assert (got, down.recv(1)) == (size, b"")
        up.sendall(b"after")
        assert told(up) == len("beforebetweenafter")
    docker.succeed("rm", "-f", "site")


def test_the_peer_is_the_gateway(docker: Words) -> None:
    """As documented: whoever connects from the host is seen as the network's gateway."""
    docker.start("--name", "seer", "-p", "127.0.0.1::80", "busybox", "sh", "-c",
                 "mkdir -p /w/cgi-bin; printf '#!/bin/sh\\necho; echo $REMOTE_ADDR\\n' >/w/cgi-bin/who;"
                 "chmod +x /w/cgi-bin/who; httpd -p 80 -h /w; echo ready; sleep 1000")  # fmt: skip
    docker.until_lines("seer", "ready")
    with urllib.request.urlopen(
        f"http://127.0.0.1:{port_of(docker, 'seer')}/cgi-bin/who", timeout=60
    ) as answer:
        seen = answer.read().decode().strip()
    found = re.search(r"[0-9.]{7,}", seen)  # busybox may write it as an IPv6 address
    assert found and found.group() == docker.inspect("seer")["NetworkSettings"]["Gateway"]
