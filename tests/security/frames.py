"""Frames as a machine's network device may send them, right or wrong, byte by byte; and a device's end of a tap.

Checksums are right, so that nothing is dropped for a wrong one.
"""

import asyncio
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

VNET_HEADER = bytes(12)
BROADCAST = "ff:ff:ff:ff:ff:ff"
ARP, IPV4, IPV6, VLAN = 0x0806, 0x0800, 0x86DD, 0x8100
UDP, TCP, ICMP6 = 17, 6, 58


@dataclass(frozen=True)
class Host:
    """Who sends, or is sent to."""

    mac: str
    four: str
    six: str

    @property
    def link_local(self) -> str:
        octets = bytes.fromhex(self.mac.replace(":", ""))
        return str(
            IPv6Address(
                b"\xfe\x80" + bytes(6) + bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
            )
        )


def packed(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def ether(source: str, target: str, kind: int, payload: bytes) -> bytes:
    return (packed(target) + packed(source) + struct.pack("!H", kind) + payload).ljust(60, b"\0")


def arp(source: str, operation: int, sender: tuple[str, str], target: tuple[str, str]) -> bytes:
    """sender, target: MAC and IPv4 address, as the message claims them."""
    body = struct.pack("!HHBBH", 1, IPV4, 6, 4, operation)
    for mac, address in (sender, target):
        body += packed(mac) + IPv4Address(address).packed
    return ether(source, BROADCAST, ARP, body)


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pseudo(source: str, target: str, protocol: int, size: int) -> bytes:
    addresses = ip_address(source).packed + ip_address(target).packed
    return addresses + (
        struct.pack("!BBH", 0, protocol, size)
        if len(addresses) == 8
        else struct.pack("!IxxxB", size, protocol)
    )


def udp(source: str, target: str, ports: tuple[int, int], data: bytes) -> bytes:
    head = struct.pack("!HHH", *ports, 8 + len(data))
    right = checksum(pseudo(source, target, UDP, 8 + len(data)) + head + b"\0\0" + data) or 0xFFFF
    return head + struct.pack("!H", right) + data


def syn(source: str, target: str, port: int) -> bytes:
    head = struct.pack("!HHIIBBH", 40_000, port, 1, 0, 5 << 4, 2, 64_000)
    right = checksum(pseudo(source, target, TCP, 20) + head + bytes(4))
    return head + struct.pack("!HH", right, 0)


def icmp6(source: str, target: str, kind: int, body: bytes) -> bytes:
    head = struct.pack("!BB", kind, 0)
    right = checksum(pseudo(source, target, ICMP6, 4 + len(body)) + head + b"\0\0" + body)
    return head + struct.pack("!H", right) + body


def ip(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    """IPv4 or IPv6, by the addresses."""
    if ":" in source:
        addresses = IPv6Address(source).packed + IPv6Address(target).packed
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 255) + addresses + payload
    addresses = IPv4Address(source).packed + IPv4Address(target).packed
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(payload), 7, 0, 64, protocol)
    return head + struct.pack("!H", checksum(head + b"\0\0" + addresses)) + addresses + payload


def with_options(protocol: int, payload: bytes) -> bytes:
    """An IPv6 payload behind a header of destination options, of nothing but padding; the number of it is 60."""
    return struct.pack("!BB", protocol, 0) + b"\1\4\0\0\0\0" + payload


def first_piece(protocol: int, payload: bytes) -> bytes:
    """An IPv6 payload as the first of several fragments; the number of their header is 44."""
    return struct.pack("!BBHI", protocol, 0, 1, 7) + payload[: len(payload) // 8 * 8]


def kind_of(packet: str) -> int:
    return IPV6 if ":" in packet else IPV4


def datagram(
    source_mac: str, target_mac: str, addresses: tuple[str, str], ports: tuple[int, int], data: bytes
) -> bytes:
    source, target = addresses
    return ether(
        source_mac, target_mac, kind_of(source), ip(source, target, UDP, udp(source, target, ports, data))
    )


class Device:
    """What a machine has: the other end of a tap."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def send(self, frame: bytes) -> None:
        os.write(self.descriptor, VNET_HEADER + frame)

    async def receive_until(self, wanted: Callable[[bytes], bool]) -> list[bytes]:
        """Every frame, up to one that is wanted."""
        found: list[bytes] = []
        while not found or not wanted(found[-1]):
            try:
                found.append(os.read(self.descriptor, 70_000)[len(VNET_HEADER) :])
            except BlockingIOError:
                ready = asyncio.Event()
                loop = asyncio.get_running_loop()
                loop.add_reader(self.descriptor, ready.set)
                try:
                    await ready.wait()
                finally:
                    loop.remove_reader(self.descriptor)
        return found

    def close(self) -> None:
        os.close(self.descriptor)
