"""Docker's JSON of networks, on the way in: NetworkingConfig, PortBindings, the names of HostConfig, and the
bodies of the network endpoints. Types are checked here; sense is checked by the specs."""

from dataclasses import replace
from typing import Any

from insula import errors
from insula.api.fields import ENDPOINT
from insula.api.typed import check, read_section
from insula.container.leases import HOST_GATEWAY, proper
from insula.errors import InvalidArgument
from insula.network.address import Subnet, make_subnet, parse_address
from insula.network.endpoint import EndpointSpec
from insula.network.network import NONE, NetworkSpec
from insula.network.ports import PORTS_MAX, PortSpec, parse_port_spec

ENDPOINTS_MAX = 64
HOSTS_MAX = 1024
IPAM_MAX = 16


def decode_ports(bindings: dict[str, Any]) -> tuple[PortSpec, ...]:
    """HostConfig.PortBindings. Raises InvalidArgument, NotImplemented."""
    ports = []
    for port, places in bindings.items():
        check(f"HostConfig.PortBindings.{port[:40]}", "list", places)
        for place in places or [{}]:
            check(f"HostConfig.PortBindings.{port[:40]}", "object", place)
            for name in ("HostIp", "HostPort"):
                check(f"HostConfig.PortBindings.{name}", "string", place.get(name))
            ports.append(parse_port_spec(port, place.get("HostIp") or "", place.get("HostPort") or ""))
            if len(ports) > PORTS_MAX:
                raise InvalidArgument(f"more than {PORTS_MAX} published ports")
    return tuple(ports)


def decode_names(host: dict[str, Any]) -> dict[str, Any]:
    """The names of HostConfig, as ContainerSpec has them. Raises InvalidArgument."""
    servers = tuple(host.get("Dns") or ())
    for server in servers:
        parse_address("DNS server", server)
    extra = tuple(host.get("ExtraHosts") or ())
    if len(extra) > HOSTS_MAX:
        raise InvalidArgument(f"more than {HOSTS_MAX} extra hosts")
    for entry in extra:
        check_extra_host(entry)
    words = (*(host.get("DnsSearch") or ()), *(host.get("DnsOptions") or ()))
    for word in words:
        if (
            not word
            or any(letter.isspace() or not letter.isprintable() for letter in word)
            or len(word) > 255
        ):
            raise InvalidArgument(f"invalid DNS search domain or option {word[:80]!r}")
    return {
        "dns": servers,
        "dns_search": tuple(host.get("DnsSearch") or ()),
        "dns_options": tuple(host.get("DnsOptions") or ()),
        "extra_hosts": extra,
    }


def check_extra_host(entry: str) -> None:
    """`name:address`. Raises InvalidArgument in Docker's words."""
    name, colon, address = entry.partition(":")
    if not colon or not name or any(letter.isspace() or not letter.isprintable() for letter in name):
        raise InvalidArgument(f"bad format for add-host: {entry[:80]!r}")
    if address != HOST_GATEWAY:
        parse_address("IP address in add-host", address.strip("[]"))


def decode_networking(document: dict[str, Any], warnings: list[str]) -> dict[str, Any]:
    """NetworkingConfig by proper names. Raises InvalidArgument, NotImplemented."""
    endpoints = document.get("EndpointsConfig")
    check("NetworkingConfig.EndpointsConfig", "object", endpoints)
    if len(endpoints or {}) > ENDPOINTS_MAX:
        raise InvalidArgument(f"more than {ENDPOINTS_MAX} networks")
    found = {}
    for name, settings in (endpoints or {}).items():
        check(f"NetworkingConfig.EndpointsConfig.{name[:80]}", "object", settings)
        found[name] = read_section("EndpointSettings", ENDPOINT, settings or {}, warnings)
    return {"EndpointsConfig": found} if found else {}


def decode_endpoints(endpoints: dict[str, Any], mac: str, mode: str) -> tuple[EndpointSpec, ...]:
    """EndpointsConfig, read by `decode_networking`. mac: the container's, which is that of the network of its mode.
    Raises InvalidArgument."""
    found = {proper(name): decode_endpoint(name, settings) for name, settings in endpoints.items()}
    if mac:
        if mode == NONE:
            raise InvalidArgument("conflicting options: mac-address and the network mode")
        main = found.get(proper(mode)) or EndpointSpec(proper(mode))
        if main.mac and main.mac.lower() != mac.lower():
            raise InvalidArgument(
                "the container-wide MAC address must match the endpoint-specific MAC address for the main network, "
                "or be left empty"
            )
        found[proper(mode)] = replace(main, mac=mac)
    return tuple(found.values())


def decode_endpoint(network: str, settings: dict[str, Any]) -> EndpointSpec:
    """One EndpointSettings. Raises InvalidArgument, NotImplemented."""
    ipam = settings.get("IPAMConfig") or {}
    for name in ("IPv4Address", "IPv6Address"):
        check(f"IPAMConfig.{name}", "string", ipam.get(name))
    if ipam.get("LinkLocalIPs"):
        raise errors.NotImplemented(
            "link-local addresses of a container are not there", "give it an address of its network"
        )
    return EndpointSpec(
        network=network,
        ipv4=ipam.get("IPv4Address") or "",
        ipv6=ipam.get("IPv6Address") or "",
        mac=settings.get("MacAddress") or "",
        aliases=tuple(settings.get("Aliases") or ()),
        links=tuple(settings.get("Links") or ()),
        gateway_priority=settings.get("GwPriority") or 0,
        driver_options=dict(settings.get("DriverOpts") or {}),
    )


CREATE_FIELDS = {
    "Name": "string", "CheckDuplicate": "bool", "Driver": "string", "Scope": "string", "Internal": "bool",
    "Attachable": "bool", "Ingress": "bool", "ConfigOnly": "bool", "ConfigFrom": "object", "IPAM": "object",
    "EnableIPv4": "bool", "EnableIPv6": "bool", "Options": "labels", "Labels": "labels",
}  # fmt: skip


def decode_network(document: dict[str, Any]) -> NetworkSpec:
    """The body of `POST /networks/create`. Raises InvalidArgument, Forbidden, NotFound."""
    for name, value in document.items():
        if name in CREATE_FIELDS:
            check(f"NetworkCreate.{name}", CREATE_FIELDS[name], value)
    for name, words in (("Ingress", "an ingress network"), ("ConfigOnly", "a config-only network")):
        if document.get(name):
            raise InvalidArgument(f"{words} belongs to a swarm, which Insula is not")
    if (document.get("ConfigFrom") or {}).get("Network"):
        raise InvalidArgument("config-from belongs to a swarm, which Insula is not")
    if document.get("Scope") not in (None, "", "local"):
        raise InvalidArgument(
            f"invalid network scope {str(document['Scope'])[:40]!r}: only local networks are here"
        )
    ipam = document.get("IPAM") or {}
    check("IPAM.Config", "list", ipam.get("Config"))
    check("IPAM.Driver", "string", ipam.get("Driver"))
    check("IPAM.Options", "labels", ipam.get("Options"))
    if ipam.get("Driver") not in (None, "", "default"):
        raise InvalidArgument(f"invalid IPAM driver {ipam['Driver'][:40]!r}: only default is here")
    subnets = decode_subnets(ipam.get("Config") or [])
    ipv6 = document.get("EnableIPv6")
    if ipv6 is None:  # a subnet says it too
        ipv6 = any(subnet.network.version == 6 for subnet in subnets)
    return NetworkSpec(
        name=document.get("Name") or "",
        driver=document.get("Driver") or "",
        subnets=subnets,
        internal=bool(document.get("Internal")),
        attachable=bool(document.get("Attachable")),
        ipv4=document.get("EnableIPv4") is not False,
        ipv6=ipv6,
        labels=dict(document.get("Labels") or {}),
        options=dict(document.get("Options") or {}),
        ipam_options=dict(ipam.get("Options") or {}),
    )


def decode_subnets(configs: list[Any]) -> tuple[Subnet, ...]:
    if len(configs) > IPAM_MAX:
        raise InvalidArgument(f"more than {IPAM_MAX} IPAM configurations")
    subnets = []
    for config in configs:
        check("IPAM.Config", "object", config)
        for name in ("Subnet", "IPRange", "Gateway"):
            check(f"IPAM.Config.{name}", "string", config.get(name))
        auxiliary = config.get("AuxiliaryAddresses") or config.get("AuxAddress") or {}
        check("IPAM.Config.AuxiliaryAddresses", "labels", auxiliary)
        if not config.get("Subnet"):
            raise InvalidArgument(
                "invalid subnet : invalid CIDR block notation", "every IPAM configuration names one"
            )
        subnets.append(
            make_subnet(config["Subnet"], config.get("Gateway") or "", config.get("IPRange") or "", auxiliary)
        )
    return tuple(subnets)
