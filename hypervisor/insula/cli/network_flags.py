"""`--network` and what goes with it → the API's NetworkMode and EndpointsConfig. Pure.

`--network` may be given several times, plain or in the long form `name=NET,alias=A,ip=…`; `--ip`, `--network-alias`
and their kin are the first network's.
"""

from typing import Any

from insula.cli.failure import UsageFailure
from insula.cli.flags import Options
from insula.cli.values import pairs

Document = dict[str, Any]
TEXTS = {"ip": "IPv4Address", "ip6": "IPv6Address"}
FIRST = ("", "default", "bridge", "host", "none")


def network_fields(options: Options) -> tuple[Document, Document]:
    """What HostConfig and the request itself get. Raises UsageFailure."""
    asked = [_parse(text) for text in (*options.texts("network"), *options.texts("net"))]
    _refine(asked, options)
    endpoints: Document = {}
    for name, endpoint in asked:
        if name in endpoints:
            raise UsageFailure(f"network {name[:80]!r} is specified multiple times")
        endpoints[name] = endpoint
    host: Document = {"NetworkMode": asked[0][0]} if options.given("network") or options.given("net") else {}
    if options.given("link"):
        host["Links"] = options.texts("link")
    if len(endpoints) > 1 and any(name in ("host", "none") or ":" in name for name in endpoints):
        raise UsageFailure("conflicting options: host, none and container: are networks by themselves")
    if len(endpoints) == 1 and not asked[0][1]:
        return host, {}
    return host, {"NetworkingConfig": {"EndpointsConfig": endpoints}}


def _parse(text: str) -> tuple[str, Document]:
    """A name, or `name=NET,alias=A,ip=…`."""
    if "=" not in text:
        return text, {}
    name, endpoint = "", Document()
    for word in text.split(","):
        key, equals, value = word.partition("=")
        key = key.strip().lower()
        if not equals or not value:
            raise UsageFailure(
                f"invalid argument {text[:80]!r} for --network: KEY=VALUE is wanted, not {word[:40]!r}"
            )
        if key == "name":
            name = value
        else:
            _put(endpoint, key, value, text)
    if not name:
        raise UsageFailure(f"invalid argument {text[:80]!r} for --network: it has no name=")
    return name, endpoint


def _put(endpoint: Document, key: str, value: str, text: str) -> None:
    if key in TEXTS:
        endpoint.setdefault("IPAMConfig", {})[TEXTS[key]] = value
    elif key == "alias":
        endpoint.setdefault("Aliases", []).append(value)
    elif key == "mac-address":
        endpoint["MacAddress"] = value
    elif key == "driver-opt":
        endpoint.setdefault("DriverOpts", {}).update(pairs([value]))
    elif key == "gw-priority":
        endpoint["GwPriority"] = whole_number(value, "gw-priority")
    else:
        raise UsageFailure(f"invalid argument {text[:80]!r} for --network: unknown key {key[:40]!r}")


def whole_number(text: str, what: str) -> int:
    """Raises UsageFailure."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise UsageFailure(f"invalid {what} {text[:40]!r}: not a whole number")
    return int(text)


def _refine(asked: list[tuple[str, Document]], options: Options) -> None:
    """The flags of the first network."""
    if not asked:
        asked.append(("default", {}))
    name, first = asked[0]
    for flag in TEXTS:
        if options.given(flag):
            _put(first, flag, options.text(flag), options.text(flag))
    for alias in options.texts("network-alias"):
        _put(first, "alias", alias, alias)
    if options.given("mac-address"):
        first["MacAddress"] = options.text("mac-address")
    if options.given("link") and name not in FIRST:
        first["Links"] = options.texts("link")
