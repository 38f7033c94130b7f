"""`--volume` and `--mount` → the API's Binds, Volumes and Mounts. Pure, but for where relative paths begin."""

import os
from typing import Any

from insula.cli.failure import UsageFailure
from insula.cli.flags import Options
from insula.cli.values import parse_size

Document = dict[str, Any]
TYPES = ("bind", "volume", "tmpfs", "image", "cluster", "npipe")
FALSE, TRUE = ("0", "false", "f"), ("", "1", "true", "t")
NAMES = {
    "type": "type", "source": "source", "src": "source", "target": "target", "dst": "target",
    "destination": "target", "readonly": "readonly", "ro": "readonly", "consistency": "consistency",
}  # fmt: skip
OF_TYPE = {
    "bind-propagation": "bind", "bind-nonrecursive": "bind", "bind-recursive": "bind", "bind-create-src": "bind",
    "volume-nocopy": "volume", "volume-label": "volume", "volume-driver": "volume", "volume-opt": "volume",
    "volume-subpath": "volume", "tmpfs-size": "tmpfs", "tmpfs-mode": "tmpfs",
}  # fmt: skip
RECURSIVE: dict[str, Document] = {
    "enabled": {}, "disabled": {"NonRecursive": True}, "writable": {"ReadOnlyNonRecursive": True},
    "readonly": {"ReadOnlyForceRecursive": True},
}  # fmt: skip


def volume_fields(options: Options) -> tuple[list[str], Document]:
    """Binds; and the targets of anonymous volumes. Raises UsageFailure."""
    binds: list[str] = []
    volumes: Document = {}
    for text in options.texts("volume"):
        source, colon, rest = text.partition(":")
        if not text or (colon and not source):
            raise UsageFailure(f"invalid argument {text[:80]!r} for --volume: SOURCE:TARGET is wanted")
        if not colon:
            volumes[text] = {}
        elif source == "." or source.startswith(("./", "../", "~/")) or source == "..":
            binds.append(f"{os.path.abspath(os.path.expanduser(source))}:{rest}")
        else:
            binds.append(text)
    return binds, volumes


def parse_mount(text: str) -> Document:
    """One `--mount`: `type=bind,src=/a,dst=/b,readonly`. Raises UsageFailure."""
    document: Document = {"Type": "volume"}
    found = [_pair(word, text) for word in _split(text)]
    for name, value in found:
        if NAMES.get(name) == "type":
            if value not in TYPES:
                raise UsageFailure(f"invalid argument {text[:80]!r} for --mount: unknown type {value[:40]!r}")
            document["Type"] = value
    for name, value in found:
        _add(document, name, value, text)
    if not document.get("Target"):
        raise UsageFailure(f"invalid argument {text[:80]!r} for --mount: target is required")
    if document["Type"] == "bind" and document.get("Source", "").startswith("."):
        document["Source"] = os.path.abspath(document["Source"])
    return document


def _split(text: str) -> list[str]:
    import csv

    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise UsageFailure(f"invalid argument {text[:80]!r} for --mount: {error}") from error
    return rows[0] if rows else []


def _pair(word: str, text: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    name = name.strip().lower()
    if name not in NAMES and name not in OF_TYPE:
        raise UsageFailure(f"invalid argument {text[:80]!r} for --mount: unexpected key {name[:40]!r}")
    if not equals and name not in ("readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src"):
        raise UsageFailure(f"invalid argument {text[:80]!r} for --mount: {name} needs a value")
    return name, value


def _add(document: Document, name: str, value: str, text: str) -> None:
    kind = NAMES.get(name)
    if kind in ("source", "target", "consistency"):
        document[kind.capitalize()] = value
    elif kind == "readonly":
        document["ReadOnly"] = _flag(value, text)
    elif kind is None:
        of = OF_TYPE[name]
        if of != document["Type"]:
            raise UsageFailure(f"invalid argument {text[:80]!r} for --mount: {name} is for type {of}")
        options = document.setdefault(f"{of.capitalize()}Options", {})
        _OPTIONS[of](options, name, value, text)


def _flag(value: str, text: str) -> bool:
    if value.lower() not in (*FALSE, *TRUE):
        raise UsageFailure(
            f"invalid argument {text[:80]!r} for --mount: {value[:40]!r} is neither true nor false"
        )
    return value.lower() in TRUE


def _bind_option(options: Document, name: str, value: str, text: str) -> None:
    if name == "bind-propagation":
        options["Propagation"] = value
    elif name == "bind-recursive":
        if value not in RECURSIVE:
            raise UsageFailure(
                f"invalid argument {text[:80]!r} for --mount: bind-recursive is one of {', '.join(RECURSIVE)}"
            )
        options |= RECURSIVE[value]
    else:
        options["NonRecursive" if name == "bind-nonrecursive" else "CreateMountpoint"] = _flag(value, text)


def _volume_option(options: Document, name: str, value: str, text: str) -> None:
    if name == "volume-nocopy":
        options["NoCopy"] = _flag(value, text)
    elif name == "volume-subpath":
        options["Subpath"] = value
    elif name == "volume-driver":
        options.setdefault("DriverConfig", {})["Name"] = value
    else:
        key, _, rest = value.partition("=")
        driver = options.setdefault("DriverConfig", {}) if name == "volume-opt" else options
        driver.setdefault("Options" if name == "volume-opt" else "Labels", {})[key] = rest


def _tmpfs_option(options: Document, name: str, value: str, text: str) -> None:
    if name == "tmpfs-size":
        options["SizeBytes"] = parse_size(value, "mount")
        return
    try:
        options["Mode"] = int(value, 8)
    except ValueError:
        raise UsageFailure(
            f"invalid argument {text[:80]!r} for --mount: invalid mode {value[:40]!r}"
        ) from None


_OPTIONS = {"bind": _bind_option, "volume": _volume_option, "tmpfs": _tmpfs_option}
