"""A container's place in networks, acquired: addresses leased, ports bound, taps joined; and given back.

What it is to be is decided in leases.py. While it runs networks come and go (relinking.py), one change at a time.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from types import TracebackType

from insula.container.leases import Leases, Linked, published, wants_host, wishes
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec
from insula.errors import Conflict, InvalidArgument, Unavailable
from insula.guest.guest import Guest
from insula.network.endpoint import Endpoint, EndpointSpec
from insula.network.forward import Target
from insula.network.networks import Networks
from insula.network.ports import BoundPort, bind_port
from insula.network.wiring import Published

SHORT = 12


class Joined:
    """The leases of one run: acquired by `lease` and `join`, or taken over by `adopt`. Leaving the context gives them
    back, unless the guest was detached from: then they are the next daemon's."""

    def __init__(self, networks: Networks, container: str) -> None:
        self.networks = networks
        self.leases = Leases()
        self._container = container
        self._listeners: dict[BoundPort, socket.socket] = {}
        self._on: dict[int, Endpoint] = {}  # by device: those whose taps are in their networks
        self._guest: Guest | None = None
        self._turn: asyncio.Future[None] | None = None
        self._over = False

    async def __aenter__(self) -> "Joined":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        while self._turn is not None:
            await asyncio.wait((self._turn,))
        if self._guest is None or not self._guest.detached:
            await self.release()

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """A change of what a running container has: one at a time. Raises Conflict once the run is over."""
        while self._turn is not None:
            await asyncio.wait((self._turn,))
        if self._over:
            raise Conflict(f"container {self._container} is not running")
        self._turn = turn = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            self._turn = None
            turn.set_result(None)

    # -- at a start

    def lease(
        self, spec: ContainerSpec, settings: Settings, name: str, linked: tuple[Linked, ...] = ()
    ) -> None:
        """Addresses, and the host's ports. Raises InsulaError; what it has by then, `release` gives back."""
        endpoints: list[Endpoint] = []
        for wish in wishes(spec):
            endpoints.append(self.choose(wish, spec, settings, name))
            self.leases = Leases(tuple(endpoints))
        if wants_host(spec) and self.leases.host_endpoint is None:
            raise InvalidArgument("host-gateway needs a network that is not internal", "--network bridge")
        if not endpoints:
            return
        for wanted in published(spec, settings):
            for bound, listener in bind_port(wanted):
                self._listeners[bound] = listener
        self.leases = Leases(tuple(endpoints), tuple(self._listeners), linked=linked)

    def choose(self, wish: EndpointSpec, spec: ContainerSpec, settings: Settings, name: str) -> Endpoint:
        """An endpoint's addresses, taken from now on. Raises NotFound, Forbidden, InvalidArgument."""
        called = (name, *wish.aliases, self._container[:SHORT], settings.hostname)
        names = tuple(dict.fromkeys(called))
        return self.networks.lease(wish, self._container, names, spec.dns, hostward=wants_host(spec))

    async def join(self, guest: Guest, domain: str) -> None:
        """Each tap into its network, each port carried. Raises InsulaError."""
        self._guest = guest
        check_taps(self.leases.endpoints, guest.taps)
        for nic, endpoint in self.leases.placed:
            await self.put_on(nic, endpoint, domain)
        for bound in self.leases.ports:
            listener = self._listeners.pop(bound)
            target = target_of(bound, self.leases.endpoints)
            if target is None:
                listener.close()
                raise InvalidArgument(
                    f"port {bound.port} cannot be published: no network has an address for it"
                )
            await self.networks.wiring.publish(Published(bound, target, listener))

    async def adopt(self, leases: Leases, guest: Guest, domain: str) -> None:
        """Those of a container that an earlier daemon left running. Raises Unavailable."""
        self.leases, self._guest = leases, guest
        for nic, endpoint in leases.placed:
            self.networks.adopt(self._container, endpoint)
            await self.put_on(nic, endpoint, domain)
        for bound in leases.ports:
            await self.networks.wiring.take_over(bound, target_of(bound, leases.endpoints))

    # -- while it runs

    async def put_on(self, nic: int, endpoint: Endpoint, domain: str) -> None:
        """A device's tap into its network. Raises Unavailable, Internal."""
        if self._guest is None or nic >= len(self._guest.taps):
            raise Unavailable("the machine has no network", "insula doctor; or --network none")
        self._on[nic] = endpoint
        await self.networks.join(self._guest.taps[nic], endpoint, self._container, domain)

    async def take_off(self, nic: int) -> None:
        """A device's tap out of its network: nothing more goes in or out. What fails is told to the log."""
        endpoint = self._on.pop(nic, None)
        if endpoint is not None and self._guest is not None:
            await self.networks.leave(self._guest.taps[nic], endpoint, self._container)

    async def aim_ports(self) -> None:
        """Published ports to an address that the container has now. Raises Unavailable, Internal."""
        for bound in self.leases.ports:
            await self.networks.wiring.retarget(bound.key, target_of(bound, self.leases.endpoints))

    async def rename(self, old: str, new: str, domain: str) -> None:
        """Others find it by its new name. Raises Unavailable, Internal."""
        for nic, endpoint in tuple(self._on.items()):
            names = (
                (new, *(name for name in endpoint.names if name not in (old, new))) if endpoint.names else ()
            )
            renamed = replace(endpoint, names=names)
            assert self._guest is not None
            await self.networks.rename(self._guest.taps[nic], renamed, self._container, domain)
            self._on[nic] = renamed
            placed = dict(self.leases.placed) | {nic: renamed}
            self.leases = replace(self.leases, endpoints=tuple(placed.values()), nics=tuple(placed))

    async def release(self) -> None:
        """Everything, as far as it was had. Raises nothing: what is left is told to the log."""
        for listener in self._listeners.values():
            listener.close()
        for bound in self.leases.ports:
            await self.networks.wiring.unpublish(bound.key)
        for nic in tuple(self._on):
            await self.take_off(nic)
        for endpoint in self.leases.endpoints:
            self.networks.release(endpoint)
        self._listeners, self.leases = {}, Leases()


def check_taps(endpoints: tuple[Endpoint, ...], taps: tuple[str, ...]) -> None:
    """Raises Unavailable, InvalidArgument."""
    if endpoints and not taps:
        raise Unavailable("the machine has no network", "insula doctor; or --network none")
    if len(endpoints) > len(taps):
        raise InvalidArgument(f"a container can be on {len(taps)} networks at a time, not {len(endpoints)}")


def target_of(bound: BoundPort, endpoints: Iterable[Endpoint]) -> Target | None:
    """Where a port leads: the container's address of the same kind, else its other one."""
    addresses = [interface.ip for endpoint in endpoints for interface in endpoint.interfaces]
    version = 6 if ":" in bound.host_ip else 4
    chosen = next((a for a in addresses if a.version == version), None) or next(iter(addresses), None)
    return None if chosen is None else Target(chosen, bound.port)
