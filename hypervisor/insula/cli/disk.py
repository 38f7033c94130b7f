"""system df, container prune, image prune, system prune: what is taken of the disk, and giving it back."""

import sys
from collections.abc import Sequence
from typing import Any

from insula.cli.containers_list import make_row, read_filters
from insula.cli.failure import Failure
from insula.cli.flags import BOOL, MANY, TEXT, Flag
from insula.cli.images import make_rows
from insula.cli.table import ROW, View, human_size, print_rows
from insula.cli.verb import Call, Verb

ACTIVE = ("running", "paused", "restarting")
VIEW = View(
    (("TYPE", "Type"), ("TOTAL", "TotalCount"), ("ACTIVE", "Active"), ("SIZE", "Size"),
     ("RECLAIMABLE", "Reclaimable")), {},
)  # fmt: skip
IMAGES = View(
    (("REPOSITORY", "Repository"), ("TAG", "Tag"), ("IMAGE ID", "ID"), ("CREATED", "CreatedSince"),
     ("SIZE", "Size"), ("SHARED SIZE", "SharedSize"), ("UNIQUE SIZE", "UniqueSize"), ("CONTAINERS", "Containers")),
    {},
)  # fmt: skip
VOLUMES = View((("VOLUME NAME", "Name"), ("LINKS", "Links"), ("SIZE", "Size")), {})
CONTAINERS = View(
    (("CONTAINER ID", "ID"), ("IMAGE", "Image"), ("COMMAND", "Command"), ("SIZE", "Size"),
     ("CREATED", "RunningFor"), ("STATUS", "Status"), ("NAMES", "Names")), {},
)  # fmt: skip


def system_df(call: Call) -> int:
    options = call.options
    found = call.client.call("GET", "/system/df", notice="measuring the disk")
    if not options.flag("verbose"):
        print_rows(summary(found), VIEW, options.text("format"))
        return 0
    if options.given("format"):
        raise Failure("--format is for the summary: leave out --verbose")
    print("Images space usage:\n")
    print_rows([row for image in found["Images"] or () for row in image_rows(image)], IMAGES, "")
    print("\nContainers space usage:\n")
    print_rows(
        [make_row({**one, "SizeRootFs": 0}, False) for one in found["Containers"] or ()], CONTAINERS, ""
    )
    print("\nLocal Volumes space usage:\n")
    print_rows([volume_row(volume) for volume in found["Volumes"] or ()], VOLUMES, "")
    return 0


def volume_row(volume: dict[str, Any]) -> ROW:
    usage = volume["UsageData"]
    size = human_size(usage["Size"]) if usage["Size"] >= 0 else "N/A"
    return {"Name": volume["Name"], "Links": str(usage["RefCount"]), "Size": size}


def image_rows(image: dict[str, Any]) -> list[ROW]:
    shared = max(0, image["SharedSize"])
    sizes = {"SharedSize": human_size(shared), "UniqueSize": human_size(image["Size"] - shared)}
    return [row | sizes for row in make_rows(image, False)]


def summary(found: dict[str, Any]) -> list[ROW]:
    images, containers = found["Images"] or [], found["Containers"] or []
    used = [image for image in images if image["Containers"]]
    alive = [one for one in containers if one["State"] in ACTIVE]
    written = sum(one.get("SizeRw") or 0 for one in containers)
    kept = sum(image["Size"] - max(0, image["SharedSize"]) for image in used)
    idle = written - sum(one.get("SizeRw") or 0 for one in alive)
    return [
        summary_row("Images", len(images), len(used), found["LayersSize"], found["LayersSize"] - kept),
        summary_row("Containers", len(containers), len(alive), written, idle),
        volumes_row(found["Volumes"] or []),
        cache_row(found["BuildCache"] or []),
    ]


def volumes_row(volumes: list[dict[str, Any]]) -> ROW:
    sizes = [max(0, volume["UsageData"]["Size"]) for volume in volumes]
    idle = [size for size, volume in zip(sizes, volumes, strict=True) if not volume["UsageData"]["RefCount"]]
    return summary_row("Local Volumes", len(volumes), len(volumes) - len(idle), sum(sizes), sum(idle))


def cache_row(entries: list[dict[str, Any]]) -> ROW:
    """The steps of images that have names are those images' own."""
    own = [entry for entry in entries if not entry["Shared"]]
    idle = sum(entry["Size"] for entry in own if not entry["InUse"])
    used = sum(entry["InUse"] for entry in entries)
    return summary_row("Build Cache", len(entries), used, sum(entry["Size"] for entry in own), idle)


def summary_row(kind: str, total: int, active: int, size: int, reclaimable: int) -> ROW:
    share = f" ({reclaimable * 100 // size}%)" if size else ""
    return {
        "Type": kind, "TotalCount": str(total), "Active": str(active), "Size": human_size(size),
        "Reclaimable": human_size(reclaimable) + share,
    }  # fmt: skip


# -- prune


def container_prune(call: Call) -> int:
    confirm(call, ["WARNING! This will remove all stopped containers."])
    told(prune_containers(call))
    return 0


def system_prune(call: Call) -> int:
    options = call.options
    volumes = options.flag("volumes")
    if volumes and any(text.startswith("until=") for text in options.texts("filter")):
        raise Failure('The "until" filter is not supported with "--volumes"')
    images = "all images without a container" if options.flag("all") else "all dangling images"
    doomed = [
        "all stopped containers",
        *(["all anonymous volumes without a container"] if volumes else []),
        images,
    ]
    confirm(call, ["WARNING! This will remove:", *(f"  - {what}" for what in doomed)])
    reclaimed = prune_containers(call)
    reclaimed += prune_volumes(call) if volumes else 0
    told(reclaimed + prune_images(call))
    return 0


def confirm(call: Call, warning: Sequence[str]) -> None:
    """Raises Failure unless the user says yes, or has said so with --force."""
    if call.options.flag("force"):
        return
    print("\n".join([*warning, "Are you sure you want to continue? [y/N] "]), end="", flush=True)
    if sys.stdin.readline().strip().lower() != "y":
        raise Failure("nothing was removed")


def prune_containers(call: Call) -> int:
    """Bytes that were given back."""
    query = {"filters": read_filters(call.options.texts("filter"))}
    found = call.client.call("POST", "/containers/prune", query, notice="removing containers")
    if found["ContainersDeleted"]:
        print("Deleted Containers:", *found["ContainersDeleted"], "", sep="\n")
    return int(found["SpaceReclaimed"])


def prune_volumes(call: Call, filters: Sequence[str] = ()) -> int:
    """Bytes that were given back. filters: beside the user's own."""
    query = {"filters": read_filters([*call.options.texts("filter"), *filters])}
    found = call.client.call("POST", "/volumes/prune", query, notice="removing volumes")
    if found["VolumesDeleted"]:
        print("Deleted Volumes:", *found["VolumesDeleted"], "", sep="\n")
    return int(found["SpaceReclaimed"])


def image_prune(call: Call) -> int:
    what = "all images without a container" if call.options.flag("all") else "all dangling images"
    confirm(call, [f"WARNING! This will remove {what}."])
    told(prune_images(call))
    return 0


def prune_images(call: Call) -> int:
    """Bytes that were given back."""
    filters = [*call.options.texts("filter"), f"dangling={'false' if call.options.flag('all') else 'true'}"]
    found = call.client.call(
        "POST", "/images/prune", {"filters": read_filters(filters)}, notice="removing images"
    )
    if found["ImagesDeleted"]:
        print("Deleted Images:")
        for step in found["ImagesDeleted"]:
            print("".join(f"{kind.lower()}: {what}" for kind, what in step.items()))
        print()
    return int(found["SpaceReclaimed"])


def told(reclaimed: int) -> None:
    print(f"Total reclaimed space: {human_size(reclaimed)}")


FILTER = Flag("filter", "", MANY, "Only those that match (until=…, label=…, label!=…)")
FORCE = Flag("force", "f", BOOL, "Do not ask")
VERBS = {
    "system df": Verb("[OPTIONS]", "Show what is taken of the disk", system_df, (
        Flag("format", "", TEXT, "'table', 'table TEMPLATE', 'json', or a template for each"),
        Flag("verbose", "v", BOOL, "Each image and container"),
    ), most=0),
    "container prune": Verb("[OPTIONS]", "Remove all stopped containers", container_prune, (FILTER, FORCE), most=0),
    "image prune": Verb("[OPTIONS]", "Remove images that nobody needs", image_prune, (
        Flag("all", "a", BOOL, "All images without a container, not just dangling ones"), FILTER, FORCE,
    ), most=0),
    "system prune": Verb("[OPTIONS]", "Remove stopped containers and dangling images", system_prune, (
        Flag("all", "a", BOOL, "All images without a container, not just dangling ones"), FILTER, FORCE,
        Flag("volumes", "", BOOL, "Anonymous volumes without a container, too"),
    ), most=0),
}  # fmt: skip
