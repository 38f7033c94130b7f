"""What a user asks for: one container, one exec. Everything that create needs, with nothing of JSON left.

Validated where it is built, in Docker's words and with Docker's minimums; what Docker has and Insula does
not yet is refused by name (NotImplemented), never ignored. The raw dicts are the request as it was sent, kept
only for the echo in inspect: no decision is taken from them.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from insula.container.capabilities import check_capabilities
from insula.container.health import HealthCheck
from insula.container.log_options import DEFAULT as LOG_DEFAULT
from insula.container.log_options import read_log_options
from insula.container.mount_request import MountRequest as MountRequest
from insula.container.mount_request import VolumesFrom, check_mounts
from insula.container.restart_policy import NO, RestartPolicy
from insula.container.security import parse_security
from insula.container.signals import parse_signal
from insula.container.spec_limits import NO_DEVICE_LIMITS, DeviceLimits, Ulimit, check_limits
from insula.container.sysctls import check_sysctls
from insula.errors import InvalidArgument
from insula.network.endpoint import LINKS_MAX, EndpointSpec, parse_link
from insula.network.network import NONE
from insula.network.ports import PortSpec

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
NAME_MAX = 255
HOSTNAME_MAX = 64
HOSTNAME = re.compile(r"[!-~]*", re.ASCII)
PATH_MAX, PATHS_MAX = 4095, 1024
GROUPS_MAX, GROUP_MAX = 1024, 256
ANNOTATIONS_MAX = 256
ISOLATIONS = ("", "default", "fresh")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """Everything that `create` needs. None where Docker tells "not given" from "given, and empty".

    memory, memory_reservation, memory_swap (with the memory; -1: unlimited), shm_size, storage_size: bytes;
    nano_cpus: 10⁻⁹ CPUs; cpu_quota, cpu_period: microseconds; cpu_shares, blkio_weight: as cgroups of version 1
    have them; pids_limit: processes; 0 is Docker's default. masked_paths, readonly_paths: None is the default.
    kernel: path of a kernel image on this host, empty: the platform's own. stop_timeout: seconds, -1 waits for
    ever. tmpfs: target → options; volumes: targets of anonymous ones. published: host ports asked for; left_mode: it
    has been taken off the network of its mode; links: as asked, of the network of its mode.
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
    healthcheck: HealthCheck | None = None
    shell: tuple[str, ...] = ()
    memory: int = 0
    nano_cpus: int = 0
    pids_limit: int = 0
    shm_size: int = 0
    memory_reservation: int = 0
    memory_swap: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    blkio_weight: int = 0
    device_limits: DeviceLimits = NO_DEVICE_LIMITS
    storage_size: int = 0
    oom_score_adj: int = 0
    ulimits: tuple[Ulimit, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    group_add: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    masked_paths: tuple[str, ...] | None = None
    readonly_paths: tuple[str, ...] | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    kernel: str = ""
    privileged: bool = False
    read_only: bool = False
    init: bool = False
    tmpfs: dict[str, str] = field(default_factory=dict)
    mounts: tuple[MountRequest, ...] = ()
    volumes: tuple[str, ...] = ()
    volumes_from: tuple[VolumesFrom, ...] = ()
    volume_driver: str = ""
    published: tuple[PortSpec, ...] = ()
    publish_all: bool = False
    exposed: tuple[str, ...] = ()
    auto_remove: bool = False
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    network_mode: str = ""
    endpoints: tuple[EndpointSpec, ...] = ()
    left_mode: bool = False
    links: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
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
            self.cmd, self.entrypoint, self.env, (self.user, self.working_dir, self.hostname, self.kernel),
            self.tmpfs, self.shell, () if self.healthcheck is None else self.healthcheck.test,
            self.group_add, self.masked_paths, self.readonly_paths,
        )  # fmt: skip
        if self.name:
            check_name(self.name)
        for what, name in (("hostname", self.hostname), ("domainname", self.domainname)):
            _check_hostname(what, name)
        check_environment(self.env)
        _check_directory(self.working_dir)
        if self.stop_signal:
            parse_signal(self.stop_signal)
        if self.stop_timeout is not None and self.stop_timeout < -1:
            raise InvalidArgument(f"invalid stop timeout {self.stop_timeout}", "-1 waits for ever")
        check_limits(self)
        check_capabilities(self.cap_add, self.cap_drop)
        check_sysctls(self.sysctls)
        parse_security(self.security_opt)
        _check_groups(self.group_add)
        _check_annotations(self.annotations)
        for paths in (self.masked_paths, self.readonly_paths):
            _check_paths(paths or ())
        if self.kernel and not self.kernel.startswith("/"):
            raise InvalidArgument(f"the kernel's path {self.kernel[:200]!r} must be absolute")
        check_mounts(self.mounts, self.tmpfs, self.volumes, self.volumes_from)
        _check_network(self)
        read_log_options(self.log_driver, self.log_options, LOG_DEFAULT)
        if self.auto_remove and self.restart.name != NO:
            raise InvalidArgument("can't create 'AutoRemove' container with restart policy")
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


def _check_hostname(what: str, name: str) -> None:
    """As Docker, which knows no more of a name than its length: users have underscores in theirs. It becomes a
    word of /etc/hosts, so it is one."""
    if len(name.encode()) > HOSTNAME_MAX:
        raise InvalidArgument(f'{what} "{name[:80]}" is too long (maximum {HOSTNAME_MAX} bytes)')
    if not HOSTNAME.fullmatch(name):
        raise InvalidArgument(f"invalid {what} format: {name!r}", "letters, digits, hyphens and dots")


def _check_groups(groups: tuple[str, ...]) -> None:
    if len(groups) > GROUPS_MAX:
        raise InvalidArgument(f"more than {GROUPS_MAX} additional groups")
    for group in groups:
        if not group or len(group.encode()) > GROUP_MAX:
            raise InvalidArgument(f"invalid additional group {group[:80]!r}")


def _check_annotations(annotations: dict[str, str]) -> None:
    if "" in annotations:
        raise InvalidArgument("invalid Annotations: the empty string is not permitted as an annotation key")
    if len(annotations) > ANNOTATIONS_MAX:
        raise InvalidArgument(f"more than {ANNOTATIONS_MAX} annotations")


def _check_paths(paths: tuple[str, ...]) -> None:
    if len(paths) > PATHS_MAX:
        raise InvalidArgument(f"more than {PATHS_MAX} masked or read-only paths")
    for path in paths:
        if not path.startswith("/") or len(path.encode()) > PATH_MAX:
            raise InvalidArgument(f"the masked or read-only path {path[:200]!r} must be absolute")


def _check_network(spec: ContainerSpec) -> None:
    for link in spec.links:
        parse_link(link)
    if len(spec.links) > LINKS_MAX:
        raise InvalidArgument(f"a container has {LINKS_MAX} links at most")
    if spec.links and spec.network_mode == NONE:
        raise InvalidArgument("conflicting options: network none and links")
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
