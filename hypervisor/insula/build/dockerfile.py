"""A Dockerfile as stages: which instructions there are, which flags and how many words each takes, what a stage
is built from. Pure.

Everything that can be wrong without looking at an image or a context is refused here, with Docker's words and the
line.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from insula.build.parser import Instruction, fail, parse, reparse, split_words
from insula.errors import InvalidArgument

STAGE_NAME = re.compile(r"[a-z][a-z0-9\-_.]*")
STAGES_MAX = 200
FLAGS: dict[str, tuple[str, ...]] = {
    "FROM": ("platform",),
    "ADD": ("chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack"),
    "COPY": ("from", "chown", "chmod", "link", "parents", "exclude"),
    "RUN": ("mount", "network", "security", "device"),
    "HEALTHCHECK": ("interval", "timeout", "start-period", "start-interval", "retries"),
}
SWITCHES = ("link", "parents", "keep-git-dir", "unpack")
REPEATED = ("mount", "exclude", "device")
AT_LEAST_ONE = ("ARG", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "SHELL", "VOLUME", "RUN")
EXACTLY_ONE = ("MAINTAINER", "STOPSIGNAL", "USER", "WORKDIR")
ANY_NUMBER = ("CMD", "ENTRYPOINT")
WITH_DESTINATION = ("ADD", "COPY")
NAMES = frozenset((*AT_LEAST_ONE, *EXACTLY_ONE, *ANY_NUMBER, *WITH_DESTINATION, "FROM"))


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM and what follows it. base, platform: as written, with variables; name: or empty."""

    index: int
    base: str
    name: str
    platform: str
    line: int
    instructions: tuple[Instruction, ...]
    from_: Instruction

    @property
    def shown(self) -> str:
        return self.name or str(self.index)


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """arguments: the ARG instructions before the first FROM; escape: the escape character."""

    arguments: tuple[Instruction, ...]
    stages: tuple[Stage, ...]
    escape: str
    directives: dict[str, str]


def read_dockerfile(raw: bytes) -> Dockerfile:
    """Raises InvalidArgument."""
    parsed = parse(raw)
    arguments: list[Instruction] = []
    stages: list[Stage] = []
    waiting: list[Instruction] = []
    for instruction in parsed.instructions:
        check_instruction(instruction)
        if instruction.name == "FROM":
            _close(stages, waiting)
            stages.append(_stage(instruction, len(stages)))
        elif stages:
            waiting.append(instruction)
        elif instruction.name == "ARG":
            arguments.append(instruction)
        else:
            raise fail(instruction.line, "no build stage in current context")
    if not stages:
        raise InvalidArgument("dockerfile parse error: no build stage in current context")
    _close(stages, waiting)
    if len(stages) > STAGES_MAX:
        raise fail(stages[-1].line, f"more than {STAGES_MAX} stages")
    return Dockerfile(tuple(arguments), tuple(stages), parsed.escape, parsed.directives)


def _close(stages: list[Stage], waiting: list[Instruction]) -> None:
    if stages:
        last = stages.pop()
        stages.append(
            Stage(last.index, last.base, last.name, last.platform, last.line, tuple(waiting), last.from_)
        )
    waiting.clear()


def _stage(instruction: Instruction, index: int) -> Stage:
    words = split_words(instruction.text)
    name = ""
    if len(words) == 3 and words[1].upper() == "AS":
        name = words[2].lower()
        if not STAGE_NAME.fullmatch(name):
            raise fail(
                instruction.line,
                f'invalid name for build stage: "{words[2][:80]}", name can\'t start with a number or contain '
                "symbols",
            )
    elif len(words) != 1:
        raise fail(instruction.line, "FROM requires either one or three arguments")
    platform = flags_of(instruction).get("platform", [""])[0]
    return Stage(index, words[0], name, platform, instruction.line, (), instruction)


def flags_of(instruction: Instruction) -> dict[str, list[str]]:
    """The values of each flag; a switch's is `true` or `false`. Raises InvalidArgument."""
    found: dict[str, list[str]] = {}
    for flag in instruction.flags:
        name, equals, value = flag[2:].partition("=")
        if name not in FLAGS.get(instruction.name, ()):
            raise fail(instruction.line, f"unknown flag: --{name[:80]}")
        if name in SWITCHES:
            value = value if equals else "true"
            if value not in ("true", "false"):
                raise fail(instruction.line, f"expecting boolean value for flag {name}, not: {value[:80]}")
        elif not equals:
            raise fail(instruction.line, f"missing a value on flag: {name}")
        if name in found and name not in REPEATED:
            raise fail(instruction.line, f"duplicate flag specified: {name}")
        found.setdefault(name, []).append(value)
    return found


def check_instruction(instruction: Instruction) -> None:
    """That there is such an instruction, with such flags and words. Raises InvalidArgument."""
    name, line = instruction.name, instruction.line
    if name not in NAMES:
        raise fail(line, f"unknown instruction: {name[:80]}")
    flags_of(instruction)
    given = bool(instruction.text.strip()) or bool(instruction.words)
    if name in AT_LEAST_ONE and not given:
        raise fail(line, f"{name} requires at least one argument")
    if name in EXACTLY_ONE and not given:
        raise fail(line, f"{name} requires exactly one argument")
    if name in WITH_DESTINATION:
        words = instruction.words if instruction.words is not None else split_words(instruction.text)
        if not words:
            raise fail(line, f"{name} requires at least one argument")
        if len(words) < 2:
            raise fail(
                line,
                f"{name} requires at least two arguments, but only one was provided. Destination could not be "
                "determined",
            )
    if name == "SHELL" and instruction.words is None:
        raise fail(line, "SHELL requires the arguments to be in JSON form")
    if name == "SHELL" and not instruction.words:
        raise fail(line, "SHELL requires at least one argument")
    if name == "RUN" and instruction.words == ():
        raise fail(line, "RUN requires at least one argument")
    if name in ("ENV", "LABEL"):
        pairs_of(instruction)
    if name == "ONBUILD":
        _check_onbuild(instruction)


def _check_onbuild(instruction: Instruction) -> None:
    trigger = reparse(instruction, instruction.text)
    if trigger.name == "ONBUILD":
        raise fail(instruction.line, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger.name in ("MAINTAINER", "FROM"):
        raise fail(instruction.line, f"{trigger.name} isn't allowed as an ONBUILD trigger")
    check_instruction(trigger)


def pairs_of(instruction: Instruction) -> list[tuple[str, str]]:
    """Of ENV and LABEL: names and values as written; the old form has one of each. Raises InvalidArgument."""
    words = split_words(instruction.text)
    if "=" not in words[0]:
        name, _, value = re.sub(r"\s", " ", instruction.text, count=1).partition(" ")
        if not value.strip():
            raise fail(instruction.line, f"{instruction.name} must have two arguments")
        return [(name, value.strip())]
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise fail(
                instruction.line,
                f'Syntax error - can\'t find = in "{word[:80]}". Must be of the form: name=value',
            )
        if not name.strip("\"'"):
            raise fail(instruction.line, f"{instruction.name} names can not be blank")
        pairs.append((name, value))
    return pairs


# -- which stages are needed


def find_stage(stages: tuple[Stage, ...], name: str) -> Stage | None:
    """By its name, whatever its case, or its number; the last of several of one name."""
    for stage in reversed(stages):
        if stage.name and stage.name == name.lower():
            return stage
    if name.isascii() and name.isdigit() and int(name[:6]) < len(stages):
        return stages[int(name[:6])]
    return None


def find_target(stages: tuple[Stage, ...], target: str) -> Stage:
    """The stage that a build is for: the last one, or the one named. Raises InvalidArgument."""
    if not target:
        return stages[-1]
    stage = find_stage(stages, target)
    if stage is None:
        raise InvalidArgument(f'target stage "{target[:80]}" could not be found')
    return stage


def earlier(stages: tuple[Stage, ...], before: Stage, name: str) -> Stage | None:
    """The stage that is meant in another one: only those above it are there. Raises InvalidArgument for itself
    and for those below it."""
    found = find_stage(stages[: before.index], name)
    if found is None and find_stage(stages, name) is not None:
        if name.lower() == before.name or name == str(before.index):
            raise fail(before.line, f"circular dependency detected on stage: {before.shown}")
        if name.isdigit():
            raise fail(
                before.line, f"invalid from flag value {name}: invalid stage index, it is not built yet"
            )
    return found


def depends_on(stages: tuple[Stage, ...], stage: Stage, bases: Mapping[int, str]) -> list[Stage]:
    """The stages that one needs, in their order, itself last. bases: what each is built from, expanded."""
    needed: set[int] = set()
    pending = [stage]
    while pending:
        one = pending.pop()
        if one.index not in needed:
            needed.add(one.index)
            pending += needs_of(stages, one, bases)
    return [stages[index] for index in sorted(needed)]


def needs_of(stages: tuple[Stage, ...], stage: Stage, bases: Mapping[int, str]) -> list[Stage]:
    """The stages that one is built on or takes files from."""
    names = [name for instruction in stage.instructions for name in sources_of(instruction)]
    found = [find_stage(stages[: stage.index], bases[stage.index])]
    found += [earlier(stages, stage, name) for name in names]
    return [one for one in found if one is not None]


def sources_of(instruction: Instruction) -> list[str]:
    """The stages or images that an instruction takes files from."""
    if instruction.name == "COPY":
        return flags_of(instruction).get("from", [])
    if instruction.name == "RUN":
        found = []
        for mount in flags_of(instruction).get("mount", []):
            found += [item[5:] for item in mount.split(",") if item.startswith("from=")]
        return found
    return []
