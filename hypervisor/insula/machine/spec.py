"""What a machine is: everything that shapes it, and the descriptors that it is started with.

A machine's shape (MachineSpec) is all that a template's key is made of. Disks are no part of it: every machine
starts with empty placeholders, which are replaced while it runs, so that a template, its clones and a cold boot
have one and the same command line.
"""

from dataclasses import dataclass
from pathlib import Path

from insula.errors import InvalidArgument
from insula.machine.platform import Accelerator, Platform

LAYER_DISKS = 8
"""Read-only placeholders in every machine; an image with more layers has its lowest ones merged."""

BLOCK_DISKS = 4
"""Writable placeholders beside those, in a machine whose container has block volumes."""

NICS = 4
"""Network devices in every machine: on how many networks a container can be at a time."""

MEMORY_CLASSES = (256, 512, 1024, 2048, 4096, 8192)
"""MiB."""
CPU_CLASSES = (1, 2, 4, 8)
DEFAULT_MEMORY = 1024
GUEST_OVERHEAD = 96
"""MiB that a guest's kernel and agent need beside the container's own limit."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """What boots: the kernel's file, the initramfs with the agent in it, and the digest of both."""

    image: Path
    initramfs: Path
    digest: str
    version: str


@dataclass(frozen=True, slots=True)
class Throttle:
    """Most traffic of a machine's disks, all together: bytes and operations a second; 0 is no limit."""

    read_bps: int = 0
    write_bps: int = 0
    read_iops: int = 0
    write_iops: int = 0


NO_THROTTLE = Throttle()


@dataclass(frozen=True, slots=True)
class Weights:
    """A machine's part of the host where others want the same: 1 to 10,000, as the files of a cgroup of version 2
    have it; 0 is their default, 100."""

    cpu: int = 0
    io: int = 0


NO_WEIGHTS = Weights()


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """The shape of a machine. memory: MiB; cpus: count; qemu_build: identifies QEMU's files; taps: its network
    devices are on taps, and not on nothing; own_ids: it has a range of the host's ids, and its shares keep owners;
    blocks: how many disks for volumes it has."""

    platform: Platform
    accelerator: Accelerator
    memory: int
    cpus: int
    kernel: Kernel
    qemu_build: str
    taps: bool = False
    own_ids: bool = False
    blocks: int = 0


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What one start of QEMU inherits, as numbers in its own table.

    qmp, agent: listening unix sockets. ram: the file behind the memory; ram_private: map it copy-on-write (a
    clone) instead of shared. state: the template's device state to go on from, or None to boot. taps: one for each
    network device, if the machine has taps."""

    qmp: int
    agent: int
    kernel: int
    initramfs: int
    ram: int
    ram_private: bool
    state: int | None
    taps: tuple[int, ...] = ()


def memory_class(limit: int, most: int = MEMORY_CLASSES[-1]) -> int:
    """The machine's memory in MiB for a container limited to `limit` bytes (0: no limit), of at most `most`.

    Raises InvalidArgument."""
    if limit == 0:
        return DEFAULT_MEMORY
    wanted = limit / (1 << 20) + GUEST_OVERHEAD
    for size in MEMORY_CLASSES:
        if wanted <= size <= most:
            return size
    raise InvalidArgument(
        f"no machine has {limit >> 20} MiB of memory for a container", f"at most {most - GUEST_OVERHEAD} MiB"
    )


def cpu_class(cpus: float, accelerator: Accelerator, host_cpus: int) -> int:
    """The machine's processors for a container limited to `cpus` (0: no limit): then one under TCG, where each
    costs a host thread of translation, and up to four of the host's under KVM."""
    if cpus == 0:
        return 1 if accelerator == "tcg" else max(c for c in CPU_CLASSES if c <= max(1, min(4, host_cpus)))
    for count in CPU_CLASSES:
        if count >= cpus:
            return count
    raise InvalidArgument(f"no machine has {cpus:g} processors", f"at most {CPU_CLASSES[-1]}")
