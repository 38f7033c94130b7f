"""The limits and guards of HostConfig → ContainerSpec's. Docker's field names live here and in decode.py.

Types are checked here; ranges, minimums and conflicts by the spec.
"""

import re
from typing import Any

from insula.api.typed import check
from insula.container.spec_limits import DeviceLimits, Ulimit, smallest
from insula.errors import InvalidArgument

KERNEL_ANNOTATION = "insula.kernel"
"""Carries `--kernel`, for the stock command has no such flag: `--annotation insula.kernel=/path`."""
ENTRIES_MAX = 256
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
RATES = {
    "read_bps": "BlkioDeviceReadBps", "write_bps": "BlkioDeviceWriteBps",
    "read_iops": "BlkioDeviceReadIOps", "write_iops": "BlkioDeviceWriteIOps",
}  # fmt: skip
WEIGHT_MIN, WEIGHT_MAX = 10, 1000


def decode_limits(host: dict[str, Any]) -> dict[str, Any]:
    """Numbers and lists of HostConfig that limit a container. Raises InvalidArgument."""
    return {
        "memory": host.get("Memory") or 0,
        "memory_reservation": host.get("MemoryReservation") or 0,
        "memory_swap": host.get("MemorySwap") or 0,
        "nano_cpus": host.get("NanoCpus") or 0,
        "cpu_shares": host.get("CpuShares") or 0,
        "cpu_period": host.get("CpuPeriod") or 0,
        "cpu_quota": host.get("CpuQuota") or 0,
        "cpuset_cpus": host.get("CpusetCpus") or "",
        "cpuset_mems": host.get("CpusetMems") or "",
        "pids_limit": max(0, host.get("PidsLimit") or 0),
        "shm_size": host.get("ShmSize") or 0,
        "oom_score_adj": host.get("OomScoreAdj") or 0,
        "blkio_weight": decode_weight(host),
        "device_limits": DeviceLimits(**{name: decode_rate(host, field) for name, field in RATES.items()}),
        "ulimits": decode_ulimits(host.get("Ulimits") or []),
        "storage_size": decode_storage(host.get("StorageOpt") or {}),
    }


def decode_guards(host: dict[str, Any]) -> dict[str, Any]:
    """What a container's processes may do and see."""
    annotations = dict(host.get("Annotations") or {})
    return {
        "group_add": tuple(host.get("GroupAdd") or ()),
        "cap_add": tuple(host.get("CapAdd") or ()),
        "cap_drop": tuple(host.get("CapDrop") or ()),
        "security_opt": tuple(host.get("SecurityOpt") or ()),
        "sysctls": dict(host.get("Sysctls") or {}),
        "masked_paths": decode_paths(host.get("MaskedPaths")),
        "readonly_paths": decode_paths(host.get("ReadonlyPaths")),
        "annotations": annotations,
        "kernel": annotations.get(KERNEL_ANNOTATION, ""),
    }


def decode_paths(value: list[str] | None) -> tuple[str, ...] | None:
    """An empty list asks for none; none at all for the default."""
    return None if value is None else tuple(value)


def read_entries(field: str, entries: list[Any], kinds: dict[str, str]) -> list[dict[str, Any]]:
    """A list of objects, their fields by proper name and of their types. Raises InvalidArgument."""
    if len(entries) > ENTRIES_MAX:
        raise InvalidArgument(f"HostConfig.{field} has more than {ENTRIES_MAX} entries")
    proper = {name.lower(): name for name in kinds}
    found = []
    for entry in entries:
        check(f"HostConfig.{field}", "object", entry)
        item = {}
        for name, value in (entry or {}).items():
            if known := proper.get(name.lower()):
                check(f"HostConfig.{field}.{known}", kinds[known], value)
                item[known] = value
        found.append(item)
    return found


def decode_ulimits(entries: list[Any]) -> tuple[Ulimit, ...]:
    """The last of one name counts. Raises InvalidArgument."""
    found = {}
    for item in read_entries("Ulimits", entries, {"Name": "string", "Soft": "int", "Hard": "int"}):
        name = item.get("Name") or ""
        found[name] = Ulimit(name, item.get("Soft") or 0, item.get("Hard") or 0)
    return tuple(found.values())


def decode_rate(host: dict[str, Any], field: str) -> int:
    """The smallest of the rates that are asked for any device. Raises InvalidArgument."""
    entries = read_entries(field, host.get(field) or [], {"Path": "string", "Rate": "int"})
    return smallest(check_rate(field, item) for item in entries)


def check_rate(field: str, item: dict[str, Any]) -> int:
    rate = item.get("Rate") or 0
    if rate < 0:
        raise InvalidArgument(f"HostConfig.{field}: the rate {rate} is negative")
    return int(rate)


def decode_weight(host: dict[str, Any]) -> int:
    """A weight that is asked for a device takes the place of the general one. Raises InvalidArgument."""
    entries = read_entries(
        "BlkioWeightDevice", host.get("BlkioWeightDevice") or [], {"Path": "string", "Weight": "int"}
    )
    for item in entries:
        weight = item.get("Weight") or 0
        if weight and not WEIGHT_MIN <= weight <= WEIGHT_MAX:
            raise InvalidArgument(f"invalid weight for device: {str(item.get('Path'))[:80]}:{weight}")
    return smallest(item.get("Weight") or 0 for item in entries) or host.get("BlkioWeight") or 0


def decode_storage(options: dict[str, str]) -> int:
    """Bytes of the writable layer, 0 for the default. Raises InvalidArgument."""
    size = 0
    for name, value in options.items():
        if name.lower() != "size":
            raise InvalidArgument(f"Unknown option {name[:80]}", "there is size=…")
        size = parse_size(value)
    return size


def parse_size(text: str) -> int:
    """`10G`, `120m`, bytes. Raises InvalidArgument."""
    matched = re.fullmatch(r"(\d{1,15})(\.\d{1,9})? ?([kmgtp]?)(?:i?b)?", text.strip().lower(), re.ASCII)
    if matched is None:
        raise InvalidArgument(f"invalid size: '{text[:80]}'")
    unit = UNITS[matched[3]]
    return int(matched[1]) * unit + int(float(matched[2] or 0) * unit)
