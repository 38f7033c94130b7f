"""What networks are in the name space: told to netd, and told again when netd has to be started anew.

A daemon without it (no user name spaces, no tun, no nftables) goes on: `reason` says why, and whoever wants to join
a network is refused with it.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from insula.errors import InsulaError, Internal, Unavailable
from insula.network.child import find_child
from insula.network.client import NetdClient, open_netd
from insula.network.endpoint import Endpoint
from insula.network.forward import Target
from insula.network.host import AddressWatch, host_addresses
from insula.network.message import pack
from insula.network.names import Holder
from insula.network.namespace import name_of
from insula.network.network import Network
from insula.network.nft import Lease
from insula.network.ports import BoundPort, bind_again
from insula.network.uplink import Uplink
from insula.paths import Paths

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A tap with a lease."""

    tap: str
    endpoint: Endpoint
    container: str
    domain: str

    @property
    def lease(self) -> Lease:
        end = self.endpoint
        addresses = tuple(address.ip for address in end.interfaces)
        return Lease(self.tap, end.bridge, end.mac, addresses, end.hostward)

    @property
    def holder(self) -> Holder:
        end = self.endpoint
        addresses = tuple(address.ip for address in end.interfaces)
        names = tuple(name.lower() for name in end.names)
        return Holder(self.container, end.bridge, names, addresses, self.domain, end.dns, end.links)


@dataclass(frozen=True, slots=True)
class Published:
    """A port of the host's, and where it leads (None: nowhere now). listener: its socket, so that another netd can be
    given it; None where an earlier daemon bound it and netd alone has it."""

    bound: BoundPort
    target: Target | None
    listener: socket.socket | None

    @property
    def key(self) -> str:
        return self.bound.key

    def close(self) -> None:
        if self.listener is not None:
            self.listener.close()


class Wiring:
    """The wanted state, and one netd that is told it."""

    def __init__(self, paths: Paths) -> None:
        self._folder = paths.run / "net"
        self._run = paths.run
        self._netd: NetdClient | None = None
        self._watch: asyncio.Task[None] | None = None
        self._networks: dict[str, Network] = {}
        self._attached: dict[str, Attachment] = {}
        self._published: dict[str, Published] = {}
        self._known_taps: set[str] = set()
        self._known_ports: set[str] = set()
        self._host_watch: AddressWatch | None = None
        self._telling = asyncio.Lock()
        self._host_task: asyncio.Task[None] | None = None
        self._host_is_new = True
        self._uplink = Uplink(self._folder)
        self.reason = "the network has not been started"

    @property
    def stands(self) -> bool:
        return self._netd is not None

    async def open(self, networks: Iterable[Network]) -> None:
        """Starts netd, or finds it; a failure is kept in `reason`."""
        self._networks = {network.id: network for network in networks}
        try:
            self._watch_host()
            self._netd = await open_netd(self._folder, self._run)
            await self._tell_all(self._netd)
        except (InsulaError, OSError) as error:
            self._drop(str(error))
            log.warning("no networks: %s", error)
            return
        self._watch = asyncio.create_task(self._keep_alive())
        await self._uplink.open(self._netd.spaces)

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait((self._watch,))
        self._unwatch_host()
        self._drop("the daemon ends")
        for published in self._published.values():
            published.close()
        if not self._attached:
            self._end_all()
        await self._uplink.close()

    def _end_all(self) -> None:
        """Nobody is on a network: nothing has to outlive this daemon."""
        name = name_of(self._run)
        self._uplink.end()
        for file in (self._folder / "netd.pid", self._folder / "holder.pid"):
            if pid := find_child(file, name):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                file.unlink(missing_ok=True)

    def _drop(self, reason: str) -> None:
        self.reason = reason
        if self._netd is not None:
            self._netd.close()
            self._netd = None

    async def _keep_alive(self) -> None:
        """Another netd, told everything, as often as one dies."""
        while self._netd is not None:
            await self._netd.held.wait()
            log.warning("netd has ended; starting another")
            self._drop("netd has ended")
            try:
                self._netd = await open_netd(self._folder, self._run)
                await self._tell_all(self._netd)
            except InsulaError as error:
                self._drop(str(error))
                log.error("no networks any more: %s", error)

    async def _tell_all(self, netd: NetdClient) -> None:
        """What should be, to a netd that has it or has not; what should not be is taken away."""
        state = await netd.call("state")
        self._host_is_new = True
        await self._tell_hosts(netd)
        for network in self._networks.values():
            await netd.call("bridge", bridge=pack(network.bridge), plain=network.default)
        for attached in self._attached.values():
            await netd.call("join", lease=pack(attached.lease), holder=pack(attached.holder))
        for published in list(self._published.values()):
            await self._tell_port(netd, await self._with_listener(published))
        self._known_taps = set(state["taps"])
        self._known_ports = set(state["ports"])
        bridges = {network.bridge.name for network in self._networks.values()}
        for name in state["bridges"]:
            if name not in bridges:
                await netd.call("unbridge", name=name)

    async def forget_strays(self) -> None:
        """After adoption: ports and taps that a container of an earlier daemon had, and nobody has now."""
        if self._netd is None:
            return
        for key in self._known_ports - set(self._published):
            await self._netd.call("unpublish", key=key)
        for tap in self._known_taps - set(self._attached):
            await self._netd.call("leave", tap=tap)

    # -- the host's addresses, which no container reaches

    def _watch_host(self) -> None:
        """Raises OSError."""
        self._host_watch = AddressWatch()
        asyncio.get_running_loop().add_reader(self._host_watch, self._on_host_change)

    def _unwatch_host(self) -> None:
        if self._host_watch is not None:
            asyncio.get_running_loop().remove_reader(self._host_watch)
            self._host_watch.close()
            self._host_watch = None
        if self._host_task is not None:
            self._host_task.cancel()

    def _on_host_change(self) -> None:
        """For those that run: netd is told at once."""
        self._note_host_change()
        if self._netd is not None and (self._host_task is None or self._host_task.done()):
            self._host_task = asyncio.create_task(self._follow_host(self._netd))

    def _note_host_change(self) -> None:
        if self._host_watch is None or self._host_watch.changed():
            self._host_is_new = True

    async def _follow_host(self, netd: NetdClient) -> None:
        while self._host_is_new:
            try:
                await self._tell_hosts(netd)
            except (
                InsulaError,
                OSError,
            ) as error:  # the next container to join, or the next netd, has it told
                log.warning("netd does not know the host's new addresses: %s", error)
                return

    async def _tell_hosts(self, netd: NetdClient) -> None:
        """Returns when netd knows the addresses that the host had at the call. Raises Unavailable, Internal."""
        self._note_host_change()
        async with self._telling:
            if not self._host_is_new:
                return
            self._host_is_new = False
            try:
                addresses = await asyncio.to_thread(host_addresses)
                await netd.call("hosts", addresses=sorted(addresses))
            except BaseException:
                self._host_is_new = True
                raise

    async def _with_listener(self, published: Published) -> Published:
        """Bound anew where the netd that had it is gone."""
        if published.listener is None:
            try:
                published = replace(published, listener=bind_again(published.bound))
            except OSError as error:
                raise Unavailable(
                    f"the port {published.key} cannot be had again: {error.strerror}"
                ) from error
            self._published[published.key] = published
        return published

    async def _tell_port(self, netd: NetdClient, published: Published) -> None:
        assert published.listener is not None
        await netd.call(
            "publish", (published.listener.fileno(),), key=published.key, target=pack(published.target)
        )

    def _standing(self) -> NetdClient:
        if self._netd is None:
            raise Unavailable(f"there are no networks: {self.reason}", "insula doctor; or --network none")
        return self._netd

    # -- what the daemon says

    async def add(self, network: Network) -> None:
        """Raises Unavailable, Internal."""
        await self._standing().call("bridge", bridge=pack(network.bridge), plain=network.default)
        self._networks[network.id] = network

    async def drop(self, network: Network) -> None:
        self._networks.pop(network.id, None)
        if self._netd is not None:
            await self._netd.call("unbridge", name=network.bridge.name)

    async def taps(self, names: list[str]) -> list[int]:
        """Raises Unavailable."""
        return await self._standing().taps(names)

    async def join(self, attached: Attachment) -> None:
        netd = self._standing()
        await self._tell_hosts(netd)
        await netd.call("join", lease=pack(attached.lease), holder=pack(attached.holder))
        self._attached[attached.tap] = attached

    async def leave(self, tap: str) -> None:
        self._attached.pop(tap, None)
        if self._netd is not None:
            await self._netd.call("leave", tap=tap)

    async def publish(self, published: Published) -> None:
        """The listener is ours from now on. Raises Unavailable."""
        try:
            await self._tell_port(self._standing(), published)
        except InsulaError:
            published.close()
            raise
        self._published[published.key] = published

    async def retarget(self, key: str, target: Target | None) -> None:
        """From now on the port leads there; connections that there are go on as they can. Raises Unavailable,
        Internal."""
        published = self._published.get(key)
        if published is None or published.target == target:
            return
        self._published[key] = replace(published, target=target)
        if self._netd is not None:  # else the next one is told all
            await self._netd.call("retarget", key=key, target=pack(target))

    async def take_over(self, bound: BoundPort, target: Target | None) -> None:
        """A port that a container of an earlier daemon has; carried by netd all the while, or bound anew.
        Raises Unavailable."""
        published = Published(bound, target, None)
        self._published[published.key] = published
        if published.key not in self._known_ports:
            await self._tell_port(self._standing(), await self._with_listener(published))

    async def unpublish(self, key: str) -> None:
        published = self._published.pop(key, None)
        if published is None:
            return
        published.close()
        if self._netd is not None:
            with suppress(Unavailable, Internal):
                await self._netd.call("unpublish", key=key)
