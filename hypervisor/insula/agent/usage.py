"""What a container uses, as its own kernel counts it (docs/protocol.md §9): the agent's answer to USAGE.

Every number is a total since the container or the guest began, or a state at the time of reading; rates are for
whoever reads twice. All of it comes from a guest that may be hostile: bounded and in range, not true.
"""

import struct
from dataclasses import dataclass
from typing import ClassVar, Self

from insula.agent.fields import U32, Reader, pack_list, pack_string

DEVICES_MAX = LINKS_MAX = 64
LINK_NAME_MAX = 15

_CLOCKS = struct.Struct("<QQ")
_MEMORY = struct.Struct("<22Q")
_CPU = struct.Struct("<6Q")
_GUEST = struct.Struct("<IQ")
_PIDS = struct.Struct("<QQ")
_IO = struct.Struct("<IIQQQQ")
_LINK = struct.Struct("<8Q")


class Packed:
    """Integers only, in the order of the fields."""

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]]
    LAYOUT: ClassVar[struct.Struct]

    def encode(self) -> bytes:
        return self.LAYOUT.pack(*[getattr(self, name) for name in self.__match_args__])

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        return cls(*reader.unpack(cls.LAYOUT))


@dataclass(frozen=True, slots=True)
class MemoryUsage(Packed):
    """Bytes, but pgfault, pgmajfault and oom_kills, which are counts. limit: 0 is none; peak: 0 is unknown.
    The middle is the cgroup's memory.stat; guest_total and guest_available are the whole guest's."""

    LAYOUT: ClassVar = _MEMORY
    current: int
    limit: int
    peak: int
    anon: int
    file: int
    kernel_stack: int
    slab: int
    sock: int
    shmem: int
    file_mapped: int
    file_dirty: int
    file_writeback: int
    inactive_anon: int
    active_anon: int
    inactive_file: int
    active_file: int
    unevictable: int
    pgfault: int
    pgmajfault: int
    oom_kills: int
    guest_total: int
    guest_available: int


@dataclass(frozen=True, slots=True)
class CpuUsage(Packed):
    """Times in nanoseconds. periods: those in which a quota counted; throttled: those in which it was used up."""

    LAYOUT: ClassVar = _CPU
    usage_ns: int
    user_ns: int
    system_ns: int
    throttled_ns: int
    periods: int
    throttled: int


@dataclass(frozen=True, slots=True)
class GuestCpu(Packed):
    """cpus: online in the guest. total_ns: all that they have had, idle or not, since the guest booted."""

    LAYOUT: ClassVar = _GUEST
    cpus: int
    total_ns: int


@dataclass(frozen=True, slots=True)
class PidsUsage(Packed):
    """limit: 0 is none."""

    LAYOUT: ClassVar = _PIDS
    current: int
    limit: int


@dataclass(frozen=True, slots=True)
class DeviceUsage(Packed):
    """One block device of the guest, by its numbers there."""

    LAYOUT: ClassVar = _IO
    major: int
    minor: int
    read_bytes: int
    write_bytes: int
    read_operations: int
    write_operations: int


@dataclass(frozen=True, slots=True)
class LinkUsage:
    """One interface of the container's network name space, the loopback among them."""

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int

    def encode(self) -> bytes:
        _, *numbers = self.__match_args__
        return pack_string(self.name) + _LINK.pack(*[getattr(self, name) for name in numbers])

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        return cls(reader.string(LINK_NAME_MAX), *reader.unpack(_LINK))


@dataclass(frozen=True, slots=True)
class Usage:
    """clock_ns: the guest's wall clock at the reading; uptime_ns: since the guest booted, never set back."""

    clock_ns: int
    uptime_ns: int
    memory: MemoryUsage
    cpu: CpuUsage
    guest: GuestCpu
    pids: PidsUsage
    devices: tuple[DeviceUsage, ...]
    links: tuple[LinkUsage, ...]

    def encode(self) -> bytes:
        return b"".join((
            _CLOCKS.pack(self.clock_ns, self.uptime_ns), self.memory.encode(), self.cpu.encode(),
            self.guest.encode(), self.pids.encode(),
            pack_list(device.encode() for device in self.devices),
            pack_list(link.encode() for link in self.links),
        ))  # fmt: skip

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        return cls(
            reader.u64(), reader.u64(), MemoryUsage.decode(reader), CpuUsage.decode(reader),
            GuestCpu.decode(reader), PidsUsage.decode(reader),
            reader.items(lambda: DeviceUsage.decode(reader), DEVICES_MAX),
            reader.items(lambda: LinkUsage.decode(reader), LINKS_MAX),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class UsageAnswer:
    TYPE: ClassVar[int] = 72
    request: int
    usage: Usage

    def encode(self) -> bytes:
        return U32.pack(self.request) + self.usage.encode()

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        reader = Reader(payload, "UsageAnswer")
        answer = cls(reader.u32(), Usage.decode(reader))
        reader.end()
        return answer
