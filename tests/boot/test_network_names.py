"""What containers are told of names, by the messages themselves: UDP and TCP, EDNS, names that several hold, reverse
look-ups, and name servers of one's own. Which answer is right is tests/unit/network/test_names.py's.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dnslib import QTYPE, DNSRecord
from dnslib.dns import EDNS0
from python_image import load_python_image
from words import BOTH, Words

pytestmark = [pytest.mark.boot, pytest.mark.amd64]

ASK = """
import json, socket, struct, sys
asked = json.load(sys.stdin)
server = next(line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver"))
for question in map(bytes.fromhex, asked["udp"]):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.settimeout(20)
        end.sendto(question, (server, 53))
        print(end.recv(70000).hex())
with socket.create_connection((server, 53), 20) as end:
    for question in map(bytes.fromhex, asked["tcp"]):
        end.sendall(struct.pack("!H", len(question)) + question)
        (size,) = struct.unpack("!H", end.recv(2, socket.MSG_WAITALL))
        print(end.recv(size, socket.MSG_WAITALL).hex())
"""
SERVE = """
import socket
end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end.bind(("0.0.0.0", 53))
print("ready", flush=True)
while True:
    question, asker = end.recvfrom(4096)
    name = question[12:question.index(0, 12) + 5]
    kind = name[-3]
    head = question[:2] + bytes((0x81, 0x80, 0, 1, 0, int(kind == 1), 0, 0, 0, 0)) + name
    end.sendto(head + (bytes.fromhex("c00c 0001 0001 0000003c 0004 c6336407") if kind == 1 else b""), asker)
"""


@pytest.fixture
def image(docker: Words, place: Path) -> Iterator[str]:
    with load_python_image(docker, place) as image:
        docker.succeed("network", "create", "names")
        yield image
        docker.sweep()
        docker.succeed("network", "rm", "names")


def question(name: str, kind: str = "A", size: int = 0) -> str:
    asked = DNSRecord.question(name, kind)
    if size:
        asked.add_ar(EDNS0(udp_len=size))
    return bytes(asked.pack()).hex()


def address(docker: Words, name: str) -> str:
    return str(docker.inspect(name)["NetworkSettings"]["Networks"]["names"]["IPAddress"])


@BOTH
def test_every_way_to_ask(docker: Words, image: str) -> None:
    holders: list[Any] = []
    for name in ("one", "two"):
        docker.sleeper(
            "--name", name, "--network", "names", "--network-alias", "www", "--domainname", "example"
        )
        holders.append(address(docker, name))
    short = docker.inspect("two")["Id"][:12]
    asked = {
        "udp": [*[question("www")] * 4, question("one", size=1232), question("ONE", "AAAA")],
        "tcp": [
            question("two"),
            question(short),
            question(".".join([*reversed(holders[0].split(".")), "in-addr", "arpa"]), "PTR"),
        ],
    }
    said = docker.run(
        "-i", "--network", "names", image, "python3", "-c", ASK, input=json.dumps(asked).encode()
    )
    answers = [DNSRecord.parse(bytes.fromhex(line)) for line in said.split()]
    found = [[str(item.rdata) for item in answer.rr] for answer in answers]
    assert sorted(found[0]) == sorted(holders)
    assert found[1] == found[0][::-1] and found[2] == found[0], "in turn"
    assert found[3:] == [found[1], [holders[0]], [], [holders[1]], [holders[1]], ["one.example."]]
    assert [item.rtype for item in answers[4].ar] == [QTYPE.OPT]
    for answer in answers:
        assert answer.header.rcode == 0 and answer.header.qr and answer.header.ra


@BOTH
def test_name_servers_of_ones_own_are_asked_for_what_no_container_is_called(
    docker: Words, image: str
) -> None:
    docker.start("--name", "server", "--network", "names", image, "python3", "-u", "-c", SERVE)
    docker.until_lines("server", "ready")
    look = "import socket; print(*(socket.gethostbyname(name) for name in ('outside.example', 'server')))"
    words = ("--network", "names", "--dns", address(docker, "server"), image, "python3", "-c", look)
    assert docker.run(*words).split() == ["198.51.100.7", address(docker, "server")]
