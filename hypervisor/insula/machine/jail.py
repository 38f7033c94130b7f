"""What confines QEMU on the host: the second wall, and under TCG the one that counts.

A machine's QEMU runs under an id of its own that belongs to nobody (the daemon as root) or under the daemon's
(an ordinary user), in name spaces of its own for users, mounts, processes, network, IPC and host name, with QEMU's
own seccomp filter on. An ordinary user's has no capabilities; a root daemon's has a range of ids, and over these, and
nothing else, the few capabilities that the owner of a container's files needs. Its root is a read-only folder that
holds copies of QEMU's files, empty places for mounts (shares.py), and nothing else (`open_jail_root`); disks, memory
and sockets come to it only as descriptors. It may not gain privileges, make user name spaces, dump core, or hold more
than its descriptors and threads.

`--die-with-parent` is not used: machines outlive the daemon.
"""

import asyncio
import hashlib
import os
import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from insula import process
from insula.errors import Unavailable
from insula.machine.platform import Accelerator, Platform
from insula.machine.shares import FOLDER, PLACES, place_name
from insula.paths import Paths

FIRST_ID = 0x7000_0000
"""Ids of machines under a root daemon: above any that distributions hand out, in steps of one range each, so
that a machine may later map a whole range."""
ID_RANGE = 65536
CAPABILITIES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD")
"""Of the machine's own user name space: they count for files of its ids, which only shares have."""
OPEN_FILES = 4096
"""A share keeps a descriptor for each file that a guest has open."""
THREADS = 256

FIRMWARE_FOLDERS = (Path("/usr/share/qemu"), Path("/usr/share/seabios"), Path("/usr/lib/ipxe/qemu"))
FORMAT = "2"
LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


@dataclass(frozen=True, slots=True)
class JailRoot:
    """A read-only root for QEMU. build: changes when any of its files does."""

    folder: Path
    build: str


@dataclass(frozen=True, slots=True)
class Jail:
    """One machine's confinement. slot: which ids, under a root daemon; None: the daemon's own id. lock: a descriptor
    that QEMU inherits, for the slot is its own as long as it lives. ids: the descriptor of the user name space of the
    slot's ids, for the jail to enter. cgroups: where its cgroup on the host is made, if anywhere (host_cgroup.py)."""

    root: JailRoot
    slot: int | None
    accelerator: Accelerator
    lock: int | None = None
    ids: int | None = None
    cgroups: Path | None = None


def jail_argv(jail: Jail, info_fd: int, command: list[str]) -> list[str]:
    """The whole command line: a chain of programs, each taking something away. Pure but for finding tools.

    bubblewrap writes QEMU's process id to info_fd."""
    words: list[str] = []
    if jail.slot is not None:
        number = FIRST_ID + jail.slot * ID_RANGE
        group = _kvm_group() if jail.accelerator == "kvm" else 0
        words += [process.tool("setpriv"), f"--reuid={number}", f"--regid={number}"]
        words += ["--groups", str(group)] if group else ["--clear-groups"]
        words += ["--no-new-privs", "--bounding-set=-all"]
        words += [process.tool("nsenter"), f"--user=/proc/self/fd/{jail.ids}", "--preserve-credentials"]
    words += [process.tool("prlimit"), "--core=0", f"--nofile={OPEN_FILES}"]
    if jail.slot is not None:
        words.append(f"--nproc={THREADS}")  # counts per id: an ordinary user's would count the user's own
    words += [
        process.tool("bwrap"), "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts",
        "--unshare-cgroup", *(("--unshare-user", "--disable-userns") if jail.slot is None else ()), "--as-pid-1",
        "--info-fd", str(info_fd), "--ro-bind", str(jail.root.folder), "/", "--dev", "/dev", "--proc", "/proc",
        "--cap-drop", "ALL", "--clearenv", "--chdir", "/",
    ]  # fmt: skip
    if jail.slot is not None:
        words += [word for name in CAPABILITIES for word in ("--cap-add", name)]
    if jail.accelerator == "kvm":
        words += ["--dev-bind", "/dev/kvm", "/dev/kvm"]
    # its /dev is a file system in memory that nothing bounds, so nothing may be written there either
    return [*words, "--remount-ro", "/dev", "--", *command]


def _kvm_group() -> int:
    """The group that may open /dev/kvm; 0 where there is none but root's, which no machine is given."""
    try:
        return os.stat("/dev/kvm").st_gid
    except FileNotFoundError:
        return 0


async def open_jail_root(paths: Paths, platform: Platform) -> JailRoot:
    """The root for a platform's QEMU, made once for each build of it. Raises Unavailable if QEMU is missing."""
    binary = process.find_tool(platform.qemu)
    if binary is None:
        raise Unavailable(
            f"{platform.name} needs {platform.qemu}, which is not installed",
            platform.install,
        )
    files = await asyncio.to_thread(_files, Path(binary), platform)
    build = _build(files)
    folder = paths.jails / f"{platform.qemu}-{build}"
    if not folder.exists():
        await asyncio.to_thread(_copy, files, folder, paths.staging / f"{folder.name}-{secrets.token_hex(4)}")
    _check_reachable(folder)
    return JailRoot(folder, build)


def _files(binary: Path, platform: Platform) -> dict[str, Path]:
    """Path in the jail → file on the host: the program, its libraries, QEMU's own modules, firmware."""
    files = {f"usr/bin/{platform.qemu}": binary}
    programs = [binary]
    for modules in Path("/usr/lib").glob("*/qemu"):
        for module in (*modules.glob("accel-*.so"), *modules.glob("hw-block-*.so")):
            files[str(module)[1:]] = module
            programs.append(module)
    for program in programs:
        listed = subprocess.run(
            [process.tool("ldd"), str(program)], capture_output=True, text=True, check=False
        ).stdout
        for name in LIBRARY.findall(listed):
            files[os.path.normpath(name)[1:]] = Path(name)
    for name in platform.firmware:
        for folder in FIRMWARE_FOLDERS:
            if (folder / name).exists():
                files[f"usr/share/qemu/{name}"] = folder / name
                break
    return files


def _build(files: dict[str, Path]) -> str:
    seen = [FORMAT]
    for name, source in sorted(files.items()):
        stat = os.stat(source)
        seen.append(f"{name} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()[:16]


def _copy(files: dict[str, Path], folder: Path, staging: Path) -> None:
    """staging: a name of its own for each caller: two may need the same root at the same moment."""
    for name in ("dev", "proc", "tmp", FOLDER):
        (staging / name).mkdir(parents=True)
    for number in range(PLACES):
        (staging / FOLDER / place_name(number, is_folder=True)).mkdir()
        (staging / FOLDER / place_name(number, is_folder=False)).touch(mode=0o444)
    for name, source in files.items():
        (staging / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, staging / name)
        (staging / name).chmod(0o755)
    for place, folders, _ in os.walk(staging):
        for name in folders:
            os.chmod(os.path.join(place, name), 0o755)
    staging.chmod(0o755)
    try:
        staging.rename(folder)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        if not folder.exists():
            raise


def _check_reachable(folder: Path) -> None:
    """The machine's id must be able to walk to its root; the walk's folders need search permission only."""
    if os.geteuid() != 0:
        return
    for parent in folder.parents:
        if not os.stat(parent).st_mode & 0o001:
            raise Unavailable(
                f"machines cannot reach {folder}: {parent} is closed to them", f"chmod o+x {parent}"
            )
