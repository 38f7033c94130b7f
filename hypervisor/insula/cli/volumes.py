"""volume create, ls, inspect, rm, prune."""

from typing import Any

from insula.cli.client import path
from insula.cli.containers_list import read_filters
from insula.cli.disk import confirm, prune_volumes, told
from insula.cli.failure import ApiFailure, UsageFailure
from insula.cli.flags import BOOL, MANY, TEXT, Flag
from insula.cli.inspection import inspect_each
from insula.cli.table import ROW, View, clean_line, print_rows
from insula.cli.template import Method
from insula.cli.values import pairs
from insula.cli.verb import Call, Verb, each

NOT_FOUND = 404
VIEW = View(
    (("DRIVER", "Driver"), ("VOLUME NAME", "Name")),
    {"Labels": "LABELS", "Mountpoint": "MOUNTPOINT", "Scope": "SCOPE"},
)


def create(call: Call) -> int:
    options = call.options
    names = options.arguments
    if names and options.given("name"):
        raise UsageFailure(
            "conflicting options: cannot specify a volume's name through both --name and an argument"
        )
    body = {
        "Name": names[0] if names else options.text("name"),
        "Driver": options.text("driver", "local"),
        "DriverOpts": pairs(options.texts("opt")),
        "Labels": pairs(options.texts("label")),
    }
    print(call.client.call("POST", path("volumes", "create"), body=body)["Name"])
    return 0


def list_(call: Call) -> int:
    options = call.options
    found = call.client.call("GET", "/volumes", {"filters": read_filters(options.texts("filter"))})
    volumes = found["Volumes"] or []
    if options.flag("quiet"):
        for volume in volumes:
            print(clean_line(volume["Name"]))
        return 0
    print_rows([make_row(volume) for volume in volumes], VIEW, options.text("format"))
    return 0


def make_row(volume: dict[str, Any]) -> ROW:
    labels = volume.get("Labels") or {}
    return {
        "Driver": volume["Driver"],
        "Name": volume["Name"],
        "Labels": ",".join(f"{key}={value}" for key, value in labels.items()),
        "Label": Method(lambda key="": labels.get(key, ""), bare=False),
        "Mountpoint": volume["Mountpoint"],
        "Scope": volume["Scope"],
    }


def inspect(call: Call) -> int:
    return inspect_each(call, "volumes")


def remove(call: Call) -> int:
    force = call.options.flag("force")

    def remove_one(name: str) -> None:
        try:
            call.client.call("DELETE", path("volumes", name), {"force": force}, notice=f"removing {name}")
        except ApiFailure as failure:
            if not (force and failure.code == NOT_FOUND):
                raise
        print(name, flush=True)

    return each(call.options.arguments, remove_one)


def prune(call: Call) -> int:
    everything = call.options.flag("all")
    what = "all local volumes" if everything else "anonymous local volumes"
    confirm(call, [f"WARNING! This will remove {what} not used by at least one container."])
    told(prune_volumes(call, ["all=true"] if everything else []))
    return 0


FILTER = Flag("filter", "", MANY, "Only those that match (label=…, name=…, dangling=…)")
FORMAT = Flag("format", "f", TEXT, "'json' or a template")
VERBS = {
    "volume create": Verb("[OPTIONS] [VOLUME]", "Create a volume", create, (
        Flag("driver", "d", TEXT, "local, which is the only one"),
        Flag("label", "", MANY, "Set a label (KEY=VALUE)"),
        Flag("name", "", TEXT, "The volume's name"),
        Flag("opt", "o", MANY, "Its options (type=none, o=bind, device=PATH; type=tmpfs; type=block, size=SIZE)"),
    ), most=1),
    "volume inspect": Verb("[OPTIONS] VOLUME [VOLUME...]", "Show everything about volumes", inspect, (FORMAT,),
                           least=1),
    "volume ls": Verb("[OPTIONS]", "List volumes", list_, (
        Flag("filter", "f", MANY, "Only those that match (KEY=VALUE)"),
        Flag("format", "", TEXT, "'table', 'table TEMPLATE', 'json', or a template for each"),
        Flag("quiet", "q", BOOL, "Only names"),
    ), most=0),
    "volume prune": Verb("[OPTIONS]", "Remove unused anonymous volumes", prune, (
        Flag("all", "a", BOOL, "Named ones, too"), FILTER, Flag("force", "f", BOOL, "Do not ask"),
    ), most=0),
    "volume rm": Verb("[OPTIONS] VOLUME [VOLUME...]", "Remove volumes", remove,
                      (Flag("force", "f", BOOL, "Nothing is said of one that is not there"),), least=1),
}  # fmt: skip
