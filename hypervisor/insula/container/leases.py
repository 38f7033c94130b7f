"""What one run has of networks, and what follows from it: its devices, what its files say. Pure.

`container/networking.py` acquires them; networks that come and go while it runs are `container/membership.py`'s.
"""

from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from insula.agent.boot_document import Address, Link, Route
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec
from insula.errors import Conflict, InvalidArgument
from insula.machine.spec import NICS
from insula.network.endpoint import Endpoint, EndpointSpec
from insula.network.network import DEFAULT, NONE
from insula.network.ports import PORT_MAX, BoundPort, PortSpec


@dataclass(frozen=True, slots=True)
class Linked:
    """Another container as a link of the default network shows it: addresses, what hosts calls it, variables."""

    addresses: tuple[str, ...]
    names: tuple[str, ...]
    environment: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Leases:
    """What one run has. ports: bound on the host; nics: the number of each endpoint's network device (none: they are
    in order); unsettled: devices that were changed and of which the guest may not know; linked: by `--link`."""

    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[BoundPort, ...] = ()
    nics: tuple[int, ...] = ()
    unsettled: tuple[int, ...] = ()
    linked: tuple[Linked, ...] = ()

    @property
    def placed(self) -> tuple[tuple[int, Endpoint], ...]:
        """Each endpoint with its network device's number."""
        return tuple(zip(self.nics or range(len(self.endpoints)), self.endpoints, strict=True))

    def with_endpoint(self, nic: int, endpoint: Endpoint) -> "Leases":
        return self._placing((*self.placed, (nic, endpoint)))

    def without_nic(self, nic: int) -> "Leases":
        return self._placing(tuple(item for item in self.placed if item[0] != nic))

    def _placing(self, placed: tuple[tuple[int, Endpoint], ...]) -> "Leases":
        return replace(self, endpoints=tuple(e for _, e in placed), nics=tuple(n for n, _ in placed))

    def free_nic(self) -> int:
        """The lowest device without a network. Raises Conflict if there is none."""
        taken = {nic for nic, _ in self.placed}
        for nic in range(NICS):
            if nic not in taken:
                return nic
        raise Conflict(f"the container is on {NICS} networks, and no machine can be on more")

    @property
    def in_order(self) -> tuple[Endpoint, ...]:
        """As Docker chooses a gateway: the highest priority, then the first by name; those that lead out first."""
        return tuple(sorted(self.endpoints, key=lambda e: (e.internal, -e.gateway_priority, e.network)))

    @property
    def host_endpoint(self) -> Endpoint | None:
        """The network at whose gateway the host is reached, where that was asked for."""
        return next((endpoint for endpoint in self.in_order if endpoint.hostward), None)

    def gateway_endpoint(self, version: int) -> Endpoint | None:
        """The network that the default route of IPv4 or IPv6 leads through."""
        return next((e for e in self.in_order if not e.internal and e.gateway(version)), None)


NO_LEASES = Leases()
HOST_GATEWAY = "host-gateway"


def wishes(spec: ContainerSpec) -> tuple[EndpointSpec, ...]:
    """The networks that a container is to join: the one of its mode first, unless it has been taken off that."""
    if is_private(spec):
        return ()
    mode = proper(spec.network_mode)
    named = {proper(wish.network): replace(wish, network=proper(wish.network)) for wish in spec.endpoints}
    first = named.pop(mode, None) or (None if spec.left_mode else EndpointSpec(mode))
    if first is not None and mode != DEFAULT:
        first = replace(first, links=tuple(dict.fromkeys((*first.links, *spec.links))))
    return (*(() if first is None else (first,)), *named.values())


def is_private(spec: ContainerSpec) -> bool:
    """Whether it is on no network by its mode, and has not been taken off that."""
    return spec.network_mode == NONE and not spec.left_mode


def classic_links(spec: ContainerSpec) -> tuple[str, ...]:
    """Links of the default network, which show another container by variables and in hosts."""
    links: list[str] = []
    for wish in wishes(spec):
        if wish.network == DEFAULT:
            links += [*(spec.links if proper(spec.network_mode) == DEFAULT else ()), *wish.links]
    return tuple(dict.fromkeys(links))


def check_networks(spec: ContainerSpec) -> None:
    """Raises InvalidArgument for more networks than a machine has devices."""
    if (count := len(wishes(spec))) > NICS:
        raise InvalidArgument(f"a container can be on {NICS} networks at a time, not {count}")


def proper(network: str) -> str:
    """Clients call Docker's default network by three names."""
    return DEFAULT if network in ("", "default") else network


def links_of(leases: Leases) -> tuple[Link, ...]:
    """The network devices of a container. Pure."""
    return tuple(link_of(leases, nic) for nic, _ in leases.placed)


def link_of(leases: Leases, nic: int) -> Link:
    endpoint = dict(leases.placed)[nic]
    routes = []
    for version, everywhere in ((4, "0.0.0.0/0"), (6, "::/0")):
        if leases.gateway_endpoint(version) == endpoint:
            routes.append(Route(ip_network(everywhere), ip_address(endpoint.gateway(version))))
    return Link(
        nic=nic,
        name=f"eth{nic}",
        mac=bytes.fromhex(endpoint.mac.replace(":", "")),
        mtu=endpoint.mtu,
        addresses=tuple(Address(interface) for interface in endpoint.interfaces),
        routes=tuple(routes),
    )


def hosts_lines(spec: ContainerSpec, settings: Settings, leases: Leases) -> str:
    """What `/etc/hosts` has beyond the loopback's lines: those asked for, links, the container's own addresses."""
    called = settings.hostname
    if spec.domainname:
        called = f"{settings.hostname}.{spec.domainname} {settings.hostname}"
    lines = []
    for entry in spec.extra_hosts:
        name, _, address = entry.partition(":")
        lines += [f"{one}\t{name}" for one in _addresses(address, leases)]
    for linked in leases.linked:
        lines += [f"{address}\t{' '.join(linked.names)}" for address in linked.addresses]
    for endpoint in leases.endpoints:
        lines += [f"{interface.ip}\t{called}" for interface in endpoint.interfaces]
    return "".join(f"{line}\n" for line in lines)


def wants_host(spec: ContainerSpec) -> bool:
    """Whether the container is to reach the host."""
    return any(entry.partition(":")[2] == HOST_GATEWAY for entry in spec.extra_hosts)


def _addresses(text: str, leases: Leases) -> tuple[str, ...]:
    """What `--add-host` gives a name."""
    if text != HOST_GATEWAY:
        return (text.strip("[]"),)
    return () if leases.host_endpoint is None else leases.host_endpoint.gateways


def resolv_conf(spec: ContainerSpec, leases: Leases, search: tuple[str, ...]) -> str:
    """The name server is the gateway of a network that the container is on; search: the host's, if none is asked."""
    chosen = next(iter(leases.in_order), None)
    if chosen is None:
        return ""
    lines = [f"nameserver {gateway}" for gateway in chosen.gateways]
    domains = [domain for domain in (spec.dns_search or search) if domain != "."]
    if domains:
        lines.append("search " + " ".join(domains))
    options = spec.dns_options or (() if chosen.plain else ("ndots:0",))
    if options:
        lines.append("options " + " ".join(options))
    return "".join(f"{line}\n" for line in lines)


def published(spec: ContainerSpec, settings: Settings) -> tuple[PortSpec, ...]:
    """The ports asked for, and with `-P` those that the image or the request exposes. Raises InvalidArgument."""
    wanted = list(spec.published)
    if spec.publish_all:
        asked = {port.name for port in wanted}
        for name in (*settings.exposed_ports, *spec.exposed):
            for port in expand_exposed(name):
                if port.name not in asked:
                    asked.add(port.name)
                    wanted.append(port)
    return tuple(wanted)


def expand_exposed(name: str) -> tuple[PortSpec, ...]:
    """`80/tcp`, `80`, `8000-8010/udp`. Raises InvalidArgument."""
    ports, _, protocol = name.partition("/")
    first, _, last = ports.partition("-")
    if not (first.isascii() and first.isdigit() and (not last or (last.isascii() and last.isdigit()))):
        raise InvalidArgument(f"invalid exposed port {name[:40]!r}")
    numbers = range(int(first[:6]), int((last or first)[:6]) + 1)
    return tuple(PortSpec(protocol or "tcp", number) for number in numbers[: PORT_MAX + 1])
