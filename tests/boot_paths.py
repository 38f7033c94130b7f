"""State roots for tests that start machines: kernels made once and kept in build-out/, the rest made anew.

    home = provisioned_home()      one state root for this run of pytest: kernels, packages, jails, KVM's verdict
    with fresh_home() as home: …   another, with nothing of the first but those (no templates, images, database)
    with fresh_run() as run: …     a run directory

Homes lie under /tmp, where the machines' own ids can reach them wherever the checkout is. Nothing is skipped: what
the host lacks fails the test, in the words of the part that lacks it.
"""

import asyncio
import atexit
import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from insula.agent.boot_document import BootDocument
from insula.config import Config
from insula.guest.blank_disk import copy_sparse
from insula.guest.forge import Forge
from insula.guest.rehearsal import open_stage
from insula.machine.jail import open_jail_root
from insula.machine.kernel import open_kernel
from insula.machine.platform import find_platform, host_platform
from insula.paths import Paths
from ordinary_user import give

CACHE = Path(__file__).resolve().parents[1] / "build-out" / "tests"
PLATFORMS = tuple(os.environ.get("INSULA_TEST_PLATFORMS", "linux/amd64 linux/arm64").split())
"""What tests marked `platform` run on: by another list, on other machines (`make test-platforms`)."""
DEFAULT = host_platform().name if host_platform().name in PLATFORMS else PLATFORMS[0]
"""What a container gets where these are the images there are and none is asked for."""
MACHINES = {name: find_platform(name).hosts[0] for name in PLATFORMS}
"""What `uname -m` says there."""


def is_running(pid: int) -> bool:
    """Whether a process is alive: one that is dead, but not yet reaped by its parent (an orphan's is the host's init),
    is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def make_folder() -> Path:
    """A folder of a short name that machines can search."""
    folder = Path(tempfile.mkdtemp(prefix="insula-", dir="/tmp"))
    folder.chmod(0o711)
    return folder


@functools.cache
def provisioned_home() -> Path:
    """This run's state root; removed when the run ends."""
    folder = make_folder()
    atexit.register(shutil.rmtree, folder, True)
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = Paths(CACHE / "home", folder / "run")
        with ThreadPoolExecutor(1) as thread:  # the caller may be in an event loop
            thread.submit(lambda: asyncio.run(_provision(kept, folder / "home"))).result()
    return folder / "home"


@contextlib.contextmanager
def fresh_home(user: int | None = None) -> Iterator[Path]:
    """A state root of one's own, removed afterwards. user: whose, if not that of whoever runs the tests."""
    ready, folder = provisioned_home(), make_folder()
    try:
        _furnish(ready, folder / "home")
        if user is not None:
            _make_users(folder / "home", user)
        yield folder / "home"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def fresh_run() -> Iterator[Path]:
    """A run directory of one's own, removed afterwards. Machines that still run in it are the caller's to end."""
    folder = make_folder()
    try:
        yield folder / "run"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _provision(kept: Paths, home: Path) -> None:
    """Fetches what the cache lacks, and finds out about KVM, which may take its deadline."""
    kept.make()
    for name in PLATFORMS:
        await open_kernel(kept, find_platform(name))
        await open_stage(kept, find_platform(name))
    _furnish(kept.home, home)
    paths = Paths(home, kept.run)
    paths.make()
    forge = Forge(paths, Config(), _no_rehearsal)
    for name in PLATFORMS:
        await open_jail_root(paths, find_platform(name))
    await forge.verdict(host_platform())
    if paths.accelerators.exists():
        shutil.copyfile(paths.accelerators, kept.accelerators)
    await forge.close()


def _furnish(source: Path, target: Path) -> None:
    """What machines need of another state root. Files are linked where they can be: nobody writes them."""
    target.mkdir(mode=0o711)
    for name in ("kernels", "jails"):
        if (source / name).exists():
            shutil.copytree(source / name, target / name, copy_function=_link)
    (target / "jails").mkdir(exist_ok=True)
    (target / "jails").chmod(0o711)
    (target / "packages").symlink_to((source / "packages").resolve())
    if (source / "accelerators.json").exists():
        shutil.copyfile(source / "accelerators.json", target / "accelerators.json")


def _make_users(home: Path, user: int) -> None:
    """Its files are the user's own from now on, and no links to another's."""
    # follows the link to the packages
    shutil.copytree(home, staged := home.with_name("staged"), copy_function=_copy)
    shutil.rmtree(home)
    staged.rename(home)
    give(home, user)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        _copy(source, target)


def _copy(source: str, target: str) -> None:
    """Disks are sparse, of 64 GiB."""
    if source.endswith(".ext4"):
        copy_sparse(Path(source), Path(target))
    else:
        shutil.copy2(source, target)


async def _no_rehearsal(platform: str) -> BootDocument:
    raise AssertionError(f"nothing is rehearsed for {platform} here")
