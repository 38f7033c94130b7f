"""A network as users make it, and its form in the database. Validated where it is built, in Docker's words."""

import re
import secrets
import time
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from insula.errors import Forbidden, InvalidArgument, NotFound
from insula.network.address import SUBNETS_MAX, IPAddress, Subnet
from insula.network.nft import Bridge

NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9_. -]*[a-zA-Z0-9_.-])?")
NAME_MAX = 255
LABELS_MAX = 1 << 16
DEFAULT = "bridge"
NONE = "none"
RESERVED = ("bridge", "host", "none", "default", "container")
DRIVERS = ("", "bridge", "default")
MTU = "com.docker.network.driver.mtu"
BRIDGE_NAME = "com.docker.network.bridge.name"
"""Of a bridge that nobody sees: any will do."""
ICC = "com.docker.network.bridge.enable_icc"
FIXED = {
    "com.docker.network.bridge.enable_ip_masquerade": (True, "what comes back would not find its way"),
    "com.docker.network.bridge.default_bridge": (False, "there is one default network already"),
}
"""Options that can be said, but only one way: which, and why."""
HOST_BINDING = "com.docker.network.bridge.host_binding_ipv4"
EVERYWHERE = "0.0.0.0"
TRUE, FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
MTU_MIN, MTU_MAX, MTU_DEFAULT = 68, 65535, 1500


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """What `network create` asks for. subnets: as asked, empty for a choice."""

    name: str
    driver: str = ""
    subnets: tuple[Subnet, ...] = ()
    internal: bool = False
    attachable: bool = False
    ipv4: bool = True
    ipv6: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    ipam_options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises InvalidArgument, Forbidden, NotFound."""
        if not NAME.fullmatch(self.name) or len(self.name) > NAME_MAX:
            raise InvalidArgument(
                f"invalid network name {self.name[:NAME_MAX]!r}: only [a-zA-Z0-9][a-zA-Z0-9_. -] are allowed"
            )
        if self.name in RESERVED:
            raise Forbidden(f"operation is not permitted on predefined {self.name} network ")
        if self.driver in ("host", "none", "null"):
            raise Forbidden(f'only one instance of "{self.driver}" network is allowed')
        if self.driver not in DRIVERS:
            raise NotFound(
                f'could not find plugin "{self.driver[:80]}" in v1 plugin registry: plugin not found'
            )
        if len(self.subnets) > SUBNETS_MAX:
            raise InvalidArgument(f"a network has {SUBNETS_MAX} subnets at most")
        if not self.ipv4 and not self.ipv6:
            raise InvalidArgument("IPv4 or IPv6 must be enabled")
        self.mtu  # noqa: B018 - raises

    @property
    def apart(self) -> bool:
        """Whether its containers do not reach each other."""
        return self.options.get(ICC) in FALSE

    @property
    def mtu(self) -> int:
        """Bytes. Raises InvalidArgument."""
        text = self.options.get(MTU, "") or str(MTU_DEFAULT)
        if not (text.isascii() and text.isdigit() and len(text) < 9 and MTU_MIN <= int(text) <= MTU_MAX):
            raise InvalidArgument(f"invalid MTU {text[:40]!r}: from {MTU_MIN} to {MTU_MAX}")
        return int(text)


@dataclass(frozen=True, slots=True)
class Network:
    """One network. id: 64 hexadecimal digits; created_ns: Unix time."""

    id: str
    created_ns: int
    spec: NetworkSpec
    subnets: tuple[Subnet, ...]
    default: bool = False

    @property
    def name(self) -> str:
        return DEFAULT if self.default else self.spec.name

    @property
    def bridge(self) -> Bridge:
        """As the name space has it; the name fits into 15 bytes."""
        gateways = tuple(subnet.interface for subnet in self.subnets)
        return Bridge(f"br-{self.id[:12]}", gateways, self.spec.internal, self.spec.mtu, self.spec.apart)

    def subnet_for(self, address: IPAddress) -> Subnet | None:
        return next((subnet for subnet in self.subnets if address in subnet.network), None)

    def to_document(self) -> dict[str, Any]:
        spec = self.spec
        return {
            "created_ns": self.created_ns, "default": self.default, "name": spec.name, "driver": spec.driver,
            "internal": spec.internal, "attachable": spec.attachable, "ipv4": spec.ipv4, "ipv6": spec.ipv6,
            "labels": spec.labels, "options": spec.options, "ipam_options": spec.ipam_options,
            "asked": [str(subnet.network) for subnet in spec.subnets],
            "subnets": [
                [str(s.network), str(s.gateway), str(s.range), {n: str(a) for n, a in s.auxiliary.items()}]
                for s in self.subnets
            ],
        }  # fmt: skip


def check_options(options: dict[str, str]) -> None:
    """Of a network to be made (one that there is keeps what an earlier daemon took). Raises InvalidArgument for
    what would have no effect, or not the one that is asked for."""
    for name, value in options.items():
        _check_option(name, value)


def _check_option(name: str, value: str) -> None:
    if name in FIXED:
        wanted, reason = FIXED[name]
        if parse_bool(name, value) != wanted:
            raise InvalidArgument(f"network option {name}={value[:40]} cannot be had: {reason}")
    elif name == HOST_BINDING:
        if value != EVERYWHERE:
            raise InvalidArgument(
                f"network option {name}={value[:40]} cannot be had",
                "publish with the address: -p ADDRESS:PORT:PORT",
            )
    elif name == ICC:
        parse_bool(name, value)
    elif name not in (MTU, BRIDGE_NAME):
        raise InvalidArgument(
            f"invalid network option {name[:80]}: it has no meaning here", f"known: {MTU}, {ICC}"
        )


def parse_bool(name: str, text: str) -> bool:
    """As Go reads it. Raises InvalidArgument."""
    if text not in TRUE + FALSE:
        raise InvalidArgument(f"invalid network option {name}={text[:40]!r}: true or false")
    return text in TRUE


def network_from_document(id: str, document: dict[str, Any]) -> Network:
    subnets = tuple(
        Subnet(
            ip_network(network), ip_address(gateway), ip_network(within),
            {name: ip_address(address) for name, address in auxiliary.items()},
        )
        for network, gateway, within, auxiliary in document["subnets"]
    )  # fmt: skip
    asked = tuple(subnet for subnet in subnets if str(subnet.network) in document["asked"])
    words = ("name", "driver", "internal", "attachable", "ipv4", "ipv6", "labels", "options", "ipam_options")
    spec = NetworkSpec(**{word: document[word] for word in words}, subnets=asked)
    return Network(id, document["created_ns"], spec, subnets, document["default"])


def new_id() -> str:
    return secrets.token_hex(32)


def new_network(spec: NetworkSpec, subnets: tuple[Subnet, ...], *, default: bool = False) -> Network:
    return Network(new_id(), time.time_ns(), spec, subnets, default)
