"""Names of images as Docker has them, and platforms as OCI has them: parsed, checked, canonical.

`busybox` means docker.io/library/busybox:latest; people are shown the familiar short form. Refuses what
Docker's own grammar refuses (https://pkg.go.dev/github.com/distribution/reference), in its words.
"""

import platform as host_platform
import re
from dataclasses import dataclass

from insula.errors import InvalidArgument

REFERENCE_MAX = 4096
NAME_MAX = 255
DEFAULT_DOMAIN = "docker.io"
OFFICIAL = "library/"

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?")
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ID = re.compile(r"(?:sha256:)?([0-9a-f]{4,64})")

ARCHITECTURES = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "armel": "arm", "i386": "386",
    "i686": "386", "ppc64el": "ppc64le", "x64": "amd64",
}  # fmt: skip
ARM_VARIANTS = {"armhf": "v7", "armel": "v6", "armv7l": "v7", "armv6l": "v6"}
KNOWN = frozenset((
    *ARCHITECTURES, *ARCHITECTURES.values(), *ARM_VARIANTS, "loong64", "mips", "mips64", "mips64le", "mipsle",
    "ppc64", "ppc64le", "riscv64", "s390x", "wasm",
))  # fmt: skip
"""Architectures that can be named without their system, in all spellings."""
_WORD = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A canonical name: domain, path, and a tag, a digest, or both."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """docker.io/library/busybox"""
        return f"{self.domain}/{self.path}"

    @property
    def canonical(self) -> str:
        """docker.io/library/busybox:latest"""
        return self.name + self._suffix

    @property
    def pinned(self) -> str:
        """docker.io/library/busybox@sha256:…"""
        return f"{self.name}@{self.digest}"

    @property
    def familiar_name(self) -> str:
        """busybox"""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        return self.path.removeprefix(OFFICIAL) if self.path.count("/") == 1 else self.path

    @property
    def familiar(self) -> str:
        """busybox:latest"""
        return self.familiar_name + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.familiar


def parse_reference(text: str) -> Reference:
    """What a user typed; without tag and digest it means `latest`. Raises InvalidArgument."""
    shown = text if len(text) <= 120 else text[:120] + "…"
    wrong = InvalidArgument(f"invalid reference format: {shown!r}", "use [REGISTRY/]NAME[:TAG][@DIGEST]")
    if not text or len(text) > REFERENCE_MAX:
        raise wrong
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise wrong
    domain, path = _split_domain(rest)
    path, colon, tag = path.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise wrong
    if path != path.lower():
        raise InvalidArgument(f"invalid reference format: repository name ({shown}) must be lowercase")
    if not _PATH.fullmatch(path) or not _DOMAIN.fullmatch(domain) or len(domain) + len(path) >= NAME_MAX:
        raise wrong
    if re.fullmatch("[0-9a-f]{64}", rest):
        raise InvalidArgument(
            f"invalid repository name ({shown}), cannot specify 64-byte hexadecimal strings"
        )
    return Reference(domain, path, tag or ("" if digest else "latest"), digest)


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    is_domain = slash and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    domain, path = (first, rest) if is_domain else (DEFAULT_DOMAIN, text)
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = OFFICIAL + path
    return domain, path


def is_domain(text: str) -> bool:
    """Whether it can be a registry's host, with or without a port."""
    return len(text) < NAME_MAX and _DOMAIN.fullmatch(text) is not None


def find_id_prefix(text: str) -> str | None:
    """The hexadecimal digits, if `text` can be an image's id or its beginning (four digits or more)."""
    match = _ID.fullmatch(text)
    return match.group(1) if match else None


@dataclass(frozen=True, slots=True)
class ImagePlatform:
    """os/architecture[/variant], normalised: x86_64 is amd64, arm64/v8 is arm64, arm is arm/v7."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def offers(self, wanted: "ImagePlatform") -> bool:
        """True if an image of this platform is what `wanted` asks for; no variant asks for any."""
        same = (self.os, self.architecture) == (wanted.os, wanted.architecture)
        return same and (not wanted.variant or wanted.variant == self.variant)


def make_platform(os: str, architecture: str, variant: str = "") -> ImagePlatform:
    """A platform from its three fields, normalised. Raises InvalidArgument."""
    os, architecture, variant = os.lower(), architecture.lower(), variant.lower()
    if architecture in ARM_VARIANTS:
        architecture, variant = "arm", variant or ARM_VARIANTS[architecture]
    architecture = ARCHITECTURES.get(architecture, architecture)
    if architecture == "arm64" and variant in ("8", "v8"):
        variant = ""
    if architecture == "arm":
        variant = "v7" if not variant else variant if variant.startswith("v") else "v" + variant
    if architecture == "amd64" and variant == "v1":
        variant = ""
    for word in (os, architecture, variant or "0"):
        if not _WORD.fullmatch(word):
            raise InvalidArgument(
                f"{word[:40]!r} cannot be part of a platform", "use for example linux/arm64"
            )
    return ImagePlatform(os, architecture, variant)


def parse_platform(text: str) -> ImagePlatform:
    """`linux/amd64`, `arm64`, `linux/arm/v7`, `linux`. Raises InvalidArgument."""
    parts = text.split("/") if 0 < len(text) <= 100 else []
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise InvalidArgument(
            f"{text[:40]!r} is not a platform", "use for example linux/amd64 or linux/arm64"
        )
    if len(parts) > 1:
        return make_platform(*parts)
    if parts[0].lower() in ("linux", "windows", "darwin", "freebsd"):
        return make_platform(parts[0], host_architecture())
    if parts[0].lower() not in KNOWN:
        raise InvalidArgument(f'"{text[:40]}": unknown operating system or architecture')
    return make_platform("linux", parts[0])


def host_architecture() -> str:
    """This host's architecture, in OCI's word."""
    return make_platform("linux", host_platform.machine()).architecture
