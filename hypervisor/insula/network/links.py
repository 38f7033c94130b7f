"""The bridges and taps of Insula's network name space, by netlink. Runs inside it, in netd.

A tap lives as long as somebody holds its descriptor, which is QEMU: nothing is left of a machine's when it is gone.
Multicast snooping is off (few members, and neighbour discovery must always get through), and so is the kernel's own
IPv6 set-up of bridges: addresses are those it is told.
"""

import fcntl
import hashlib
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from insula.network.nft import Bridge

TUNSETIFF, TUNSETVNETHDRSZ, TUNSETOFFLOAD = 0x400454CA, 0x400454D8, 0x400454D0  # if_tun.h
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
VNET_HDR_BYTES = 12  # with num_buffers: virtio 1
PROTOCOL = 99
"""Marks the addresses that are ours."""


class Links:
    """Names of links are this package's own: never a client's words."""

    def __init__(self, netlink: AsyncIPRoute) -> None:
        self._netlink = netlink

    async def index(self, name: str) -> int | None:
        try:
            return socket.if_nametoindex(name)
        except OSError:
            return None

    async def bridge(self, bridge: Bridge) -> None:
        """Makes it, or changes what is there to what is told."""
        if await self.index(bridge.name) is None:
            await self._netlink.link(
                "add", ifname=bridge.name, kind="bridge", br_stp_state=0, br_mcast_snooping=0, mtu=bridge.mtu
            )
            _set("ipv6", bridge.name, "accept_ra", "0")
            _set("ipv6", bridge.name, "addr_gen_mode", "1")
        index = await self.index(bridge.name)
        await self._netlink.link(
            "set", index=index, mtu=bridge.mtu, address=bridge_mac(bridge.name), state="up"
        )
        for gateway in bridge.gateways:
            with suppress(NetlinkError):  # it has it
                await self._netlink.addr(
                    "add",
                    index=index,
                    address=str(gateway.ip),
                    prefixlen=gateway.network.prefixlen,
                    flags=0x02,
                )

    async def remove(self, name: str) -> None:
        if (index := await self.index(name)) is not None:
            await self._netlink.link("del", index=index)

    async def join(self, tap: str, bridge: str, *, apart: bool = False) -> None:
        """Puts a tap into a bridge; apart: where it hears nothing of other such taps, nor they of it. Raises
        LookupError if one of them is not there."""
        link, master = await self.index(tap), await self.index(bridge)
        if link is None or master is None:
            raise LookupError(tap if link is None else bridge)
        if apart:  # before it can say anything
            await self._netlink.link("set", index=link, master=master)
            await self._netlink.brport("set", index=link, isolated=1)
        await self._netlink.link("set", index=link, master=master, state="up")

    async def leave(self, tap: str) -> None:
        if (index := await self.index(tap)) is not None:
            await self._netlink.link("set", index=index, master=0, state="down")


def bridge_mac(name: str) -> str:
    """A bridge's own MAC, from its name: one that is not told has the lowest of its ports', so that its members would
    lose it, for as long as they remember another, whenever that port comes or goes."""
    return (b"\x02\x69" + hashlib.sha256(name.encode()).digest()[:4]).hex(":")


def open_tap(name: str) -> int:
    """A new tap outside any bridge; the descriptor is what QEMU gets. Raises OSError."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        fcntl.ioctl(tap, TUNSETVNETHDRSZ, struct.pack("i", VNET_HDR_BYTES))
        _set("ipv6", name, "disable_ipv6", "1")
    except OSError:
        os.close(tap)
        raise
    return tap


def prepare_host() -> None:
    """What this name space forwards, as the kernel has it. Raises OSError."""
    _write("ipv4", "ip_forward", "1")
    _write("ipv6", "conf/all/forwarding", "1")
    _write("ipv4", "conf/all/accept_redirects", "0")
    _write("ipv4", "conf/all/send_redirects", "0")
    _write("ipv4", "conf/all/rp_filter", "1")
    for name in ("iptables", "ip6tables", "arptables"):
        with suppress(OSError):  # there where the host has loaded br_netfilter
            _write("bridge", f"bridge-nf-call-{name}", "0")


def _set(family: str, link: str, name: str, value: str) -> None:
    with suppress(FileNotFoundError):  # a kernel without IPv6
        _write(family, f"conf/{link}/{name}", value)


def _write(family: str, name: str, value: str) -> None:
    (Path("/proc/sys/net") / family / name).write_text(value)
