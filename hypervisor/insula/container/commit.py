"""What a commit makes of a container: its changes as an image's layer, its settings as the image's config. Pure.

The layer is the overlay's upper directory with its whiteouts in the form that images have them. What the agent put
there to mount upon stays out, as in `diff`.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from insula.agent.tar import tar_from_tree
from insula.agent.tree import LOWER, Entry, Kind, lower_of
from insula.container.changes import OURS, is_opaque, is_whiteout
from insula.container.health import HealthCheck
from insula.container.record import Record
from insula.container.settings import HEALTHCHECK_NUMBERS
from insula.errors import InvalidArgument
from insula.image.change import apply_changes
from insula.image.manifest import ImageConfig, parse_config

OVERLAY = b"trusted.overlay."
WHITEOUT, OPAQUE = b".wh.", b".wh..wh..opq"
TEXT_MAX = 4096
REPLACED = ("Cmd", "Entrypoint", "User", "WorkingDir", "StopSignal", "Shell", "Healthcheck", "OnBuild")
JOINED = ("Labels", "ExposedPorts", "Volumes")


@dataclass(frozen=True, slots=True)
class Commit:
    """reference: the image's tag, or empty; pause: its processes stand still meanwhile; changes: instructions;
    config: fields of an image's config that are to be others than the container's."""

    reference: str = ""
    author: str = ""
    message: str = ""
    pause: bool = True
    changes: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.author) > TEXT_MAX or len(self.message) > TEXT_MAX:
            raise InvalidArgument(f"an image's author or comment has at most {TEXT_MAX} characters")


def layer_from(upper: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The tar of a layer, out of the stream of an upper directory that is told with what lies below it."""
    return tar_from_tree(upper, change=layer_entries)


def layer_entries(entry: Entry) -> tuple[Entry, ...]:
    """What an entry is in a layer: nothing, itself, or itself and a mark."""
    lower = lower_of(entry)
    if lower is None and entry.path.decode("utf-8", "surrogateescape") in OURS:
        return ()
    folder, slash, name = entry.path.rpartition(b"/")
    if is_whiteout(entry):
        gone = Entry(Kind.FILE, mode=0o600, path=folder + slash + WHITEOUT + name)
        return () if lower is None else (replace(gone, mtime_seconds=entry.mtime_seconds),)
    xattrs = tuple(item for item in entry.xattrs if item[0] != LOWER and not item[0].startswith(OVERLAY))
    kept = replace(entry, xattrs=xattrs)
    if is_opaque(entry) and lower is not None:
        mark = Entry(Kind.FILE, mode=0o600, path=b"/".join(part for part in (entry.path, OPAQUE) if part))
        return kept, mark
    return (kept,)


def image_config(record: Record, parent: ImageConfig, wanted: Commit, diff_id: str) -> bytes:
    """The config of the image, as bytes. Raises InvalidArgument."""
    created = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    document = json.loads(parent.raw)
    config = {**(document.get("config") or {}), **_settings(record)}
    document["config"] = apply_changes(_overridden(config, wanted.config), wanted.changes)
    document["created"] = created
    if wanted.author:
        document["author"] = wanted.author
    document["rootfs"] = {"type": "layers", "diff_ids": [*parent.diff_ids, diff_id]}
    step = {"created": created, "created_by": " ".join(record.settings.arguments)[:TEXT_MAX]}
    step |= {name: value for name, value in (("author", wanted.author), ("comment", wanted.message)) if value}
    document["history"] = [*(document.get("history") or ()), step]
    for name in ("container", "container_config", "docker_version"):  # of another engine's making
        document.pop(name, None)
    raw = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    parse_config(raw)
    return raw


def _settings(record: Record) -> dict[str, Any]:
    """A container's own, as an image has them."""
    settings, spec = record.settings, record.spec
    found: dict[str, Any] = {
        "Entrypoint": list(settings.entrypoint) if settings.entrypoint else None,
        "Cmd": list(settings.cmd) if settings.cmd else None,
        "Env": list(settings.env),
        "WorkingDir": settings.working_dir,
        "User": settings.user,
        "Labels": dict(settings.labels) or None,
        "StopSignal": settings.stop_signal or None,
        "Shell": list(settings.shell) or None,
        "ExposedPorts": {port: {} for port in (*settings.exposed_ports, *spec.exposed)} or None,
        "Volumes": {folder: {} for folder in settings.volumes} or None,
        "Healthcheck": _healthcheck(settings.healthcheck),
    }
    return {
        name: value for name, value in found.items() if value is not None or name in ("Cmd", "Entrypoint")
    }


def _healthcheck(check: HealthCheck | None) -> dict[str, Any] | None:
    if check is None:
        return None
    numbers = {theirs: getattr(check, ours) for theirs, ours in HEALTHCHECK_NUMBERS.items()}
    return {"Test": list(check.test), **{name: value for name, value in numbers.items() if value}}


def _overridden(config: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """With what a commit's body says: single values instead, others besides."""
    result = dict(config)
    for name in REPLACED:
        if wanted.get(name):
            result[name] = wanted[name]
    for name in JOINED:
        if wanted.get(name):
            result[name] = {**(result.get(name) or {}), **wanted[name]}
    if names := {entry.partition("=")[0] for entry in wanted.get("Env") or ()}:
        kept = [entry for entry in result.get("Env") or () if entry.partition("=")[0] not in names]
        result["Env"] = [*kept, *wanted["Env"]]
    return result
