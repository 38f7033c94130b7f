"""`make bench`: the figures of the README, measured side by side in one run, medians; a report, never a verdict.

Starts a daemon of its own with a state root of its own, beside podman (runc, overlay, no network) with a store of its
own, both running the same busybox. Nothing else should run on the host meanwhile. Usage: run.py [SECTION …], sections:
start, burst, template, exec, memory, loop, many, records, network (network.py), files (files.py), build (classic.py),
health (ten minutes; health.py); platforms (platforms.py) only when it is named, for it needs QEMU for all of them.
Writes build-out/bench.json.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import classic
import files as file_work
import health as checks
import network as networks
import platforms as further

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"
PLATFORMS = ("linux/amd64", "linux/arm64")
RUNS = int(os.environ.get("BENCH_RUNS", "20"))
NOISE = [
    "--ulimit",
    "nofile=1024:1024",
    "--ulimit",
    "nproc=1000:1000",
]  # runc's defaults exceed some hosts' limits


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("insula")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


class Daemon:
    """An Insula of its own."""

    def __init__(self, home: Path, config: str = "") -> None:
        self.home = home
        self.run_dir = Path(tempfile.mkdtemp(prefix="ib-", dir="/tmp"))
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o711)
        (home / "config.toml").write_text(config)
        self.env = dict(os.environ, INSULA_HOME=str(home), INSULA_RUN=str(self.run_dir))
        self.env["DOCKER_HOST"] = f"unix://{self.run_dir}/docker.sock"
        self.run([str(BIN / "insula"), "version"])
        self.pid = int((self.run_dir / "daemon.pid").read_text())

    def run(self, argv: list[str]) -> str:
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def call(self, method: str, path: str, body: Any = None) -> Any:
        connection = UnixConnection(f"{self.run_dir}/docker.sock")
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"Content-Type": "application/json"} if payload else {})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if answer.status >= 400:
            sys.exit(f"{method} {path}: {answer.status} {data.decode()}")
        return json.loads(data) if data.startswith((b"{", b"[")) else data

    def lines(self, path: str) -> Iterator[bytes]:
        """Of an answer that comes bit by bit."""
        connection = UnixConnection(f"{self.run_dir}/docker.sock")
        connection.request("GET", path)
        yield from connection.getresponse()
        connection.close()

    def docker_run(self, platform: str) -> list[str]:
        return ["docker", "run", "--rm", "--network", "none", "--platform", platform, "busybox", "true"]

    def insula_run(self, platform: str) -> list[str]:
        words = self.docker_run(platform)
        return [str(BIN / "insula"), *words[1:]]

    def fill(self, platform: str) -> None:
        self.call("POST", f"/insula/pool/fill?platform={platform}")

    def stop(self) -> None:
        """Ends its containers too: a daemon's end alone leaves them running."""
        for container in self.call("GET", "/containers/json?all=1"):
            self.call("DELETE", f"/containers/{container['Id']}?force=1")
        self.end()
        shutil.rmtree(self.run_dir, ignore_errors=True)

    def end(self) -> None:
        """Returns when the daemon has ended; what ran goes on."""
        os.kill(self.pid, signal.SIGTERM)
        for _ in range(200):
            if not Path(f"/proc/{self.pid}").exists():
                break
            time.sleep(0.05)


class Podman:
    """Namespace containers on the same host, from the same busybox, which is imported when it is first used."""

    def __init__(self, home: Path) -> None:
        self.words = [
            "podman", "--root", str(home / "store"), "--runroot", str(home / "run"), "--storage-driver", "overlay",
            "--runtime", "runc", "--cgroup-manager", "cgroupfs",
        ]  # fmt: skip
        self.limits = NOISE
        self._home = home
        self.is_imported = False

    def _import(self) -> None:
        home, self.is_imported = self._home, True
        tree = home / "tree" / "bin"
        tree.mkdir(parents=True)
        (home / "tree" / "tmp").mkdir(mode=0o1777)  # iperf3 has a file there
        shutil.copy(shutil.which("busybox") or "/bin/busybox", tree / "busybox")
        for name in ("sh", "true", "uname"):
            (tree / name).symlink_to("busybox")
        subprocess.run(["tar", "-C", str(home / "tree"), "-cf", str(home / "tree.tar"), "."], check=True)
        imported = [*self.words, "import", str(home / "tree.tar"), "busybox:latest"]
        subprocess.run(imported, check=True, capture_output=True)

    def argv(self) -> list[str]:
        if not self.is_imported:
            self._import()
        return [
            *self.words,
            "run",
            "--rm",
            "--network",
            "none",
            *NOISE,
            "--log-driver",
            "none",
            "busybox",
            "true",
        ]


def timed(argv: list[str], env: dict[str, str] | None = None) -> float:
    """Milliseconds of one whole command."""
    began = time.perf_counter()
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    took = (time.perf_counter() - began) * 1e3
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr}")
    return took


def busy_seconds() -> float:
    """Processor seconds that the whole host has spent so far."""
    fields = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK")


def summary(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 1),
        "min": round(min(values), 1),
        "max": round(max(values), 1),
        "runs": len(values),
    }


def interleaved(contenders: dict[str, Callable[[], float]], runs: int = RUNS) -> dict[str, Any]:
    """Each contender once a round, so that a host whose speed drifts treats all alike; one round is not counted."""
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(runs + 1):
        for name, measure in contenders.items():
            took = measure()
            if number:
                values[name].append(took)
    return {name: summary(took) for name, took in values.items()}


def start(daemon: Daemon, podman: Podman) -> dict[str, Any]:
    """`run --rm … true`, pool ready, against podman; and the insula command against the docker command."""

    def ready(argv: list[str], platform: str) -> Callable[[], float]:
        def measure() -> float:
            daemon.fill(platform)
            time.sleep(0.3)  # the clone that came last has finished settling
            return timed(argv, daemon.env)

        return measure

    contenders = {"podman": lambda: timed(podman.argv())}
    for platform in PLATFORMS:
        contenders[f"docker {platform}"] = ready(daemon.docker_run(platform), platform)
    contenders["insula linux/amd64"] = ready(daemon.insula_run("linux/amd64"), "linux/amd64")
    contenders["docker version"] = lambda: timed(["docker", "version"], daemon.env)
    return interleaved(contenders)


def burst(daemon: Daemon, podman: Podman) -> dict[str, Any]:
    """Thirty runs back to back, the pool not awaited."""
    daemon.fill("linux/amd64")
    pool = daemon.call("GET", "/insula/pool")
    found = {"pool": {"machines": len(pool["Pool"]), "pss MiB": pool_pss(pool) >> 20}}
    for name, argv in (("docker linux/amd64", daemon.docker_run("linux/amd64")), ("podman", podman.argv())):
        before = busy_seconds()
        took = [timed(argv, daemon.env) for _ in range(30)]
        found[name] = summary(took) | {"cpu seconds": round(busy_seconds() - before, 2)}
        time.sleep(5)
    return found


def pool_pss(pool: dict[str, Any]) -> int:
    return sum(pss(int(clone["pid"])) for clone in pool["Pool"])


def pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no Pss of {pid}")


def template(daemon: Daemon, podman: Podman) -> dict[str, Any]:
    """With a template and no pool: a daemon of its own whose pool holds nothing."""
    lonely = Daemon(daemon.home.parent / "lonely", "[pool]\nmachines = 0\n")
    lonely.run([str(BIN / "insula"), "bootstrap", "busybox"])
    try:
        for platform in PLATFORMS:
            timed(lonely.docker_run(platform), lonely.env)
        contenders = {f"docker {p}": lambda p=p: timed(lonely.docker_run(p), lonely.env) for p in PLATFORMS}
        return interleaved(contenders)
    finally:
        lonely.stop()


def exec_(daemon: Daemon, podman: Podman) -> dict[str, Any]:
    """`exec true` through the API, and a call that starts nothing."""
    name = daemon.run(["docker", "run", "-d", "--network", "none", "busybox", "sleep", "600"]).strip()

    def once() -> float:
        began = time.perf_counter()
        made = daemon.call("POST", f"/containers/{name}/exec", {"Cmd": ["true"], "AttachStdout": True})
        daemon.call("POST", f"/exec/{made['Id']}/start", {"Detach": False, "Tty": False})
        took = (time.perf_counter() - began) * 1e3
        assert daemon.call("GET", f"/exec/{made['Id']}/json")["ExitCode"] == 0
        return took

    def listed() -> float:
        began = time.perf_counter()
        daemon.call("GET", "/containers/json")
        return (time.perf_counter() - began) * 1e3

    try:
        return interleaved({"exec true": once, "list": listed}, 50)
    finally:
        daemon.run(["docker", "rm", "-f", name])


def machine_pss(daemon: Daemon) -> int:
    """Of the daemon and everything below its run directory's machines: QEMU and jail."""
    total = pss(daemon.pid)
    for folder in (daemon.run_dir / "machines").iterdir():
        pid = int((folder / "pid").read_text())
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        total += pss(pid) + (pss(parent) if parent not in (0, 1, daemon.pid) else 0)
    return total


def memory(daemon: Daemon, podman: Podman) -> dict[str, Any]:
    """Marginal Pss of an idle container, its jail counted: ten running against none."""
    lonely = Daemon(daemon.home.parent / "memory", "[pool]\nmachines = 0\n")
    lonely.run([str(BIN / "insula"), "bootstrap", "busybox"])
    found = {}
    try:
        for platform in PLATFORMS:
            run = [
                "docker",
                "run",
                "-d",
                "--network",
                "none",
                "--platform",
                platform,
                "busybox",
                "sleep",
                "600",
            ]
            names = [lonely.run(run).strip()]
            time.sleep(5)
            one = machine_pss(lonely)
            names += [lonely.run(run).strip() for _ in range(10)]
            time.sleep(10)
            found[platform] = {"marginal Pss MiB": round((machine_pss(lonely) - one) / 10 / (1 << 20), 1)}
            lonely.run(["docker", "rm", "-f", *names])
    finally:
        lonely.stop()
    return found


def loop(daemon: Daemon, podman: Podman) -> dict[str, Any]:
    """The event loop's delays while a 1 GB image is converted."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        tree.mkdir()
        for number in range(64):
            (tree / f"f{number}").write_bytes(os.urandom(16 << 20))
        subprocess.run(["tar", "-C", str(tree), "-cf", f"{folder}/big.tar", "."], check=True)
        daemon.call("GET", "/insula/loop?reset=1")
        took = timed([str(BIN / "insula"), "import", f"{folder}/big.tar", "big"], daemon.env)
        return {"import ms": round(took), "loop": daemon.call("GET", "/insula/loop")}


def many(daemon: Daemon, podman: Podman) -> dict[str, Any]:
    """200 starts, 8 at a time, both architectures; how many were good."""
    good, bad = 0, []
    lock = threading.Lock()
    numbers = iter(range(200))

    def work() -> None:
        nonlocal good
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            argv = [*daemon.docker_run(PLATFORMS[number % 2])[:-1], "echo", str(number)]
            done = subprocess.run(argv, env=daemon.env, capture_output=True, text=True, check=False)
            with lock:
                if done.returncode == 0 and done.stdout == f"{number}\n":
                    good += 1
                else:
                    bad.append(f"{number}: {done.returncode} {done.stderr.strip()[:200]}")

    began = time.monotonic()
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"good": good, "of": 200, "seconds": round(time.monotonic() - began), "bad": bad[:10]}


def records(daemon: Daemon, podman: Podman) -> dict[str, Any]:
    """1,000 records of containers that do not run: the list, and a daemon's start on them."""
    lonely = Daemon(daemon.home.parent / "records", "[pool]\nmachines = 0\n")
    lonely.run([str(BIN / "insula"), "bootstrap", "busybox"])

    def listed() -> float:
        began = time.perf_counter()
        assert len(lonely.call("GET", "/containers/json?all=1")) == 1000
        return (time.perf_counter() - began) * 1e3

    try:
        for number in range(1000):
            body = {
                "Image": "busybox",
                "Cmd": ["sleep", "1"],
                "Labels": {"number": str(number)},
                "Env": ["A=1"],
            }
            lonely.call("POST", "/containers/create", body)
        contenders: dict[str, Callable[[], float]] = {
            "list": listed,
            "docker ps -a": lambda: timed(["docker", "ps", "-a"], lonely.env),
        }
        found = interleaved(contenders, 10)
        starts = []
        for _ in range(5):
            lonely.end()
            lonely.run([str(BIN / "insula"), "version"])
            lonely.pid = int((lonely.run_dir / "daemon.pid").read_text())
            words = (lonely.home / "daemon.log").read_text().rpartition("ready after ")[2]
            starts.append(float(words.split()[0]) * 1e3)
        return found | {"daemon's start": summary(starts)}
    finally:
        lonely.stop()


def health(daemon: Daemon, podman: Podman) -> dict[str, Any]:
    """Containers with health checks and restart policies, under a daemon whose pool holds nothing."""
    lonely = Daemon(daemon.home.parent / "health", "[pool]\nmachines = 0\n")
    lonely.run([str(BIN / "insula"), "bootstrap", "busybox"])
    try:
        return checks.measure(lonely)
    finally:
        lonely.stop()


def network(daemon: Daemon, podman: Podman) -> dict[str, Any]:
    """Throughput (network.py), and what the default network adds to `run --rm` with the pool ready."""

    def run(words: list[str]) -> Callable[[], float]:
        def once() -> float:
            daemon.fill("linux/amd64")
            time.sleep(0.3)
            return timed(words, daemon.env)

        return once

    none = daemon.docker_run("linux/amd64")
    default = [word for word in none if word not in ("--network", "none")]
    added = interleaved({"without network": run(none), "default network": run(default)})
    return {"run --rm": added} | networks.measure(daemon, podman)


def files(daemon: Daemon, podman: Podman) -> dict[str, Any]:
    """Small files and a large one in a bind mount, beside QEMU alone (files.py)."""
    daemon.fill("linux/amd64")
    return file_work.measure(daemon)


def build(daemon: Daemon, podman: Podman) -> dict[str, Any]:
    """Ten small steps beside Docker's classic builder (classic.py)."""
    return classic.measure(daemon, timed, interleaved)


def platforms(daemon: Daemon, podman: Podman) -> dict[str, Any]:
    """Start times on further platforms (platforms.py)."""
    home = daemon.home.parent / "platforms"
    return further.measure(lambda config: Daemon(home, config), str(BIN / "insula"))


SECTIONS = {
    "start": start, "burst": burst, "template": template, "exec": exec_, "memory": memory, "loop": loop, "many": many,
    "records": records,
    "network": network,
    "files": files,
    "build": build,
    "health": health,
    "platforms": platforms,
}  # fmt: skip


def main() -> None:
    wanted = sys.argv[1:] or [name for name in SECTIONS if name != "platforms"]
    home = Path(tempfile.mkdtemp(prefix="insula-bench-", dir="/tmp"))
    home.chmod(0o711)
    daemon = Daemon(home / "main")
    podman = Podman(home)
    found: dict[str, Any] = {"host": " ".join(os.uname()), "cpus": os.cpu_count()}
    try:
        daemon.run([str(BIN / "insula"), "bootstrap", "busybox"])
        for name in wanted:
            found[name] = SECTIONS[name](daemon, podman)
            print(name, json.dumps(found[name], indent=1), flush=True)
    finally:
        daemon.stop()
        if podman.is_imported:
            subprocess.run([*podman.words[:5], "system", "reset", "-f"], capture_output=True, check=False)
        shutil.rmtree(home, ignore_errors=True)
    out = ROOT / "build-out"
    out.mkdir(exist_ok=True)
    (out / "bench.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
