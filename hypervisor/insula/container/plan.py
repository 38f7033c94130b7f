"""Decides: a container's spec and settings, its image's disks, and what is free to choose, into a GuestRequest
and a BootDocument. Pure, golden-tested; nothing is acquired here and nothing is read from the host.

What the container sees by itself (/proc, /dev, /sys, cgroup) is the agent's (docs/protocol.md §8); what is
decided here is everything that an option or an image can change, and the lists that Docker has by default.
"""

from dataclasses import dataclass
from pathlib import Path

from insula.agent.boot_document import (
    BootDocument,
    BootFlag,
    Limit,
    ProcessFlag,
    ProcessSpec,
    Sysctl,
)
from insula.container.capabilities import choose_capabilities, make_capabilities
from insula.container.leases import NO_LEASES, Leases, links_of
from insula.container.limits import limits_of, machine_cpus, machine_memory, throttle_of, weights_of
from insula.container.mounting import Placed
from insula.container.name_files import name_files
from insula.container.security import parse_security
from insula.container.settings import Settings, merge_environment
from insula.container.spec import ContainerSpec, ExecSpec
from insula.container.spec_limits import RESOURCES, UNLIMITED
from insula.container.sysctls import DEFAULTS, sysctl_path
from insula.guest.request import GuestRequest
from insula.machine.shares import Share

MASKED = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

SHM_DEFAULT = 64 << 20
RLIMIT_NPROC, RLIMIT_NOFILE = 6, 7
LIMITS = (Limit(RLIMIT_NOFILE, 1_048_576, 1_048_576),)


@dataclass(frozen=True, slots=True)
class Choices:
    """What is free, and so is chosen by the caller: numbers, entropy, the compiled filter, the place in networks,
    the host's search domains, and what is mounted in order. (The clock is set when the document is sent.)"""

    boot: int
    main: int
    entropy: bytes
    seccomp: bytes
    leases: Leases = NO_LEASES
    search: tuple[str, ...] = ()
    placed: tuple[Placed, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What one start needs."""

    request: GuestRequest
    document: BootDocument


def capabilities_of(spec: ContainerSpec, privileged: bool = False) -> frozenset[str]:
    """privileged: of an exec that asks for it by itself."""
    return choose_capabilities(spec.privileged or privileged, spec.cap_add, spec.cap_drop)


def make_plan(
    spec: ContainerSpec,
    settings: Settings,
    platform: str,
    layers: tuple[Path, ...],
    writable: Path | None,
    choices: Choices,
) -> Plan:
    """Raises InvalidArgument for what no machine or agent could take."""
    return Plan(
        _request(spec, platform, layers, writable, choices.placed),
        BootDocument(
            number=choices.boot,
            entropy=choices.entropy,
            hostname=settings.hostname,
            domainname=spec.domainname,
            layers=tuple(range(len(layers))),
            writable=None if writable is None else 0,
            flags=_boot_flags(spec),
            mounts=tuple(item.mount for item in choices.placed),
            masked=_paths(spec, spec.masked_paths, MASKED),
            read_only=_paths(spec, spec.readonly_paths, READ_ONLY),
            files=name_files(spec, settings, choices.leases, choices.search),
            links=links_of(choices.leases),
            sysctls=_sysctls(spec),
            limits=limits_of(spec),
            shm=spec.shm_size or SHM_DEFAULT,
            main=_main(spec, settings, choices),
        ),
    )


def make_files_plan(
    spec: ContainerSpec,
    platform: str,
    disks: tuple[tuple[Path, ...], Path],
    boot: int,
    placed: tuple[Placed, ...] = (),
) -> Plan:
    """Of a guest that has a container's disks and shares and runs nothing of it. disks: layers, and the writable one.
    What is memory of a machine's own is not there."""
    layers, writable = disks
    document = BootDocument(
        number=boot,
        layers=tuple(range(len(layers))),
        writable=0,
        flags=BootFlag.FILES,
        mounts=tuple(item.mount for item in placed if item.share is not None or item.disk is not None),
        main=ProcessSpec(number=1, arguments=("files",)),
    )
    fresh = spec.isolation == "fresh"
    request = GuestRequest(
        platform, 0, 0, layers, writable, fresh=fresh, shares=_shares(placed), blocks=_blocks(placed)
    )
    return Plan(request, document)


def _shares(placed: tuple[Placed, ...]) -> tuple[Share, ...]:
    return tuple(item.share for item in placed if item.share is not None)


def _blocks(placed: tuple[Placed, ...]) -> tuple[Path, ...]:
    return tuple(item.disk for item in placed if item.disk is not None)


def _request(
    spec: ContainerSpec,
    platform: str,
    layers: tuple[Path, ...],
    writable: Path | None,
    placed: tuple[Placed, ...],
) -> GuestRequest:
    return GuestRequest(
        platform,
        machine_memory(spec),
        machine_cpus(spec),
        layers,
        writable,
        fresh=spec.isolation == "fresh",
        throttle=throttle_of(spec),
        weights=weights_of(spec),
        kernel=Path(spec.kernel) if spec.kernel else None,
        shares=_shares(placed),
        blocks=_blocks(placed),
    )


def make_exec(
    spec: ExecSpec,
    container: ContainerSpec,
    settings: Settings,
    number: int,
    seccomp: bytes,
    leases: Leases = NO_LEASES,
) -> ProcessSpec:
    """A further process. An exec's --privileged gives it all capabilities, as with Docker."""
    privileged = spec.privileged or container.privileged
    flags = ProcessFlag(0)
    flags |= ProcessFlag.TTY if spec.tty else 0
    flags |= ProcessFlag.STDIN if spec.attach_stdin else 0
    flags |= ProcessFlag.PRIVILEGED if privileged else 0
    flags |= _guard_flags(container)
    return ProcessSpec(
        number=number,
        arguments=spec.cmd,
        environment=_environment(settings, spec.tty, spec.env, leases),
        flags=flags,
        directory=spec.working_dir or settings.working_dir or "/",
        user=spec.user or settings.user,
        groups=container.group_add,
        capabilities=make_capabilities(capabilities_of(container, spec.privileged)),
        limits=_rlimits(container),
        seccomp=seccomp,
        oom_score_adj=container.oom_score_adj,
    )


def _main(spec: ContainerSpec, settings: Settings, choices: Choices) -> ProcessSpec:
    flags = ProcessFlag(0)
    flags |= ProcessFlag.TTY if spec.tty else 0
    flags |= ProcessFlag.STDIN if spec.open_stdin else 0
    flags |= _guard_flags(spec)
    return ProcessSpec(
        number=choices.main,
        arguments=settings.arguments,
        environment=_environment(settings, spec.tty, (), choices.leases),
        flags=flags,
        rows=spec.console_rows,
        columns=spec.console_columns,
        directory=settings.working_dir or "/",
        user=settings.user,
        groups=spec.group_add,
        capabilities=make_capabilities(capabilities_of(spec)),
        limits=_rlimits(spec),
        seccomp=choices.seccomp,
        oom_score_adj=spec.oom_score_adj,
    )


def _guard_flags(spec: ContainerSpec) -> ProcessFlag:
    strict = parse_security(spec.security_opt).no_new_privileges
    return ProcessFlag.NO_NEW_PRIVILEGES if strict else ProcessFlag(0)


def _rlimits(spec: ContainerSpec) -> tuple[Limit, ...]:
    asked = {RESOURCES[item.name]: (item.soft, item.hard) for item in spec.ulimits}
    merged = {limit.resource: (limit.soft, limit.hard) for limit in LIMITS} | asked
    return tuple(
        Limit(number, *(UNLIMITED if value < 0 else value for value in values))
        for number, values in merged.items()
    )


def _sysctls(spec: ContainerSpec) -> tuple[Sysctl, ...]:
    asked = {sysctl_path(name): value for name, value in spec.sysctls.items()}
    default = {sysctl_path(name): value for name, value in DEFAULTS.items()}
    return tuple(Sysctl(path, value) for path, value in (default | asked).items())


def _paths(spec: ContainerSpec, asked: tuple[str, ...] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """A privileged container sees everything, unless it is said what it shall not see."""
    if asked is not None:
        return asked
    return () if spec.privileged else default


def _environment(settings: Settings, tty: bool, extra: tuple[str, ...], leases: Leases) -> tuple[str, ...]:
    own = (f"HOSTNAME={settings.hostname}", *(("TERM=xterm",) if tty else ()))
    linked = tuple(entry for link in leases.linked for entry in link.environment)
    return merge_environment((*own, *linked), settings.env, extra)


def _boot_flags(spec: ContainerSpec) -> BootFlag:
    flags = BootFlag(0)
    flags |= BootFlag.READ_ONLY if spec.read_only else 0
    flags |= BootFlag.PRIVILEGED if spec.privileged else 0
    flags |= BootFlag.INIT if spec.init else 0
    flags |= BootFlag.DISPOSABLE if spec.auto_remove else 0
    return flags
