"""Published ports: what is asked for, and the host's sockets that it becomes.

Host ports are bound here, by the daemon, in the host's network; netd carries what arrives at them. Refuses sctp, and
in Docker's words what cannot be bound; then nothing stays bound.
"""

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from insula.errors import Internal, InvalidArgument, NotImplemented

PORT_MAX = 65535
PORTS_MAX = 4096
EPHEMERAL_TRIES = 20
PROTOCOLS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
ANY = ("0.0.0.0", "::")
BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class PortSpec:
    """One published port as asked. host_ip: empty for all of the host's addresses; first and last: the host ports to
    choose from, 0 for any."""

    protocol: str
    port: int
    host_ip: str = ""
    first: int = 0
    last: int = 0

    def __post_init__(self) -> None:
        """Raises InvalidArgument, NotImplemented."""
        if self.protocol == "sctp":
            raise NotImplemented(  # noqa: F901 - our error, not Python's constant
                f"port {self.port}/sctp cannot be published: only tcp and udp are carried"
            )
        if self.protocol not in PROTOCOLS:
            raise InvalidArgument(f"invalid protocol: {self.protocol[:20]}")
        if not 0 < self.port <= PORT_MAX:
            raise InvalidArgument(f"invalid containerPort: {self.port}")
        if not 0 <= self.first <= self.last <= PORT_MAX:
            raise InvalidArgument(f"invalid hostPort: {self.first}-{self.last}")
        if self.host_ip:
            try:
                ip_address(self.host_ip)
            except ValueError:
                raise InvalidArgument(f"invalid IP address: {self.host_ip[:80]}") from None

    @property
    def name(self) -> str:
        return f"{self.port}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class BoundPort:
    """One socket of the host's: what inspect shows, and what a later daemon binds again."""

    protocol: str
    port: int
    host_ip: str
    host_port: int

    @property
    def key(self) -> str:
        return f"{self.protocol}:{self.host_ip}:{self.host_port}"


def parse_port_spec(container: str, host_ip: str, host_port: str) -> PortSpec:
    """`80/tcp`, an address or nothing, `8080`, `8080-8090` or nothing. Raises InvalidArgument, NotImplemented."""
    number, _, protocol = container.partition("/")
    first, dash, last = host_port.partition("-")
    port = _number("containerPort", number)
    low = _number("hostPort", first) if first else 0
    return PortSpec(protocol or "tcp", port, host_ip, low, _number("hostPort", last) if dash else low)


def _number(what: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= PORT_MAX):
        raise InvalidArgument(f"invalid {what}: {text[:40]}")
    return int(text)


def bind_port(spec: PortSpec) -> list[tuple[BoundPort, socket.socket]]:
    """The host's sockets for one published port: two where it is for IPv4 and IPv6. Raises Internal in Docker's
    words if it cannot be had."""
    addresses = (spec.host_ip,) if spec.host_ip else ANY
    failure: OSError | None = None
    candidates: Iterable[int] = range(spec.first, spec.last + 1) if spec.first else [0] * EPHEMERAL_TRIES
    for number in candidates:
        try:
            return _bind_all(spec, addresses, number)
        except OSError as error:
            failure = error
    words = (failure.strerror or str(failure)).lower() if failure else "no port is free"
    where = f"{spec.host_ip or ANY[0]}:{spec.first or ''}"
    raise Internal(f"failed to bind host port for {where}:{spec.name}: {words}")


def bind_again(bound: BoundPort) -> socket.socket:
    """The socket that an earlier daemon had. Raises OSError."""
    return _bind(bound.protocol, bound.host_ip, bound.host_port)


def _bind_all(
    spec: PortSpec, addresses: tuple[str, ...], number: int
) -> list[tuple[BoundPort, socket.socket]]:
    """On all of the addresses with one number; none stays if one fails. A host without IPv6 has IPv4 alone."""
    made: list[tuple[BoundPort, socket.socket]] = []
    try:
        for address in addresses:
            if address == ANY[1] and len(addresses) > 1 and not has_ipv6():
                continue
            listener = _bind(spec.protocol, address, number)
            number = listener.getsockname()[1]
            made.append((BoundPort(spec.protocol, spec.port, address, number), listener))
    except OSError:
        for _, listener in made:
            listener.close()
        raise
    return made


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _bind(protocol: str, address: str, number: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, PROTOCOLS[protocol] | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        if protocol == "tcp":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, number))
        if protocol == "tcp":
            listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
