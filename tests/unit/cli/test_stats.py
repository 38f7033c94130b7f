"""Rates and rows of `stats`, and how `top` asks."""

from typing import Any

import pytest

from insula.cli.stats import block_bytes, cpu_percent, make_row

MIB = 1 << 20


def reading(used_ns: int, passed_ns: int, **memory: int) -> dict[str, Any]:
    return {
        "id": "f" * 64, "name": "/web", "pids_stats": {"current": 3},
        "cpu_stats": {"cpu_usage": {"total_usage": used_ns}, "system_cpu_usage": passed_ns, "online_cpus": 2},
        "memory_stats": {"usage": 70 * MIB, "limit": 128 * MIB, "stats": {"inactive_file": 6 * MIB}} | memory,
        "networks": {"eth0": {"rx_bytes": 1000, "tx_bytes": 20}, "eth1": {"rx_bytes": 500, "tx_bytes": 0}},
        "blkio_stats": {"io_service_bytes_recursive": [
            {"major": 1, "minor": 0, "op": "read", "value": 4096}, {"major": 1, "minor": 0, "op": "write", "value": 1},
            {"major": 2, "minor": 0, "op": "read", "value": 4}]},
    }  # fmt: skip


def test_a_row() -> None:
    row = make_row("web", reading(0, 10**9), reading(5 * 10**8, 3 * 10**9), False)
    assert row == {
        "Container": "web", "Name": "web", "ID": "f" * 12, "CPUPerc": "50.00%", "MemUsage": "64MiB / 128MiB",
        "MemPerc": "50.00%", "NetIO": "1.5kB / 20B", "BlockIO": "4.1kB / 1B", "PIDs": "3",
    }  # fmt: skip
    assert make_row("web", {}, reading(1, 1), True)["ID"] == "f" * 64


def test_the_processors_share() -> None:
    before, now = reading(0, 10**9)["cpu_stats"], reading(10**9, 3 * 10**9)["cpu_stats"]
    assert cpu_percent(before, now) == 100.0  # one processor of two, all of the time
    assert cpu_percent(now, before) == cpu_percent(None, now) == cpu_percent({"cpu_usage": {}}, now) == 0.0
    assert cpu_percent(now, now) == 0.0


def test_what_does_not_run() -> None:
    empty = {"id": "f" * 64, "name": "/web", "cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {},
             "pids_stats": {}, "blkio_stats": {"io_service_bytes_recursive": None}}  # fmt: skip
    row = make_row("web", {}, empty, False)
    assert (row["CPUPerc"], row["MemUsage"], row["PIDs"]) == ("--", "-- / --", "--")
    assert block_bytes(empty, "read") == 0


def test_top_passes_the_arguments_of_ps_on(answer: Any, engine: Any) -> None:
    engine.on("GET /containers/web/top", answer({"Titles": ["PID", "CMD"], "Processes": [["1", "a\x1bb"]]}))
    ran = engine.insula("top", "web", "-o", "pid,cmd")
    assert ran.out == "PID   CMD\n1     a b\n"
    assert engine.targets[-1] == "GET /containers/web/top?ps_args=-o%20pid%2Ccmd"
    engine.insula("container", "top", "web")
    assert engine.targets[-1] == "GET /containers/web/top"


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["--no-stream"], ["CONTAINER ID   NAME   CPU %", "ffffffffffff   web    0.00%"]),
        (["--no-stream", "--format", "{{.Name}} {{.PIDs}}", "web"], ["web 3"]),
        (["-a", "--no-stream", "--format", "table {{.Container}}\t{{.MemPerc}}", "web"], ["CONTAINER   MEM %",
                                                                                           "web         50.00%"]),
    ],
)  # fmt: skip
def test_one_table(answer: Any, engine: Any, words: list[str], lines: list[str]) -> None:
    engine.on("GET /containers/json", answer([{"Id": "f" * 64}]))
    engine.on("GET /containers/(web|f+)/stats", answer(reading(1, 1)))
    ran = engine.insula("stats", *words)
    assert ran.status == 0, ran.err
    found = ran.out.splitlines()
    assert len(found) == len(lines) and all(
        line.startswith(start) for line, start in zip(found, lines, strict=True)
    )
    assert engine.targets[-1].endswith("/stats?stream=0&one-shot=1")
