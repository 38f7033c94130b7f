"""inspect, logs, events: what one thing is, what it said, and what happens."""

import json
from datetime import datetime
from typing import Any

from insula.cli.client import path
from insula.cli.containers_list import read_filters
from insula.cli.failure import ApiFailure, Failure, UsageFailure
from insula.cli.flags import BOOL, MANY, TEXT, Flag
from insula.cli.stream import Output
from insula.cli.table import clean, clean_line
from insula.cli.template import parse_template, render
from insula.cli.verb import Call, Verb, each

NOT_FOUND = 404
KINDS = {"container": "containers", "image": "images", "network": "networks", "volume": "volumes"}
LATER = (404, 501)


# -- inspect


def inspect(call: Call) -> int:
    options = call.options
    kind = options.text("type") or {"container": "container", "image": "image"}.get(call.name.split()[0], "")
    if kind and kind not in KINDS:
        raise UsageFailure(f"{kind[:40]!r} is not a valid value for --type: {', '.join(KINDS)}")
    nodes = None
    if (form := options.text("format")) and form != "json":
        nodes = parse_template(form)
    found: list[Any] = []

    def look(name: str) -> None:
        document = find_object(call, name, kind)
        if nodes is None:
            found.append(document)
        else:
            print(clean_line(render(nodes, document)))

    status = each(options.arguments, look)
    if nodes is None:
        print(json.dumps(found, indent=None if form else 4, ensure_ascii=False))
    return status


def find_object(call: Call, name: str, kind: str) -> Any:
    """The first kind of thing that has this name. Raises Failure."""
    query = {"size": True} if call.options.flag("size") else None
    for one in (kind,) if kind else KINDS:
        where = path(KINDS[one], name) + ("/json" if one in ("container", "image") else "")
        try:
            return call.client.call("GET", where, query if one == "container" else None)
        except ApiFailure as failure:
            if kind or failure.code not in LATER:
                raise
    raise Failure(f"No such object: {name}")


# -- logs


def logs(call: Call) -> int:
    options = call.options
    found = call.client.call("GET", path("containers", options.arguments[0], "json"))
    query = {
        "stdout": True, "stderr": True, "follow": options.flag("follow"), "timestamps": options.flag("timestamps"),
        "details": options.flag("details"), "tail": options.text("tail", "all"),
        "since": options.text("since") or None, "until": options.text("until") or None,
    }  # fmt: skip
    output = Output(framed=not found["Config"]["Tty"])
    for data in call.client.open("GET", path("containers", found["Id"], "logs"), query).chunks():
        output.write(data)
    return 0


# -- events


def events(call: Call) -> int:
    options = call.options
    query = {
        "since": options.text("since") or None,
        "until": options.text("until") or None,
        "filters": read_filters(options.texts("filter")),
    }
    form = options.text("format")
    nodes = parse_template(form) if form and form != "json" else None
    for event in call.client.open("GET", "/events", query).objects():
        if nodes is not None:
            text = clean_line(render(nodes, event))
        elif form:
            text = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
        else:
            text = describe_event(event)
        print(text, flush=True)
    return 0


def describe_event(event: dict[str, Any]) -> str:
    """`2026-01-31T12:00:00.123456789+01:00 container start ID (image=…, name=…)`."""
    nano = int(event.get("timeNano") or 0)
    moment = datetime.fromtimestamp(nano // 1_000_000_000).astimezone()
    zone = moment.strftime("%z")
    when = f"{moment:%Y-%m-%dT%H:%M:%S}.{nano % 1_000_000_000:09d}{zone[:3]}:{zone[3:]}"
    actor = event.get("Actor") or {}
    attributes = ", ".join(f"{key}={value}" for key, value in sorted((actor.get("Attributes") or {}).items()))
    parts = [when, event.get("Type"), event.get("Action"), actor.get("ID")]
    return clean(" ".join(str(part) for part in parts) + (f" ({attributes})" if attributes else ""))


SINCE = Flag("since", "", TEXT, "From this moment (RFC 3339, Unix time, or 10m for ten minutes ago)")
UNTIL = Flag("until", "", TEXT, "Up to this moment")
FORMAT = Flag("format", "f", TEXT, "'json' or a template")
VERBS = {
    "inspect": Verb("[OPTIONS] NAME|ID [NAME|ID...]", "Show everything about containers and images", inspect, (
        FORMAT,
        Flag("size", "s", BOOL, "Sizes of containers"),
        Flag("type", "", TEXT, "container, image, network or volume"),
    ), least=1),
    "logs": Verb("[OPTIONS] CONTAINER", "Show a container's output", logs, (
        Flag("details", "", BOOL, "Show extra attributes"),
        Flag("follow", "f", BOOL, "Go on with what comes"),
        SINCE,
        Flag("tail", "n", TEXT, "Only the last lines"),
        Flag("timestamps", "t", BOOL, "Show when each line came"),
        UNTIL,
    ), least=1, most=1),
    "events": Verb("[OPTIONS]", "Show what happens", events, (
        Flag("filter", "f", MANY, "Only those that match (KEY=VALUE)"),
        Flag("format", "", TEXT, "'json' or a template"), SINCE, UNTIL,
    ), most=0),
}  # fmt: skip
