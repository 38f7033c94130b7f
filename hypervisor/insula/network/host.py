"""What the host's own network has: its addresses, which containers may not reach, and its subnets, which no network
of ours may overlap. Reads only; blocks for some milliseconds: for a thread, but for what `AddressWatch` does."""

import socket
from contextlib import suppress
from ipaddress import ip_interface, ip_network

from pyroute2 import IPRoute

from insula.network.address import IPNetwork
from insula.network.resolver import RESOLV_CONF

RT_TABLE_MAIN = 254
SEARCH_MAX = 6
RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x10, 0x100  # linux/rtnetlink.h
NOTE_MAX = 1 << 16


class AddressWatch:
    """Notices that an address of the host's has come or gone, as the kernel tells it. Reading them all costs a start
    more than the rest of its network; asking here, one system call."""

    def __init__(self) -> None:
        """Raises OSError."""
        self._notes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        try:
            self._notes.bind((0, RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
        except OSError:
            self._notes.close()
            raise

    def fileno(self) -> int:
        return self._notes.fileno()

    def changed(self) -> bool:
        """Whether something has, since this was asked last. What the kernel told is not looked at: it is all read."""
        told = False
        while True:
            try:
                self._notes.recv(NOTE_MAX)
            except BlockingIOError:
                return told
            except OSError:  # it had more to tell than there was room for
                return True
            told = True

    def close(self) -> None:
        self._notes.close()


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
