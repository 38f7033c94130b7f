"""The configuration file, config.toml in the state root: few settings, each with a default that serves.

    mirror = "https://…/debian"     where Debian's packages come from, on a host that is not Debian
    security_mirror = "https://…/debian-security"   its security archive

    [pool]
    machines = 4                    idle machines kept ready, in all
    memory = "512M"                 what they may take together (counted as measured, not as allotted)

    [templates]
    size = "4G"                     disk space of templates; the least recently used go first

    [logs]
    size = "64M"                    of each file of a container's log that asks for no size (Docker has no limit)
    files = 2                       and how many files

    [registry]
    mirror = "http://HOST:5000"     answers for docker.io, and alone: what it has not is not there
    insecure = ["HOST:5000", "10.0.0.0/8"]   registries that may be spoken to without HTTPS or with any certificate

Refused, by name: a file that is not TOML, a setting that is not known, a value of the wrong kind.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insula.errors import InvalidArgument

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True, slots=True)
class Config:
    """All settings. Sizes in bytes."""

    mirror: str = ""
    security_mirror: str = ""
    pool_machines: int = 4
    pool_memory: int = 512 << 20
    templates_size: int = 4 << 30
    logs_size: int = 64 << 20
    logs_files: int = 2
    registry_mirror: str = ""
    registry_insecure: tuple[str, ...] = ()


NAMES = {
    ("", "mirror"): "mirror",
    ("", "security_mirror"): "security_mirror",
    ("pool", "machines"): "pool_machines",
    ("pool", "memory"): "pool_memory",
    ("templates", "size"): "templates_size",
    ("logs", "size"): "logs_size",
    ("logs", "files"): "logs_files",
    ("registry", "mirror"): "registry_mirror",
    ("registry", "insecure"): "registry_insecure",
}
MIRRORS = ("mirror", "security_mirror", "registry_mirror")
LISTS = ("registry_insecure",)
SIZES = ("pool_memory", "templates_size", "logs_size")
POSITIVE = ("logs_size", "logs_files")


def read_config(path: Path) -> Config:
    """The settings of a file; the defaults if there is none. Raises InvalidArgument."""
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return Config()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{path} is not TOML: {error}") from error
    values: dict[str, Any] = {}
    for section, name, value in _flat(table):
        field = NAMES.get((section, name))
        if field is None:
            raise InvalidArgument(f"{path}: there is no setting {section + '.' if section else ''}{name}")
        values[field] = _checked(path, name, value, field)
    return Config(**values)


def _flat(table: dict[str, Any]) -> list[tuple[str, str, Any]]:
    flat = []
    for key, value in table.items():
        if isinstance(value, dict):
            flat += [(key, name, inner) for name, inner in value.items()]
        else:
            flat.append(("", key, value))
    return flat


def _checked(path: Path, name: str, value: Any, field: str) -> Any:
    if field in MIRRORS and isinstance(value, str):
        return value
    if field in LISTS and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if field in SIZES and isinstance(value, str):
        matched = re.fullmatch(r"(\d{1,12})([KMGT]?)", value)
        value = int(matched[1]) * UNITS[matched[2]] if matched else value
    least = 1 if field in POSITIVE else 0
    if (
        field not in MIRRORS + LISTS
        and isinstance(value, int)
        and not isinstance(value, bool)
        and value >= least
    ):
        return value
    raise InvalidArgument(f"{path}: {name} = {value!r} is not understood")
