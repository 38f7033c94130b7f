"""Static programs that tests run where they cannot look: `probe`, with verbs, in a jail or as a layer in a guest; and
`server`, behind a published port; `connect`, at a mounted socket; `files`, in a mount."""

import functools
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from insula.machine.platform import find_platform

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "tests" / "probe"
OUT = ROOT / "build-out" / "probe"
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s")


def probe(platform: str) -> Path:
    """The program for a platform, compiled if it is not yet."""
    return _compiled("probe", platform)


def server(platform: str) -> Path:
    return _compiled("server", platform)


def connect(platform: str) -> Path:
    return _compiled("connect", platform)


def files(platform: str) -> Path:
    return _compiled("files", platform)


@functools.cache
def _compiled(name: str, platform: str) -> Path:
    zig, source = find_platform(platform).zig, SOURCES / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes() + zig.encode() + " ".join(FLAGS).encode()).hexdigest()[:16]
    made = OUT / f"{name}-{digest}"
    if not made.exists():
        OUT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=OUT) as folder:
            staged = Path(folder) / name
            compiler = [sys.executable, "-m", "ziglang", "cc", "-target", zig]
            subprocess.run([*compiler, *FLAGS, str(source), "-o", str(staged)], check=True)
            staged.chmod(0o755)
            staged.rename(made)
    return made


@functools.cache
def probe_layer(platform: str) -> Path:
    """A read-only disk with the program at /bin/probe, and little else."""
    program = probe(platform)
    made = OUT / f"{program.name}.squashfs"
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=OUT) as folder:
            tree, staged = Path(folder) / "tree", Path(folder) / "layer"
            for name in ("bin", "etc", "dev", "proc", "sys", "tmp", "root"):
                (tree / name).mkdir(parents=True)
            shutil.copy(program, tree / "bin" / "probe")
            (tree / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
            (tree / "etc" / "group").write_text("root:x:0:\n")
            subprocess.run(
                ["mksquashfs", str(tree), str(staged), "-all-root", "-no-progress", "-quiet", "-noD", "-noF"],
                check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            staged.rename(made)
    return made
