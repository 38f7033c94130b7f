"""`inspect` of one kind of thing by the names that are given: what is found is shown, what is not is told."""

import json
from typing import Any

from insula.cli.client import path
from insula.cli.table import clean_line
from insula.cli.template import parse_template, render
from insula.cli.verb import Call, each


def inspect_each(call: Call, kind: str) -> int:
    """The exit status. kind: of the API's addresses (`networks`)."""
    form = call.options.text("format")
    nodes = parse_template(form) if form and form != "json" else None
    found: list[Any] = []

    def look(name: str) -> None:
        document = call.client.call("GET", path(kind, name))
        if nodes is None:
            found.append(document)
        else:
            print(clean_line(render(nodes, document)))

    status = each(call.options.arguments, look)
    if nodes is None:
        print(json.dumps(found, indent=None if form else 4, ensure_ascii=False))
    return status
