"""A layer with busybox's shell, for tests of guests without a daemon that need more than the probe.

said = await shell(guest, "cat /proc/self/oom_score_adj")       a container of one script, to its end
main = await begin(guest, "sleep 1000"), then say(guest, "ps")   a container, and scripts beside its main process
"""

import functools
import io
import os
import secrets
import subprocess
import tarfile
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

from guest_fixture import Said, read

from boot_paths import CACHE
from insula.agent.boot_document import BootDocument
from insula.agent.process_spec import ProcessSpec
from insula.agent.streams import Process
from insula.container.capabilities import DEFAULT, make_capabilities
from insula.guest.guest import Guest
from insula.machine.platform import find_platform
from insula.packages import fetch_package
from insula.paths import Paths

APPLETS = (
    "awk", "cat", "chmod", "dd", "echo", "env", "false", "grep", "head", "hostname", "id", "kill", "ls", "mkdir",
    "mknod", "mount", "printf", "ps", "rm", "seq", "sh", "sleep", "stat", "sync", "tail", "tr", "true",
    "umask", "usleep", "wc", "yes",
)  # fmt: skip
GROUP = "root:x:0:\naudio:x:29:\n1234:x:77:\nplugdev:x:46:someone\n"
PASSWD = "root:x:0:0:root:/root:/bin/sh\nsomeone:x:1000:1000::/home:/bin/sh\n"


async def shell_layer(platform: str) -> Path:
    """The layer of a platform, made if it is not there yet."""
    row = find_platform(platform)
    paths = Paths(CACHE / "home", CACHE / "run")
    return _make_layer(await fetch_package(paths, "busybox-static", row.debian))


@functools.cache
def _make_layer(package: Path) -> Path:
    done = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(package)], check=True, stdout=subprocess.PIPE)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        binary = archive.extractfile("./bin/busybox")
        assert binary is not None
        program = binary.read()
    recipe = zlib.crc32(repr((APPLETS, GROUP, PASSWD)).encode())
    made = CACHE / f"shell-{package.stem}-{recipe:08x}.squashfs"
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        tree, staged = Path(folder) / "tree", Path(folder) / "layer"
        for name in ("bin", "etc", "dev", "proc", "sys", "tmp", "root", "home"):
            (tree / name).mkdir(parents=True)
        (tree / "bin" / "busybox").write_bytes(program)
        (tree / "bin" / "busybox").chmod(0o755)
        for applet in APPLETS:
            (tree / "bin" / applet).symlink_to("busybox")
        (tree / "etc" / "passwd").write_text(PASSWD)
        (tree / "etc" / "group").write_text(GROUP)
        subprocess.run(
            ["mksquashfs", str(tree), str(staged), "-all-root", "-no-progress", "-quiet"],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        staged.rename(made)
    return made


def script(number: int, text: str, **fields: Any) -> ProcessSpec:
    asked: dict[str, Any] = {"environment": ("PATH=/bin",), "capabilities": make_capabilities(DEFAULT)}
    return ProcessSpec(number=number, arguments=("sh", "-c", text), **(asked | fields))


def container(guest: Guest, text: str, main: dict[str, Any] | None = None, **fields: Any) -> BootDocument:
    """main: fields of the main process; the others are the document's."""
    asked: dict[str, Any] = {
        "number": secrets.randbelow(2**31) + 1, "clock_ns": time.time_ns(), "entropy": os.urandom(64),
        "layers": (0,), "main": script(guest.session.new_number(), text, **(main or {})),
    }  # fmt: skip
    return BootDocument(**(asked | fields))


async def begin(guest: Guest, text: str, main: dict[str, Any] | None = None, **fields: Any) -> Process:
    return await guest.session.boot(container(guest, text, main, **fields))


async def say(guest: Guest, text: str, **fields: Any) -> Said:
    """Runs a script beside the main process."""
    return await read(await guest.session.spawn(script(guest.session.new_number(), text, **fields)))


async def shell(guest: Guest, text: str, main: dict[str, Any] | None = None, **fields: Any) -> Said:
    """Runs a script as a container, to its end; the guest is idle again."""
    said = await read(await begin(guest, text, main, **fields))
    await guest.session.stop()
    return said
