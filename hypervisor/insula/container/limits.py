"""A container's limits, from Docker's words into the guest kernel's (cgroup v2), and what machine they need.

Pure. `limits_of` is for a start and for a live update alike. Shares and weights are converted as runc does it
(opencontainers/cgroups, utils.go), so that files in /sys/fs/cgroup hold what they hold under Docker.
"""

import math

from insula.agent.limits import IoLimit, Limits
from insula.container.spec import ContainerSpec
from insula.container.spec_limits import NANO, PERIOD_DEFAULT, DeviceLimits, host_cpus, parse_list
from insula.machine.spec import DEFAULT_MEMORY, GUEST_OVERHEAD, Throttle, Weights

SHARES_MIN, SHARES_MAX, CPU_WEIGHT_MAX = 2, 262_144, 10_000


def limits_of(spec: ContainerSpec) -> Limits:
    """What the guest is told to hold the container to."""
    quota, period = _bandwidth(spec)
    return Limits(
        memory=spec.memory,
        memory_low=spec.memory_reservation,
        cpu_quota=quota,
        cpu_period=period,
        cpu_weight=cpu_weight(spec.cpu_shares),
        cpuset_cpus=format_list(parse_list(spec.cpuset_cpus, "cpus")),
        cpuset_mems=format_list(parse_list(spec.cpuset_mems, "mems")),
        pids=max(0, spec.pids_limit),
        io_weight=io_weight(spec.blkio_weight),
        io=_io(spec.device_limits),
    )


def throttle_of(spec: ContainerSpec) -> Throttle:
    """What QEMU is told to hold the machine's disks to, whatever the guest does."""
    limits = spec.device_limits
    return Throttle(limits.read_bps, limits.write_bps, limits.read_iops, limits.write_iops)


def weights_of(spec: ContainerSpec) -> Weights:
    """The machine's part of the host: what shares and weights say of containers beside each other."""
    return Weights(cpu_weight(spec.cpu_shares), io_weight(spec.blkio_weight))


def machine_memory(spec: ContainerSpec) -> int:
    """Bytes of which the machine's class is chosen, 0 for the default class: the limit, or without one what is
    reserved, if the default is too small for it."""
    if spec.memory or spec.memory_reservation <= (DEFAULT_MEMORY - GUEST_OVERHEAD) << 20:
        return spec.memory
    return spec.memory_reservation


def machine_cpus(spec: ContainerSpec) -> float:
    """Processors of which the machine's class is chosen, 0 for the default class: as many as the container may
    keep busy, and those that its set names."""
    quota, period = _bandwidth(spec)
    named = max(parse_list(spec.cpuset_cpus, "cpus"), default=-1) + 1
    limit = spec.nano_cpus / NANO or (quota / period if quota else 0.0)
    return max(min(limit, float(host_cpus())), float(named))


def _bandwidth(spec: ContainerSpec) -> tuple[int, int]:
    """(quota, period) in microseconds; a quota of 0 is none."""
    if spec.nano_cpus:
        return spec.nano_cpus * PERIOD_DEFAULT // NANO, PERIOD_DEFAULT
    quota = max(0, spec.cpu_quota)
    return quota, spec.cpu_period or (PERIOD_DEFAULT if quota else 0)


def cpu_weight(shares: int) -> int:
    """cpu.weight (1 to 10,000) for shares (2 to 262,144), such that 1024 shares are the default of 100; 0 is 0."""
    if shares == 0:
        return 0
    if shares <= SHARES_MIN:
        return 1
    if shares >= SHARES_MAX:
        return CPU_WEIGHT_MAX
    log = math.log2(shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def io_weight(weight: int) -> int:
    """io.weight (1 to 10,000) for a blkio weight (10 to 1000), linearly; 0 is 0."""
    return 1 + (weight - 10) * 9999 // 990 if weight else 0


def format_list(numbers: frozenset[int]) -> str:
    """A cpuset's list in its shortest form: `0-2,7`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][-1] == number - 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)


def _io(limits: DeviceLimits) -> tuple[IoLimit, ...]:
    found = IoLimit(limits.read_bps, limits.write_bps, limits.read_iops, limits.write_iops)
    return () if found == IoLimit() else (found,)
