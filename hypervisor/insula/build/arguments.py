"""The build arguments of one build and of one stage: what ARG declares, what the user gives, what is there by itself.
Pure.

An argument is known in a stage from its ARG on; those before the first FROM serve the FROM lines and stages that name
them again. Proxies need no ARG, and are in no history and no cache.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from insula.build.expand import expand
from insula.build.metadata import argument_words
from insula.build.parser import Instruction, fail
from insula.errors import InvalidArgument
from insula.image.reference import ImagePlatform

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
HIDDEN = frozenset((*PROXIES, *(name.lower() for name in PROXIES)))
EPOCH = "SOURCE_DATE_EPOCH"


def platform_arguments(target: ImagePlatform, host: ImagePlatform) -> dict[str, str]:
    """The automatic ones, for the platform that is built and the one that builds."""
    found: dict[str, str] = {}
    for prefix, platform in (("TARGET", target), ("BUILD", host)):
        found |= {
            f"{prefix}PLATFORM": str(platform),
            f"{prefix}OS": platform.os,
            f"{prefix}ARCH": platform.architecture,
            f"{prefix}VARIANT": platform.variant,
        }
    return found


@dataclass(slots=True)
class Arguments:
    """given: by the user; automatic: by the builder; globals_: before the first FROM; used: of those given."""

    given: Mapping[str, str | None]
    automatic: Mapping[str, str]
    globals_: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def declare_global(self, instruction: Instruction, escape: str) -> None:
        """Raises InvalidArgument."""
        for name, default in argument_words(instruction):
            value = self._given(name)
            if value is None and default is not None:
                value = _expanded(instruction, default, {**self.automatic, **self.globals_}, escape)
            if value is not None:
                self.globals_[name] = value

    def _given(self, name: str) -> str | None:
        if name in self.given:
            self.used.add(name)
            return self.given[name]
        return None

    def for_from(self) -> dict[str, str]:
        return {**self.automatic, **self.globals_}

    def declare(self, instruction: Instruction, values: Mapping[str, str], escape: str) -> dict[str, str]:
        """What an ARG of a stage makes known. Raises InvalidArgument."""
        found: dict[str, str] = {}
        for name, default in argument_words(instruction):
            value = self._given(name)
            if value is None and default is not None:
                value = _expanded(instruction, default, {**values, **found}, escape)
            if value is None:
                value = self.globals_.get(name, self.automatic.get(name))
            if value is not None:
                found[name] = value
        return found

    def proxies(self) -> dict[str, str]:
        """Those given, for every RUN."""
        found = {name: value for name, value in self.given.items() if name in HIDDEN and value is not None}
        self.used.update(found)
        return found

    def epoch(self) -> int | None:
        """The time that everything is to bear, seconds since 1970. Raises InvalidArgument."""
        text = self.given.get(EPOCH) or self.globals_.get(EPOCH)
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= 12):
            raise InvalidArgument(f"invalid {EPOCH}: {text[:40]!r}")
        self.used.add(EPOCH)
        return int(text)

    def unused(self) -> list[str]:
        return sorted(name for name in self.given if name not in self.used and name not in HIDDEN)


def _expanded(instruction: Instruction, text: str, values: Mapping[str, str], escape: str) -> str:
    try:
        return expand(text, values, escape)
    except InvalidArgument as error:
        raise fail(instruction.line, error.message) from error
