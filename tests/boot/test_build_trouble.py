"""Builds whose machine is killed, or whose host has no room left: the failure is told, and nothing stays behind."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from build_words import CLASSIC, build, write_context
from words import Words

from boot_paths import make_folder
from daemon_fixture import DaemonProcess

pytestmark = pytest.mark.boot
ROOM = 48 << 20
NOISE = 8 << 20


def machines_of_builds(home: Path) -> list[int]:
    """The QEMUs that have a build's disk open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if not (process / "comm").read_text().startswith("qemu"):
                continue
            files = [os.readlink(file) for file in (process / "fd").iterdir()]
        except OSError:  # it has ended meanwhile
            continue
        if any(file.startswith(f"{home}/containers/build-") for file in files):
            found.append(int(process.name))
    return found


def test_a_machine_that_is_killed_ends_its_build(docker: Words, place: Path) -> None:
    folder = write_context(place, "FROM busybox\nRUN echo begun; sleep 1000\n")
    with docker.begin("build", "--no-cache", folder, env=CLASSIC, stderr=subprocess.PIPE) as client:
        assert client.stdout is not None and client.stderr is not None
        for line in client.stdout:
            if line == b"begun\n":
                break
        (machine,) = machines_of_builds(docker.daemon.home)
        os.kill(machine, signal.SIGKILL)
        said = client.stderr.read().decode()
        assert client.wait(120) == 1 and "DEPRECATED" in said.splitlines()[0], said
    assert not list((docker.daemon.home / "containers").glob("build-*"))
    assert not list((docker.daemon.home / "staging").glob("image-*"))
    out, _ = build(docker, write_context(place, "FROM busybox\nRUN echo again\n"))
    assert "\nagain\n" in out


@pytest.fixture
def small(seeded_home: Path) -> Iterator[Words]:
    """The docker command against a daemon whose state root has room for ROOM bytes more."""
    folder = make_folder()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16g,mode=711", "none", folder], check=True)
    try:
        subprocess.run(["cp", "-a", "--sparse=always", seeded_home, folder / "home"], check=True)
        daemon = DaemonProcess(folder / "home")
        try:
            daemon.start()
            docker = Words(daemon)
            docker.run("busybox", "true")
            size = shutil.disk_usage(folder).used + ROOM
            subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)
            yield docker
        finally:
            daemon.close()
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


def test_a_full_disk_fails_a_build_and_its_room_comes_back(small: Words, place: Path) -> None:
    home = small.daemon.home
    before = shutil.disk_usage(home).free
    for dockerfile, files in (
        ("FROM busybox\nCOPY large /large\n", {"large": os.urandom(2 * ROOM)}),  # no room for the context
        (
            "FROM busybox\nCOPY large /large\n",
            {"large": os.urandom(ROOM // 2 - NOISE // 2)},
        ),  # or for the layer
        ("FROM busybox\nRUN head -c 30000000 /dev/urandom > /large && sync\n", {}),
        (
            "FROM busybox\nRUN head -c 100000000 /dev/urandom > /large && sync\n",
            {},
        ),  # or for the machine's disk
    ):
        shutil.rmtree(place)
        place.mkdir()
        done = small.daemon.docker("build", write_context(place, dockerfile, files), env=CLASSIC)
        assert done.returncode == 1, (dockerfile, done.stdout, done.stderr)

        assert not list((home / "containers").glob("build-*"))
        assert not list((home / "staging").glob("image-*"))
        assert shutil.disk_usage(home).free > before - NOISE, dockerfile
    out, _ = build(small, write_context(place, "FROM busybox\nRUN echo again\n"))
    assert "\nagain\n" in out and small.faults() == []
