"""Limits as a user asks for them: their types, and Docker's minimums, ranges and conflicts in Docker's words.

The words are those of moby 28 (daemon/daemon_unix.go, verifyPlatformContainerResources) and go-units (ulimits), for
clients compare them. What a machine cannot be (more memory than the largest class has) is refused here as well, and
not first at the start.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING

from insula.errors import InvalidArgument
from insula.machine.spec import CPU_CLASSES, GUEST_OVERHEAD, MEMORY_CLASSES

if TYPE_CHECKING:
    from insula.container.spec import ContainerSpec

MEMORY_MIN = 6 << 20
MEMORY_MAX = (MEMORY_CLASSES[-1] - GUEST_OVERHEAD) << 20
NANO = 1_000_000_000
NANO_CPUS_MIN = NANO // 100
PERIOD_MIN, PERIOD_MAX, QUOTA_MIN, PERIOD_DEFAULT = 1_000, 1_000_000, 1_000, 100_000
WEIGHT_MIN, WEIGHT_MAX = 10, 1000
OOM_SCORE_MAX = 1000
LIST_MAX = 8192
"""The highest number in a list of processors, as in Docker."""
STORAGE_MIN, STORAGE_MAX = 32 << 20, 512 << 30
UNLIMITED = (1 << 64) - 1
RESOURCES = {
    "core": 4, "cpu": 0, "data": 2, "fsize": 1, "locks": 10, "memlock": 8, "msgqueue": 12, "nice": 13,
    "nofile": 7, "nproc": 6, "rss": 5, "rtprio": 14, "rttime": 15, "sigpending": 11, "stack": 3,
}  # fmt: skip
"""Docker's names of setrlimit(2)'s resources, and their numbers on every guest."""


@dataclass(frozen=True, slots=True)
class Ulimit:
    """One ulimit; -1 is unlimited."""

    name: str
    soft: int
    hard: int

    def __post_init__(self) -> None:
        """Raises InvalidArgument."""
        if self.name not in RESOURCES:
            raise InvalidArgument(f"invalid ulimit type: {self.name[:80]}")
        for value in (self.soft, self.hard):
            if value < -1:
                raise InvalidArgument(f"invalid ulimit {self.name}: {value} is negative", "-1 is unlimited")
        if self.hard != -1 and (self.soft == -1 or self.soft > self.hard):
            what = (
                f"soft: -1 (unlimited), hard: {self.hard}"
                if self.soft == -1
                else f"{self.soft} > {self.hard}"
            )
            raise InvalidArgument(f"ulimit soft limit must be less than or equal to hard limit: {what}")


@dataclass(frozen=True, slots=True)
class DeviceLimits:
    """Limits of the traffic of the container's disks, all together; bytes and operations a second, 0: none."""

    read_bps: int = 0
    write_bps: int = 0
    read_iops: int = 0
    write_iops: int = 0

    def __post_init__(self) -> None:
        """Raises InvalidArgument."""
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < 1 << 63:
                raise InvalidArgument("the rate of a device is out of range")


NO_DEVICE_LIMITS = DeviceLimits()


def check_limits(spec: "ContainerSpec") -> None:
    """Raises InvalidArgument for limits that Docker refuses, or no machine has."""
    _check_memory(spec)
    _check_cpus(spec)
    _check_sets(spec)
    if spec.shm_size < 0:
        raise InvalidArgument("SHM size can not be less than 0")
    if spec.blkio_weight and not WEIGHT_MIN <= spec.blkio_weight <= WEIGHT_MAX:
        raise InvalidArgument(f"Range of blkio weight is from {WEIGHT_MIN} to {WEIGHT_MAX}")
    if not -OOM_SCORE_MAX <= spec.oom_score_adj <= OOM_SCORE_MAX:
        raise InvalidArgument(f"Invalid value {spec.oom_score_adj}, range for oom score adj is [-1000, 1000]")
    if spec.storage_size and not STORAGE_MIN <= spec.storage_size <= STORAGE_MAX:
        raise InvalidArgument(
            f"the storage size {spec.storage_size} is out of range",
            f"from {STORAGE_MIN >> 20} MiB to {STORAGE_MAX >> 30} GiB",
        )


def _check_memory(spec: "ContainerSpec") -> None:
    memory, swap, reservation = spec.memory, spec.memory_swap, spec.memory_reservation
    if memory and memory < MEMORY_MIN:
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    if max(memory, reservation) > MEMORY_MAX:
        raise InvalidArgument(
            f"no machine has {max(memory, reservation) >> 20} MiB of memory for a container",
            f"at most {MEMORY_MAX >> 20} MiB",
        )
    if swap < -1:
        raise InvalidArgument(f"invalid memory swap limit {swap}", "-1 is unlimited")
    if memory > 0 and 0 < swap < memory:
        raise InvalidArgument("Minimum memoryswap limit should be larger than memory limit, see usage")
    if memory == 0 and swap > 0:
        raise InvalidArgument("You should always set the Memory limit when using Memoryswap limit, see usage")
    if reservation and reservation < MEMORY_MIN:
        raise InvalidArgument("Minimum memory reservation allowed is 6MB")
    if memory > 0 and reservation > memory:
        raise InvalidArgument("Minimum memory limit can not be less than memory reservation limit, see usage")


def _check_cpus(spec: "ContainerSpec") -> None:
    if spec.nano_cpus > 0 and spec.cpu_period > 0:
        raise InvalidArgument("Conflicting options: Nano CPUs and CPU Period cannot both be set")
    if spec.nano_cpus > 0 and spec.cpu_quota > 0:
        raise InvalidArgument("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
    cpus = host_cpus()
    if spec.nano_cpus and not NANO_CPUS_MIN <= spec.nano_cpus <= cpus * NANO:
        raise InvalidArgument(
            f"range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )
    if spec.cpu_period and not PERIOD_MIN <= spec.cpu_period <= PERIOD_MAX:
        raise InvalidArgument(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < spec.cpu_quota < QUOTA_MIN:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if spec.cpu_shares < 0:
        raise InvalidArgument(f"invalid CPU shares ({spec.cpu_shares}): value must be a positive integer")


def _check_sets(spec: "ContainerSpec") -> None:
    cpus = host_cpus()
    for text, name, what, available in (
        (spec.cpuset_cpus, "cpus", "CPUs", range(cpus)),
        (spec.cpuset_mems, "mems", "memory nodes", range(1)),
    ):
        if not parse_list(text, name) <= set(available):
            there = "0" if len(available) == 1 else f"0-{len(available) - 1}"
            raise InvalidArgument(
                f"Requested {what} are not available - requested {text[:80]}, available: {there}"
            )


def parse_list(text: str, what: str) -> frozenset[int]:
    """The numbers of a list as cpuset files have it: `0-2,7`. what: 'cpus' or 'mems'. Raises InvalidArgument."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        matched = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part, re.ASCII)
        if matched is None:
            raise _bad_list(text, what, f"invalid format: {text[:80]}")
        first, last = int(matched[1]), int(matched[2] or matched[1])
        if first > last:
            raise _bad_list(text, what, f"invalid format: {text[:80]}")
        if last > LIST_MAX:
            raise _bad_list(text, what, f"value of out range, maximum is {LIST_MAX}")
        found.update(range(first, last + 1))
    return frozenset(found)


def _bad_list(text: str, what: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"Invalid value {text[:80]} for cpuset {what}: {why}")


def smallest(rates: Iterable[int]) -> int:
    """Of several limits the one that binds; 0 is none."""
    return min((rate for rate in rates if rate), default=0)


@cache
def host_cpus() -> int:
    """The processors that a container can have: the host's, as far as a machine goes."""
    return min(os.cpu_count() or 1, CPU_CLASSES[-1])
