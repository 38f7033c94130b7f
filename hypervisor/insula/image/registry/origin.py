"""Which host a reference means, and how it may be spoken to. Pure.

docker.io is registry-1.docker.io; for pulls, the mirror that the configuration names, which then answers alone.
Everything is HTTPS with the system's certificates, but for this host itself and registries that the configuration
calls insecure: those are asked by plain HTTP first, then by HTTPS whoever holds the certificate.
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from insula.errors import InvalidArgument
from insula.image.reference import DEFAULT_DOMAIN

HUB = "registry-1.docker.io"
HUB_INDEX = "index.docker.io"


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """mirror: the address that answers for docker.io, or empty; insecure: hosts, as in a reference, or networks."""

    mirror: str = ""
    insecure: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """One registry. authority: host and port; scheme: empty where plain HTTP is as good as HTTPS; insecure: whether
    plain HTTP and unknown certificates will do."""

    authority: str
    scheme: str = "https"
    insecure: bool = False


def find_origin(domain: str, settings: RegistrySettings) -> Origin:
    """The registry of a reference's domain. Raises InvalidArgument for a mirror that is no address."""
    if domain == DEFAULT_DOMAIN:
        return parse_mirror(settings.mirror) if settings.mirror else Origin(HUB)
    if is_loopback(domain) or any(_names(entry, domain) for entry in settings.insecure):
        return Origin(domain, "", True)
    return Origin(domain)


def parse_mirror(text: str) -> Origin:
    """`http://HOST[:PORT]` or `https://…`. Raises InvalidArgument."""
    parts = urlsplit(text)
    if (
        parts.scheme not in ("http", "https")
        or not parts.netloc
        or parts.path.strip("/")
        or "@" in parts.netloc
    ):
        raise InvalidArgument(
            f"invalid mirror: {text[:80]!r} is no registry's address", "use http[s]://HOST[:PORT]"
        )
    return Origin(parts.netloc, parts.scheme, parts.scheme == "http")


def host_of(authority: str) -> str:
    """`[::1]:5000` → `::1`."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def is_loopback(authority: str) -> bool:
    host = host_of(authority).lower()
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _names(entry: str, authority: str) -> bool:
    """Whether an entry of the configuration means a registry: its name, or a network that its address is in."""
    if entry == authority:
        return True
    address = _address(host_of(authority))
    if "/" not in entry or address is None:
        return False
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def find_proxy(scheme: str, host: str) -> str:
    """The proxy that the environment names for a host, or empty. This host's own registries have none."""
    if is_loopback(f"[{host}]" if ":" in host else host):
        return ""
    proxies = getproxies()
    return "" if proxy_bypass(host) else proxies.get(scheme, "")
