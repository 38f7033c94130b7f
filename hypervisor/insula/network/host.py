"""What the host's own network has: its addresses, which containers may not reach, and its subnets, which no network
of ours may overlap. Reads only; blocks for about a millisecond: for a thread."""

from contextlib import suppress
from ipaddress import ip_interface, ip_network

from pyroute2 import IPRoute

from insula.network.address import IPNetwork
from insula.network.resolver import RESOLV_CONF

RT_TABLE_MAIN = 254
SEARCH_MAX = 6


def host_addresses() -> frozenset[str]:
    """Every address of the host but its loopback's own."""
    with IPRoute() as netlink:
        found = {
            message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS") for message in netlink.get_addr()
        }
    return frozenset(str(address) for address in found if address and not ip_interface(address).is_loopback)


def host_subnets() -> list[IPNetwork]:
    """Where the host's routes lead, but for the default."""
    found: list[IPNetwork] = []
    with IPRoute() as netlink:
        for route in netlink.get_routes(table=RT_TABLE_MAIN):
            if destination := route.get_attr("RTA_DST"):
                found.append(ip_network(f"{destination}/{route['dst_len']}", strict=False))
    return found


def host_search() -> tuple[str, ...]:
    """The search domains of the host's resolv.conf; the last line counts (resolv.conf(5))."""
    found: tuple[str, ...] = ()
    with suppress(OSError, UnicodeError):
        for line in RESOLV_CONF.read_text().splitlines():
            words = line.split()
            if words and words[0] in ("search", "domain"):
                found = tuple(words[1 : SEARCH_MAX + 1])
    return found
