"""`run.py platforms`: `docker run --rm --platform P busybox uname -m` on the platforms beyond amd64 and arm64.

Each begins on a state root that has nothing of it but busybox: the first run of all fetches the kernel and makes the
template, then come five with the template and no pool, then five with the pool ready. BENCH_PLATFORMS (all five) makes
it shorter. A run that prints another word than the platform's ends it all.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

WORDS = {
    "linux/386": "i686", "linux/arm/v7": "armv7l", "linux/ppc64le": "ppc64le", "linux/s390x": "s390x",
    "linux/riscv64": "riscv64",
}  # fmt: skip
CHOSEN = os.environ.get("BENCH_PLATFORMS", " ".join(WORDS)).split()
RUNS = 5
NO_POOL = "[pool]\nmachines = 0\n"


class Daemon(Protocol):
    """What run.py's is."""

    env: dict[str, str]

    def run(self, argv: list[str]) -> str: ...

    def fill(self, platform: str) -> None: ...

    def stop(self) -> None: ...


def measure(begin: Callable[[str], Daemon], insula: str) -> dict[str, Any]:
    """begin: a daemon on a state root of this section's own, by its configuration. Seconds; each row is printed when it
    is there."""
    found: dict[str, Any] = {}
    for platform in CHOSEN:
        row: dict[str, Any] = {"prints": WORDS[platform]}
        with ending(begin(NO_POOL)) as daemon:
            daemon.run([insula, "bootstrap", "busybox", "--platform", platform])
            row["first ever"] = round(once(daemon, platform), 1)
            row["template, no pool"] = summary([once(daemon, platform) for _ in range(RUNS)])
        with ending(begin("")) as daemon:
            row["pool ready"] = summary([pooled(daemon, platform) for _ in range(RUNS)])
        found[platform] = row
        print(platform, json.dumps(row), flush=True)
    return found


@contextmanager
def ending(daemon: Daemon) -> Iterator[Daemon]:
    try:
        yield daemon
    finally:
        daemon.stop()


def pooled(daemon: Daemon, platform: str) -> float:
    daemon.fill(platform)
    time.sleep(0.3)  # the clone that came last has finished settling
    return once(daemon, platform)


def once(daemon: Daemon, platform: str) -> float:
    argv = ["docker", "run", "--rm", "--network", "none", "--platform", platform, "busybox", "uname", "-m"]
    began = time.perf_counter()
    done = subprocess.run(argv, env=daemon.env, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if (done.returncode, done.stdout) != (0, f"{WORDS[platform]}\n"):
        sys.exit(f"{platform}: ended with {done.returncode}, printed {done.stdout!r}: {done.stderr}")
    return took


def summary(seconds: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(seconds), 2),
        "min": round(min(seconds), 2),
        "max": round(max(seconds), 2),
    }
