"""What a user asks for: one container, one exec. Everything that create needs, with nothing of JSON left.

Validated where it is built, in Docker's words and with Docker's minimums; what Docker has and Insula does
not yet is refused by name (NotImplemented), never ignored. The raw dicts are the request as it was sent, kept
only for the echo in inspect: no decision is taken from them.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from insula.container.signals import parse_signal
from insula.errors import InvalidArgument, NotImplemented

MEMORY_MIN = 6 << 20
MEMORY_MAX = 8 << 30
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
NAME_MAX = 255
HOSTNAME_MAX = 64
LOG_DRIVERS = ("json-file", "none")
LOG_OPTIONS = ("max-size", "max-file")
ISOLATIONS = ("", "default", "fresh")
NETWORK_MODES = ("", "default", "bridge", "none")


@dataclass(frozen=True, slots=True)
class MountRequest:
    """One mount as asked for. kind: 'bind', 'volume', 'tmpfs'; options: as `--tmpfs` has them."""

    kind: str
    source: str
    target: str
    read_only: bool = False
    options: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """Everything that `create` needs. None where Docker tells "not given" from "given, and empty".

    memory: bytes, nano_cpus: 10⁻⁹ CPUs, pids_limit: processes, shm_size: bytes; 0 is Docker's default.
    stop_timeout: seconds, -1 waits for ever. tmpfs: target → options. published: host ports asked for.
    raw_*: Config, HostConfig and NetworkingConfig as sent."""

    image: str
    platform: str | None = None
    name: str = ""  # empty: one is made up
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    hostname: str = ""
    domainname: str = ""
    stop_signal: str = ""
    stop_timeout: int | None = None
    memory: int = 0
    nano_cpus: int = 0
    pids_limit: int = 0
    shm_size: int = 0
    privileged: bool = False
    read_only: bool = False
    init: bool = False
    tmpfs: dict[str, str] = field(default_factory=dict)
    mounts: tuple[MountRequest, ...] = ()
    published: tuple[str, ...] = ()
    auto_remove: bool = False
    network_mode: str = ""
    log_driver: str = "json-file"
    log_options: dict[str, str] = field(default_factory=dict)
    isolation: str = ""
    console_rows: int = 0
    console_columns: int = 0
    raw_config: dict[str, Any] = field(default_factory=dict)
    raw_host_config: dict[str, Any] = field(default_factory=dict)
    raw_networking_config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises InvalidArgument, NotImplemented."""
        if not self.image:
            raise InvalidArgument("no image is given")
        _check_text(
            self.cmd, self.entrypoint, self.env, (self.user, self.working_dir, self.hostname), self.tmpfs
        )
        if self.name:
            check_name(self.name)
        for what, name in (("hostname", self.hostname), ("domainname", self.domainname)):
            if len(name.encode()) > HOSTNAME_MAX:
                raise InvalidArgument(f"invalid {what}: longer than {HOSTNAME_MAX} bytes: {name[:80]!r}")
        check_environment(self.env)
        _check_directory(self.working_dir)
        if self.stop_signal:
            parse_signal(self.stop_signal)
        if self.stop_timeout is not None and self.stop_timeout < -1:
            raise InvalidArgument(f"invalid stop timeout {self.stop_timeout}", "-1 waits for ever")
        _check_limits(self)
        _check_mounts(self)
        _check_network(self)
        _check_log(self)
        if self.isolation not in ISOLATIONS:
            raise InvalidArgument(
                f"invalid isolation: {self.isolation[:80]!r}", "insula has 'default' and 'fresh'"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecSpec:
    """A further process in a running container. user and working_dir: empty means the container's own."""

    cmd: tuple[str, ...]
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    tty: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    privileged: bool = False
    detach_keys: str = ""

    def __post_init__(self) -> None:
        """Raises InvalidArgument."""
        if not self.cmd or not self.cmd[0]:
            raise InvalidArgument("No exec command specified")
        _check_text(self.cmd, self.env, (self.user, self.working_dir))
        check_environment(self.env)
        _check_directory(self.working_dir)


def check_name(name: str) -> None:
    """Raises InvalidArgument if a container cannot have this name."""
    if not NAME.fullmatch(name) or len(name) > NAME_MAX:
        raise InvalidArgument(
            f"Invalid container name ({name[:NAME_MAX]}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )


def _check_text(*groups: Iterable[str] | None) -> None:
    """Raises InvalidArgument for words that no program can be given: with a NUL, or not to be encoded."""
    for word in (word for group in groups for word in group or ()):
        if "\0" in word or any("\ud800" <= letter <= "\udfff" for letter in word):
            raise InvalidArgument(
                f"{word[:80]!r} cannot be given to a program", "it is no text, or has a NUL byte"
            )


def check_environment(env: tuple[str, ...]) -> None:
    """Raises InvalidArgument for an entry without a name."""
    for entry in env:
        if not entry or entry.startswith("="):
            raise InvalidArgument(f"invalid environment variable: {entry[:80]}")


def _check_directory(path: str) -> None:
    if path and not path.startswith("/"):
        raise InvalidArgument(
            f"the working directory '{path[:200]}' is invalid, it needs to be an absolute path"
        )


def _check_limits(spec: ContainerSpec) -> None:
    if spec.memory < 0 or 0 < spec.memory < MEMORY_MIN:
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    if spec.memory > MEMORY_MAX:
        raise InvalidArgument(f"memory limit {spec.memory} is above the largest machine's {MEMORY_MAX} bytes")
    cpus = os.cpu_count() or 1
    if spec.nano_cpus < 0 or 0 < spec.nano_cpus < 10_000_000 or spec.nano_cpus > cpus * 1_000_000_000:
        raise InvalidArgument(
            f"range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )
    if spec.shm_size < 0:
        raise InvalidArgument("SHM size can not be less than 0")


def _check_mounts(spec: ContainerSpec) -> None:
    for mount in spec.mounts:
        if mount.kind != "tmpfs":
            raise NotImplemented(  # noqa: F901 - our error, not Python's constant
                f"{mount.kind} mounts are not there yet ({mount.target[:200]})",
                "only tmpfs mounts work so far",
            )
    for target in (*spec.tmpfs, *(mount.target for mount in spec.mounts)):
        if not target.startswith("/") or os.path.normpath(target) in ("/", "//"):
            raise InvalidArgument(f"invalid mount target {target[:200]!r}: it must be absolute and not '/'")


def _check_network(spec: ContainerSpec) -> None:
    mode = spec.network_mode
    if mode == "host":
        raise InvalidArgument(
            "network=host cannot be had: a machine has no part in the host's network", "publish ports instead"
        )
    if mode.startswith("container:"):
        raise InvalidArgument(
            f"network={mode[:80]} cannot be had: each container has a machine of its own",
            "put both containers on one network",
        )
    if mode not in NETWORK_MODES:
        raise NotImplemented(  # noqa: F901 - our error, not Python's constant
            f"network {mode[:80]} cannot be joined: networks are not there yet", "use none"
        )
    if spec.published:
        raise NotImplemented(  # noqa: F901 - our error, not Python's constant
            f"port {spec.published[0]} cannot be published: networks are not there yet"
        )


def _check_log(spec: ContainerSpec) -> None:
    if spec.log_driver not in LOG_DRIVERS:
        raise InvalidArgument(f"logger: no log driver named '{spec.log_driver[:80]}' is registered")
    for name in spec.log_options:
        if name not in LOG_OPTIONS:
            raise InvalidArgument(f"unknown log opt '{name[:80]}' for {spec.log_driver} log driver")
