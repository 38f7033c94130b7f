"""What one run has of networks, and what follows from it: its devices, what its files say. Pure.

`container/networking.py` acquires them.
"""

from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from insula.agent.boot_document import Address, Link, Route
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec
from insula.errors import InvalidArgument
from insula.network.endpoint import Endpoint, EndpointSpec
from insula.network.network import DEFAULT, NONE
from insula.network.ports import PORT_MAX, BoundPort, PortSpec


@dataclass(frozen=True, slots=True)
class Leases:
    """What one run has. endpoints: in the order of its network devices; ports: bound on the host."""

    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[BoundPort, ...] = ()

    @property
    def gateway_endpoint(self) -> Endpoint | None:
        """The network that the default route leads through: the highest priority, then the first by name."""
        outward = [endpoint for endpoint in self.endpoints if not endpoint.internal]
        return min(outward, key=lambda e: (-e.gateway_priority, e.network), default=None)


NO_LEASES = Leases()


def wishes(spec: ContainerSpec) -> tuple[EndpointSpec, ...]:
    """The networks that a container is to join: the one of its mode first."""
    if spec.network_mode == NONE:
        return ()
    mode = proper(spec.network_mode)
    named = {proper(wish.network): replace(wish, network=proper(wish.network)) for wish in spec.endpoints}
    first = named.pop(mode, None) or EndpointSpec(mode)
    return (first, *named.values())


def proper(network: str) -> str:
    """Clients call Docker's default network by three names."""
    return DEFAULT if network in ("", "default") else network


def links_of(leases: Leases) -> tuple[Link, ...]:
    """The network devices of a container. Pure."""
    outward = leases.gateway_endpoint
    return tuple(
        _link(number, endpoint, endpoint is outward) for number, endpoint in enumerate(leases.endpoints)
    )


def _link(number: int, endpoint: Endpoint, default: bool) -> Link:
    routes = []
    for gateway in endpoint.gateways if default else ():
        everywhere = "0.0.0.0/0" if ip_address(gateway).version == 4 else "::/0"
        routes.append(Route(ip_network(everywhere), ip_address(gateway)))
    return Link(
        nic=number,
        name=f"eth{number}",
        mac=bytes.fromhex(endpoint.mac.replace(":", "")),
        mtu=endpoint.mtu,
        addresses=tuple(Address(interface) for interface in endpoint.interfaces),
        routes=tuple(routes),
    )


def hosts_lines(spec: ContainerSpec, settings: Settings, leases: Leases) -> str:
    """What `/etc/hosts` has beyond the loopback's lines: the container's own addresses, and those asked for."""
    called = settings.hostname
    if spec.domainname:
        called = f"{settings.hostname}.{spec.domainname} {settings.hostname}"
    lines = [f"{entry.partition(':')[2]}\t{entry.partition(':')[0]}" for entry in spec.extra_hosts]
    for endpoint in leases.endpoints:
        lines += [f"{interface.ip}\t{called}" for interface in endpoint.interfaces]
    return "".join(f"{line}\n" for line in lines)


def resolv_conf(spec: ContainerSpec, leases: Leases, search: tuple[str, ...]) -> str:
    """The name server is the gateway of a network that the container is on; search: the host's, if none is asked."""
    chosen = leases.gateway_endpoint or next(iter(leases.endpoints), None)
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
