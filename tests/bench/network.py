"""`run.py network`: iperf3 between containers and from the host, beside QEMU alone and podman; and what a network adds
to `run --rm`.

QEMU alone is what the same machine gives with nothing of Insula around it: started here, on taps (`vnet_hdr=on`) of a
bridge in a network name space of the bench's own, with the same kernel and processor; its words are printed. The host's
way into it is that bridge, as a container's is its published port. BENCH_IPERF_SECONDS (5) and BENCH_IPERF_ROUNDS (3)
make it shorter; contenders take turns.

As a program, inside that name space: network.py KERNEL TREE ACCELERATOR IMAGE=ADDRESS…
"""

import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parents[2]
SECONDS = int(os.environ.get("BENCH_IPERF_SECONDS", "5"))
ROUNDS = int(os.environ.get("BENCH_IPERF_ROUNDS", "3"))
PATIENCE = 120.0
PACKAGES = ("iperf3", "libiperf0", "libsctp1")
IPERF = ["/iperf/ld.so", "--library-path", "/iperf", "/iperf/iperf3"]
BRIDGE, SERVER, CLIENT = "10.99.0.1", "10.99.0.2", "10.99.0.3"
MEMORY = 1024


class Daemon(Protocol):
    """What run.py's is."""

    home: Path
    run_dir: Path
    env: dict[str, str]

    def run(self, argv: list[str]) -> str: ...


def measure(daemon: Daemon, podman: Any) -> dict[str, Any]:
    """Mbit/s by contender and way, and each one's share of QEMU alone's."""
    tree = iperf_tree(daemon.home.parent / "iperf")
    contenders: dict[str, Callable[[], float]] = {}
    ends: list[Callable[[], object]] = []
    try:
        for start in (alone, insula, podmans):
            try:
                start(daemon, podman, tree, contenders, ends)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                print(f"network: {start.__name__} is left out: {error}", flush=True)
        values: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(ROUNDS):
            for name, once in contenders.items():
                values[name].append(once())
    finally:
        for end in reversed(ends):
            end()
    found: dict[str, Any] = {
        name: {"Mbit/s": round(statistics.median(all_), 1)} for name, all_ in values.items()
    }
    for name, one in found.items():
        base = found.get("QEMU alone, " + name.partition(", ")[2])
        if base:
            one["of QEMU alone"] = round(one["Mbit/s"] / base["Mbit/s"], 2)
    return found


def iperf_tree(folder: Path) -> Path:
    """iperf3 with all it needs, in one folder: Debian's, and the host's C library."""
    packages, files = folder / "packages", folder / "iperf"
    packages.mkdir(parents=True)
    files.mkdir()
    subprocess.run(["apt-get", "download", "-q", *PACKAGES], cwd=packages, check=True, capture_output=True)
    for package in packages.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(folder / "root")], check=True)
    shutil.copy(folder / "root" / "usr" / "bin" / "iperf3", files)
    for library in (folder / "root").glob("usr/lib/*/*.so.*"):
        shutil.copy(library, files / library.name)
    listed = subprocess.run(
        ["ldd", str(files / "iperf3")],
        env={"LD_LIBRARY_PATH": str(files)},
        check=True,
        capture_output=True,
        text=True,
    )
    for word in listed.stdout.split():
        if word.startswith("/") and not (files / Path(word).name).exists():
            shutil.copy(word, files / ("ld.so" if Path(word).name.startswith("ld-") else Path(word).name))
    return files


def speed(said: str) -> float:
    """Mbit/s that arrived, by iperf3's own report."""
    report = json.loads(said[said.index("{") :])
    if "error" in report:
        raise RuntimeError(report["error"])
    return float(report["end"]["sum_received"]["bits_per_second"]) / 1e6


def client(target: str, port: int = 5201) -> list[str]:
    return ["-c", target, "-p", str(port), "-t", str(SECONDS), "-J"]


def from_host(tree: Path, target: str, port: int) -> Callable[[], float]:
    argv = [str(tree / "ld.so"), "--library-path", str(tree), str(tree / "iperf3"), *client(target, port)]
    return lambda: speed(subprocess.run(argv, capture_output=True, text=True, check=False).stdout)


# -- Insula and podman, by the same words


def insula(
    daemon: Daemon, podman: Any, tree: Path, contenders: dict[str, Callable[[], float]], ends: list[Any]
) -> None:
    containers("insula", ["docker"], (), daemon.env, tree, (contenders, ends))


def podmans(
    daemon: Daemon, podman: Any, tree: Path, contenders: dict[str, Callable[[], float]], ends: list[Any]
) -> None:
    podman.argv()  # imports its busybox
    containers("podman", podman.words, podman.limits, dict(os.environ), tree, (contenders, ends))


def containers(
    name: str,
    words: list[str],
    limits: Sequence[str],
    env: dict[str, str],
    tree: Path,
    into: tuple[dict[str, Callable[[], float]], list[Any]],
) -> None:
    """A server and a client on a network, iperf3 copied into both. limits: what each is created with."""

    def run(*more: str) -> str:
        done = subprocess.run([*words, *more], env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join([*words, *more])[:200]}: {done.stderr.strip()[-300:]}")
        return done.stdout.strip()

    def make(container: str, *command: str) -> None:
        run("create", "--name", container, "--network", "bench", *limits, *extra, "busybox", *command)
        into[1].append(
            lambda: subprocess.run([*words, "rm", "-f", container], env=env, capture_output=True, check=False)
        )
        run("cp", str(tree), f"{container}:/iperf")

    run("network", "create", "bench")
    into[1].append(
        lambda: subprocess.run([*words, "network", "rm", "bench"], env=env, capture_output=True, check=False)
    )
    extra = ["-p", "127.0.0.1::5201"]
    make("server", *IPERF, "-s")
    extra = []
    make("client", "sh", "-c", "while :; do sleep 100; done")
    run("start", "server", "client")
    port = int(run("port", "server", "5201/tcp").rpartition(":")[2])
    time.sleep(2)  # it listens
    address = run("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "server")
    into[0][f"{name}, between containers"] = lambda: speed(run("exec", "client", *IPERF, *client(address)))
    into[0][f"{name}, from the host"] = from_host(tree, "127.0.0.1", port)


# -- QEMU alone


def alone(
    daemon: Daemon, podman: Any, tree: Path, contenders: dict[str, Callable[[], float]], ends: list[Any]
) -> None:
    from insula.machine.kernel import find_provision
    from insula.machine.platform import host_platform
    from insula.paths import Paths

    provision = find_provision(Paths(daemon.home, daemon.run_dir), host_platform())
    if provision is None:
        raise RuntimeError("the daemon has no kernel yet")
    images = []
    for address in (SERVER, CLIENT):
        image = daemon.home.parent / f"alone-{address}"
        image.write_bytes(initramfs(tree, provision.modules, address))
        images.append(f"{image}={address}")
    program = [
        sys.executable,
        __file__,
        str(provision.folder / "kernel"),
        str(tree),
        accelerator(daemon),
        *images,
    ]
    inside = subprocess.Popen(
        ["unshare", "--net", "--", *program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    ends.append(lambda: (inside.stdin and inside.stdin.close(), inside.wait(30)))

    def ask(way: str) -> float:
        assert inside.stdin is not None and inside.stdout is not None
        print(way, file=inside.stdin, flush=True)
        said = json.loads(inside.stdout.readline() or '{"error": "it has ended"}')
        if "error" in said:
            raise RuntimeError(said["error"])
        return float(said["speed"])

    ask("ready")
    contenders["QEMU alone, between containers"] = lambda: ask("between")
    contenders["QEMU alone, from the host"] = lambda: ask("host")


def accelerator(daemon: Daemon) -> str:
    """What the daemon has found to work: a KVM that is there may not."""
    from insula.machine.platform import host_platform

    file = daemon.home / "accelerators.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    name = f" {host_platform().name} "
    return "kvm" if any(verdict["works"] for key, verdict in known.items() if name in key) else "tcg"


def initramfs(tree: Path, modules: tuple[Path, ...], address: str) -> bytes:
    """busybox and iperf3; the guest serves on 5201, and whoever asks on port 7 has it try its peer."""
    from insula.machine.initramfs import CpioWriter

    script = "\n".join(
        [
            "#!/bin/busybox sh", "/bin/busybox mkdir -p /proc /sys /tmp", "/bin/busybox mount -t proc proc /proc",
            "/bin/busybox mount -t sysfs sys /sys", "for m in /modules/*; do /bin/busybox insmod $m; done",
            f"/bin/busybox ip addr add {address}/24 dev eth0", "/bin/busybox ip link set lo up",
            "/bin/busybox ip link set eth0 up", f"{' '.join(IPERF)} -s >/dev/null &",
            "exec /bin/busybox nc -ll -p 7 -e /bin/ask", "",
        ]
    )  # fmt: skip
    out = io.BytesIO()
    cpio = CpioWriter(out)
    for folder in ("bin", "dev", "modules", "iperf"):
        cpio.add_folder(folder)
    cpio.add_character_device("dev/console", 5, 1)
    cpio.add_character_device("dev/null", 1, 3)
    cpio.add_character_device("dev/urandom", 1, 9)
    cpio.add_file("bin/busybox", Path(shutil.which("busybox") or "/bin/busybox").read_bytes(), 0o755)
    cpio.add_file(
        "bin/ask", f"#!/bin/busybox sh\nexec {' '.join([*IPERF, *client(SERVER)])}\n".encode(), 0o755
    )
    cpio.add_file("init", script.encode(), 0o755)
    for file in sorted(tree.iterdir()):
        cpio.add_file(f"iperf/{file.name}", file.read_bytes(), 0o755)
    for module in modules:
        cpio.add_file(f"modules/{module.name}", module.read_bytes(), 0o644)
    cpio.close()
    return out.getvalue()


def machine(kernel: str, image: str, number: int, chosen: Any) -> list[str]:
    """The words of one QEMU: the shape of Insula's machines, one network device, nothing else."""
    from insula.machine.platform import host_platform

    platform = host_platform()
    tuning = platform.tuning(chosen)
    how = chosen if chosen == "kvm" else "tcg,thread=multi,tb-size=64"
    return [
        platform.qemu, "-M", platform.machine.replace(",memory-backend=ram", ""), "-accel", how, "-cpu", tuning.cpu,
        "-smp", "1", "-m", str(MEMORY), "-nodefaults", "-no-user-config", "-display", "none",
        *(word for setting in platform.bus.settings for word in ("-global", setting)),
        "-kernel", kernel, "-initrd", image, "-append", tuning.command_line, "-serial", "null",
        "-netdev", f"tap,id=net0,ifname=bench{number},script=no,downscript=no,vnet_hdr=on",
        "-device", f"virtio-net-{platform.bus.suffix},id=nic0,netdev=net0,mac=02:00:00:00:00:{number:02x}",
    ]  # fmt: skip


def main() -> None:
    """Inside the name space: two machines on a bridge; a way in on each line of input, a speed out."""
    kernel, tree, chosen, *images = sys.argv[1:]
    ip("link", "add", "bench", "type", "bridge")
    ip("addr", "add", f"{BRIDGE}/24", "dev", "bench")
    ip("link", "set", "bench", "up")
    machines = []
    try:
        for number, text in enumerate(images):
            argv = machine(kernel, text.partition("=")[0], number, chosen)
            print("QEMU alone:", *argv, file=sys.stderr, flush=True)
            machines.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL))
            while f"bench{number}" not in (name for _, name in socket.if_nameindex()):
                if machines[-1].poll() is not None:
                    sys.exit(f"QEMU ended with {machines[-1].returncode}")
                time.sleep(0.05)
            ip("link", "set", f"bench{number}", "master", "bench", "up")
        for line in sys.stdin:
            try:
                print(json.dumps({"speed": answer(line.strip(), Path(tree))}), flush=True)
            except (RuntimeError, OSError, ValueError) as error:
                print(json.dumps({"error": str(error)}), flush=True)
    finally:
        for one in machines:
            one.kill()
            one.wait()


def answer(way: str, tree: Path) -> float:
    if way == "ready":
        deadline = time.monotonic() + PATIENCE
        for address, port in ((SERVER, 5201), (CLIENT, 7)):
            while True:
                try:
                    socket.create_connection((address, port), 2).close()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.5)
        time.sleep(3 * SECONDS)  # what that connection to port 7 has started is over
        return 0.0
    if way == "host":
        return from_host(tree, SERVER, 5201)()
    with socket.create_connection((CLIENT, 7), PATIENCE) as end:
        said = b""
        while data := end.recv(1 << 16):
            said += data
    return speed(said.decode())


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


if __name__ == "__main__":
    main()
