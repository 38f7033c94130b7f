"""The filter and NAT rules of Insula's network name space, and libnftables, which takes them.

The texts are made of names and addresses that this package made or parsed itself (`ipaddress` objects, hexadecimal
names), never of a client's or guest's words. What they hold:

- from a tap comes only what its lease has: MAC, IPv4 and IPv6 addresses, ARP and neighbour messages for those; no
  router advertisement, no DHCP answer, no other protocol;
- a network's gateway answers its own network's names (port 53) and pings, and no other network's anything;
- networks do not reach each other; what is not internal reaches the uplink, but not the host behind it.
"""

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from insula.errors import Internal, Unavailable

UPLINK = "uplink"
LIBRARY = "libnftables.so.1"
NEVER_4 = "{ 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4, 255.255.255.255 }"
NEVER_6 = "{ ::/127, fe80::/10, ff00::/8 }"
SET_MAX = 4096
HOSTWARD_MARK = 0x7053
"""On datagrams within this name space: they go to the host (hostward_udp.py)."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """A network, as the name space has it. gateways: the bridge's own addresses; apart: its members reach these, and
    what is beyond, but not each other."""

    name: str
    gateways: tuple[IPv4Interface | IPv6Interface, ...]
    internal: bool = False
    mtu: int = 1500
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """What one tap may say. hostward: it reaches the host at its gateway (hostward.py)."""

    tap: str
    bridge: str
    mac: str
    addresses: tuple[IPv4Address | IPv6Address, ...]
    hostward: bool = False


def base_rules() -> str:
    """The tables, empty: to be loaded once, in place of what was there."""
    return f"""
table bridge insula
delete table bridge insula
table inet insula
delete table inet insula
table bridge insula {{
  map taps {{ type ifname : verdict; size {SET_MAX}; }}
  chain from_taps {{
    type filter hook prerouting priority -300; policy drop;
    iifname vmap @taps
  }}
}}
table inet insula {{
  set outward {{ type ifname; size {SET_MAX}; }}
  set host4 {{ type ipv4_addr; size {SET_MAX}; }}
  set host6 {{ type ipv6_addr; size {SET_MAX}; }}
  set hostward4 {{ type ipv4_addr; size {SET_MAX}; }}
  set hostward6 {{ type ipv6_addr; size {SET_MAX}; }}
  chain to_host {{ }}
  chain gateways {{ }}
  chain within {{ }}
  chain input {{
    type filter hook input priority 0; policy drop;
    iifname "lo" accept
    ct state established,related accept
    iifname "{UPLINK}" icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
    iifname "{UPLINK}" drop
    jump to_host
    jump gateways
  }}
  chain forward {{
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    jump within
    ip daddr {NEVER_4} drop
    ip6 daddr {NEVER_6} drop
    ip daddr @host4 reject
    ip6 daddr @host6 reject
    iifname @outward oifname "{UPLINK}" accept
    reject
  }}
  chain out {{
    type nat hook postrouting priority 100; policy accept;
    oifname "{UPLINK}" masquerade
  }}
}}
"""


def bridge_rules(bridges: Iterable[Bridge]) -> str:
    """What depends on which networks there are; replaces what was said before."""
    lines = [
        "flush chain inet insula gateways",
        "flush chain inet insula within",
        "flush set inet insula outward",
    ]
    for bridge in bridges:
        # two machines of one network: bridged frames come by here only where the host loaded br_netfilter
        if not bridge.apart:
            lines.append(
                f'add rule inet insula within iifname "{bridge.name}" oifname "{bridge.name}" accept'
            )
        for gateway in bridge.gateways:
            family, ping = ("ip", "icmp") if gateway.version == 4 else ("ip6", "icmpv6")
            to = f'add rule inet insula gateways iifname "{bridge.name}" {family} daddr {gateway.ip}'
            lines += [f"{to} udp dport 53 accept", f"{to} tcp dport 53 accept"]
            lines.append(f"{to} {ping} type echo-request accept")
            if gateway.version == 6:
                neighbours = "{ nd-neighbor-solicit, nd-neighbor-advert }"
                lines.append(
                    f'add rule inet insula gateways iifname "{bridge.name}" icmpv6 type {neighbours} accept'
                )
        if not bridge.internal:
            lines.append(f'add element inet insula outward {{ "{bridge.name}" }}')
    return "\n".join(lines) + "\n"


def hostward_rules(bridges: Iterable[Bridge], port: int) -> str:
    """Leads to a port of this name space what may go to the host: TCP by redirection, UDP as it is; only where a
    lease has it, for not every kernel can. Replaces what was said before."""
    lines = [
        "add chain inet insula hostward { type nat hook prerouting priority -100; policy accept; }",
        "add chain inet insula hostward_udp { type filter hook prerouting priority -150; policy accept; }",
        "flush chain inet insula hostward",
        "flush chain inet insula hostward_udp",
        "flush chain inet insula to_host",
        f"add rule inet insula to_host ct status dnat tcp dport {port} accept",
        f"add rule inet insula to_host meta mark {HOSTWARD_MARK:#x} meta l4proto udp accept",
    ]
    for bridge in bridges:
        for gateway in () if bridge.internal else bridge.gateways:
            family = "ip" if gateway.version == 4 else "ip6"
            own = f'iifname "{bridge.name}" {family} saddr @hostward{gateway.version} {family} daddr {gateway.ip}'
            proxy = f"meta mark set {HOSTWARD_MARK:#x} tproxy {family} to :{port} accept"
            lines += [
                f"add rule inet insula hostward {own} tcp dport != 53 redirect to :{port}",
                f"add rule inet insula hostward_udp {own} udp dport != 53 {proxy}",
            ]
    return "\n".join(lines) + "\n"


def host_rules(addresses: Iterable[IPv4Address | IPv6Address]) -> str:
    """The host's own addresses, which no container reaches through the uplink."""
    lines = ["flush set inet insula host4", "flush set inet insula host6"]
    for address in addresses:
        lines.append(f"add element inet insula host{address.version} {{ {address} }}")
    return "\n".join(lines) + "\n"


def lease_rules(lease: Lease) -> str:
    """Lets a tap say what its lease has, and nothing else."""
    chain = f"bridge insula {lease.tap}"
    rule = f"add rule {chain}"
    lines = [
        f"add chain {chain}",
        f"flush chain {chain}",
        f"{rule} ether saddr != {lease.mac} drop",
    ]
    own_6 = [address for address in lease.addresses if address.version == 6]
    for address in lease.addresses:
        if address.version == 4:
            lines += [
                f"{rule} arp saddr ether {lease.mac} arp saddr ip {address} accept",
                f"{rule} ip saddr {address} udp sport 67 drop",
                f"{rule} ip saddr {address} accept",
            ]
    if own_6:
        lines += _lease_rules_6(rule, [*own_6, link_local(lease.mac)])
    if lease.hostward:
        lines += [f"add element inet insula hostward{a.version} {{ {a} }}" for a in lease.addresses]
    lines += [f"{rule} drop", f'add element bridge insula taps {{ "{lease.tap}" : jump {lease.tap} }}']
    return "\n".join(lines) + "\n"


def _lease_rules_6(rule: str, own: list[IPv4Address | IPv6Address]) -> list[str]:
    """In neighbour messages the target, which is what others learn, is at byte 8 of the ICMPv6 message."""
    lines = [
        f"{rule} icmpv6 type {{ nd-router-advert, nd-redirect }} drop",
        f"{rule} meta protocol ip6 udp sport 547 drop",  # behind whatever other headers
    ]
    for address in own:
        target = f"@th,64,128 {int(address):#x}"
        lines += [
            f"{rule} ip6 saddr :: icmpv6 type nd-neighbor-solicit {target} accept",
            f"{rule} ip6 saddr {address} icmpv6 type nd-neighbor-advert {target} accept",
        ]
    lines.append(f"{rule} icmpv6 type nd-neighbor-advert drop")
    lines += [f"{rule} ip6 saddr {address} accept" for address in own]
    return lines


def release_rules(lease: Lease) -> str:
    """Takes a tap's lease away: from then on it says nothing."""
    hostward = [f"delete element inet insula hostward{a.version} {{ {a} }}\n" for a in lease.addresses]
    return (
        f'delete element bridge insula taps {{ "{lease.tap}" }}\n'
        f"flush chain bridge insula {lease.tap}\ndelete chain bridge insula {lease.tap}\n"
        + "".join(hostward if lease.hostward else ())
    )


def link_local(mac: str) -> IPv6Address:
    """The address that a kernel gives itself for a MAC (EUI-64, RFC 4291 appendix A)."""
    octets = bytes(int(part, 16) for part in mac.split(":"))
    own = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return IPv6Address(b"\xfe\x80" + bytes(6) + own)


class Nftables:
    """libnftables, in the network name space that this process is in when it is made."""

    def __init__(self) -> None:
        """Raises Unavailable."""
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise Unavailable(f"{LIBRARY} is not installed", "apt-get install nftables") from error
        self._library.nft_ctx_new.restype = ctypes.c_void_p
        self._library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        self._context = ctypes.c_void_p(self._library.nft_ctx_new(0))
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def apply(self, rules: str) -> None:
        """All of the rules or none. Raises Internal with the library's words."""
        if self._library.nft_run_cmd_from_buffer(self._context, rules.encode()):
            said = self._library.nft_ctx_get_error_buffer(self._context) or b""
            raise Internal(
                f"the network's rules were refused: {said.decode(errors='replace').strip()[:1000]}"
            )
        self._library.nft_ctx_get_error_buffer(self._context)
