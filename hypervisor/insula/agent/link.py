"""A network device of the machine as the container sees it: name, MAC, MTU, addresses and routes.

Part of the boot document (docs/protocol.md §5). The host decided all of it; the agent carries it out.
"""

from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_interface,
    ip_network,
)

from insula.agent.fields import (
    U8,
    U8_MAX,
    U16_MAX,
    U32,
    Reader,
    check_count,
    check_number,
    check_text,
    pack_list,
    pack_string,
)
from insula.errors import InvalidArgument

LINK_NAME_MAX = 15  # IFNAMSIZ - 1


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a link, with the length of its network's prefix."""

    value: IPv4Interface | IPv6Interface

    def encode(self) -> bytes:
        value = self.value
        return U8.pack(value.version) + pad_address(value.ip.packed) + U8.pack(value.network.prefixlen)

    @classmethod
    def decode(cls, reader: Reader) -> "Address":
        address = _read_address(reader, reader.u8())
        return cls(ip_interface((address, reader.u8())))


@dataclass(frozen=True, slots=True)
class Route:
    """A route through a link. gateway: None where the destination is on the link."""

    destination: IPv4Network | IPv6Network
    gateway: IPv4Address | IPv6Address | None = None

    def __post_init__(self) -> None:
        if self.gateway is not None and self.gateway.version != self.destination.version:
            raise InvalidArgument(f"the gateway {self.gateway} cannot lead to {self.destination}")

    def encode(self) -> bytes:
        to = self.destination
        gateway = self.gateway.packed if self.gateway is not None else b""
        network = U8.pack(to.version) + pad_address(to.network_address.packed) + U8.pack(to.prefixlen)
        return network + pad_address(gateway)

    @classmethod
    def decode(cls, reader: Reader) -> "Route":
        family = reader.u8()
        to, prefix, gateway = _read_address(reader, family), reader.u8(), _read_address(reader, family)
        return cls(ip_network((to, prefix)), gateway if int(gateway) else None)


@dataclass(frozen=True, slots=True)
class Link:
    """A network device of the machine, by its index, moved into the container under a name."""

    nic: int
    name: str
    mac: bytes
    mtu: int
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()

    def __post_init__(self) -> None:
        check_number("a network device's index", self.nic, 0, U8_MAX)
        check_text("a link's name", self.name, LINK_NAME_MAX, empty=False)
        if "/" in self.name or self.name in (".", ".."):
            raise InvalidArgument(f"a link cannot be named {self.name!r}")
        if not isinstance(self.mac, bytes) or len(self.mac) != 6:
            raise InvalidArgument(f"the MAC of {self.name} is not of six bytes")
        check_number("an MTU", self.mtu, 68, U16_MAX)
        check_count("addresses", self.addresses)
        check_count("routes", self.routes)

    def encode(self) -> bytes:
        return b"".join((
            U8.pack(self.nic), pack_string(self.name), self.mac, U32.pack(self.mtu),
            pack_list(address.encode() for address in self.addresses),
            pack_list(route.encode() for route in self.routes),
        ))  # fmt: skip

    @classmethod
    def decode(cls, reader: Reader) -> "Link":
        nic, name = reader.u8(), reader.string(LINK_NAME_MAX)
        mac, mtu = reader.raw(6), reader.u32()
        addresses = reader.items(lambda: Address.decode(reader))
        return cls(nic, name, mac, mtu, addresses, reader.items(lambda: Route.decode(reader)))


def pad_address(address: bytes) -> bytes:
    """An IPv4 address takes the first four of the sixteen bytes."""
    return address.ljust(16, b"\0")


def _read_address(reader: Reader, family: int) -> IPv4Address | IPv6Address:
    data = reader.raw(16)
    if family == 6:
        return IPv6Address(data)
    if family != 4 or any(data[4:]):
        raise reader.fail(f"an address of the family {family}")
    return IPv4Address(data[:4])
