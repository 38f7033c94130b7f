"""ps: the containers in a table."""

import json
from typing import Any

from insula.cli.client import path
from insula.cli.failure import Failure, UsageFailure
from insula.cli.flags import BOOL, MANY, NUMBER, TEXT, Flag
from insula.cli.table import ROW, View, age, human_size, local_time, print_rows, short_id, shorten
from insula.cli.template import Method
from insula.cli.verb import Call, Verb

COMMAND_WIDTH = 20
VIEW = View(
    (("CONTAINER ID", "ID"), ("IMAGE", "Image"), ("COMMAND", "Command"), ("CREATED", "RunningFor"),
     ("STATUS", "Status"), ("PORTS", "Ports"), ("NAMES", "Names")),
    {"CreatedAt": "CREATED AT", "Labels": "LABELS", "Mounts": "MOUNTS", "Networks": "NETWORKS", "State": "STATE",
     "Size": "SIZE", "Platform": "PLATFORM", "LocalVolumes": "LOCAL VOLUMES"},
)  # fmt: skip
SIZED = View((*VIEW.columns, ("SIZE", "Size")), VIEW.titles)


def read_filters(texts: list[str]) -> str | None:
    """`KEY=VALUE` several times → the API's form. Raises UsageFailure."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageFailure(f"invalid argument {text[:80]!r} for --filter: KEY=VALUE is wanted")
        found.setdefault(key.strip().lower(), []).append(value.strip())
    return json.dumps(found) if found else None


def ps(call: Call) -> int:
    options = call.options
    last = 1 if options.flag("latest") else options.number("last")
    form = options.text("format")
    sized = options.flag("size") or (
        not options.given("size") and ".Size" in form and not options.flag("quiet")
    )
    query = {
        "all": options.flag("all"),
        "limit": last if last and last > 0 else None,
        "size": sized,
        "filters": read_filters(options.texts("filter")),
    }
    found = call.client.call("GET", "/containers/json", query)
    whole = options.flag("no-trunc")
    if options.flag("quiet") and not options.given("format"):
        for container in found:
            print(short_id(container["Id"], whole))
        return 0
    print_rows([make_row(container, whole) for container in found], SIZED if sized else VIEW, form)
    return 0


def make_row(container: dict[str, Any], whole: bool) -> ROW:
    labels = container.get("Labels") or {}
    mounts = container.get("Mounts") or []
    return {
        "ID": short_id(container["Id"], whole),
        "Image": container["Image"] or "<no image>",
        "Command": f'"{shorten(container["Command"], COMMAND_WIDTH, whole)}"',
        "CreatedAt": local_time(container["Created"]),
        "RunningFor": age(container["Created"]),
        "Ports": ", ".join(show_port(port) for port in container.get("Ports") or []),
        "State": container["State"],
        "Status": container["Status"],
        "Size": show_size(container),
        "Names": ",".join(name.removeprefix("/") for name in container["Names"]),
        "Labels": ",".join(f"{key}={value}" for key, value in labels.items()),
        "Label": Method(lambda key="": labels.get(key, ""), bare=False),
        "Mounts": ",".join(mount.get("Name") or mount.get("Source") or "" for mount in mounts),
        "LocalVolumes": str(sum(mount.get("Type") == "volume" for mount in mounts)),
        "Platform": (container.get("Insula") or {}).get("Platform", ""),
        "Networks": ",".join((container.get("NetworkSettings") or {}).get("Networks") or {}),
    }


def show_size(container: dict[str, Any]) -> str:
    """What it wrote, and that with its image."""
    written, whole = container.get("SizeRw") or 0, container.get("SizeRootFs") or 0
    return human_size(written) + (f" (virtual {human_size(whole)})" if whole else "")


def show_port(port: dict[str, Any]) -> str:
    inside = f"{port.get('PrivatePort')}/{port.get('Type')}"
    return f"{port.get('IP', '')}:{port['PublicPort']}->{inside}" if port.get("PublicPort") else inside


def port(call: Call) -> int:
    """Raises Failure for a port that is not published."""
    name, *wanted = call.options.arguments
    found = call.client.call("GET", path("containers", name, "json"))
    ports = found["NetworkSettings"]["Ports"] or {}
    if wanted:
        key = wanted[0] if "/" in wanted[0] else f"{wanted[0]}/tcp"
        if not ports.get(key):
            raise Failure(f"no public port '{wanted[0][:40]}' published for {name}")
        ports = {key: ports[key]}
    for inside, outside in sorted(ports.items()):
        for one in outside or ():
            address = f"{one['HostIp']}:{one['HostPort']}"
            print(address if wanted else f"{inside} -> {address}")
    return 0


VERBS = {
    "port": Verb("CONTAINER [PRIVATE_PORT[/PROTO]]", "List a container's published ports", port, least=1, most=2),
    "ps": Verb("[OPTIONS]", "List containers", ps, (
        Flag("all", "a", BOOL, "Those that do not run, too"),
        Flag("filter", "f", MANY, "Only those that match (KEY=VALUE)"),
        Flag("format", "", TEXT, "'table', 'table TEMPLATE', 'json', or a template for each"),
        Flag("last", "n", NUMBER, "The last N created"),
        Flag("latest", "l", BOOL, "The last created"),
        Flag("no-trunc", "", BOOL, "Whole ids and commands"),
        Flag("quiet", "q", BOOL, "Only ids"),
        Flag("size", "s", BOOL, "Sizes"),
    ), most=0),
}  # fmt: skip
