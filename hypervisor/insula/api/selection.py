"""Which events a listener wants, and how they look: filters OR within a key, AND across keys."""

from dataclasses import dataclass
from typing import Any

from insula.api.call import Call
from insula.api.filters import check_known, has_labels
from insula.api.moments import BILLION, parse_moment
from insula.api.versions import Version
from insula.errors import InvalidArgument
from insula.events import Event

TYPED = ("container", "image", "network", "volume", "daemon", "plugin", "builder")
KEYS = (*TYPED, "config", "event", "label", "node", "scope", "secret", "service", "type")
PREFIXED = frozenset({"health_status", "exec_create", "exec_start"})  # their actions go on after a colon


@dataclass(frozen=True, slots=True)
class Selection:
    """since, until: Unix nanoseconds, 0 is none; version: image `create` came with 1.46."""

    since_ns: int
    until_ns: int
    filters: dict[str, list[str]]
    version: Version = (1, 51)

    @property
    def replays(self) -> bool:
        """Whether what has already happened is wanted: only if a moment is named."""
        return bool(self.since_ns or self.until_ns)

    def takes(self, event: Event) -> bool:
        """Whether it is wanted now; since when is for what is replayed."""
        if self.until_ns and event.time_ns > self.until_ns:
            return False
        if self.version < (1, 46) and (event.type, event.action) == ("image", "create"):
            return False
        return all(matches(event, key, values) for key, values in self.filters.items() if values)


def read_selection(call: Call) -> Selection:
    """Raises InvalidArgument."""
    filters = call.filters()
    check_known(filters, KEYS)
    since, until = parse_moment(call.text("since")), parse_moment(call.text("until"))
    if until and since > until:
        raise InvalidArgument(
            f"`since` time ({call.text('since')[:40]}) cannot be after `until` time ({call.text('until')[:40]})"
        )
    return Selection(since, until, filters, call.version)


def matches(event: Event, key: str, values: list[str]) -> bool:
    if key == "type":
        return event.type in values
    if key == "event":
        prefixes = tuple(values) if PREFIXED & set(values) else ()
        return event.action in values or (bool(prefixes) and event.action.startswith(prefixes))
    if key == "label":
        return has_labels(event.attributes, values)
    if key == "scope":
        return "local" in values
    if key == "image":
        return matches_image(event, values)
    if key in TYPED:
        names = (event.actor, event.attributes.get("name", ""))
        return event.type == key and any(
            name.startswith(v.removeprefix("/")) for name in names for v in values
        )
    return False


def matches_image(event: Event, values: list[str]) -> bool:
    """An image's own events, and those of its containers; with or without the tag."""
    name = event.attributes.get("name" if event.type == "image" else "image", "")
    names = {event.actor, name, without_tag(event.actor), without_tag(name)}
    return not names.isdisjoint(values)


def without_tag(name: str) -> str:
    repository, _, last = name.partition("@")[0].rpartition("/")
    if last == "sha256" or name.startswith("sha256:"):
        return name
    last = last.partition(":")[0]
    return f"{repository}/{last}" if repository else last


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
