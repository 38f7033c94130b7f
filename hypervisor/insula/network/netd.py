"""netd: the process in Insula's network name space. Does what the daemon says: bridges, taps, rules, names, ports.

Run by client.py as `python -m insula.network.netd READY NAME HOLDER SOCKET`. It outlives the daemon; a later daemon
connects to the same listening socket, asks what there is, and tells what should be. What is said twice is done once.
It decides nothing, and has no way to a file or to the host's network but the sockets that it is given.
"""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any

from pyroute2 import AsyncIPRoute

from insula.errors import InsulaError
from insula.network import links
from insula.network.dns import Host, NameServer
from insula.network.forward import TcpForward, UdpForward
from insula.network.hostward import PORT, Door, Hostward
from insula.network.hostward_udp import HostwardUdp
from insula.network.links import Links, open_tap
from insula.network.message import receive, send, unpack_bridge, unpack_holder, unpack_lease, unpack_target
from insula.network.names import Names
from insula.network.namespace import NETWORK_ID, NameSpaces, enter
from insula.network.nft import (
    Nftables,
    base_rules,
    bridge_rules,
    host_rules,
    hostward_rules,
    lease_rules,
    release_rules,
)
from insula.network.resolver import start_resolver

TAPS_MAX = 16


class Netd:
    """The state: what was told since this process started. The kernel has the rest."""

    def __init__(self, netlink: AsyncIPRoute, host: Host, door: Door) -> None:
        self._links = Links(netlink)
        self._nft = Nftables()
        self._names = Names()
        self._server = NameServer(self._names, host)
        self._hostward, self._hostward_udp = Hostward(door), HostwardUdp(door)
        self._bridges: dict[str, Any] = {}
        self._leases: dict[str, Any] = {}
        self._ports: dict[str, TcpForward | UdpForward] = {}
        self._nft.apply(base_rules())

    async def do(self, request: dict[str, Any], given: list[int]) -> tuple[Any, list[int]]:
        """Carries out one request; the answer, and descriptors to go with it. Raises anything."""
        actions: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {
            "state": self._state, "bridge": self._bridge, "unbridge": self._unbridge, "join": self._join,
            "leave": self._leave, "hosts": self._hosts, "unpublish": self._unpublish, "names": self._name,
            "retarget": self._retarget,
        }  # fmt: skip
        what = request["do"]
        if what == "taps":
            return await self._taps(request)
        if what == "publish":
            await self._publish(request, given)
            return None, []
        return await actions[what](request), []

    async def _state(self, _: dict[str, Any]) -> dict[str, list[str]]:
        return {"bridges": list(self._bridges), "taps": list(self._leases), "ports": list(self._ports)}

    async def _taps(self, request: dict[str, Any]) -> tuple[None, list[int]]:
        made: list[int] = []
        try:
            for name in request["names"][:TAPS_MAX]:
                made.append(open_tap(name))
        except OSError:
            for descriptor in made:
                os.close(descriptor)
            raise
        return None, made

    async def _bridge(self, request: dict[str, Any]) -> None:
        bridge, plain = unpack_bridge(request["bridge"]), bool(request["plain"])
        await self._links.bridge(bridge)
        self._bridges[bridge.name] = bridge
        self._nft.apply(bridge_rules(self._bridges.values()))
        internal = {name for name, item in self._bridges.items() if item.internal}
        self._names.internal = frozenset(internal)
        self._names.plain = self._names.plain | {bridge.name} if plain else self._names.plain - {bridge.name}
        await self._server.listen(bridge.name, bridge.gateways)

    async def _unbridge(self, request: dict[str, Any]) -> None:
        name = request["name"]
        self._bridges.pop(name, None)
        self._server.ignore(name)
        self._nft.apply(bridge_rules(self._bridges.values()))
        await self._links.remove(name)

    async def _join(self, request: dict[str, Any]) -> None:
        lease, holder = unpack_lease(request["lease"]), unpack_holder(request["holder"])
        if self._leases.get(lease.tap) != lease:
            self._release(lease.tap)
            if lease.hostward:
                self._lead_hostward()
            self._nft.apply(lease_rules(lease))
            self._leases[lease.tap] = lease
        self._names.holders[lease.tap] = holder
        bridge = self._bridges.get(lease.bridge)
        await self._links.join(lease.tap, lease.bridge, apart=bridge is not None and bridge.apart)

    def _lead_hostward(self) -> None:
        """Raises OSError, Internal if this kernel cannot."""
        self._hostward.listen()
        self._hostward_udp.listen()
        self._nft.apply(hostward_rules(self._bridges.values(), PORT))

    async def _name(self, request: dict[str, Any]) -> None:
        self._names.holders[request["tap"]] = unpack_holder(request["holder"])

    async def _leave(self, request: dict[str, Any]) -> None:
        tap = request["tap"]
        self._names.holders.pop(tap, None)
        await self._links.leave(tap)
        self._release(tap)

    def _release(self, tap: str) -> None:
        """Raises Internal."""
        if lease := self._leases.pop(tap, None):
            self._nft.apply(release_rules(lease))
            if lease.hostward:
                self._hostward_udp.forget(lease.addresses)

    async def _hosts(self, request: dict[str, Any]) -> None:
        self._nft.apply(host_rules(ip_address(item) for item in request["addresses"]))

    async def _publish(self, request: dict[str, Any], given: list[int]) -> None:
        key, target = request["key"], unpack_target(request["target"])
        listener = socket.socket(fileno=given.pop(0))
        if (held := self._ports.get(key)) and held.target == target:
            listener.close()  # carried already; the connections go on
            return
        if held:
            held.cut()
        forward = UdpForward if listener.type == socket.SOCK_DGRAM else TcpForward
        self._ports[key] = forward(listener, target)

    async def _retarget(self, request: dict[str, Any]) -> None:
        if held := self._ports.get(request["key"]):
            held.lead(unpack_target(request["target"]))

    async def _unpublish(self, request: dict[str, Any]) -> None:
        if held := self._ports.pop(request["key"], None):
            held.cut()


async def serve(listener: socket.socket, netd: Netd) -> None:
    """One daemon at a time, the newest: a later one's connection ends an earlier one's."""
    loop = asyncio.get_running_loop()
    current: asyncio.Task[None] | None = None
    while True:
        connection, _ = await loop.sock_accept(listener)
        if current is not None:
            current.cancel()
        current = loop.create_task(_converse(connection, netd))


async def _converse(connection: socket.socket, netd: Netd) -> None:
    """Requests one after another, in their order."""
    connection.setblocking(False)
    ready = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(connection, ready.set)
    try:
        while True:
            try:
                request, given = receive(connection)
            except BlockingIOError:
                ready.clear()
                await ready.wait()
                continue
            if request is None:
                return
            await _carry_out(connection, netd, request, given)
    except (OSError, ValueError):
        traceback.print_exc()
    finally:
        loop.remove_reader(connection)
        connection.close()


async def _carry_out(
    connection: socket.socket, netd: Netd, request: dict[str, Any], given: list[int]
) -> None:
    answer: dict[str, Any] = {"id": request.get("id")}
    descriptors: list[int] = []
    try:
        answer["ok"], descriptors = await netd.do(request, given)
    except InsulaError as error:
        answer["error"] = str(error)
    except Exception as error:  # the daemon is told, whatever it was
        traceback.print_exc()
        answer["error"] = f"{type(error).__name__}: {error}"
    finally:
        for descriptor in given:
            os.close(descriptor)
    send(connection, answer, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)


async def run(listener: socket.socket, pairs: tuple[socket.socket, socket.socket], ready: int) -> None:
    listener.setblocking(False)
    async with AsyncIPRoute() as netlink:
        host = Host(pairs[0])
        answers = asyncio.create_task(host.run())
        door = Door(pairs[1])
        door.open()
        netd = Netd(netlink, host, door)
        os.write(ready, b"ready")
        os.close(ready)
        await serve(listener, netd)
        await answers


def main() -> None:
    ready, holder, listener = int(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        pairs = start_resolver(NETWORK_ID if os.geteuid() == 0 else None)
        enter(NameSpaces(holder))
        links.prepare_host()
        asyncio.run(run(socket.socket(fileno=listener), pairs, ready))
    except (OSError, InsulaError) as error:
        traceback.print_exc()
        with contextlib.suppress(OSError):
            os.write(ready, str(error).encode())
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
