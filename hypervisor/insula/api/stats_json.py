"""What a container uses, as `GET /containers/…/stats` has it, in the form of a host with cgroup version 2.

All of Docker's fields are the guest's: the container's cgroup, its network devices, and, as "the system", the
machine's own processors and memory. What the machine's QEMU takes of the host is in an object of its own, `insula`.
"""

from typing import Any

from insula.api.moments import format_ns
from insula.container.leases import is_private
from insula.container.stats import LinkUsage, Sample, Usage
from insula.container.view import ContainerView

NO_BLOCKS: dict[str, Any] = dict.fromkeys((
    "io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive",
    "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive",
))  # fmt: skip
MEMORY_FIELDS = (
    "anon", "file", "kernel_stack", "slab", "sock", "shmem", "file_mapped", "file_dirty", "file_writeback",
    "inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable", "pgfault", "pgmajfault",
)  # fmt: skip


def encode_stats(view: ContainerView, sample: Sample, previous: Sample | None) -> dict[str, Any]:
    """One object. previous: the sample that this client was given before; None: it had none."""
    usage, before = sample.usage, previous.usage if previous is not None else None
    document: dict[str, Any] = {
        "name": f"/{view.name}",
        "id": view.id,
        "read": format_ns(sample.read_ns if usage is not None else 0),
        "preread": format_ns(previous.read_ns if previous is not None and before is not None else 0),
        "pids_stats": {} if usage is None else encode_pids(usage),
        "blkio_stats": NO_BLOCKS if usage is None else encode_blocks(usage),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": encode_cpu(usage),
        "precpu_stats": encode_cpu(before),
        "memory_stats": {} if usage is None else encode_memory(usage),
    }
    if usage is not None:
        if not is_private(view.spec):
            document["networks"] = {link.name: encode_link(link) for link in usage.links if link.name != "lo"}
        document["insula"] = encode_machine(sample, usage)
    return document


def encode_cpu(usage: Usage | None) -> dict[str, Any]:
    """The system's time is the guest's uptime for each processor, not the sum of /proc/stat: that counts ticks, of
    which an emulated machine loses some, and a share would come out above the whole."""
    if usage is None:
        return {
            "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
            "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
        }
    cpu = usage.cpu
    return {
        "cpu_usage": {
            "total_usage": cpu.usage_ns, "usage_in_kernelmode": cpu.system_ns, "usage_in_usermode": cpu.user_ns,
        },
        "system_cpu_usage": usage.uptime_ns * usage.guest.cpus,
        "online_cpus": usage.guest.cpus,
        "throttling_data": {
            "periods": cpu.periods, "throttled_periods": cpu.throttled, "throttled_time": cpu.throttled_ns,
        },
    }  # fmt: skip


def encode_memory(usage: Usage) -> dict[str, Any]:
    """Without a limit of its own, a container's is the machine's memory."""
    memory = usage.memory
    limit = min(memory.limit or memory.guest_total, memory.guest_total or memory.limit)
    document: dict[str, Any] = {
        "usage": memory.current,
        "stats": {name: getattr(memory, name) for name in MEMORY_FIELDS},
        "limit": limit,
    }
    if memory.peak:
        document["max_usage"] = memory.peak
    if memory.oom_kills:
        document["failcnt"] = memory.oom_kills
    return document


def encode_pids(usage: Usage) -> dict[str, Any]:
    limit = {"limit": usage.pids.limit} if usage.pids.limit else {}
    return {"current": usage.pids.current, **limit}


def encode_blocks(usage: Usage) -> dict[str, Any]:
    entries = [
        {"major": device.major, "minor": device.minor, "op": operation, "value": value}
        for device in usage.devices
        for operation, value in (("read", device.read_bytes), ("write", device.write_bytes))
    ]
    return {**NO_BLOCKS, "io_service_bytes_recursive": entries or None}


def encode_link(link: LinkUsage) -> dict[str, int]:
    return {
        "rx_bytes": link.rx_bytes, "rx_packets": link.rx_packets, "rx_errors": link.rx_errors,
        "rx_dropped": link.rx_dropped, "tx_bytes": link.tx_bytes, "tx_packets": link.tx_packets,
        "tx_errors": link.tx_errors, "tx_dropped": link.tx_dropped,
    }  # fmt: skip


def encode_machine(sample: Sample, usage: Usage) -> dict[str, Any]:
    """guest: the whole machine, as its kernel has it; qemu: the process on the host."""
    document: dict[str, Any] = {
        "guest": {
            "uptime": usage.uptime_ns,
            "memory_total": usage.memory.guest_total,
            "memory_available": usage.memory.guest_available,
        }
    }
    if sample.qemu is not None:
        qemu = sample.qemu
        document["qemu"] = {
            "cpu_usage": qemu.cpu_ns,
            "memory_rss": qemu.resident,
            "memory_pss": qemu.proportional,
        }
    return document
