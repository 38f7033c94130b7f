"""Crossing a network's walls from inside, by a container that is `--privileged` and has Python: raw frames, IPv4 and
IPv6, and connections. What crosses is told by its neighbour, who writes down every frame it hears from it, and by
listeners on the host. The frames are those that tests/security/test_network_walls.py tries at the taps themselves.
"""

import contextlib
import json
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from frames import datagram
from python_image import load_python_image
from test_network_walls import FORGED, HONEST, MARK, A, B
from words import BOTH, Words

from insula.network.host import host_addresses

pytestmark = [pytest.mark.boot, pytest.mark.amd64]

END = b"the end of it all"
HEAR = """
import socket, sys
end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
end.bind(("eth0", 0))
print("ready", flush=True)
while True:
    frame = end.recv(70000)
    strange = frame[6:11].hex(":") == sys.argv[1] and frame[6:12].hex(":") != sys.argv[2]
    if strange or bytes.fromhex(sys.argv[4]) in frame:
        print(frame.hex(), flush=True)
    if bytes.fromhex(sys.argv[3]) in frame:
        break
"""
SAY = """
import json, socket, sys
asked = json.load(sys.stdin)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:  # so that the gateway's MAC is known
    first.settimeout(20)
    first.sendto(bytes.fromhex("0001 0100 0001 0000 0000 0000 016100 0001 0001"), (asked["gateway"], 53))
    first.recv(512)
mac = next(line.split()[3] for line in open("/proc/net/arp") if line.startswith(asked["gateway"] + " "))
end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
end.bind(("eth0", 0))
for frame in asked["frames"]:
    end.send(bytes.fromhex(frame.replace("gateway", mac.replace(":", ""))))
for host, port in asked["targets"]:
    try:
        with socket.create_connection((host, port), 2):
            print("REACHED", host, port)
    except OSError:
        pass
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            udp.sendto(b"by udp", (host, port))
        except OSError:
            pass
print("done")
"""


@pytest.fixture
def image(docker: Words, place: Path) -> Iterator[str]:
    with load_python_image(docker, place) as image:
        yield image
        docker.sweep()


@pytest.fixture
def neighbours(docker: Words, image: str) -> Iterator[dict[str, Any]]:
    """`left`, with `hearer` as host B of the table; `right`, with `far`, which listens on port 80; what `far` has."""
    with contextlib.ExitStack() as held:
        left = (
            "--subnet",
            "10.9.0.0/24",
            "--gateway",
            "10.9.0.1",
            "--subnet",
            "fd09::/64",
            "--gateway",
            "fd09::1",
        )
        for name, words in (("left", left), ("right", ())):
            docker.succeed("network", "create", "--ipv6", *words, name)
            held.callback(docker.succeed, "network", "rm", name)
        held.callback(docker.sweep)
        serve = "import http.server as h; h.ThreadingHTTPServer(('', 80), h.SimpleHTTPRequestHandler).serve_forever()"
        docker.start("--name", "far", "--network", "right", image, "python3", "-c", serve)
        words = ("--mac-address", B.mac, "--ip", B.four, "--ip6", B.six, "--privileged", "--user", "0")
        hear = ("python3", "-u", "-c", HEAR, A.mac[:14], B.mac, END.hex(), MARK.hex())
        docker.start("--name", "hearer", "--network", "left", *words, image, *hear)
        docker.until_lines("hearer", "ready")
        yield docker.inspect("far")["NetworkSettings"]["Networks"]["right"]


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    """On the host: TCP and UDP, on every address of IPv4 and IPv6."""
    with contextlib.ExitStack() as held:
        made = []
        for family, everywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            port = made[0].getsockname()[1] if made else 0
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                end = held.enter_context(socket.socket(family, kind))
                if family == socket.AF_INET6:
                    end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                end.bind((everywhere, port))
                port = end.getsockname()[1]
                if kind == socket.SOCK_STREAM:
                    end.listen()
                made.append(end)
        yield made


def beyond(target: str, port: int) -> str:
    """A datagram to the gateway's MAC, which the container has yet to learn, for somewhere else."""
    source = A.six if ":" in target else A.four
    frame = datagram(A.mac, "00:00:00:00:00:00", (source, target), (4000, port), MARK)
    return "gateway" + frame[6:].hex()


@BOTH
def test_a_privileged_container_crosses_nothing(
    docker: Words, image: str, neighbours: dict[str, Any], listeners: list[socket.socket]
) -> None:
    port = listeners[0].getsockname()[1]
    hosts = sorted(host_addresses())
    far = [neighbours[name] for name in ("IPAddress", "GlobalIPv6Address", "Gateway", "IPv6Gateway")]
    elsewhere = [
        *hosts,
        *far,
        "127.0.0.1",
        "::1",
        "127.0.0.53",
        "169.254.169.254",
        "fe80::a9fe:a9fe",
        "fd00:ec2::254",
    ]
    asked = {
        "gateway": "10.9.0.1",
        "frames": [
            *(frame.hex() for frame in HONEST.values()),
            *(frame.hex() for frame in FORGED.values()),
            *(beyond(target, number) for target in elsewhere for number in (port, 53, 80)),
            datagram(A.mac, B.mac, (A.four, B.four), (7, 7), END).hex(),
        ],
        "targets": [
            (target, number)
            for target in (*hosts, *far, "169.254.169.254", "fd00:ec2::254", "10.9.0.1", "fd09::1")
            for number in ((port,) if target in hosts or target.endswith(("9.0.1", "9::1")) else (53, 80))
        ],
    }  # fmt: skip
    words = (
        "--mac-address",
        A.mac,
        "--ip",
        A.four,
        "--ip6",
        A.six,
        "--privileged",
        "--user",
        "0",
        "--network",
        "left",
    )
    said = docker.run("-i", *words, image, "python3", "-c", SAY, input=json.dumps(asked).encode())
    assert said.split() == ["done"]

    assert docker.succeed("wait", "hearer").strip() == "0"
    heard = [bytes.fromhex(line) for line in docker.succeed("logs", "hearer").split()[1:]]
    for name, frame in HONEST.items():
        assert frame in heard, name
    for name, frame in FORGED.items():
        assert frame not in heard, name
    assert not [frame for frame in heard if MARK in frame]
    assert select.select(listeners, [], [], 0)[0] == [], "something has reached the host"
