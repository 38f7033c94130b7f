"""`--link` on the default network, as Docker had it before networks had names: another container that runs is shown
to this one by variables and in its hosts file, with the address that it has at this one's start.

Which container it is, is settled at create, so that its later names do not matter. On networks of a user's own a link
is a further name, and nothing of it is here (network/names.py).
"""

from insula.container.leases import Linked, classic_links, expand_exposed
from insula.container.record import Record
from insula.container.registry import Recorded, Registry
from insula.container.state import Status
from insula.errors import Conflict, InvalidArgument, NotFound
from insula.network.endpoint import Endpoint, parse_link
from insula.network.ports import PortSpec

NOT_PASSED = ("HOME", "PATH")


def resolve_links(registry: Registry[Recorded], record: Record) -> tuple[tuple[str, str], ...]:
    """Of a container that is being created: the other's id, and the alias. Raises InvalidArgument."""
    found: dict[str, str] = {}
    for text in classic_links(record.spec):
        target, alias = parse_link(text)
        try:
            id = registry.find(target).record.id
        except NotFound as error:
            raise InvalidArgument(f"could not get container for {target}: {error.message}") from error
        if found.setdefault(alias, id) != id:
            raise InvalidArgument(f"the alias {alias} is that of two links")
    return tuple((id, alias) for alias, id in found.items())


def shown_links(registry: Registry[Recorded], record: Record) -> tuple[str, ...]:
    """As inspect has them: `/other:/own/alias`."""
    others = {item.record.id: item.record.name for item in registry} if record.links else {}
    return tuple(f"/{others[id]}:/{record.name}/{alias}" for id, alias in record.links if id in others)


def find_linked(registry: Registry[Recorded], record: Record) -> tuple[Linked, ...]:
    """What the links show now. A container that is removed has no links any more. Raises Conflict."""
    others = {item.record.id: item.record for item in registry} if record.links else {}
    return tuple(_linked(others[id], record, alias) for id, alias in record.links if id in others)


def _linked(other: Record, record: Record, alias: str) -> Linked:
    if other.status not in (Status.RUNNING, Status.PAUSED):
        raise Conflict(f"Cannot link to a non running container: /{other.name} AS /{record.name}/{alias}")
    endpoint = next((endpoint for endpoint in other.leases.endpoints if endpoint.plain), None)
    if endpoint is None:
        raise Conflict(f"Cannot link to /{other.name}, as it does not belong to the default network")
    addresses = tuple(str(interface.ip) for interface in endpoint.interfaces)
    names = tuple(dict.fromkeys((alias, other.settings.hostname, other.name)))
    return Linked(addresses, names, _environment(other, endpoint, f"/{record.name}/{alias}", alias))


def _environment(other: Record, endpoint: Endpoint, name: str, alias: str) -> tuple[str, ...]:
    """Docker's variables of a link; the ports are those that the other exposes, tcp before udp."""
    prefix = alias.upper().replace("-", "_").replace(".", "_")
    address = str(endpoint.interfaces[0].ip)
    found = []
    for number, port in enumerate(_ports(other)):
        where = f"{port.protocol}://{address}:{port.port}"
        if number == 0:
            found.append(f"{prefix}_PORT={where}")
        own = f"{prefix}_PORT_{port.port}_{port.protocol.upper()}"
        found += [
            f"{own}={where}",
            f"{own}_ADDR={address}",
            f"{own}_PORT={port.port}",
            f"{own}_PROTO={port.protocol}",
        ]
    found.append(f"{prefix}_NAME={name}")
    for entry in other.settings.env:
        key, equals, value = entry.partition("=")
        if equals and key not in NOT_PASSED:
            found.append(f"{prefix}_ENV_{key}={value}")
    return tuple(found)


def _ports(other: Record) -> list[PortSpec]:
    names = (*other.settings.exposed_ports, *other.spec.exposed)
    ports = {port.name: port for name in names for port in expand_exposed(name)}
    return sorted(ports.values(), key=lambda port: (port.protocol != "tcp", port.port))
