"""One attachment of a container to a network: what is asked for, and the lease that it got."""

import re
from dataclasses import dataclass, field
from ipaddress import ip_interface

from insula.errors import InvalidArgument
from insula.network.address import IPInterface, parse_address

MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
NAME_MAX = 255
ALIASES_MAX = 256
LINK_WORD = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
LINK_MAX, LINKS_MAX = 512, 64


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """What a container asks of one network. network: name or id, as asked. driver_options: kept and shown."""

    network: str
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    gateway_priority: int = 0
    driver_options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises InvalidArgument."""
        if not self.network or len(self.network) > NAME_MAX or not self.network.isprintable():
            raise InvalidArgument(f"invalid network {self.network[:80]!r}")
        for text, version in ((self.ipv4, 4), (self.ipv6, 6)):
            if text and parse_address(f"IPv{version} address", text).version != version:
                raise InvalidArgument(f"invalid IPv{version} address: {text[:80]}")
        if self.mac:
            check_mac(self.mac)
        if len(self.aliases) > ALIASES_MAX:
            raise InvalidArgument(f"a container has {ALIASES_MAX} aliases on a network at most")
        if len(self.links) > LINKS_MAX:
            raise InvalidArgument(f"a container has {LINKS_MAX} links at most")
        for link in self.links:
            parse_link(link)
        for alias in self.aliases:
            if (
                not alias
                or len(alias.encode()) > NAME_MAX
                or any(not letter.isprintable() for letter in alias)
            ):
                raise InvalidArgument(f"invalid alias {alias[:80]!r}")


def parse_link(text: str) -> tuple[str, str]:
    """`container:alias`, `container`, or as inspect shows it, `/container:/own/alias`: the container and the alias.
    Raises InvalidArgument in Docker's words."""
    target, _, alias = text.partition(":")
    alias = alias or target
    if target.startswith("/"):
        target, alias = target[1:], alias.rpartition("/")[2]
    if not LINK_WORD.fullmatch(target) or not LINK_WORD.fullmatch(alias) or len(text) > LINK_MAX:
        raise InvalidArgument(f"bad format for links: {text[:80]}")
    return target, alias


def check_mac(mac: str) -> None:
    """Raises InvalidArgument in Docker's words: six octets, of one machine's."""
    if not MAC.fullmatch(mac) or int(mac[:2], 16) & 1:
        raise InvalidArgument(f"invalid MAC address: {mac[:40]}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The lease: what a container has on a network while it runs. addresses: with their prefixes; gateways: of the
    same subnets, in the same order; names: what others find it by; links: names that it alone finds others by, with
    theirs; dns: name servers of its own choice; hostward: the host is reached at its gateway."""

    id: str
    network_id: str
    network: str
    bridge: str
    mac: str
    addresses: tuple[str, ...]
    gateways: tuple[str, ...]
    mtu: int
    internal: bool
    plain: bool
    names: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    gateway_priority: int = 0
    dns: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    hostward: bool = False

    def gateway(self, version: int) -> str:
        """Of IPv4 or IPv6; empty if it has no address of that kind."""
        return next((text for text in self.gateways if (":" in text) == (version == 6)), "")

    @property
    def interfaces(self) -> tuple[IPInterface, ...]:
        return tuple(ip_interface(address) for address in self.addresses)
