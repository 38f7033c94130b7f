"""How much a container may use: what a boot document sets and UPDATE changes (docs/protocol.md §5).

The numbers are those of the guest kernel's own controllers (cgroup v2), exact; whoever has Docker's words (shares,
nano CPUs) converts them. It refuses what no kernel takes; what this guest's kernel lacks (a CPU or a memory node
that is not there) only the agent can say.
"""

import re
from dataclasses import dataclass

from insula.agent.fields import U32, U64, U64_MAX, Reader, check_count, check_number, pack_list, pack_string
from insula.errors import InvalidArgument

WEIGHT_MAX, CPUSET_MAX, IO_MAX = 10_000, 256, 16
PERIOD_MIN, PERIOD_MAX, QUOTA_MIN = 1_000, 1_000_000, 1_000  # µs: the kernel's own bounds for cpu.max
_CPUSET = re.compile(r"(\d+(-\d+)?(,\d+(-\d+)?)*)?")


@dataclass(frozen=True, slots=True)
class IoLimit:
    """For each of the container's disks; bytes or operations a second, 0: no limit."""

    read_bps: int = 0
    write_bps: int = 0
    read_iops: int = 0
    write_iops: int = 0

    def __post_init__(self) -> None:
        for rate in self._rates():
            check_number("a limit of the disks", rate, 0, U64_MAX)

    def _rates(self) -> tuple[int, ...]:
        return self.read_bps, self.write_bps, self.read_iops, self.write_iops

    def encode(self) -> bytes:
        return b"".join(U64.pack(rate) for rate in self._rates())

    @classmethod
    def decode(cls, reader: Reader) -> "IoLimit":
        return cls(reader.u64(), reader.u64(), reader.u64(), reader.u64())


@dataclass(frozen=True, slots=True)
class Limits:
    """0 or "" is no limit, or the kernel's default. memory, memory_low: bytes (memory.max, memory.low).
    cpu_quota, cpu_period: µs. cpu_weight, io_weight: 1 to 10,000, the kernel's default is 100.
    cpuset_cpus, cpuset_mems: lists like "0-2,4". pids: processes and threads.
    io: where several limit the same rate, the lowest holds."""

    memory: int = 0
    memory_low: int = 0
    cpu_quota: int = 0
    cpu_period: int = 0
    cpu_weight: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids: int = 0
    io_weight: int = 0
    io: tuple[IoLimit, ...] = ()

    def __post_init__(self) -> None:
        for number in (self.memory, self.memory_low, self.pids):
            check_number("a limit of the container", number, 0, U64_MAX)
        for weight in (self.cpu_weight, self.io_weight):
            check_number("a weight", weight, 0, WEIGHT_MAX)
        self._check_cpu()
        for cpuset in (self.cpuset_cpus, self.cpuset_mems):
            if not isinstance(cpuset, str) or len(cpuset) > CPUSET_MAX or not _CPUSET.fullmatch(cpuset):
                raise InvalidArgument(
                    f"{cpuset!r:.100} is no list of CPUs or memory nodes", "for example 0-2,4"
                )
        check_count("the limits of the disks", self.io, IO_MAX)

    def _check_cpu(self) -> None:
        if self.cpu_period:
            check_number("a CPU period", self.cpu_period, PERIOD_MIN, PERIOD_MAX)
        if self.cpu_quota:
            check_number("a CPU quota", self.cpu_quota, QUOTA_MIN, U64_MAX // 1_000)
        if self.cpu_quota and not self.cpu_period:
            raise InvalidArgument("a CPU quota without a period")

    def encode(self) -> bytes:
        return b"".join((
            U64.pack(self.memory), U64.pack(self.memory_low), U64.pack(self.cpu_quota),
            U64.pack(self.cpu_period), U32.pack(self.cpu_weight), pack_string(self.cpuset_cpus),
            pack_string(self.cpuset_mems), U64.pack(self.pids), U32.pack(self.io_weight),
            pack_list(one.encode() for one in self.io),
        ))  # fmt: skip

    @classmethod
    def decode(cls, reader: Reader) -> "Limits":
        return cls(
            reader.u64(), reader.u64(), reader.u64(), reader.u64(), reader.u32(), reader.string(CPUSET_MAX),
            reader.string(CPUSET_MAX), reader.u64(), reader.u32(),
            reader.items(lambda: IoLimit.decode(reader), IO_MAX),
        )  # fmt: skip


NO_LIMITS = Limits()
