"""Networks, endpoints and ports as Docker shows them. Pure."""

from typing import Any

from insula.api.moments import format_ns
from insula.api.versions import Version
from insula.container.leases import is_private, wishes
from insula.container.view import ContainerView
from insula.network.endpoint import Endpoint, EndpointSpec
from insula.network.network import NONE, Network

NONE_ID = "6e6f6e65" * 8
"""The network `none`: the word in hexadecimal, for there is nothing of it to remember."""
SHORT = 12


def encode_network(
    network: Network, members: dict[str, tuple[str, Endpoint]], version: Version
) -> dict[str, Any]:
    """members: container → its name and endpoint."""
    spec = network.spec
    config = []
    for subnet in network.subnets:
        entry: dict[str, Any] = {"Subnet": str(subnet.network)}
        if subnet.range != subnet.network:
            entry["IPRange"] = str(subnet.range)
        entry["Gateway"] = str(subnet.gateway)
        if subnet.auxiliary:
            entry["AuxiliaryAddresses"] = {name: str(address) for name, address in subnet.auxiliary.items()}
        config.append(entry)
    document = {
        "Name": network.name, "Id": network.id, "Created": format_ns(network.created_ns), "Scope": "local",
        "Driver": "bridge", "EnableIPv4": spec.ipv4, "EnableIPv6": spec.ipv6,
        "IPAM": {"Driver": "default", "Options": spec.ipam_options or None, "Config": config},
        "Internal": spec.internal, "Attachable": spec.attachable, "Ingress": False,
        "ConfigFrom": {"Network": ""}, "ConfigOnly": False,
        "Containers": {id: encode_member(name, endpoint) for id, (name, endpoint) in members.items()},
        "Options": spec.options, "Labels": spec.labels,
    }  # fmt: skip
    if version < (1, 48):
        del document["EnableIPv4"]
    return document


def encode_member(name: str, endpoint: Endpoint) -> dict[str, Any]:
    own = {interface.version: str(interface) for interface in endpoint.interfaces}
    return {
        "Name": name, "EndpointID": endpoint.id, "MacAddress": endpoint.mac,
        "IPv4Address": own.get(4, ""), "IPv6Address": own.get(6, ""),
    }  # fmt: skip


def none_network() -> dict[str, Any]:
    return {
        "Name": NONE, "Id": NONE_ID, "Created": format_ns(0), "Scope": "local", "Driver": "null",
        "EnableIPv4": True, "EnableIPv6": False, "IPAM": {"Driver": "default", "Options": None, "Config": None},
        "Internal": False, "Attachable": False, "Ingress": False, "ConfigFrom": {"Network": ""},
        "ConfigOnly": False, "Containers": {}, "Options": {}, "Labels": {},
    }  # fmt: skip


def encode_endpoints(view: ContainerView) -> dict[str, Any]:
    """NetworkSettings.Networks: what it has, and while it does not run what it is to have."""
    if is_private(view.spec):
        return {NONE: encode_endpoint(EndpointSpec(NONE), None, view)}
    held = {endpoint.network: endpoint for endpoint in view.leases.endpoints}
    by_id = {endpoint.network_id: endpoint for endpoint in view.leases.endpoints}
    found = {}
    for wish in wishes(view.spec):
        endpoint = held.get(wish.network) or by_id.get(wish.network)
        name = endpoint.network if endpoint else wish.network
        found[name] = encode_endpoint(wish, endpoint, view)
    return found


def encode_endpoint(wish: EndpointSpec, endpoint: Endpoint | None, view: ContainerView) -> dict[str, Any]:
    asked = {name: text for name, text in (("IPv4Address", wish.ipv4), ("IPv6Address", wish.ipv6)) if text}
    document: dict[str, Any] = {
        "IPAMConfig": asked or None, "Links": list(wish.links) or None, "Aliases": list(wish.aliases) or None,
        "MacAddress": wish.mac, "DriverOpts": wish.driver_options or None, "GwPriority": wish.gateway_priority,
        "NetworkID": NONE_ID if wish.network == NONE else "", "EndpointID": "", "Gateway": "", "IPAddress": "",
        "IPPrefixLen": 0, "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "DNSNames": None,
    }  # fmt: skip
    if endpoint is None:
        return document
    document |= {"NetworkID": endpoint.network_id, "EndpointID": endpoint.id, "MacAddress": endpoint.mac}
    document["DNSNames"] = list(endpoint.names) or None
    for interface, gateway in zip(endpoint.interfaces, endpoint.gateways, strict=True):
        names = ("IPAddress", "IPPrefixLen", "Gateway")
        if interface.version == 6:
            names = ("GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPv6Gateway")
        document |= dict(zip(names, (str(interface.ip), interface.network.prefixlen, gateway), strict=True))
    return document


def encode_ports(view: ContainerView) -> dict[str, Any]:
    """NetworkSettings.Ports."""
    found: dict[str, Any] = {}
    if view.leases.endpoints:
        for name in (*view.settings.exposed_ports, *view.spec.exposed):
            found.setdefault(name if "/" in name else f"{name}/tcp", None)
    for port in view.leases.ports:
        name = f"{port.port}/{port.protocol}"
        found[name] = [*(found.get(name) or ()), {"HostIp": port.host_ip, "HostPort": str(port.host_port)}]
    return found


def list_ports(view: ContainerView) -> list[dict[str, Any]]:
    """Ports as `ps` has them."""
    listed = [
        {"IP": port.host_ip, "PrivatePort": port.port, "PublicPort": port.host_port, "Type": port.protocol}
        for port in view.leases.ports
    ]
    bound = {(port.port, port.protocol) for port in view.leases.ports}
    for name, places in encode_ports(view).items():
        number, _, protocol = name.partition("/")
        if places is None and number.isdigit() and (int(number), protocol) not in bound:
            listed.append({"PrivatePort": int(number), "Type": protocol})
    return listed


def encode_network_settings(view: ContainerView) -> dict[str, Any]:
    networks = encode_endpoints(view)
    document = {
        "Bridge": "", "SandboxID": "", "SandboxKey": "", "Ports": encode_ports(view), "HairpinMode": False,
        "LinkLocalIPv6Address": "", "LinkLocalIPv6PrefixLen": 0, "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None, "EndpointID": "", "Gateway": "", "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0, "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "", "MacAddress": "",
        "Networks": networks,
    }  # fmt: skip
    if default := networks.get("bridge"):
        for name in (
            "EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen",
            "IPv6Gateway", "MacAddress",
        ):  # fmt: skip
            document[name] = default[name]
    return document
