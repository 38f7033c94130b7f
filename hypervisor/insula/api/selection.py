"""Which events a listener wants, and how they look: filters OR within a key, AND across keys."""

import fnmatch
from dataclasses import dataclass
from typing import Any

from insula.api.call import Call
from insula.api.listing import has_label
from insula.api.moments import BILLION, parse_moment
from insula.errors import InvalidArgument
from insula.events import Event

TYPED = ("container", "image", "network", "volume", "daemon", "plugin", "builder")
KEYS = (*TYPED, "config", "event", "label", "node", "scope", "secret", "service", "type")


@dataclass(frozen=True, slots=True)
class Selection:
    """since, until: Unix nanoseconds, 0 is none."""

    since_ns: int
    until_ns: int
    filters: dict[str, list[str]]

    def takes(self, event: Event) -> bool:
        if self.until_ns and event.time_ns > self.until_ns:
            return False
        return all(matches(event, key, values) for key, values in self.filters.items() if values)


def read_selection(call: Call) -> Selection:
    """Raises InvalidArgument."""
    filters = call.filters()
    for key in filters:
        if key not in KEYS:
            raise InvalidArgument(f"invalid filter '{key[:80]}'")
    since, until = parse_moment(call.text("since")), parse_moment(call.text("until"))
    if since and until and since > until:
        raise InvalidArgument(
            f"`since` time ({call.text('since')[:40]}) cannot be after `until` time ({call.text('until')[:40]})"
        )
    return Selection(since, until, filters)


def matches(event: Event, key: str, values: list[str]) -> bool:
    if key == "type":
        return event.type in values
    if key == "event":
        word = event.action.partition(":")[0]
        return event.action in values or word in values
    if key == "label":
        return all(has_label(event.attributes, value) for value in values)
    if key == "scope":
        return "local" in values
    if key == "image":
        return matches_image(event, values)
    if key in TYPED:
        return event.type == key and any(
            event.actor.startswith(value) or event.attributes.get("name") == value.removeprefix("/")
            for value in values
        )
    return False


def matches_image(event: Event, values: list[str]) -> bool:
    """An image's own events, and those of its containers; with or without the tag."""
    name = event.actor if event.type == "image" else event.attributes.get("image", "")
    names = {name, event.attributes.get("name", "") if event.type == "image" else name}
    names |= {name.partition(":")[0] for name in names if not name.startswith("sha256:")}
    return any(fnmatch.fnmatchcase(name, value) for name in names for value in values)


def encode_event(event: Event) -> dict[str, Any]:
    """With the fields of the time before 1.22 too, which clients still read."""
    document: dict[str, Any] = {}
    if event.type in ("container", "image"):
        document = {"status": event.action, "id": event.actor}
        if event.type == "container":
            document["from"] = event.attributes.get("image", "")
    return {
        **document,
        "Type": event.type,
        "Action": event.action,
        "Actor": {"ID": event.actor, "Attributes": event.attributes},
        "scope": "local",
        "time": event.time_ns // BILLION,
        "timeNano": event.time_ns,
    }
