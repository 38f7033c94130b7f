"""What leaves a machine, tried at the wall itself: the real netd, and in place of machines this test, which holds the
taps' other ends and sends what a container with every privilege could make its machine send.

That something did not arrive is told by what was sent after it and has: a bridge keeps the order.
"""

import asyncio
import os
import shutil
import signal
import struct
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_interface
from pathlib import Path

import pytest
from dnslib import DNSRecord
from frames import (
    ARP,
    BROADCAST,
    ICMP6,
    IPV4,
    IPV6,
    TCP,
    UDP,
    VLAN,
    Device,
    Host,
    arp,
    datagram,
    ether,
    first_piece,
    icmp6,
    ip,
    packed,
    syn,
    udp,
    with_options,
)

from boot_paths import make_folder
from insula.network.child import find_child
from insula.network.client import NetdClient, open_netd
from insula.network.hostward import PORT
from insula.network.links import bridge_mac
from insula.network.message import pack
from insula.network.names import Holder
from insula.network.namespace import name_of
from insula.network.nft import Bridge, Lease
from ordinary_user import IS_ROOT

pytestmark = pytest.mark.boot

LEFT = Bridge("left", (ip_interface("10.9.0.1/24"), ip_interface("fd09::1/64")))
RIGHT = Bridge("right", (ip_interface("10.10.0.1/24"), ip_interface("fd10::1/64")))
INNER = Bridge("inner", (ip_interface("10.11.0.1/24"), ip_interface("fd11::1/64")), internal=True)
APART = Bridge("apart", (ip_interface("10.12.0.1/24"), ip_interface("fd12::1/64")), apart=True)
A, B = Host("02:42:00:00:00:0a", "10.9.0.2", "fd09::2"), Host("02:42:00:00:00:0b", "10.9.0.3", "fd09::3")
FAR, CLOSED = (
    Host("02:42:00:00:00:0f", "10.10.0.2", "fd10::2"),
    Host("02:42:00:00:00:0c", "10.11.0.2", "fd11::2"),
)
OUTSIDE = ("203.0.113.9", "2001:db8::9")
OF_THE_HOST = ("198.51.100.7", "fd98::7")
MARK = b"must not arrive"
SECONDS = 60.0


@dataclass
class Walls:
    """A netd with three networks, the devices of A, B, FAR, CLOSED by name, one that has joined nothing, and the
    uplink's outer end."""

    netd: NetdClient
    devices: dict[str, Device] = field(default_factory=dict)
    rounds: int = 0

    async def join(self, name: str, host: Host, bridge: Bridge, hostward: bool = False) -> None:
        addresses = tuple(ip_address(text) for text in (host.four, host.six))
        lease, holder = (
            Lease(name, bridge.name, host.mac, addresses, hostward),
            Holder(name, bridge.name, (name,), addresses),
        )
        await self.netd.call("join", lease=pack(lease), holder=pack(holder))

    async def arrives(self, *frames: bytes, sender: str = "a", at: str = "b") -> list[bytes]:
        """What comes of these frames of A's at B, in order, without what the bridge says itself."""
        self.rounds += 1
        end = b"end of round %d" % self.rounds
        for frame in (*frames, datagram(A.mac, B.mac, (A.four, B.four), (7, 7), end)):
            self.devices[sender].send(frame)
        async with asyncio.timeout(SECONDS):
            came = await self.devices[at].receive_until(lambda frame: end in frame)
        return [frame for frame in came[:-1] if frame[6:11] == packed(A.mac)[:5]]

    async def mac_of(self, bridge: Bridge) -> str:
        """The gateway's, asked as a container's kernel does."""
        self.devices["a"].send(arp(A.mac, 1, (A.mac, A.four), ("00:00:00:00:00:00", "10.9.0.1")))
        async with asyncio.timeout(SECONDS):
            came = await self.devices["a"].receive_until(
                lambda f: f[12:14] == struct.pack("!H", ARP) and f[21] == 2
            )
        return came[-1][6:12].hex(":")

    async def asks(self, frame: bytes, gateway: str) -> list[bytes]:
        """What A hears after a frame, until it is told its own name by its gateway."""
        self.rounds += 1
        question = DNSRecord.question("a")
        question.header.id = self.rounds
        asked = datagram(A.mac, gateway, (A.four, "10.9.0.1"), (5353, 53), question.pack())
        self.devices["a"].send(frame)
        self.devices["a"].send(asked)
        answer = struct.pack("!H", self.rounds)
        async with asyncio.timeout(SECONDS):
            came = await self.devices["a"].receive_until(
                lambda f: f[12:14] == struct.pack("!H", IPV4) and f[23] == UDP and f[42:44] == answer
            )
        return came[:-1]


@pytest.fixture
async def walls() -> AsyncIterator[Walls]:
    mine = IS_ROOT or os.access("/dev/net/tun", os.R_OK | os.W_OK)
    assert mine, "taps need a /dev/net/tun that this user may open, as distributions have it"
    folder = make_folder()
    netd = await open_netd(folder / "net", folder)
    made = Walls(netd)
    try:
        for bridge in (LEFT, RIGHT, INNER):
            await netd.call("bridge", bridge=pack(bridge), plain=False)
        names = ["a", "b", "far", "closed", "nobody", "uplink"]
        made.devices = {name: Device(tap) for name, tap in zip(names, await netd.taps(names), strict=True)}
        for name, host, bridge in (
            ("a", A, LEFT),
            ("b", B, LEFT),
            ("far", FAR, RIGHT),
            ("closed", CLOSED, INNER),
        ):
            await made.join(name, host, bridge)
        await netd.call("hosts", addresses=list(OF_THE_HOST))
        await asyncio.to_thread(lead_out, netd)
        yield made
    finally:
        for device in made.devices.values():
            device.close()
        netd.close()
        for file in ("netd.pid", "holder.pid"):
            if pid := find_child(folder / "net" / file, name_of(folder)):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder)


def lead_out(netd: NetdClient) -> None:
    """The uplink of this test is a tap, so that what leaves can be seen."""
    spaces = ["nsenter", f"--user={netd.spaces.user}", f"--net={netd.spaces.network}"]
    inside = "nsenter: " if not IS_ROOT else ""
    for words in (
        "link set uplink arp off up", "addr add 192.0.2.2/24 dev uplink", "route add default via 192.0.2.1 dev uplink onlink",
        "-6 addr add 2001:db8:1::2/64 dev uplink nodad", "-6 route add default dev uplink",
    ):  # fmt: skip
        if words.startswith("-6 addr"):
            write = ["sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/uplink/disable_ipv6"]
            subprocess.run([*spaces, *write], check=True, capture_output=True)
        done = subprocess.run([*spaces, "ip", *words.split()], check=False, capture_output=True, text=True)
        assert done.returncode == 0, (inside, words, done.stderr)


def target_of(address: str) -> bytes:
    return IPv6Address(address).packed


def advert(target: str, source: str, mac: str) -> bytes:
    """A neighbour advertisement to everybody: `target` is at `mac`."""
    body = b"\x20\0\0\0" + target_of(target) + b"\2\1" + packed(mac)
    return ether(
        A.mac, "33:33:00:00:00:01", IPV6, ip(source, "ff02::1", ICMP6, icmp6(source, "ff02::1", 136, body))
    )


def solicit(target: str, source: str) -> bytes:
    body = bytes(4) + target_of(target)
    return ether(
        A.mac, "33:33:00:00:00:01", IPV6, ip(source, "ff02::1", ICMP6, icmp6(source, "ff02::1", 135, body))
    )


def router_advert(source: str) -> bytes:
    return icmp6(source, "ff02::1", 134, b"\x40\0\7\x08" + bytes(8) + b"\1\1" + packed(A.mac))


HONEST = {
    "IPv4": datagram(A.mac, B.mac, (A.four, B.four), (9, 9), b"four"),
    "IPv6": datagram(A.mac, B.mac, (A.six, B.six), (9, 9), b"six"),
    "IPv6 by link": datagram(A.mac, B.mac, (A.link_local, B.link_local), (9, 9), b"link"),
    "ARP question": arp(A.mac, 1, (A.mac, A.four), ("00:00:00:00:00:00", B.four)),
    "ARP answer": arp(A.mac, 2, (A.mac, A.four), (B.mac, B.four)),
    "neighbour advertisement": advert(A.six, A.six, A.mac),
    "neighbour solicitation": solicit(B.six, A.six),
    "is my address free": solicit(A.six, "::"),
    "DHCP question": datagram(A.mac, BROADCAST, (A.four, "255.255.255.255"), (68, 67), b"dhcp"),
}

FORGED = {
    "MAC": datagram("02:42:00:00:00:99", B.mac, (A.four, B.four), (9, 9), MARK),
    "MAC of the neighbour": datagram(B.mac, BROADCAST, (A.four, B.four), (9, 9), MARK),
    "IPv4": datagram(A.mac, B.mac, ("10.9.0.77", B.four), (9, 9), MARK),
    "IPv4 of the gateway": datagram(A.mac, B.mac, ("10.9.0.1", B.four), (9, 9), MARK),
    "IPv4 of elsewhere": datagram(A.mac, B.mac, ("203.0.113.1", B.four), (9, 9), MARK),
    "no IPv4": datagram(A.mac, BROADCAST, ("0.0.0.0", "255.255.255.255"), (68, 67), MARK),
    "IPv6": datagram(A.mac, B.mac, ("fd09::77", B.six), (9, 9), MARK),
    "IPv6 of the gateway": datagram(A.mac, B.mac, ("fd09::1", B.six), (9, 9), MARK),
    "IPv6 by link": datagram(A.mac, B.mac, ("fe80::1", B.link_local), (9, 9), MARK),
    "ARP for the gateway": arp(A.mac, 2, (A.mac, "10.9.0.1"), (B.mac, B.four)),
    "ARP for the neighbour": arp(A.mac, 1, (A.mac, B.four), ("00:00:00:00:00:00", "10.9.0.9")),
    "ARP with another's MAC": arp(A.mac, 2, ("02:42:00:00:00:99", A.four), (B.mac, B.four)),
    "ARP without an address": arp(A.mac, 1, (A.mac, "0.0.0.0"), ("00:00:00:00:00:00", B.four)),
    "RARP": ether(A.mac, BROADCAST, 0x8035, MARK),
    "advertisement for the gateway": advert("fd09::1", A.six, A.mac),
    "advertisement for the neighbour": advert(B.six, A.six, A.mac),
    "advertisement from another": advert(A.six, "fd09::77", A.mac),
    "is the neighbour's address free": solicit(B.six, "::"),
    "router advertisement": ether(A.mac, "33:33:00:00:00:01", IPV6, ip(A.link_local, "ff02::1", ICMP6, router_advert(A.link_local))),
    "router advertisement behind options": ether(
        A.mac, "33:33:00:00:00:01", IPV6, ip(A.link_local, "ff02::1", 60, with_options(ICMP6, router_advert(A.link_local)))
    ),
    "advertisement behind options": ether(
        A.mac, "33:33:00:00:00:01", IPV6,
        ip(A.six, "ff02::1", 60, with_options(ICMP6, icmp6(A.six, "ff02::1", 136, b"\x20\0\0\0" + target_of(B.six)))),
    ),
    "redirect": ether(A.mac, B.mac, IPV6, ip(A.link_local, B.six, ICMP6, icmp6(A.link_local, B.six, 137, bytes(36)))),
    "DHCP answer": datagram(A.mac, B.mac, (A.four, B.four), (67, 68), MARK),
    "DHCPv6 answer": datagram(A.mac, B.mac, (A.link_local, B.link_local), (547, 546), MARK),
    "DHCPv6 answer behind options": ether(
        A.mac, B.mac, IPV6,
        ip(A.six, B.six, 60, with_options(UDP, udp(A.six, B.six, (547, 546), MARK))),
    ),
    "DHCPv6 answer in pieces": ether(
        A.mac, B.mac, IPV6,
        ip(A.six, B.six, 44, first_piece(UDP, udp(A.six, B.six, (547, 546), MARK + bytes(7)))),
    ),
    "router advertisement in pieces": ether(
        A.mac, "33:33:00:00:00:01", IPV6,
        ip(A.link_local, "ff02::1", 44, first_piece(ICMP6, router_advert(A.link_local))),
    ),
    "VLAN": ether(A.mac, B.mac, VLAN, struct.pack("!HH", 5, IPV4) + ip("10.9.0.77", B.four, UDP, udp("10.9.0.77", B.four, (9, 9), MARK))),
    "spanning tree": ether(A.mac, "01:80:c2:00:00:00", 38, b"\x42\x42\3" + MARK),
    "neighbour discovery of switches": ether(A.mac, "01:80:c2:00:00:0e", 0x88CC, MARK),
    "another protocol": ether(A.mac, B.mac, 0x88B5, MARK),
    "no Ethernet length": ether(A.mac, B.mac, 0, MARK),
}  # fmt: skip


async def test_what_a_machine_may_say_arrives(walls: Walls) -> None:
    for name, frame in HONEST.items():
        assert await walls.arrives(frame) == [frame], name


async def test_what_is_forged_arrives_nowhere(walls: Walls) -> None:
    for name, frame in FORGED.items():
        assert await walls.arrives(frame) == [], name
    assert await walls.arrives(*FORGED.values()) == []


async def test_who_has_not_joined_or_has_left_says_and_hears_nothing(walls: Walls) -> None:
    said = HONEST["IPv4"], HONEST["ARP question"], FORGED["MAC"]
    for frame in said:
        with pytest.raises(OSError, match="Input/output error"):  # its other end is down
            walls.devices["nobody"].send(frame)
    await walls.netd.call("leave", tap="b")
    for frame in said:
        with pytest.raises(OSError, match="Input/output error"):
            walls.devices["b"].send(frame)
        walls.devices["a"].send(frame)
    await walls.join("nobody", B, LEFT)
    assert await walls.arrives(HONEST["IPv4"], at="nobody") == [HONEST["IPv4"]]
    with pytest.raises(BlockingIOError):
        while True:  # what the bridge itself had said before is still there
            assert os.read(walls.devices["b"].descriptor, 70_000)[18:23] != packed(A.mac)[:5]


def beyond(gateway: str, addresses: tuple[str, str]) -> bytes:
    """A datagram of A's that its gateway is to pass on."""
    return datagram(A.mac, gateway, addresses, (4000, 9), MARK)


async def test_networks_reach_the_outside_and_nothing_between(walls: Walls) -> None:
    gateway = await walls.mac_of(LEFT)
    outside = walls.devices["uplink"]
    for source, target in ((A.four, OUTSIDE[0]), (A.six, OUTSIDE[1])):
        walls.devices["a"].send(beyond(gateway, (source, target)))
        async with asyncio.timeout(SECONDS):
            left = (await outside.receive_until(lambda frame: MARK in frame))[-1]
        assert ip_address(source).packed not in left, "it goes by the uplink's own address"
    forbidden = [
        (A.four, FAR.four), (A.six, FAR.six), (A.four, CLOSED.four), (A.six, CLOSED.six),
        *((A.six if ":" in host else A.four, host) for host in OF_THE_HOST),
        (A.four, "169.254.169.254"), (A.six, "fe80::a9fe:a9fe"), (A.four, "127.0.0.1"), (A.six, "::1"),
        (A.four, "224.0.0.251"), (A.four, "0.0.0.0"), (A.four, "192.0.2.2"), (A.six, "2001:db8:1::2"),
    ]  # fmt: skip
    for addresses in forbidden:
        heard = await walls.asks(beyond(gateway, addresses), gateway)
        assert all(frame[23] != UDP for frame in heard if frame[12:14] == struct.pack("!H", IPV4)), addresses
    walls.devices["a"].send(datagram(A.mac, gateway, (A.four, OUTSIDE[0]), (4000, 9), b"the last"))
    async with asyncio.timeout(SECONDS):
        assert not [f for f in await outside.receive_until(lambda frame: b"the last" in frame) if MARK in f]
    for name in ("far", "closed"):
        with pytest.raises(BlockingIOError):
            while True:
                assert MARK not in os.read(walls.devices[name].descriptor, 70_000)


async def test_a_gateway_stays_where_it_is_whoever_comes_and_goes(walls: Walls) -> None:
    """A bridge that is not told its MAC has the lowest of its ports'."""
    assert await walls.mac_of(LEFT) == bridge_mac(LEFT.name)
    names = [f"more{number}" for number in range(8)]
    taps = [Device(tap) for tap in await walls.netd.taps(names)]
    try:
        for number, name in enumerate(names):
            await walls.join(
                name,
                Host(f"02:42:00:00:01:{number:02x}", f"10.9.0.{50 + number}", f"fd09::{50 + number}"),
                LEFT,
            )
            assert await walls.mac_of(LEFT) == bridge_mac(LEFT.name)
        for name in ("b", *names):
            await walls.netd.call("leave", tap=name)
            assert await walls.mac_of(LEFT) == bridge_mac(LEFT.name)
    finally:
        for tap in taps:
            tap.close()


async def test_an_internal_network_leads_nowhere(walls: Walls) -> None:
    device, gateway = walls.devices["closed"], "10.11.0.1"
    device.send(arp(CLOSED.mac, 1, (CLOSED.mac, CLOSED.four), ("00:00:00:00:00:00", gateway)))
    async with asyncio.timeout(SECONDS):
        came = await device.receive_until(lambda f: f[12:14] == struct.pack("!H", ARP) and f[21] == 2)
        mac = came[-1][6:12].hex(":")
        device.send(datagram(CLOSED.mac, mac, (CLOSED.four, OUTSIDE[0]), (4000, 9), MARK))
        question = datagram(
            CLOSED.mac, mac, (CLOSED.four, gateway), (5353, 53), DNSRecord.question("example.org").pack()
        )
        device.send(question)
        answer = (await device.receive_until(lambda f: f[12:14] == struct.pack("!H", IPV4) and f[23] == UDP))[
            -1
        ]
    assert DNSRecord.parse(answer[42:]).header.rcode == 3
    other = await walls.mac_of(LEFT)
    walls.devices["a"].send(datagram(A.mac, other, (A.four, OUTSIDE[0]), (4000, 9), b"the last"))
    async with asyncio.timeout(SECONDS):
        left = await walls.devices["uplink"].receive_until(lambda frame: b"the last" in frame)
    assert not [frame for frame in left if MARK in frame]


async def test_members_that_are_kept_apart_reach_their_gateway_alone(walls: Walls) -> None:
    one, two = Host(A.mac, "10.12.0.2", "fd12::2"), Host(B.mac, "10.12.0.3", "fd12::3")
    await walls.netd.call("bridge", bridge=pack(APART), plain=False)
    for name, host in (("a", one), ("b", two)):
        await walls.netd.call("leave", tap=name)
        await walls.join(name, host, APART)
    nobody, question = "00:00:00:00:00:00", DNSRecord.question("b").pack()
    for frame in (
        datagram(one.mac, two.mac, (one.four, two.four), (9, 9), MARK),
        datagram(one.mac, BROADCAST, (one.four, "10.12.0.255"), (9, 9), MARK),
        datagram(one.mac, two.mac, (one.six, two.six), (9, 9), MARK),
        arp(one.mac, 1, (one.mac, one.four), (nobody, two.four)),
    ):
        walls.devices["a"].send(frame)
    walls.devices["a"].send(arp(one.mac, 1, (one.mac, one.four), (nobody, "10.12.0.1")))
    async with asyncio.timeout(SECONDS):
        came = await walls.devices["a"].receive_until(
            lambda f: f[12:14] == struct.pack("!H", ARP) and f[21] == 2
        )
        gateway = came[-1][6:12].hex(":")
        walls.devices["a"].send(
            datagram(one.mac, gateway, (one.four, two.four), (9, 9), MARK)
        )  # by way of it
        walls.devices["a"].send(datagram(one.mac, gateway, (one.four, "10.12.0.1"), (5000, 53), question))
        answer = await walls.devices["a"].receive_until(
            lambda f: f[12:14] == struct.pack("!H", IPV4) and f[23] == UDP
        )
    assert [str(item.rdata) for item in DNSRecord.parse(answer[-1][42:]).rr] == [two.four]
    with pytest.raises(BlockingIOError):
        while True:
            assert os.read(walls.devices["b"].descriptor, 70_000)[18:23] != packed(one.mac)[:5]


async def test_a_gateway_answers_names_and_nothing_else(walls: Walls) -> None:
    """Its own network's: of another's, and of the ports that are no name server's, there is not even a refusal."""
    gateway = await walls.mac_of(LEFT)
    question = DNSRecord.question("a").pack()
    for target, ports in (
        ("10.9.0.1", (1, 22, 67, 111, 5353)),
        ("10.10.0.1", (53, 22)),
        ("10.11.0.1", (53,)),
    ):
        for port in ports:
            asked = datagram(A.mac, gateway, (A.four, target), (5353, port), question)
            knocked = ether(A.mac, gateway, IPV4, ip(A.four, target, TCP, syn(A.four, target, port)))
            for frame in (asked, knocked):
                heard = await walls.asks(frame, gateway)
                assert [f for f in heard if f[12:14] == struct.pack("!H", IPV4)] == [], (target, port)
    knocked = ether(A.mac, gateway, IPV4, ip(A.four, "10.9.0.1", TCP, syn(A.four, "10.9.0.1", 53)))
    heard = await walls.asks(knocked, gateway)
    assert [f[47] for f in heard if f[12:14] == struct.pack("!H", IPV4) and f[23] == TCP] == [0x12], (
        "SYN, ACK"
    )


async def test_the_way_to_the_host_is_its_holders_alone(walls: Walls) -> None:
    gateway = await walls.mac_of(LEFT)

    async def knock(target: str, port: int) -> list[int]:
        """The flags of what comes back."""
        knocked = ether(A.mac, gateway, IPV4, ip(A.four, target, TCP, syn(A.four, target, port)))
        heard = await walls.asks(knocked, gateway)
        return [f[47] for f in heard if f[12:14] == struct.pack("!H", IPV4) and f[23] == TCP]

    await walls.join("b", B, LEFT, hostward=True)
    assert await knock("10.9.0.1", 22) == await knock("10.9.0.1", PORT) == []
    await walls.join("a", A, LEFT, hostward=True)
    assert (await knock("10.9.0.1", 4022))[:1] == [0x12], "SYN, ACK"
    assert await knock("10.10.0.1", 22) == await knock(OF_THE_HOST[0], 22) == []
    await walls.join("a", A, LEFT)
    assert await knock("10.9.0.1", 4023) == await knock("10.9.0.1", PORT) == []


async def test_the_way_to_the_host_for_datagrams_is_its_holders_alone(walls: Walls) -> None:
    """Answers come from the gateway's port that was asked; who has the address next is heard by nobody."""
    gateway = await walls.mac_of(LEFT)
    heard: list[bytes] = []

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.DatagramTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
            heard.append(data)
            self.transport.sendto(b"answer to " + data, peer)

    made = await asyncio.get_running_loop().create_datagram_endpoint(Echo, ("0.0.0.0", 0))
    port = made[0].get_extra_info("sockname")[1]

    def asked(data: bytes, to: str = "10.9.0.1") -> bytes:
        return datagram(A.mac, gateway, (A.four, to), (4444, port), data)

    try:
        assert [f for f in await walls.asks(asked(b"too early"), gateway) if b"answer" in f] == []
        await walls.join("a", A, LEFT, hostward=True)
        for data in (b"first", b"second"):
            walls.devices["a"].send(asked(data))
            async with asyncio.timeout(SECONDS):
                came = await walls.devices["a"].receive_until(lambda f, d=data: f.endswith(b"answer to " + d))
            assert came[-1][26:38] == packed_four("10.9.0.1") + packed_four(A.four) + struct.pack(
                "!HH", port, 4444
            )
        for target in ("10.10.0.1", OF_THE_HOST[0]):
            await walls.asks(asked(b"elsewhere", target), gateway)
        await walls.join("a", A, LEFT)
        await walls.asks(asked(b"too late"), gateway)
        await walls.join("a", A, LEFT, hostward=True)
        walls.devices["a"].send(asked(b"last"))
        async with asyncio.timeout(SECONDS):
            await walls.devices["a"].receive_until(lambda f: f.endswith(b"answer to last"))
        assert heard == [b"first", b"second", b"last"]
    finally:
        made[0].close()


def packed_four(address: str) -> bytes:
    return ip_address(address).packed


async def test_addresses_are_told_names(walls: Walls) -> None:
    gateway = await walls.mac_of(LEFT)
    question = DNSRecord.question(ip_address(B.four).reverse_pointer, "PTR").pack()
    walls.devices["a"].send(datagram(A.mac, gateway, (A.four, "10.9.0.1"), (5000, 53), question))
    async with asyncio.timeout(SECONDS):
        came = await walls.devices["a"].receive_until(
            lambda f: f[12:14] == struct.pack("!H", IPV4) and f[23] == UDP
        )
    assert [str(answer.rdata) for answer in DNSRecord.parse(came[-1][42:]).rr] == ["b."]


async def test_names_are_answered_over_ipv6_and_rubbish_is_not(walls: Walls) -> None:
    gateway = await walls.mac_of(LEFT)
    for rubbish in (b"", b"\0" * 11, b"\xff" * 200, DNSRecord.question("a").pack()[:-2], b"\0" * 1400):
        heard = await walls.asks(datagram(A.mac, gateway, (A.four, "10.9.0.1"), (5000, 53), rubbish), gateway)
        assert [f for f in heard if f[12:14] == struct.pack("!H", IPV4)] == [], rubbish[:20]
    asked = datagram(A.mac, gateway, (A.six, "fd09::1"), (5000, 53), DNSRecord.question("b", "AAAA").pack())
    walls.devices["a"].send(asked)
    async with asyncio.timeout(SECONDS):
        while True:  # the gateway asks where A is, first
            came = await walls.devices["a"].receive_until(lambda f: f[12:14] == struct.pack("!H", IPV6))
            packet = came[-1][14:]
            if packet[6] == UDP:
                break
            if packet[40] == 135:
                walls.devices["a"].send(
                    ether(A.mac, gateway, IPV6, ip(A.six, "fd09::1", ICMP6, icmp6(A.six, "fd09::1", 136, b"\x60\0\0\0" + target_of(A.six) + b"\2\1" + packed(A.mac))))
                )  # fmt: skip
    assert [str(answer.rdata) for answer in DNSRecord.parse(packet[48:]).rr] == [B.six]


def test_nothing_of_it_is_on_the_host() -> None:
    """The host's own name space has no link of a network's."""
    links = {path.name for path in Path("/sys/class/net").iterdir()}
    assert not links & {"left", "right", "inner", "uplink"}
    assert not [name for name in links if name.startswith("br-") and len(name) == 15]
