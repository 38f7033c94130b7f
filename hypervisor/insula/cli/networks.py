"""network create, ls, inspect, rm, prune, connect, disconnect."""

from typing import Any

from insula.cli.client import path
from insula.cli.containers_list import read_filters
from insula.cli.disk import confirm
from insula.cli.failure import ApiFailure, UsageFailure
from insula.cli.flags import BOOL, MANY, NUMBER, TEXT, Flag, Options
from insula.cli.inspection import inspect_each
from insula.cli.table import ROW, View, print_rows, short_id
from insula.cli.template import Method
from insula.cli.values import pairs
from insula.cli.verb import Call, Verb, each

NOT_FOUND = 404
VIEW = View(
    (("NETWORK ID", "ID"), ("NAME", "Name"), ("DRIVER", "Driver"), ("SCOPE", "Scope")),
    {"CreatedAt": "CREATED AT", "Internal": "INTERNAL", "IPv6": "IPV6", "Labels": "LABELS"},
)


def create(call: Call) -> int:
    options = call.options
    body = {
        "Name": options.arguments[0],
        "Driver": options.text("driver", "bridge"),
        "Internal": options.flag("internal"),
        "Attachable": options.flag("attachable"),
        "EnableIPv6": options.flag("ipv6"),
        "IPAM": {
            "Driver": options.text("ipam-driver", "default"), "Options": pairs(options.texts("ipam-opt")),
            "Config": make_subnets(options),
        },
        "Options": pairs(options.texts("opt")),
        "Labels": pairs(options.texts("label")),
    }  # fmt: skip
    if options.given("ipv4"):
        body["EnableIPv4"] = options.flag("ipv4")
    print(call.client.call("POST", path("networks", "create"), body=body)["Id"])
    return 0


def make_subnets(options: Options) -> list[dict[str, Any]]:
    """Gateways, ranges and kept addresses go to the subnet that they are in. Raises UsageFailure."""
    from ipaddress import ip_address, ip_network

    found: list[dict[str, Any]] = [{"Subnet": text} for text in options.texts("subnet")]

    def place(text: str, what: str) -> dict[str, Any]:
        try:
            address = ip_address(text.partition("/")[0])
            for entry in found:
                if address in ip_network(entry["Subnet"], strict=False):
                    return entry
        except ValueError as error:
            raise UsageFailure(f"invalid argument {text[:80]!r} for --{what}: {error}") from error
        raise UsageFailure(f"no matching subnet for {what} {text[:80]}")

    for what, field in (("gateway", "Gateway"), ("ip-range", "IPRange")):
        for text in options.texts(what):
            if field in (entry := place(text, what)):
                raise UsageFailure(f"a subnet has one {what}, not {text[:80]} as well")
            entry[field] = text
    for name, text in pairs(options.texts("aux-address")).items():
        place(text, "aux-address").setdefault("AuxiliaryAddresses", {})[name] = text
    return found


def list_(call: Call) -> int:
    options = call.options
    found = call.client.call("GET", "/networks", {"filters": read_filters(options.texts("filter"))})
    found.sort(key=lambda network: network["Name"])
    whole = options.flag("no-trunc")
    if options.flag("quiet"):
        for network in found:
            print(short_id(network["Id"], whole))
        return 0
    print_rows([make_row(network, whole) for network in found], VIEW, options.text("format"))
    return 0


def make_row(network: dict[str, Any], whole: bool) -> ROW:
    labels = network.get("Labels") or {}
    return {
        "ID": short_id(network["Id"], whole),
        "Name": network["Name"],
        "Driver": network["Driver"],
        "Scope": network["Scope"],
        "CreatedAt": network["Created"],
        "Internal": str(network["Internal"]).lower(),
        "IPv6": str(network["EnableIPv6"]).lower(),
        "Labels": ",".join(f"{key}={value}" for key, value in labels.items()),
        "Label": Method(lambda key="": labels.get(key, ""), bare=False),
    }


def inspect(call: Call) -> int:
    return inspect_each(call, "networks")


def remove(call: Call) -> int:
    force = call.options.flag("force")

    def remove_one(name: str) -> None:
        try:
            call.client.call("DELETE", path("networks", name))
        except ApiFailure as failure:
            if not (force and failure.code == NOT_FOUND):
                raise
        print(name, flush=True)

    return each(call.options.arguments, remove_one)


def prune(call: Call) -> int:
    confirm(call, ["WARNING! This will remove all custom networks not used by at least one container."])
    query = {"filters": read_filters(call.options.texts("filter"))}
    found = call.client.call("POST", "/networks/prune", query, notice="removing networks")
    if found["NetworksDeleted"]:
        print("Deleted Networks:", *found["NetworksDeleted"], "", sep="\n")
    return 0


def connect(call: Call) -> int:
    options = call.options
    network, container = options.arguments
    endpoint: dict[str, Any] = {}
    ipam = {
        field: options.text(flag)
        for flag, field in (("ip", "IPv4Address"), ("ip6", "IPv6Address"))
        if options.given(flag)
    }
    if ipam:
        endpoint["IPAMConfig"] = ipam
    for flag, field in (("alias", "Aliases"), ("link", "Links")):
        if options.given(flag):
            endpoint[field] = options.texts(flag)
    if options.given("driver-opt"):
        endpoint["DriverOpts"] = pairs(options.texts("driver-opt"))
    if options.given("gw-priority"):
        endpoint["GwPriority"] = options.number("gw-priority")
    body = {"Container": container, "EndpointConfig": endpoint}
    call.client.call("POST", path("networks", network, "connect"), body=body)
    return 0


def disconnect(call: Call) -> int:
    network, container = call.options.arguments
    body = {"Container": container, "Force": call.options.flag("force")}
    call.client.call("POST", path("networks", network, "disconnect"), body=body)
    return 0


FORCE = Flag("force", "f", BOOL, "Do not ask")
VERBS = {
    "network connect": Verb("[OPTIONS] NETWORK CONTAINER", "Put a container on a network", connect, (
        Flag("alias", "", MANY, "A further name for it on this network"),
        Flag("driver-opt", "", MANY, "Options of the driver"),
        Flag("gw-priority", "", NUMBER, "The network with the highest has the default route"),
        Flag("ip", "", TEXT, "Its IPv4 address"), Flag("ip6", "", TEXT, "Its IPv6 address"),
        Flag("link", "", MANY, "A name for another container (container:alias)"),
    ), least=2, most=2),
    "network create": Verb("[OPTIONS] NETWORK", "Create a network", create, (
        Flag("attachable", "", BOOL, "Kept and shown"),
        Flag("aux-address", "", MANY, "Addresses that are kept free (name=address)"),
        Flag("driver", "d", TEXT, "bridge, which is the only one"),
        Flag("gateway", "", MANY, "The gateway of a subnet"),
        Flag("internal", "", BOOL, "Nothing leads out of it"),
        Flag("ip-range", "", MANY, "Where in a subnet addresses are chosen"),
        Flag("ipam-driver", "", TEXT, "default, which is the only one"),
        Flag("ipam-opt", "", MANY, "Kept and shown"),
        Flag("ipv4", "", BOOL, "IPv4 addresses (default true)"), Flag("ipv6", "", BOOL, "IPv6 addresses"),
        Flag("label", "", MANY, "Set a label (KEY=VALUE)"),
        Flag("opt", "o", MANY, "Options (com.docker.network.driver.mtu=1400)"),
        Flag("subnet", "", MANY, "A subnet (10.1.0.0/16)"),
    ), least=1, most=1),
    "network disconnect": Verb("[OPTIONS] NETWORK CONTAINER", "Take a container off a network", disconnect,
                               (Flag("force", "f", BOOL, "For Docker's sake"),), least=2, most=2),
    "network inspect": Verb("[OPTIONS] NETWORK [NETWORK...]", "Show everything about networks", inspect,
                            (Flag("format", "f", TEXT, "'json' or a template"),), least=1),
    "network ls": Verb("[OPTIONS]", "List networks", list_, (
        Flag("filter", "f", MANY, "Only those that match (KEY=VALUE)"),
        Flag("format", "", TEXT, "'table', 'table TEMPLATE', 'json', or a template for each"),
        Flag("no-trunc", "", BOOL, "Whole ids"), Flag("quiet", "q", BOOL, "Only ids"),
    ), most=0),
    "network prune": Verb("[OPTIONS]", "Remove unused networks", prune, (
        Flag("filter", "", MANY, "Only those that match (until=…, label=…, label!=…)"), FORCE,
    ), most=0),
    "network rm": Verb("[OPTIONS] NETWORK [NETWORK...]", "Remove networks", remove,
                       (Flag("force", "f", BOOL, "Nothing is said of one that is not there"),), least=1),
}  # fmt: skip
