from dataclasses import replace
from typing import Any

from test_encode import view

from insula.agent.usage import (
    CpuUsage,
    DeviceUsage,
    GuestCpu,
    LinkUsage,
    MemoryUsage,
    PidsUsage,
    Usage,
)
from insula.api.stats_json import encode_stats
from insula.container.stats import Sample
from insula.machine.host_usage import HostUsage

MEMORY = MemoryUsage(
    1000, 0, 2000, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 5000, 4000
)  # fmt: skip
USAGE = Usage(
    1, 2_000_000_000, MEMORY, CpuUsage(50, 30, 20, 7, 3, 1), GuestCpu(2, 3_900_000_000), PidsUsage(3, 0),
    (DeviceUsage(254, 16, 100, 200, 1, 2),),
    (LinkUsage("lo", 1, 1, 0, 0, 1, 1, 0, 0), LinkUsage("eth0", 1, 2, 3, 4, 5, 6, 7, 8)),
)  # fmt: skip
NOW = Sample(1_500_000_000, USAGE, HostUsage(9, 100, 60))


def encode(sample: Sample, previous: Sample | None = None, **spec: Any) -> dict[str, Any]:
    return encode_stats(view(**spec), sample, previous)


def test_a_sample_in_docker_s_form() -> None:
    document = encode(NOW)
    assert (document["name"], document["id"]) == ("/web", "f" * 64)
    assert (document["read"], document["preread"]) == ("1970-01-01T00:00:01.5Z", "0001-01-01T00:00:00Z")
    assert document["cpu_stats"] == {
        "cpu_usage": {"total_usage": 50, "usage_in_kernelmode": 20, "usage_in_usermode": 30},
        "system_cpu_usage": 4_000_000_000, "online_cpus": 2,
        "throttling_data": {"periods": 3, "throttled_periods": 1, "throttled_time": 7},
    }  # fmt: skip
    assert document["precpu_stats"]["cpu_usage"]["total_usage"] == 0
    memory = document["memory_stats"]
    assert (memory["usage"], memory["limit"], memory["max_usage"], memory["failcnt"]) == (
        1000,
        5000,
        2000,
        17,
    )
    assert (memory["stats"]["anon"], memory["stats"]["inactive_file"], memory["stats"]["pgmajfault"]) == (
        1,
        12,
        16,
    )
    assert document["pids_stats"] == {"current": 3}
    assert document["blkio_stats"]["io_service_bytes_recursive"] == [
        {"major": 254, "minor": 16, "op": "read", "value": 100},
        {"major": 254, "minor": 16, "op": "write", "value": 200},
    ]
    assert document["networks"] == {
        "eth0": {"rx_bytes": 1, "rx_packets": 2, "rx_errors": 3, "rx_dropped": 4, "tx_bytes": 5, "tx_packets": 6,
                 "tx_errors": 7, "tx_dropped": 8}
    }  # fmt: skip
    assert document["insula"] == {
        "guest": {"uptime": 2_000_000_000, "memory_total": 5000, "memory_available": 4000},
        "qemu": {"cpu_usage": 9, "memory_rss": 100, "memory_pss": 60},
    }


def test_the_one_before_is_the_client_s_own() -> None:
    document = encode(NOW, replace(NOW, read_ns=500_000_000))
    assert document["preread"] == "1970-01-01T00:00:00.5Z"
    assert document["precpu_stats"] == document["cpu_stats"]


def test_limits_show_where_they_are() -> None:
    limited = replace(USAGE, memory=replace(MEMORY, limit=3000), pids=PidsUsage(1, 9))
    document = encode(replace(NOW, usage=limited))
    assert (document["memory_stats"]["limit"], document["pids_stats"]["limit"]) == (3000, 9)
    beyond = replace(USAGE, memory=replace(MEMORY, limit=9000))
    assert encode(replace(NOW, usage=beyond))["memory_stats"]["limit"] == 5000


def test_what_does_not_run_is_all_zero() -> None:
    document = encode(Sample(1_500_000_000), NOW)
    assert document["read"] == "0001-01-01T00:00:00Z"
    assert document["memory_stats"] == document["pids_stats"] == document["storage_stats"] == {}
    assert set(document["blkio_stats"].values()) == {None}
    assert document["cpu_stats"]["cpu_usage"]["total_usage"] == 0
    assert "system_cpu_usage" not in document["cpu_stats"]
    assert "networks" not in document and "insula" not in document


def test_without_a_network_there_is_none_to_show() -> None:
    assert "networks" not in encode(NOW, network_mode="none")


def test_what_the_host_did_not_tell_is_left_out() -> None:
    assert "qemu" not in encode(replace(NOW, qemu=None))["insula"]
