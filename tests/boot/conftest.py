"""State roots and daemons for tests that go from the docker command to a machine and back.

seeded_home    a state root with busybox of both platforms and a template of each, made once a run of pytest
daemon         one daemon on a copy of it, for all tests that do it no harm
new_daemon     makes daemons on copies of their own: to be killed, restarted, counted
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from words import PLATFORMS, Words

from boot_paths import fresh_home, make_folder
from daemon_fixture import DaemonProcess

LINKED = ("kernels", "jails", "images", "templates")


@pytest.fixture(scope="session")
def seeded_home() -> Iterator[Path]:
    with fresh_home() as home:
        daemon = DaemonProcess(home)
        try:
            daemon.start()
            made = daemon.request("POST", "/insula/bootstrap", {"what": "busybox"})
            assert made.status == 200, made.body
            words = Words(daemon)
            for platform in PLATFORMS:
                words.succeed("run", "--rm", "--platform", platform, "busybox", "true")
        finally:
            daemon.close()
        yield home


def copy_home(source: Path, target: Path) -> Path:
    """Files are linked where nobody writes them."""
    target.mkdir(mode=0o711)
    for name in LINKED:
        shutil.copytree(source / name, target / name, copy_function=os.link)
    (target / "packages").symlink_to((source / "packages").resolve())
    if (source / "accelerators.json").exists():
        shutil.copyfile(source / "accelerators.json", target / "accelerators.json")
    with sqlite3.connect(source / "insula.db") as ours, sqlite3.connect(target / "insula.db") as theirs:
        ours.backup(theirs)
    ours.close()
    theirs.close()
    return target


@pytest.fixture
def new_daemon(seeded_home: Path) -> Iterator[Callable[[], DaemonProcess]]:
    made: list[DaemonProcess] = []
    folders: list[Path] = []

    def make() -> DaemonProcess:
        folders.append(make_folder())
        daemon = DaemonProcess(copy_home(seeded_home, folders[-1] / "home"))
        made.append(daemon)
        daemon.start()
        return daemon

    yield make
    for daemon in made:
        daemon.close()
    for folder in folders:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def daemon(seeded_home: Path) -> Iterator[DaemonProcess]:
    folder = make_folder()
    daemon = DaemonProcess(copy_home(seeded_home, folder / "home"))
    try:
        daemon.start()
        yield daemon
        assert daemon.said() == ""
    finally:
        daemon.close()
        shutil.rmtree(folder)


@pytest.fixture
def docker(daemon: DaemonProcess) -> Iterator[Words]:
    """The docker command against the shared daemon. What a test leaves behind is removed."""
    yield (words := Words(daemon))
    words.sweep()
