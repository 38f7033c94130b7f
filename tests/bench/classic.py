"""`run.py build`: ten small RUN steps on busybox, beside Docker's classic builder on the same host.

Docker is Debian's dockerd with its containerd and runc, out of their packages (downloaded, not installed), in name
spaces of its own, with a store of its own. Both are asked by the same docker command, without network, without cache;
contenders take turns. The same again from Insula's cache is told too. BENCH_BUILD_ROUNDS (5) makes it shorter.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

STEPS = 10
ROUNDS = int(os.environ.get("BENCH_BUILD_ROUNDS", "5"))
PACKAGES = ("docker.io", "containerd", "runc")
PATIENCE = 60.0
LIMITS = ("nofile=1024:1024", "nproc=1000:1000")  # runc's defaults exceed some hosts' limits


class Daemon(Protocol):
    """What run.py's is."""

    home: Path
    env: dict[str, str]

    def run(self, argv: list[str]) -> str: ...


class Classic:
    """A dockerd, from `open` to `close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tree = folder / "tree"
        self._socket = folder / "docker.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.env = dict(os.environ, DOCKER_HOST=f"unix://{self._socket}", DOCKER_BUILDKIT="0")

    def open(self) -> None:
        packages = self._folder / "packages"
        packages.mkdir(parents=True)
        subprocess.run(
            ["apt-get", "download", "-q", *PACKAGES], cwd=packages, check=True, capture_output=True
        )
        for package in packages.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(package), str(self._tree)], check=True)
        path = f"{self._tree}/usr/bin:{self._tree}/usr/sbin:{os.environ['PATH']}"
        words = [
            "dockerd", "--data-root", str(self._folder / "data"), "--exec-root", str(self._folder / "exec"),
            "--pidfile", str(self._folder / "pid"), "--host", f"unix://{self._socket}", "--bridge=none",
            "--iptables=false", "--ip-masq=false", "--storage-driver=overlay2",
        ]  # fmt: skip
        words += [f"--default-ulimit={limit}" for limit in LIMITS]
        script = 'ip link set lo up; exec "$@"'
        with open(self._folder / "dockerd.log", "wb") as log:
            self._process = subprocess.Popen(
                ["unshare", "--net", "--mount", "sh", "-c", script, "sh", *words], env=dict(os.environ, PATH=path),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        until = time.monotonic() + PATIENCE
        while subprocess.run(
            ["docker", "version"], env=self.env, capture_output=True, check=False
        ).returncode:
            if time.monotonic() > until or self._process.poll() is not None:
                sys.exit(f"dockerd does not start: {(self._folder / 'dockerd.log').read_text()[-2000:]}")
            time.sleep(0.1)

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def measure(
    daemon: Daemon,
    timed: Callable[[list[str], dict[str, str]], float],
    interleaved: Callable[[dict[str, Callable[[], float]], int], dict[str, Any]],
) -> dict[str, Any]:
    """Milliseconds of whole commands."""
    folder = daemon.home.parent / "classic"
    (context := folder / "context").mkdir(parents=True)
    steps = "".join(f"RUN echo {number} > /f{number}\n" for number in range(STEPS))
    (context / "Dockerfile").write_text(f"FROM busybox\n{steps}")
    ours = {**daemon.env, "DOCKER_BUILDKIT": "0"}
    docker = Classic(folder)
    try:
        docker.open()
        saved = subprocess.run(
            ["docker", "save", "busybox"], env=ours, check=True, capture_output=True
        ).stdout
        subprocess.run(["docker", "load"], input=saved, env=docker.env, check=True, capture_output=True)
        build = ["docker", "build", "--network", "none", str(context)]
        whole = [*build[:2], "--no-cache", *build[2:]]
        return interleaved(
            {
                "insula": lambda: timed(whole, ours),
                "docker": lambda: timed(whole, docker.env),
                "insula, from its cache": lambda: timed(build, ours),
            },
            ROUNDS,
        )
    finally:
        docker.close()
