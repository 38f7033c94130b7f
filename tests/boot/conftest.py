"""State roots and daemons for tests that go from the docker command to a machine and back.

seeded_home    a state root with busybox of the platforms and a template of each, made once a run of pytest
user_home      the same, made by a daemon of an ordinary user's
daemon         one daemon on a copy of it, for all tests that do it no harm; user_daemon: an ordinary user's
docker         the docker command against it; `@BOTH` before a test: once as root, once as an ordinary user
debian         the docker command, with debian:bookworm for the platforms
place          a folder for files that the command reads or writes, whoever runs it
new_daemon     makes daemons on copies of their own: to be killed, restarted, counted
"""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from words import Words

from boot_paths import CACHE, PLATFORMS, fresh_home, make_folder
from daemon_fixture import DaemonProcess
from insula.image import bootstrap_debian
from ordinary_user import ORDINARY, as_user, give

LINKED = ("kernels", "jails", "images", "templates")


@pytest.fixture(scope="session")
def seeded_home() -> Iterator[Path]:
    with fresh_home() as home:
        seed(home, None)
        yield home


@pytest.fixture(scope="session")
def user_home(request: pytest.FixtureRequest) -> Iterator[Path]:
    if not as_user(ORDINARY):
        yield request.getfixturevalue("seeded_home")
        return
    with fresh_home(ORDINARY) as home:
        seed(home, ORDINARY)
        yield home


def seed(home: Path, user: int | None) -> None:
    daemon = DaemonProcess(home, user=user)
    try:
        daemon.start()
        made = daemon.request("POST", "/insula/bootstrap", {"what": "busybox", "platforms": PLATFORMS})
        assert made.status == 200 and b"error" not in made.body, made.body
        words = Words(daemon)
        for platform in PLATFORMS:
            words.succeed("run", "--rm", "--platform", platform, "busybox", "true")
    finally:
        daemon.close()


def copy_home(source: Path, target: Path, user: int | None = None) -> Path:
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
    give(target, user)
    return target


@pytest.fixture
def new_daemon(request: pytest.FixtureRequest) -> Iterator[Callable[..., DaemonProcess]]:
    """make(), or make(ORDINARY); `@BOTH_NEW` before a test: make() is once root's, once an ordinary user's. before:
    words before the daemon's own, for one that lives elsewhere."""
    made: list[DaemonProcess] = []
    folders: list[Path] = []

    def make(user: int | None = None, before: tuple[str, ...] = ()) -> DaemonProcess:
        user = ORDINARY if getattr(request, "param", "root") == "user" else user
        home: Path = request.getfixturevalue("seeded_home" if user is None else "user_home")
        folders.append(make_folder())
        home = copy_home(home, folders[-1] / "home", user)
        daemon = DaemonProcess(home, user=user, before=before)
        made.append(daemon)
        daemon.start()
        return daemon

    yield make
    for daemon in made:
        daemon.close()
    for folder in folders:
        shutil.rmtree(folder)


@contextmanager
def open_daemon(home: Path, user: int | None = None) -> Iterator[DaemonProcess]:
    folder = make_folder()
    daemon = DaemonProcess(copy_home(home, folder / "home", user), user=user)
    try:
        daemon.start()
        yield daemon
        assert daemon.said() == ""
    finally:
        daemon.close()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def daemon(seeded_home: Path) -> Iterator[DaemonProcess]:
    with open_daemon(seeded_home) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def user_daemon(user_home: Path) -> Iterator[DaemonProcess]:
    with open_daemon(user_home, ORDINARY) as daemon:
        yield daemon


@pytest.fixture
def docker(request: pytest.FixtureRequest) -> Iterator[Words]:
    """The docker command against a shared daemon. What a test leaves behind is removed."""
    name = "user_daemon" if getattr(request, "param", "root") == "user" else "daemon"
    yield (words := Words(request.getfixturevalue(name)))
    words.sweep()


@pytest.fixture
def user_docker(user_daemon: DaemonProcess) -> Iterator[Words]:
    yield (words := Words(user_daemon))
    words.sweep()


@pytest.fixture
def place() -> Iterator[Path]:
    folder = make_folder()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def debian(daemon: DaemonProcess) -> Iterator[Words]:
    """The docker command against the session's daemon, with debian:bookworm for the platforms. Each is made once, which
    takes minutes, and kept for later runs of pytest, as kernels are."""
    words = Words(daemon)
    made_by = hashlib.sha256(Path(bootstrap_debian.__file__).read_bytes()).hexdigest()[:12]
    names = []
    for platform in PLATFORMS:
        name = f"debian:kept-{platform.removeprefix('linux/').replace('/', '-')}"
        kept = CACHE / f"debian-{platform.replace('/', '-')}-{made_by}.tar"
        if not kept.exists():
            done = daemon.insula("bootstrap", "debian", "--platform", platform, timeout=3600)
            assert done.returncode == 0, (done.stdout, done.stderr)
            words.succeed("tag", "debian:bookworm", name)
            words.succeed("save", "-o", str(kept), name, timeout=600)
        words.succeed("load", "-i", str(kept), timeout=600)
        names.append(name)
    both = daemon.insula(
        "build", "--platform", ",".join(PLATFORMS), "-t", "debian:bookworm", "-",
        input=b"FROM debian:kept-${TARGETARCH}${TARGETVARIANT:+-$TARGETVARIANT}\n",
    )  # fmt: skip
    assert both.returncode == 0, (both.stdout, both.stderr)
    yield words
    daemon.docker("rmi", "-f", "debian:bookworm", *names)
