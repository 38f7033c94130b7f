"""All networks of one daemon: their records, who has which address, and netd told about it.

Leases live as long as a container runs, and are told by its record to a later daemon (`adopt`). Everything is said
to netd again when it was started anew, so that neither its death nor the daemon's loses a network.
"""

import asyncio
import logging
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from insula.database import Database
from insula.errors import Conflict, Forbidden, InsulaError, InvalidArgument, NotFound
from insula.events import Event, EventBus
from insula.network.address import (
    IPAddress,
    IPNetwork,
    Subnet,
    check_overlap,
    choose_address,
    choose_subnet,
    make_mac,
    parse_address,
)
from insula.network.endpoint import Endpoint, EndpointSpec, parse_link
from insula.network.host import host_search
from insula.network.network import (
    DEFAULT,
    Network,
    NetworkSpec,
    check_options,
    network_from_document,
    new_id,
    new_network,
)
from insula.network.wiring import Attachment, Wiring
from insula.paths import Paths

NETWORK = "network"
DEFAULT_SPEC = NetworkSpec("default-bridge")
SHORT = 12

log = logging.getLogger(__name__)


class Networks:
    """For the event loop's thread only."""

    def __init__(self, paths: Paths, database: Database, events: EventBus) -> None:
        self._database = database
        self._events = events
        self._networks: dict[str, Network] = {}
        self._leases: dict[
            str, dict[str, tuple[str, Endpoint]]
        ] = {}  # network → endpoint id → container, lease
        self._changing = asyncio.Lock()
        self.wiring = Wiring(paths)
        self.search: tuple[str, ...] = ()
        """The host's search domains."""

    async def open(self, in_use: Iterable[IPNetwork] = ()) -> None:
        """Reads the records; makes the default network at the first start, beside the subnets that the host uses.

        The wiring is another matter: without it there are still networks, but no container can join one."""
        documents = await self._database.run(lambda t: t.all(NETWORK))
        for id, document in documents.items():
            self._networks[id] = network_from_document(id, document)
        if not any(network.default for network in self._networks.values()):
            subnet = choose_subnet(4, [*in_use, *self._subnets()])
            await self._keep(new_network(DEFAULT_SPEC, (subnet,), default=True))
        self.search = await asyncio.to_thread(host_search)
        await self.wiring.open(self._networks.values())

    async def close(self) -> None:
        """Lets go; what is wired stays so."""
        await self.wiring.close()

    # -- looking

    def all(self) -> tuple[Network, ...]:
        """Newest first."""
        return tuple(sorted(self._networks.values(), key=lambda network: network.created_ns, reverse=True))

    def find(self, reference: str) -> Network:
        """By id, name or the beginning of an id, in this order. Raises NotFound, InvalidArgument (ambiguous)."""
        if reference in self._networks:
            return self._networks[reference]
        wanted = DEFAULT if reference in ("", "default") else reference
        for network in self._networks.values():
            if network.name == wanted:
                return network
        found = [network for id, network in self._networks.items() if id.startswith(reference)]
        if len(found) > 1:
            raise InvalidArgument(
                f"network {reference[:80]} is ambiguous ({len(found)} matches found on its id)"
            )
        if not found:
            raise NotFound(f"network {reference[:120]} not found")
        return found[0]

    def members(self, network: Network) -> dict[str, Endpoint]:
        """Container → its endpoint, of those that run."""
        return dict(self._leases.get(network.id, {}).values())

    # -- making

    async def create(self, spec: NetworkSpec, in_use: Iterable[IPNetwork] = ()) -> Network:
        """in_use: the host's own subnets, which no choice may overlap.

        Raises Conflict (name), Forbidden (overlap), InvalidArgument (options)."""
        check_options(spec.options)
        async with self._changing:
            if any(network.name == spec.name for network in self._networks.values()):
                raise Conflict(f"network with name {spec.name} already exists")
            subnets: list[Subnet] = []
            for subnet in spec.subnets:
                check_overlap(subnet.network, [*self._subnets(), *(s.network for s in subnets)])
                subnets.append(subnet)
            versions = {subnet.network.version for subnet in subnets}
            if 6 in versions and not spec.ipv6:
                raise InvalidArgument("an IPv6 subnet needs IPv6 to be enabled", "--ipv6")
            for version, wanted in ((4, spec.ipv4), (6, spec.ipv6)):
                if wanted and version not in versions:
                    subnets.append(choose_subnet(version, [*in_use, *self._subnets()]))
            network = new_network(spec, tuple(subnets))
            await self.wiring.add(network)
            await self._keep(network)
        self._publish("create", network)
        return network

    async def remove(self, reference: str) -> None:
        """Raises NotFound, Forbidden (in use, or the default)."""
        async with self._changing:
            network = self.find(reference)
            if network.default:
                raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
            if members := self.members(network):
                shown = ", ".join(container[:SHORT] for container in list(members)[:5])
                raise Forbidden(
                    f"error while removing network: network {network.name} id {network.id} has active endpoints "
                    f"({shown})"
                )
            await self._database.run(lambda t: t.delete(NETWORK, network.id))
            del self._networks[network.id]
            await self.wiring.drop(network)
        self._publish("destroy", network)

    async def prune(self, keep: Iterable[str], matches: Iterable[str]) -> list[str]:
        """Removes those of `matches` (ids) that nobody uses; keep: ids that stopped containers name. Their names."""
        removed, kept = [], set(keep)
        for id in matches:
            network = self._networks.get(id)
            if network is None or network.default or id in kept or self.members(network):
                continue
            await self.remove(id)
            removed.append(network.name)
        return removed

    # -- leases

    def lease(
        self,
        wish: EndpointSpec,
        container: str,
        names: tuple[str, ...],
        dns: tuple[str, ...],
        *,
        hostward: bool = False,
    ) -> Endpoint:
        """Addresses on a network for one run. hostward: the host is to be reached at its gateway, if it leads out.
        Raises NotFound, Forbidden (taken, or none free), InvalidArgument."""
        network = self.check(wish)
        taken = self._taken(network)
        addresses, gateways = [], []
        first: IPAddress | None = None
        for version, text in ((4, wish.ipv4), (6, wish.ipv6)):
            wanted = parse_address("address", text) if text else None
            subnet = self._subnet(network, version, wanted)
            if subnet is not None:
                chosen = choose_address(subnet, taken, wanted)
                addresses.append(f"{chosen}/{subnet.network.prefixlen}")
                gateways.append(str(subnet.gateway))
                first = first or chosen
        if first is None:
            raise InvalidArgument(f"network {network.name} has no subnet for a container's address")
        endpoint = Endpoint(
            id=new_id(),
            network_id=network.id,
            network=network.name,
            bridge=network.bridge.name,
            mac=(wish.mac or make_mac(first)).lower().replace("-", ":"),
            addresses=tuple(addresses),
            gateways=tuple(gateways),
            mtu=network.spec.mtu,
            internal=network.spec.internal,
            plain=network.default,
            names=() if network.default else names,
            aliases=wish.aliases,
            gateway_priority=wish.gateway_priority,
            dns=dns,
            links=()
            if network.default
            else tuple((alias, target) for target, alias in map(parse_link, wish.links)),
            hostward=hostward and not network.spec.internal,
        )
        if any(endpoint.mac == other.mac for other in self.members(network).values()):
            raise Forbidden(f"the MAC address {endpoint.mac} is in use on network {network.name}")
        self._leases.setdefault(network.id, {})[endpoint.id] = (container, endpoint)
        return endpoint

    def check(self, wish: EndpointSpec) -> Network:
        """The network, if it can have such an endpoint at all. Raises NotFound, InvalidArgument."""
        network = self.find(wish.network)
        if network.default and wish.aliases:
            raise InvalidArgument(
                f"invalid config for network {network.name}: invalid endpoint settings:\n"
                "network-scoped aliases are only supported for user-defined networks"
            )
        for version, text in ((4, wish.ipv4), (6, wish.ipv6)):
            if text:
                self._subnet(network, version, parse_address("address", text))
        return network

    def adopt(self, container: str, endpoint: Endpoint) -> None:
        """A lease out of the record of a container that still runs."""
        self._leases.setdefault(endpoint.network_id, {})[endpoint.id] = (container, endpoint)

    def release(self, endpoint: Endpoint) -> None:
        self._leases.get(endpoint.network_id, {}).pop(endpoint.id, None)

    def _subnet(self, network: Network, version: int, wanted: IPAddress | None) -> Subnet | None:
        if wanted is None:
            return next((s for s in network.subnets if s.network.version == version), None)
        if network.default or not any(s.network.version == version for s in network.spec.subnets):
            raise InvalidArgument(
                "invalid config for network "
                f"{network.name}: invalid endpoint settings:\nuser specified IP address is supported only when "
                "connecting to networks with user configured subnets"
            )
        subnet = network.subnet_for(wanted)
        if subnet is None:
            raise InvalidArgument(
                f"invalid config for network {network.name}: invalid endpoint settings:\n"
                f"no configured subnet contains IP address {wanted}"
            )
        return subnet

    def _taken(self, network: Network) -> set[IPAddress]:
        return {ip_address(a.ip) for endpoint in self.members(network).values() for a in endpoint.interfaces}

    def _subnets(self) -> list[IPNetwork]:
        return [ip_network(s.network) for network in self._networks.values() for s in network.subnets]

    # -- joining

    async def rename(self, tap: str, endpoint: Endpoint, container: str, domain: str) -> None:
        """An endpoint that has joined has other names. Raises Unavailable, Internal."""
        await self.wiring.join(Attachment(tap, endpoint, container, domain))
        self._leases.setdefault(endpoint.network_id, {})[endpoint.id] = (container, endpoint)

    async def join(self, tap: str, endpoint: Endpoint, container: str, domain: str) -> None:
        """Puts a tap into its network. Raises Unavailable, Internal."""
        await self.wiring.join(Attachment(tap, endpoint, container, domain))
        self._publish_member("connect", endpoint, container)

    async def leave(self, tap: str, endpoint: Endpoint, container: str) -> None:
        """Takes it out again; a failure is the log's, for the tap ends with its machine anyway."""
        try:
            await self.wiring.leave(tap)
        except InsulaError as error:
            log.warning("%s: %s", tap, error)
        self._publish_member("disconnect", endpoint, container)

    # -- helpers

    async def _keep(self, network: Network) -> None:
        await self._database.run(lambda t: t.put(NETWORK, network.id, network.to_document()))
        self._networks[network.id] = network

    def _publish(self, action: str, network: Network) -> None:
        self._events.publish(Event("network", action, network.id, {"name": network.name, "type": "bridge"}))

    def _publish_member(self, action: str, endpoint: Endpoint, container: str) -> None:
        attributes = {"container": container, "name": endpoint.network, "type": "bridge"}
        self._events.publish(Event("network", action, endpoint.network_id, attributes))
