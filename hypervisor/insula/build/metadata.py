"""What an instruction without files does to an image's config: ENV, LABEL, CMD and the rest. Pure.

Each gives back the words by which history tells it, in the classic builder's form. `document` is an image config as
JSON has it; its `config` object is changed in place.
"""

import json
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from insula.build.dockerfile import flags_of, pairs_of
from insula.build.expand import expand, expand_words
from insula.build.parser import Instruction, fail, split_words
from insula.container.health import HealthCheck
from insula.container.leases import expand_exposed
from insula.container.signals import parse_signal
from insula.errors import InvalidArgument

SHELL = ("/bin/sh", "-c")
DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


@dataclass(slots=True)
class Change:
    """A config that is being changed. values: what variables stand for; cmd_set: by this Dockerfile."""

    document: dict[str, Any]
    values: Mapping[str, str]
    escape: str
    cmd_set: bool = False

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.document.setdefault("config", {})
        return config

    def expand(self, text: str) -> str:
        return expand(text, self.values, self.escape)

    def words(self, instruction: Instruction) -> list[str]:
        if instruction.words is not None:
            return [self.expand(word) for word in instruction.words]
        return expand_words(instruction.text, self.values, self.escape)


def change_config(change: Change, instruction: Instruction) -> str:
    """Does it, and gives history's words for it. Raises InvalidArgument, naming the line."""
    try:
        return CHANGES[instruction.name](change, instruction)
    except InvalidArgument as error:
        if error.message.startswith("dockerfile parse error"):
            raise
        raise fail(instruction.line, error.message) from error


def _env(change: Change, instruction: Instruction) -> str:
    pairs = _pairs(change, instruction)
    env = dict(item.partition("=")[::2] for item in change.config.get("Env") or ())
    env |= dict(pairs)
    change.config["Env"] = [f"{name}={value}" for name, value in env.items()]
    return "ENV " + " ".join(f"{name}={value}" for name, value in pairs)


def _label(change: Change, instruction: Instruction) -> str:
    pairs = _pairs(change, instruction)
    change.config["Labels"] = {**(change.config.get("Labels") or {}), **dict(pairs)}
    return "LABEL " + " ".join(f"{name}={value}" for name, value in pairs)


def _pairs(change: Change, instruction: Instruction) -> list[tuple[str, str]]:
    pairs = [(change.expand(name), change.expand(value)) for name, value in pairs_of(instruction)]
    if not all(name for name, _ in pairs):
        raise fail(instruction.line, f"{instruction.name} names can not be blank")
    return pairs


def _maintainer(change: Change, instruction: Instruction) -> str:
    change.document["author"] = instruction.text
    return f"MAINTAINER {instruction.text}"


def _expose(change: Change, instruction: Instruction) -> str:
    ports: dict[str, dict[str, str]] = {}
    for word in change.words(instruction):
        for port in expand_exposed(word.rpartition(":")[2].lower()):
            ports[f"{port.port}/{port.protocol}"] = {}
    change.config["ExposedPorts"] = {**(change.config.get("ExposedPorts") or {}), **ports}
    return "EXPOSE " + " ".join(sorted(ports))


def _volume(change: Change, instruction: Instruction) -> str:
    words = change.words(instruction)
    if not words or any(not word.strip() for word in words):
        raise fail(instruction.line, "VOLUME specified can not be an empty string")
    change.config["Volumes"] = {**(change.config.get("Volumes") or {}), **{word: {} for word in words}}
    return f"VOLUME [{' '.join(words)}]"


def _user(change: Change, instruction: Instruction) -> str:
    change.config["User"] = change.expand(instruction.text)
    return f"USER {change.config['User']}"


def _stop_signal(change: Change, instruction: Instruction) -> str:
    signal = change.expand(instruction.text)
    parse_signal(signal)
    change.config["StopSignal"] = signal
    return f"STOPSIGNAL {signal}"


def command_of(instruction: Instruction, config: Mapping[str, Any]) -> list[str]:
    """The words to run: as they are in the JSON form, else by the shell."""
    if instruction.words is not None:
        return list(instruction.words)
    return [*(config.get("Shell") or SHELL), instruction.text] if instruction.text else []


def _cmd(change: Change, instruction: Instruction) -> str:
    change.config["Cmd"] = command_of(instruction, change.config)
    change.cmd_set = True
    return f"CMD {_listed(change.config['Cmd'])}"


def _entrypoint(change: Change, instruction: Instruction) -> str:
    change.config["Entrypoint"] = command_of(instruction, change.config) or None
    if not change.cmd_set:
        change.config["Cmd"] = None
    return f"ENTRYPOINT {_listed(change.config['Entrypoint'] or [])}"


def _listed(words: list[str]) -> str:
    return "[" + " ".join(json.dumps(word, ensure_ascii=False) for word in words) + "]"


def _shell(change: Change, instruction: Instruction) -> str:
    change.config["Shell"] = list(instruction.words or ())
    return f"SHELL [{' '.join(instruction.words or ())}]"


def _onbuild(change: Change, instruction: Instruction) -> str:
    trigger = re.sub(r"^\s*ONBUILD\s*", "", instruction.original, flags=re.IGNORECASE)
    change.config["OnBuild"] = [*(change.config.get("OnBuild") or ()), trigger]
    return f"ONBUILD {trigger}"


def workdir_of(change: Change, instruction: Instruction) -> str:
    """The new working directory, absolute. Raises InvalidArgument."""
    wanted = change.expand(instruction.text)
    if not wanted:
        raise fail(instruction.line, "WORKDIR requires exactly one argument")
    path = posixpath.normpath(posixpath.join(change.config.get("WorkingDir") or "/", wanted))
    return "/" + path.lstrip("/")


def _healthcheck(change: Change, instruction: Instruction) -> str:
    kind, _, rest = instruction.text.partition(" ")
    kind, rest = kind.upper(), rest.strip()
    flags = flags_of(instruction)
    if kind == "NONE":
        if rest or flags:
            raise fail(instruction.line, "HEALTHCHECK NONE takes no arguments")
        change.config["Healthcheck"] = {"Test": ["NONE"]}
        return "HEALTHCHECK NONE"
    if kind != "CMD":
        raise fail(instruction.line, f'unknown type "{kind[:40]}" in HEALTHCHECK (try CMD)')
    if not rest:
        raise fail(instruction.line, "missing command after HEALTHCHECK CMD")
    check: dict[str, Any] = {"Test": ["CMD-SHELL", rest]}
    try:
        words = json.loads(rest) if rest.startswith("[") else None
    except (ValueError, RecursionError):
        words = None
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        check["Test"] = ["CMD", *words]
    for flag, name in (
        ("interval", "Interval"), ("timeout", "Timeout"), ("start-period", "StartPeriod"),
        ("start-interval", "StartInterval"),
    ):  # fmt: skip
        if flag in flags and (duration := read_duration(flags[flag][0])):
            check[name] = duration
    if "retries" in flags:
        text = flags["retries"][0]
        if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:10]) < 1 << 31:
            raise fail(instruction.line, f"--retries must be at least 1 (not {text[:20]})")
        check["Retries"] = int(text)
    HealthCheck(
        tuple(check["Test"]), *(check.get(n, 0) for n in ("Interval", "Timeout", "Retries", "StartPeriod"))
    )
    change.config["Healthcheck"] = check
    return f"HEALTHCHECK {json.dumps(check, sort_keys=True, ensure_ascii=False)}"


def read_duration(text: str) -> int:
    """Go's form of a time, in nanoseconds. Raises InvalidArgument."""
    if text == "0":
        return 0
    found = list(DURATION.finditer(text))
    if not found or "".join(match[0] for match in found) != text or len(text) > 60:
        raise InvalidArgument(f'time: invalid duration "{text[:40]}"')
    return round(sum(float(match[1]) * UNITS[match[2]] for match in found))


CHANGES: dict[str, Callable[[Change, Instruction], str]] = {
    "ENV": _env, "LABEL": _label, "MAINTAINER": _maintainer, "EXPOSE": _expose, "VOLUME": _volume, "USER": _user,
    "STOPSIGNAL": _stop_signal, "CMD": _cmd, "ENTRYPOINT": _entrypoint, "SHELL": _shell, "ONBUILD": _onbuild,
    "HEALTHCHECK": _healthcheck,
}  # fmt: skip


# -- arguments


def argument_words(instruction: Instruction) -> list[tuple[str, str | None]]:
    """Names and defaults as written of an ARG. Raises InvalidArgument."""
    found: list[tuple[str, str | None]] = []
    for word in split_words(instruction.text):
        name, equals, value = word.partition("=")
        if not name:
            raise fail(instruction.line, "ARG names can not be blank")
        found.append((name, value if equals else None))
    return found
