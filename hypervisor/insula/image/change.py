"""`docker import` and its `--change` lines: the few Dockerfile instructions that alter a config.

CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR, as Docker allows them.
Anything else is refused by name. The config's bytes are sorted, so that equal inputs give equal ids.
"""

import json
import re
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from insula.errors import InvalidArgument
from insula.image.manifest import parse_config
from insula.image.reference import host_architecture, parse_platform

CHANGES_MAX = 200
CHANGE_MAX = 1 << 16


@dataclass(frozen=True, slots=True)
class Change:
    """What an import makes of a root file system. reference: the tag, or empty; platform: or the host's;
    beside: the tag keeps its images of other platforms."""

    reference: str = ""
    platform: str = ""
    message: str = ""
    changes: tuple[str, ...] = ()
    beside: bool = False


def make_imported_config(change: Change, diff_id: str) -> bytes:
    """The config of an imported image, as bytes. Raises InvalidArgument."""
    platform = parse_platform(change.platform or f"linux/{host_architecture()}")
    created = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    document: dict[str, Any] = {
        "architecture": platform.architecture,
        "os": platform.os,
        "created": created,
        "config": apply_changes({}, change.changes),
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": created, "comment": change.message or "Imported"}],
    }
    if platform.variant:
        document["variant"] = platform.variant
    raw = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    parse_config(raw)
    return raw


def apply_changes(config: dict[str, Any], changes: tuple[str, ...]) -> dict[str, Any]:
    """A new `config` object with the instructions applied. Raises InvalidArgument."""
    if len(changes) > CHANGES_MAX or any(len(line) > CHANGE_MAX for line in changes):
        raise InvalidArgument(f"more than {CHANGES_MAX} changes, or one of more than {CHANGE_MAX} bytes")
    result: dict[str, Any] = json.loads(json.dumps(config))
    for line in changes:
        instruction, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if not rest:
            raise InvalidArgument(f"the change {line[:80]!r} has no argument")
        _apply(result, instruction.upper(), rest)
    return result


def _apply(config: dict[str, Any], instruction: str, rest: str) -> None:
    if instruction in ("CMD", "ENTRYPOINT"):
        config[instruction.capitalize()] = _command(rest)
    elif instruction == "ENV":
        names = [name for name, _ in _pairs(rest, instruction)]
        kept = [item for item in config.get("Env", []) if item.partition("=")[0] not in names]
        config["Env"] = kept + [f"{name}={value}" for name, value in _pairs(rest, instruction)]
    elif instruction == "LABEL":
        config["Labels"] = {**config.get("Labels", {}), **dict(_pairs(rest, instruction))}
    elif instruction == "EXPOSE":
        ports: dict[str, Any] = {_port(word): {} for word in _words(rest)}
        config["ExposedPorts"] = {**config.get("ExposedPorts", {}), **ports}
    elif instruction == "VOLUME":
        folders: dict[str, Any] = {word: {} for word in _exec_form(rest) or _words(rest)}
        config["Volumes"] = {**config.get("Volumes", {}), **folders}
    elif instruction == "ONBUILD":
        config["OnBuild"] = [*config.get("OnBuild", []), rest]
    elif instruction in ("USER", "WORKDIR", "STOPSIGNAL"):
        config[{"USER": "User", "WORKDIR": "WorkingDir", "STOPSIGNAL": "StopSignal"}[instruction]] = rest
    else:
        raise InvalidArgument(f"{instruction[:40]} is not a valid change command")


def _exec_form(text: str) -> list[str] | None:
    """`["a", "b"]`, or None if it is not that."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    return None


def _command(text: str) -> list[str]:
    words = _exec_form(text)
    return ["/bin/sh", "-c", text] if words is None else words


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidArgument(f"the change's argument {text[:80]!r} has unbalanced quotes") from error


def _pairs(text: str, instruction: str) -> list[tuple[str, str]]:
    """`A=b C="d e"`, or the old form `A value with spaces`."""
    words = _words(text)
    if "=" not in words[0]:
        name, _, value = text.partition(" ")
        if not value:
            raise InvalidArgument(f"{instruction} must have two arguments")
        return [(name, value.strip())]
    pairs = [word.partition("=") for word in words]
    if any(not name or not equals for name, equals, _ in pairs):
        raise InvalidArgument(f"{instruction} needs NAME=VALUE, not {text[:80]!r}")
    return [(name, value) for name, _, value in pairs]


def _port(word: str) -> str:
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?(/(?:tcp|udp|sctp))?", word)
    if not match or not 0 < int(match[1]) < 65536 or int(match[2] or match[1]) > 65535:
        raise InvalidArgument(f"invalid containerPort: {word[:40]}")
    return word if match[3] else word + "/tcp"
