"""A volume as users make it, and its form in the database. Validated where it is built, in Docker's words.

There is one driver, `local`: a folder of the state root; with `type=none,o=bind` a folder of the host's; with
`type=tmpfs` memory of the machine that mounts it; with `type=block,size=…` a disk that one machine at a time has.
What would need the host to mount something is refused by name.
"""

import re
import secrets
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from insula.errors import InvalidArgument, NotFound, NotImplemented
from insula.volume.block import read_size

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
NAME_MAX = 255
LABELS_MAX, OPTIONS_MAX, TEXT_MAX = 1024, 64, 4096
ANONYMOUS = "com.docker.volume.anonymous"
DRIVER = "local"
OPTIONS = ("type", "o", "device", "size")
BIND = ("bind", "rbind")


class Kind(StrEnum):
    """Where a volume's files are."""

    FOLDER = "folder"
    BIND = "bind"
    TMPFS = "tmpfs"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """What `volume create` asks for. name: empty for an anonymous one's."""

    name: str = ""
    driver: str = ""
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises InvalidArgument, NotFound (driver), NotImplemented."""
        if self.name:
            check_name(self.name)
        if self.driver not in ("", DRIVER):
            raise NotFound(
                f'error looking up volume plugin {self.driver[:80]}: plugin "{self.driver[:80]}" not found'
            )
        _check_pairs("labels", self.labels, LABELS_MAX)
        _check_pairs("driver options", self.options, OPTIONS_MAX)
        for name in self.options:
            if name not in OPTIONS:
                raise InvalidArgument(f"create {self.name[:80]}: invalid option: {name[:80]!r}")
        self.kind  # noqa: B018 - raises

    @property
    def kind(self) -> Kind:
        """Raises InvalidArgument, NotImplemented."""
        if not self.options:
            return Kind.FOLDER
        type_ = self.options.get("type", "")
        if type_ == "block":
            if set(self.options) != {"type", "size"}:
                raise InvalidArgument("a block volume has the options type=block and size=…, and no other")
            read_size(self.options["size"])
            return Kind.BLOCK
        if "size" in self.options:
            raise InvalidArgument(f"create {self.name[:80]}: the option size is of type=block alone")
        if type_ == "tmpfs":
            return Kind.TMPFS
        words = [word for word in self.options.get("o", "").split(",") if word]
        if type_ in ("none", "", "bind") and set(words) & set(BIND):
            if set(words) - {*BIND, "ro", "rw"}:
                raise InvalidArgument(f"the volume option o={self.options['o'][:80]} is not known with bind")
            if not self.options.get("device", "").startswith("/"):
                raise InvalidArgument("missing device in volume options: an absolute path of the host")
            return Kind.BIND
        if not type_ or not self.options.get("device"):
            raise InvalidArgument("missing device or type in volume options")
        raise NotImplemented(  # noqa: F901 - our error, not Python's constant
            f"a volume of type {type_[:80]} cannot be had: the host mounts nothing for a container",
            "mount it on the host, and use type=none, o=bind, device=PATH",
        )


def check_name(name: str) -> None:
    """Raises InvalidArgument if a volume cannot have this name."""
    if len(name) == 1 and name.isalnum():
        raise InvalidArgument(
            "volume name is too short, names should be at least two alphanumeric characters"
        )
    if not NAME.fullmatch(name) or len(name) > NAME_MAX:
        raise InvalidArgument(
            f'create {name[:NAME_MAX]}: "{name[:NAME_MAX]}" includes invalid characters for a local volume name, '
            'only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use '
            "absolute path"
        )


def _check_pairs(what: str, pairs: dict[str, str], most: int) -> None:
    if len(pairs) > most or any(len(text) > TEXT_MAX for pair in pairs.items() for text in pair):
        raise InvalidArgument(f"too many {what} of a volume, or too long ones")
    if any("\0" in text for pair in pairs.items() for text in pair):
        raise InvalidArgument(f"the {what} of a volume cannot have a NUL byte")


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume. created_ns: Unix time; mountpoint: its files, or the disk that they are on; not there where it
    has none of its own."""

    name: str
    created_ns: int
    spec: VolumeSpec
    mountpoint: Path

    @property
    def anonymous(self) -> bool:
        return ANONYMOUS in self.spec.labels

    @property
    def folder(self) -> Path:
        """Where its files are on the host, but for a tmpfs's, which are nowhere."""
        return Path(self.spec.options["device"]) if self.spec.kind is Kind.BIND else self.mountpoint

    @property
    def size(self) -> int:
        """Bytes of a block volume's disk."""
        return read_size(self.spec.options["size"])

    def to_document(self) -> dict[str, Any]:
        spec = self.spec
        return {"created_ns": self.created_ns, "options": spec.options, "labels": spec.labels}


def new_volume(spec: VolumeSpec, folder: Path) -> Volume:
    """folder: where volumes are. An anonymous one gets a name and its label."""
    labels = dict(spec.labels)
    if not spec.name:
        labels.setdefault(ANONYMOUS, "")
    named = VolumeSpec(spec.name or secrets.token_hex(32), DRIVER, dict(spec.options), labels)
    return Volume(named.name, time.time_ns(), named, _place(named, folder))


def volume_from_document(name: str, document: dict[str, Any], folder: Path) -> Volume:
    spec = VolumeSpec(name, DRIVER, document["options"], document["labels"])
    return Volume(name, document["created_ns"], spec, _place(spec, folder))


def _place(spec: VolumeSpec, folder: Path) -> Path:
    return folder / spec.name / ("_disk" if spec.kind is Kind.BLOCK else "_data")
