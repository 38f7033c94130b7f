"""A container's place in networks, acquired: addresses leased, ports bound, taps joined; and given back.

What it is to be is decided in leases.py.
"""

import socket
from collections.abc import Iterable
from types import TracebackType

from insula.container.leases import Leases, published, wishes
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec
from insula.errors import InvalidArgument, Unavailable
from insula.guest.guest import Guest
from insula.network.endpoint import Endpoint
from insula.network.forward import Target
from insula.network.networks import Networks
from insula.network.ports import BoundPort, bind_port
from insula.network.wiring import Published

SHORT = 12


class Joined:
    """The leases of one run: acquired by `lease` and `join`, or taken over by `adopt`. Leaving the context gives them
    back, unless the guest was detached from: then they are the next daemon's."""

    def __init__(self, networks: Networks, container: str) -> None:
        self._networks = networks
        self._container = container
        self.leases = Leases()
        self._listeners: dict[BoundPort, socket.socket] = {}
        self._taps: dict[str, Endpoint] = {}
        self._guest: Guest | None = None

    async def __aenter__(self) -> "Joined":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._guest is None or not self._guest.detached:
            await self.release()

    def lease(self, spec: ContainerSpec, settings: Settings, name: str) -> None:
        """Addresses, and the host's ports. Raises InsulaError; what it has by then, `release` gives back."""
        endpoints: list[Endpoint] = []
        for wish in wishes(spec):
            called = tuple(dict.fromkeys((name, *wish.aliases, self._container[:SHORT], settings.hostname)))
            endpoints.append(self._networks.lease(wish, self._container, called, spec.dns))
            self.leases = Leases(tuple(endpoints))
        if not endpoints:
            return
        for wanted in published(spec, settings):
            for bound, listener in bind_port(wanted):
                self._listeners[bound] = listener
        self.leases = Leases(tuple(endpoints), tuple(self._listeners))

    async def join(self, guest: Guest, domain: str) -> None:
        """Each tap into its network, each port carried. Raises InsulaError."""
        self._guest = guest
        check_taps(self.leases.endpoints, guest.taps)
        for tap, endpoint in zip(guest.taps, self.leases.endpoints, strict=False):
            self._taps[tap] = endpoint
            await self._networks.join(tap, endpoint, self._container, domain)
        for bound in self.leases.ports:
            listener = self._listeners.pop(bound)
            target = target_of(bound, self.leases.endpoints)
            if target is None:
                listener.close()
                raise InvalidArgument(
                    f"port {bound.port} cannot be published: no network has an address for it"
                )
            await self._networks.wiring.publish(Published(bound, target, listener))

    async def adopt(self, leases: Leases, guest: Guest, domain: str) -> None:
        """Those of a container that an earlier daemon left running. Raises Unavailable."""
        self.leases, self._guest = leases, guest
        for tap, endpoint in zip(guest.taps, leases.endpoints, strict=False):
            self._networks.adopt(self._container, endpoint)
            self._taps[tap] = endpoint
            await self._networks.join(tap, endpoint, self._container, domain)
        for bound in leases.ports:
            if target := target_of(bound, leases.endpoints):
                await self._networks.wiring.take_over(bound, target)

    async def release(self) -> None:
        """Everything, as far as it was had. Raises nothing: what is left is told to the log."""
        for listener in self._listeners.values():
            listener.close()
        for bound in self.leases.ports:
            await self._networks.wiring.unpublish(bound.key)
        for tap, endpoint in self._taps.items():
            await self._networks.leave(tap, endpoint, self._container)
        for endpoint in self.leases.endpoints:
            self._networks.release(endpoint)
        self._listeners, self._taps, self.leases = {}, {}, Leases()


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
