"""`run.py health`: containers with health checks and restart policies; what the daemon takes for them, what is missed.

BENCH_HEALTH_CONTAINERS (50), BENCH_HEALTH_SECONDS (600) and BENCH_HEALTH_INTERVAL (5, seconds) make it shorter. Every
probe's start and end is read from the event stream. A probe is missed if the next one starts later than half an interval
after it is due, which is an interval after the end of the last.
"""

import json
import os
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

CONTAINERS = int(os.environ.get("BENCH_HEALTH_CONTAINERS", "50"))
SECONDS = int(os.environ.get("BENCH_HEALTH_SECONDS", "600"))
INTERVAL = float(os.environ.get("BENCH_HEALTH_INTERVAL", "5"))
BILLION = 10**9


class Daemon(Protocol):
    """What run.py's is."""

    pid: int

    def run(self, argv: list[str]) -> str: ...

    def call(self, method: str, path: str, body: Any = None) -> Any: ...

    def lines(self, path: str) -> Iterator[bytes]: ...


def measure(daemon: Daemon) -> dict[str, Any]:
    run = ["docker", "run", "-d", "--network", "none", "--restart", "unless-stopped", "--health-cmd", "true"]
    run += ["--health-interval", f"{int(INTERVAL * 1000)}ms", "busybox", "sleep", "86400"]
    names = [daemon.run(run).strip() for _ in range(CONTAINERS)]
    time.sleep(2 * INTERVAL)  # each has been probed at least once, and the starts are over
    daemon.call("GET", "/insula/loop?reset=1")
    until = int(time.time()) + SECONDS
    events: list[dict[str, Any]] = []
    reader = threading.Thread(
        target=lambda: events.extend(map(json.loads, daemon.lines(f"/events?until={until}")))
    )
    reader.start()
    before, began = cpu_seconds(daemon.pid), time.monotonic()
    time.sleep(max(0, until - time.time()))
    took = time.monotonic() - began
    busy = cpu_seconds(daemon.pid) - before
    reader.join()
    unhealthy = [
        n
        for n in names
        if daemon.call("GET", f"/containers/{n}/json")["State"]["Health"]["Status"] != "healthy"
    ]
    found = {
        "containers": CONTAINERS, "seconds": round(took), "interval s": INTERVAL,
        "daemon cpu %": round(100 * busy / took, 1), "daemon Pss MiB": round(memory(daemon.pid) / (1 << 20), 1),
        "not healthy": len(unhealthy), **judge(events, names), "loop": daemon.call("GET", "/insula/loop"),
    }  # fmt: skip
    found["daemon cpu ms per probe"] = round(1e3 * busy / max(1, found["probes"]), 2)
    daemon.run(["docker", "rm", "-f", *names])
    return found


def judge(events: list[dict[str, Any]], names: list[str]) -> dict[str, Any]:
    """From the events of probes: how many there were, how long they took, how late they came, how many were missed."""
    took, late, missed = [], [], 0
    for name in names:
        started = due = 0
        own = [event for event in events if event["Actor"]["ID"] == name]
        for event in own:
            now = event["timeNano"]
            if event["Action"].startswith("exec_create"):
                started = now
                if due:
                    late.append((now - due) / BILLION)
                    missed += now - due > INTERVAL * BILLION / 2
            elif event["Action"] == "exec_die" and started:
                took.append((now - started) / BILLION)
                due = now + int(INTERVAL * BILLION)
        missed += not own
    return {
        "probes": len(took), "missed": missed, "probe ms median": round(1e3 * statistics.median(took or [0]), 1),
        "probe ms max": round(1e3 * max(took, default=0), 1), "late ms max": round(1e3 * max(late, default=0), 1),
    }  # fmt: skip


def cpu_seconds(pid: int) -> float:
    """Of all threads of one process, its children not counted."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Its share of memory (Pss), in bytes."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
