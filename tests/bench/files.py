"""`run.py files`: file work in a bind mount, beside QEMU alone, and on the other disks that a container can have.

QEMU alone is the same machine with nothing of Insula around it: started here on one folder (`-fsdev local`, msize
512 KiB), by the same kernel and processor, with what its guest may cache (`cache=loose`, its best) and with what
Insula's does (`cache=mmap`); its words are printed. The same script runs in all of them, and each step is timed on the
host, by the lines that tell of its end. BENCH_FILES (10000), BENCH_FILE_MIB (1024, of the large file) and BENCH_FILE_ROUNDS (1)
make it shorter; contenders take turns.
"""

import io
import os
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

import network

FILES = int(os.environ.get("BENCH_FILES", "10000"))
MEBIBYTES = int(os.environ.get("BENCH_FILE_MIB", "1024"))
ROUNDS = int(os.environ.get("BENCH_FILE_ROUNDS", "1"))
FOLDERS = 100
MEMORY = 1024
LINE_MAX = 4096
STEPS = (
    ("untar", "tar xf /ram/tree.tar -C $D"),
    ("read", "find $D/tree -type f | xargs cat >/dev/null"),
    ("stat", "ls -lR $D/tree >/dev/null"),
    ("delete", "rm -rf $D/tree"),
    ("write large", f"dd if=/dev/zero of=$D/big bs=1M count={MEBIBYTES} conv=fsync 2>/dev/null"),
    ("read large", "echo 3 >/proc/sys/vm/drop_caches; cat $D/big >/dev/null"),
)
"""The caches of the guest are dropped before the last one alone: what has just been written is read again from them
otherwise, wherever it lies."""


class Daemon(Protocol):
    """What run.py's is."""

    home: Path
    run_dir: Path
    env: dict[str, str]

    def run(self, argv: list[str]) -> str: ...


def script() -> str:
    lines = ["echo begin"]
    for name, command in STEPS:
        lines += [f"{{ {command}; }} || echo failed", f"echo end of {name}"]
    return "\n".join([*lines, "rm -f $D/big"])


def make_tree() -> bytes:
    """A tar of small files, in folders of a hundred."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for number in range(FILES):
            member = tarfile.TarInfo(f"tree/{number % FOLDERS}/{number}")
            content = os.urandom(512) * (1 + number % 8)
            member.size, member.mtime = len(content), 1_600_000_000
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def follow(output: IO[bytes]) -> dict[str, float]:
    """Seconds by step, from the script's lines."""
    found: dict[str, float] = {}
    last = 0.0
    for line in iter(lambda: output.readline(LINE_MAX), b""):
        word = line.decode(errors="replace").strip()
        if word == "failed":
            raise RuntimeError(f"a step failed after {list(found)}")
        if word == "begin":
            last = time.perf_counter()
        elif word.startswith("end of ") and last:
            now = time.perf_counter()
            found[word.removeprefix("end of ")] = now - last
            last = now
            if len(found) == len(STEPS):
                return found
    raise RuntimeError(f"it ended after {list(found)}")


def measure(daemon: Daemon) -> dict[str, Any]:
    """Seconds by contender and step, and QEMU alone's as a share of Insula's."""
    folder = Path(tempfile.mkdtemp(prefix="insula-files-", dir=daemon.home.parent))
    tree = make_tree()
    try:
        contenders = contenders_of(daemon, folder, tree)
        values: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
        for _ in range(ROUNDS):
            for name, once in contenders.items():
                values[name].append(once())
        found: dict[str, Any] = {
            name: {step: round(statistics.median(one[step] for one in all_), 2) for step, _ in STEPS}
            for name, all_ in values.items()
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ours = found["insula, bind mount"]
    for cache in ("loose", "mmap"):
        base = found[f"QEMU alone, cache={cache}"]
        found[f"bind mount of QEMU alone, cache={cache}"] = {
            step: round(base[step] / ours[step], 2) for step, _ in STEPS
        }
    return found


def contenders_of(daemon: Daemon, folder: Path, tree: bytes) -> dict[str, Callable[[], dict[str, float]]]:
    shared = folder / "shared"
    shared.mkdir()
    daemon.run(["docker", "volume", "create", "--opt", "type=block", "--opt", "size=4g", "bench"])
    return {
        "QEMU alone, cache=loose": lambda: alone(daemon, folder, tree, "loose"),
        "QEMU alone, cache=mmap": lambda: alone(daemon, folder, tree, "mmap"),
        "insula, bind mount": lambda: contained(daemon, tree, "-v", f"{shared}:/d"),
        "insula, the container's own files": lambda: contained(daemon, tree),
        "insula, block volume": lambda: contained(daemon, tree, "-v", "bench:/d"),
    }


# -- Insula


def contained(daemon: Daemon, tree: bytes, *words: str) -> dict[str, float]:
    """privileged: to drop the caches of its own kernel."""
    argv = [
        "docker",
        "run",
        "--rm",
        "-i",
        "--privileged",
        "--network",
        "none",
        "--tmpfs",
        "/ram:exec",
        *words,
    ]
    inside = f"mkdir -p /d; cat >/ram/tree.tar; D=/d\n{script()}"
    with subprocess.Popen(
        [*argv, "busybox", "sh", "-c", inside], env=daemon.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as client:
        assert client.stdin is not None and client.stdout is not None
        client.stdin.write(tree)
        client.stdin.close()
        return follow(client.stdout)


# -- QEMU alone


def alone(daemon: Daemon, folder: Path, tree: bytes, cache: str) -> dict[str, float]:
    from insula.machine.kernel import find_provision
    from insula.machine.platform import host_platform
    from insula.paths import Paths

    provision = find_provision(Paths(daemon.home, daemon.run_dir), host_platform())
    if provision is None:
        raise RuntimeError("the daemon has no kernel yet")
    image = folder / f"initramfs-{cache}"
    image.write_bytes(initramfs(provision.modules, tree, cache))
    argv = machine(str(provision.folder / "kernel"), image, folder / "shared", network.accelerator(daemon))
    print("QEMU alone:", *argv, flush=True)
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as qemu:
        assert qemu.stdout is not None
        try:
            return follow(qemu.stdout)
        finally:
            qemu.kill()
            with suppress(OSError):
                image.unlink()


def initramfs(modules: tuple[Path, ...], tree: bytes, cache: str) -> bytes:
    """busybox, the tar, and the script as all there is."""
    from insula.machine.initramfs import CpioWriter

    options = f"trans=virtio,version=9p2000.L,msize=524288,cache={cache}"
    lines = [
        "#!/bin/busybox sh", "/bin/busybox mkdir -p /proc /d /bin", "/bin/busybox mount -t proc proc /proc",
        "/bin/busybox --install -s /bin", "export PATH=/bin",
        "for m in /modules/*; do insmod $m; done", f"mount -t 9p -o {options} bench /d", "D=/d", script(),
        "sleep 1000", "",
    ]  # fmt: skip
    out = io.BytesIO()
    cpio = CpioWriter(out)
    for name in ("bin", "dev", "modules", "ram"):
        cpio.add_folder(name)
    cpio.add_character_device("dev/console", 5, 1)
    cpio.add_character_device("dev/null", 1, 3)
    cpio.add_character_device("dev/zero", 1, 5)
    cpio.add_file("bin/busybox", Path(shutil.which("busybox") or "/bin/busybox").read_bytes(), 0o755)
    cpio.add_file("init", "\n".join(lines).encode(), 0o755)
    for module in modules:
        cpio.add_file(f"modules/{module.name}", module.read_bytes(), 0o644)
    cpio.add_file("ram/tree.tar", tree, 0o644)
    cpio.close()
    return out.getvalue()


def machine(kernel: str, image: Path, shared: Path, chosen: Any) -> list[str]:
    """The words of one QEMU: the shape of Insula's machines, one shared folder, nothing else."""
    from insula.machine.platform import host_platform

    platform = host_platform()
    tuning = platform.tuning(chosen)
    how = chosen if chosen == "kvm" else "tcg,thread=multi,tb-size=64"
    return [
        platform.qemu, "-M", platform.machine.replace(",memory-backend=ram", ""), "-accel", how, "-cpu", tuning.cpu,
        "-smp", "1", "-m", str(MEMORY), "-nodefaults", "-no-user-config", "-display", "none",
        *(word for setting in platform.bus.settings for word in ("-global", setting)),
        "-kernel", kernel, "-initrd", str(image), "-append", tuning.command_line, "-serial", "stdio",
        "-fsdev", f"local,id=bench,path={shared},security_model=passthrough,multidevs=remap",
        "-device", f"virtio-9p-{platform.bus.suffix},id=share,fsdev=bench,mount_tag=bench",
    ]  # fmt: skip
