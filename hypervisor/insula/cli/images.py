"""images, tag, rmi, history: the image store as a table, and its names."""

from typing import Any

from insula.cli.client import path
from insula.cli.containers_list import read_filters
from insula.cli.flags import BOOL, MANY, TEXT, Flag
from insula.cli.table import ROW, View, age, human_size, local_time, print_rows, short_id, shorten
from insula.cli.verb import Call, Verb, each

NONE = "<none>"
VIEW = View(
    (("REPOSITORY", "Repository"), ("TAG", "Tag"), ("IMAGE ID", "ID"), ("CREATED", "CreatedSince"),
     ("SIZE", "Size")),
    {"Digest": "DIGEST", "CreatedAt": "CREATED AT", "Containers": "CONTAINERS"},
)  # fmt: skip
DIGESTS = View((*VIEW.columns[:2], ("DIGEST", "Digest"), *VIEW.columns[2:]), VIEW.titles)
HISTORY = View(
    (("IMAGE", "ID"), ("CREATED", "CreatedSince"), ("CREATED BY", "CreatedBy"), ("SIZE", "Size"),
     ("COMMENT", "Comment")),
    {"CreatedAt": "CREATED AT"},
)  # fmt: skip
CREATED_BY_WIDTH = 45


def images(call: Call) -> int:
    options = call.options
    filters = options.texts("filter") + [f"reference={name}" for name in options.arguments]
    query = {"all": options.flag("all"), "filters": read_filters(filters)}
    found = call.client.call("GET", "/images/json", query)
    whole = options.flag("no-trunc")
    if options.flag("quiet") and not options.given("format"):
        for identity in dict.fromkeys(short_id(image["Id"], whole) for image in found):
            print(identity)
        return 0
    rows = [row for image in found for row in make_rows(image, whole)]
    print_rows(rows, DIGESTS if options.flag("digests") else VIEW, options.text("format"))
    return 0


def make_rows(image: dict[str, Any], whole: bool) -> list[ROW]:
    """One for each of its names; one for an image without any."""
    digests = [text for text in image.get("RepoDigests") or [] if not text.startswith(NONE)]
    digest = digests[0].partition("@")[2] if digests else NONE
    names = [name for name in image.get("RepoTags") or [] if not name.startswith(NONE)]
    if not names:
        names = [f"{digests[0].partition('@')[0]}:{NONE}" if digests else f"{NONE}:{NONE}"]
    return [
        {
            "Repository": name.rpartition(":")[0],
            "Tag": name.rpartition(":")[2],
            "Digest": digest,
            "ID": short_id(image["Id"], whole),
            "CreatedSince": age(image["Created"]),
            "CreatedAt": local_time(image["Created"]),
            "Size": human_size(image["Size"]),
            "VirtualSize": human_size(image["Size"]),
            "Containers": str(image.get("Containers", -1)) if image.get("Containers", -1) >= 0 else "N/A",
        }
        for name in names
    ]


def tag(call: Call) -> int:
    source, name = call.options.arguments
    repository, tag_ = split_name(name)
    call.client.call("POST", path("images", source, "tag"), {"repo": repository, "tag": tag_ or None})
    return 0


def split_name(name: str) -> tuple[str, str]:
    """`host:5000/a/b:tag` → repository and tag; a colon before a slash is a port's."""
    repository, colon, tag_ = name.rpartition(":")
    return (repository, tag_) if colon and "/" not in tag_ else (name, "")


def remove(call: Call) -> int:
    options = call.options
    query = {"force": options.flag("force"), "noprune": options.flag("no-prune")}

    def remove_one(name: str) -> None:
        for step in call.client.call("DELETE", path("images", name), query, notice=f"removing {name}"):
            for act, what in step.items():
                print(f"{act}: {what}")

    return each(options.arguments, remove_one)


def history(call: Call) -> int:
    options = call.options
    found = call.client.call("GET", path("images", options.arguments[0], "history"))
    whole = options.flag("no-trunc")
    if options.flag("quiet"):
        for step in found:
            print(short_id(step["Id"], whole))
        return 0
    rows = [
        {
            "ID": short_id(step["Id"], whole),
            "CreatedSince": age(step["Created"]),
            "CreatedAt": local_time(step["Created"]),
            "CreatedBy": shorten(step["CreatedBy"], CREATED_BY_WIDTH, whole),
            "Size": human_size(step["Size"]),
            "Comment": step["Comment"],
        }
        for step in found
    ]
    print_rows(rows, HISTORY, options.text("format"))
    return 0


FORMAT = Flag("format", "", TEXT, "'table', 'table TEMPLATE', 'json', or a template for each")
WHOLE = Flag("no-trunc", "", BOOL, "Whole ids and commands")
QUIET = Flag("quiet", "q", BOOL, "Only ids")
VERBS = {
    "images": Verb("[OPTIONS] [REPOSITORY[:TAG]]", "List images", images, (
        Flag("all", "a", BOOL, "Intermediate images, too"),
        Flag("digests", "", BOOL, "Show digests"),
        Flag("filter", "f", MANY, "Only those that match (KEY=VALUE)"),
        FORMAT, WHOLE, QUIET,
    ), most=1),
    "tag": Verb("SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", "Give an image a further name", tag, least=2, most=2),
    "rmi": Verb("[OPTIONS] IMAGE [IMAGE...]", "Remove images", remove, (
        Flag("force", "f", BOOL, "Also if a stopped container uses it"),
        Flag("no-prune", "", BOOL, "Keep untagged parents"),
    ), least=1),
    "history": Verb("[OPTIONS] IMAGE", "Show how an image was made", history, (FORMAT, WHOLE, QUIET),
                    least=1, most=1),
}  # fmt: skip
