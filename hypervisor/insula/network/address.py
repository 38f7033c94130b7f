"""Chooses subnets and addresses. Pure: what is taken goes in, a choice or a refusal in Docker's words comes out."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from itertools import chain

from insula.errors import Forbidden, InvalidArgument

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
IPInterface = IPv4Interface | IPv6Interface

DEFAULT_POOLS = (
    *IPv4Network("172.16.0.0/12").subnets(new_prefix=16),
    *IPv4Network("192.168.0.0/16").subnets(new_prefix=20),
)
"""Docker's default address pools, without its 172.16: a network's first choice is 172.17."""
POOLS_6 = IPv6Network("fd49:6e73:756c::/48")  # a unique local prefix (RFC 4193) of our own
CHOICES_MAX = 70_000
"""Addresses looked at in one subnet: all of a /16."""
SUBNETS_MAX = 8


@dataclass(frozen=True, slots=True)
class Subnet:
    """One subnet of a network. range: where addresses are chosen; auxiliary: name → address kept free."""

    network: IPNetwork
    gateway: IPAddress
    range: IPNetwork
    auxiliary: dict[str, IPAddress] = field(default_factory=dict)

    @property
    def interface(self) -> IPInterface:
        """The gateway with the subnet's prefix."""
        return ip_interface((self.gateway, self.network.prefixlen))


def make_subnet(
    subnet: str, gateway: str = "", range: str = "", auxiliary: dict[str, str] | None = None
) -> Subnet:
    """A subnet as asked for. Raises InvalidArgument in Docker's words."""
    network = parse_network("subnet", subnet)
    within = parse_network("ip-range", range) if range else network
    if range and (within.version != network.version or not within.subnet_of(network)):  # type: ignore[arg-type]
        raise InvalidArgument(f"invalid ip-range {range[:80]}: it is not within the subnet {network}")
    kept = {name: parse_address("auxiliary address", text) for name, text in (auxiliary or {}).items()}
    for address in kept.values():
        if address not in network:
            raise InvalidArgument(f"invalid auxiliary address {address}: not within the subnet {network}")
    chosen = parse_address("gateway", gateway.partition("/")[0]) if gateway else None
    if chosen is not None and chosen not in network:
        raise InvalidArgument(f"invalid gateway {chosen}: it is not within the subnet {network}")
    if network.num_addresses < 4:
        raise InvalidArgument(f"invalid subnet {network}: it has no room for a gateway and a container")
    if chosen is None:
        chosen = next((address for address in _hosts(network) if address not in kept.values()), None)
    if chosen is None:
        raise InvalidArgument(f"invalid subnet {network}: auxiliary addresses leave none for the gateway")
    return Subnet(network, chosen, within, kept)


def parse_network(what: str, text: str) -> IPNetwork:
    """Raises InvalidArgument."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise InvalidArgument(f"invalid {what} {text[:80]}: invalid CIDR block notation") from None


def parse_address(what: str, text: str) -> IPAddress:
    """Raises InvalidArgument."""
    try:
        address = ip_address(text)
    except ValueError:
        raise InvalidArgument(f"invalid {what} {text[:80]}: it is no address") from None
    if isinstance(address, IPv6Address) and address.scope_id:
        raise InvalidArgument(f"invalid {what} {text[:80]}: it has a zone")
    return address


def choose_subnet(version: int, taken: Iterable[IPNetwork]) -> Subnet:
    """The first default pool that overlaps nothing. Raises Forbidden if all are used up."""
    known = [network for network in taken if network.version == version]
    pools: Iterator[IPNetwork]
    pools = chain(DEFAULT_POOLS[1:], DEFAULT_POOLS[:1]) if version == 4 else POOLS_6.subnets(new_prefix=64)
    for pool in pools:
        if not any(pool.overlaps(network) for network in known):
            return make_subnet(str(pool))
    raise Forbidden("all predefined address pools have been fully subnetted")


def check_overlap(network: IPNetwork, taken: Iterable[IPNetwork]) -> None:
    """Raises Forbidden in Docker's words."""
    for other in taken:
        if other.version == network.version and network.overlaps(other):
            raise Forbidden("invalid pool request: Pool overlaps with other one on this address space")


def choose_address(
    subnet: Subnet, taken: Collection[IPAddress], wanted: IPAddress | None = None
) -> IPAddress:
    """A free address of the subnet: the one wanted, or the lowest. Raises Forbidden in Docker's words."""
    kept = {subnet.gateway, *subnet.auxiliary.values()}
    if wanted is not None:
        if wanted in taken or wanted in kept or wanted in _edges(subnet.network):
            raise Forbidden("Address already in use")
        return wanted
    for number, address in enumerate(_hosts(subnet.range)):
        if number >= CHOICES_MAX:
            break
        if address not in taken and address not in kept and address not in _edges(subnet.network):
            return address
    raise Forbidden("no available IPv4 addresses on this network's address pools")


def make_mac(address: IPv4Address | IPv6Address) -> str:
    """A MAC of one address's own: locally administered, so unique in the network as the address is."""
    return ":".join(f"{octet:02x}" for octet in b"\x02\x42" + address.packed[-4:])


def _edges(network: IPNetwork) -> tuple[IPAddress, ...]:
    """Addresses that no host has: the network's own, and IPv4's broadcast."""
    if network.version == 4:
        return network.network_address, network.broadcast_address
    return (network.network_address,)


def _hosts(network: IPNetwork) -> Iterator[IPAddress]:
    """All addresses, lowest first, without the subnet's own where the range begins with it."""
    first = int(network.network_address)
    make = IPv4Address if network.version == 4 else IPv6Address
    edges = _edges(network)
    for number in range(first, first + network.num_addresses):
        address = make(number)
        if address not in edges:
            yield address
