"""`ps`: which containers are listed, by Docker's filters."""

import time
from collections.abc import Callable
from typing import Any

from insula import errors
from insula.api.call import Call
from insula.api.encode import encode_listed
from insula.container.view import ContainerView
from insula.errors import InvalidArgument, NotFound

STATUSES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
FILTERS = (
    "id", "name", "label", "status", "exited", "ancestor", "before", "since", "is-task", "network", "health",
)  # fmt: skip


def list_containers(call: Call) -> list[dict[str, Any]]:
    """Raises InvalidArgument, NotFound (before, since), NotImplemented."""
    if call.flag("size"):
        raise errors.NotImplemented("the size of a container's files is not measured yet")
    filters = call.filters()
    for name in filters:
        if name not in FILTERS:
            raise errors.NotImplemented(f"the filter '{name[:80]}' is not there yet") if name in (
                "volume", "publish", "expose", "isolation",
            ) else InvalidArgument(f"invalid filter '{name[:80]}'")  # fmt: skip
    limit = call.integer("limit", 0) or 0
    everything = call.flag("all") or limit > 0 or bool({"status", "exited", "before", "since"} & set(filters))
    views = call.engine.containers.list()
    passes = make_filter(call, filters)
    found = [view for view in views if (everything or view.state.running) and passes(view)]
    found = between(call, filters, found)
    if limit > 0:
        found = found[:limit]
    now = time.time_ns()
    return [encode_listed(view, call.version, now) for view in found]


def between(call: Call, filters: dict[str, list[str]], views: list[ContainerView]) -> list[ContainerView]:
    """before and since: by the moment of creation."""
    for name in ("before", "since"):
        for reference in filters.get(name, ()):
            edge = call.engine.containers.inspect(reference).created_ns
            views = [v for v in views if (v.created_ns < edge if name == "before" else v.created_ns > edge)]
    return views


def make_filter(call: Call, filters: dict[str, list[str]]) -> Callable[[ContainerView], bool]:
    """OR within a filter, AND across (labels: all of them). Raises InvalidArgument."""
    for status in filters.get("status", ()):
        if status not in STATUSES:
            raise InvalidArgument(f"invalid filter 'status={status[:80]}'")
    exited = {read_exit_code(code) for code in filters.get("exited", ())}
    for task in filters.get("is-task", ()):
        if task.lower() not in ("true", "false", "1", "0"):
            raise InvalidArgument(f"invalid filter 'is-task={task[:80]}'")
    ancestors = find_ancestors(call, filters.get("ancestor", ()))

    def passes(view: ContainerView) -> bool:
        return (
            any_of(filters, "id", lambda id: view.id.startswith(id))
            and any_of(filters, "name", lambda name: name.removeprefix("/") in view.name)
            and any_of(filters, "status", lambda status: view.state.status == status)
            and any_of(filters, "network", lambda name: (view.spec.network_mode or "default") == name)
            and any_of(filters, "health", lambda health: health == "none")
            and any_of(filters, "is-task", lambda task: task.lower() in ("false", "0"))
            and all(has_label(view.settings.labels, label) for label in filters.get("label", ()))
            and (not exited or (view.state.finished_ns > 0 and not view.state.running
                                and view.state.exit_code in exited))
            and ("ancestor" not in filters or view.image_id in ancestors)
        )  # fmt: skip

    return passes


def any_of(filters: dict[str, list[str]], name: str, matches: Callable[[str], bool]) -> bool:
    values = filters.get(name)
    return not values or any(matches(value) for value in values)


def has_label(labels: dict[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def read_exit_code(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        raise InvalidArgument(f"invalid filter 'exited={text[:80]}'")
    return int(text)


def find_ancestors(call: Call, references: Any) -> set[str]:
    """The ids of the images that are named; one that is not there has no descendants."""
    found: set[str] = set()
    for reference in references:
        try:
            found.update(
                call.engine.images.find(reference, platform).id
                for platform in call.engine.images.platforms(reference)
            )
        except NotFound:
            continue
    return found
