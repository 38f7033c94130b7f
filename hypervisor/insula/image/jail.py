"""The converter's jail, as a command line: bubblewrap with the interpreter and this package alone.

Inside: no network, no other process, no host file but Python's, no capability, and as root's daemon an
unprivileged user of its own. Layers and the disk come in as descriptors. prlimit bounds memory, processor
time and the size of the output, whatever a layer makes the converter do.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard

from insula.paths import SOURCE_ROOT
from insula.process import tool

CONVERTER_USER = 64_731  # no account has it; only the jail below root's daemon runs as it

SOURCE, LIBRARY = Path("/insula/source"), Path("/insula/library")
START = "import sys; sys.path[:0] = {path!r}; from insula.image.convert import main; main()"


@dataclass(frozen=True, slots=True)
class JailLimits:
    """memory: bytes of address space; seconds: of processor time; output: bytes of the written disk."""

    memory: int = 2 << 30
    seconds: int = 900
    output: int = 72 << 30


def jail_argv(request: str, limits: JailLimits) -> list[str]:
    """The command that runs the converter with a request, jailed. Descriptors are inherited."""
    is_root = os.geteuid() == 0
    source = SOURCE_ROOT / "hypervisor"
    library = Path(zstandard.__file__).parent
    argv = [
        tool("prlimit"), f"--as={limits.memory}", f"--cpu={limits.seconds}", f"--fsize={limits.output}",
        "--core=0", "--nofile=600", "--",
        tool("bwrap"), "--die-with-parent", "--new-session", "--cap-drop", "ALL",
        "--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
    ]  # fmt: skip
    if is_root:
        argv += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        argv += ["--unshare-user"]
    argv += _mounts([Path("/usr"), Path(sys.base_prefix)])
    for folder, place in ((source / "insula", SOURCE), (library, LIBRARY)):
        target = place / folder.name
        argv += [*_folders(target), "--ro-bind", str(folder), str(target)]
    argv += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev", "--remount-ro", "/"]
    argv += ["--clearenv", "--chdir", "/", "--"]
    if is_root:
        user = str(CONVERTER_USER)
        argv += [tool("setpriv"), "--reuid", user, "--regid", user, "--clear-groups", "--no-new-privs"]
        argv += ["--inh-caps=-all", "--bounding-set=-all"]
    code = START.format(path=[str(SOURCE), str(LIBRARY)])
    return [*argv, _interpreter(), "-I", "-S", "-B", "-c", code, request]


def _interpreter() -> str:
    """The interpreter itself, not a virtual environment's link to it."""
    return str(Path(sys.executable).resolve())


def _folders(path: Path) -> list[str]:
    """Makes a mount point's parents: bubblewrap's own would be closed to the converter's user."""
    parents = [str(parent) for parent in reversed(path.parents) if parent != Path("/")]
    return [word for parent in parents for word in ("--perms", "0755", "--dir", parent)]


def _mounts(folders: Sequence[Path]) -> list[str]:
    argv = []
    for folder in dict.fromkeys(folders):
        if folder == Path("/usr") or not folder.is_relative_to("/usr"):
            argv += [*_folders(folder), "--ro-bind", str(folder), str(folder)]
    for name in ("lib", "lib64", "bin", "sbin"):
        link = Path("/") / name
        if link.is_symlink():
            argv += ["--symlink", os.readlink(link), str(link)]
        elif link.is_dir():
            argv += ["--ro-bind", str(link), str(link)]
    return argv
