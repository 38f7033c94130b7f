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
    File,
    Limit,
    Mount,
    MountKind,
    ProcessFlag,
    ProcessSpec,
)
from insula.container.capabilities import ALL, DEFAULT, make_capabilities
from insula.container.settings import Settings, merge_environment
from insula.container.spec import ContainerSpec, ExecSpec
from insula.container.tmpfs import parse_tmpfs
from insula.guest.request import GuestRequest

MASKED = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

SHM_DEFAULT = 64 << 20
CPU_PERIOD = 100_000
RLIMIT_NPROC, RLIMIT_NOFILE = 6, 7
LIMITS = (Limit(RLIMIT_NOFILE, 1_048_576, 1_048_576),)
HOSTS = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)


@dataclass(frozen=True, slots=True)
class Choices:
    """What is free, and so is chosen by the caller: numbers, entropy, the compiled filter. (The clock is set
    when the document is sent.)"""

    boot: int
    main: int
    entropy: bytes
    seccomp: bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """What one start needs."""

    request: GuestRequest
    document: BootDocument


def capabilities_of(privileged: bool) -> frozenset[str]:
    return ALL if privileged else DEFAULT


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
        GuestRequest(
            platform, spec.memory, spec.nano_cpus / 1e9, layers, writable, fresh=spec.isolation == "fresh"
        ),
        BootDocument(
            number=choices.boot,
            entropy=choices.entropy,
            hostname=settings.hostname,
            domainname=spec.domainname,
            layers=tuple(range(len(layers))),
            writable=None if writable is None else 0,
            flags=_boot_flags(spec),
            mounts=_mounts(spec),
            masked=() if spec.privileged else MASKED,
            read_only=() if spec.privileged else READ_ONLY,
            files=_files(spec, settings),
            memory=spec.memory,
            cpu_quota=spec.nano_cpus * CPU_PERIOD // 1_000_000_000,
            cpu_period=CPU_PERIOD if spec.nano_cpus else 0,
            pids=max(0, spec.pids_limit),
            shm=spec.shm_size or SHM_DEFAULT,
            main=_main(spec, settings, choices),
        ),
    )


def make_exec(
    spec: ExecSpec, container: ContainerSpec, settings: Settings, number: int, seccomp: bytes
) -> ProcessSpec:
    """A further process. An exec's --privileged gives it all capabilities, as with Docker."""
    privileged = spec.privileged or container.privileged
    flags = ProcessFlag(0)
    flags |= ProcessFlag.TTY if spec.tty else 0
    flags |= ProcessFlag.STDIN if spec.attach_stdin else 0
    flags |= ProcessFlag.PRIVILEGED if privileged else 0
    return ProcessSpec(
        number=number,
        arguments=spec.cmd,
        environment=_environment(settings, spec.tty, spec.env),
        flags=flags,
        directory=spec.working_dir or settings.working_dir or "/",
        user=spec.user or settings.user,
        capabilities=make_capabilities(capabilities_of(privileged)),
        limits=LIMITS,
        seccomp=seccomp,
    )


def _main(spec: ContainerSpec, settings: Settings, choices: Choices) -> ProcessSpec:
    flags = ProcessFlag(0)
    flags |= ProcessFlag.TTY if spec.tty else 0
    flags |= ProcessFlag.STDIN if spec.open_stdin else 0
    return ProcessSpec(
        number=choices.main,
        arguments=settings.arguments,
        environment=_environment(settings, spec.tty, ()),
        flags=flags,
        rows=spec.console_rows,
        columns=spec.console_columns,
        directory=settings.working_dir or "/",
        user=settings.user,
        capabilities=make_capabilities(capabilities_of(spec.privileged)),
        limits=LIMITS,
        seccomp=choices.seccomp,
    )


def _environment(settings: Settings, tty: bool, extra: tuple[str, ...]) -> tuple[str, ...]:
    own = (f"HOSTNAME={settings.hostname}", *(("TERM=xterm",) if tty else ()))
    return merge_environment(own, settings.env, extra)


def _boot_flags(spec: ContainerSpec) -> BootFlag:
    flags = BootFlag(0)
    flags |= BootFlag.READ_ONLY if spec.read_only else 0
    flags |= BootFlag.PRIVILEGED if spec.privileged else 0
    flags |= BootFlag.INIT if spec.init else 0
    flags |= BootFlag.DISPOSABLE if spec.auto_remove else 0
    return flags


def _mounts(spec: ContainerSpec) -> tuple[Mount, ...]:
    """In the order of their targets' depth, so that one below another comes later."""
    asked = [parse_tmpfs(target, options) for target, options in spec.tmpfs.items()]
    for mount in spec.mounts:
        options = ",".join(part for part in (mount.options, "ro" if mount.read_only else "") if part)
        asked.append(parse_tmpfs(mount.target, options))
    asked.sort(key=lambda item: item.target.count("/"))
    return tuple(Mount(MountKind.TMPFS, "tmpfs", item.target, item.flags, item.data) for item in asked)


def _files(spec: ContainerSpec, settings: Settings) -> tuple[File, ...]:
    own = f"{settings.hostname}.{spec.domainname} " if spec.domainname else ""
    hosts = f"{HOSTS}127.0.1.1\t{own}{settings.hostname}\n"
    return (
        File("/etc/hostname", f"{settings.hostname}\n".encode()),
        File("/etc/hosts", hosts.encode()),
        File("/etc/resolv.conf", b""),
    )
