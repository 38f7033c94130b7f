"""Volumes that are disks: one container at a time, grown on request, what is deleted given back to the host."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from words import BOTH, BOTH_NEW, Words

from daemon_fixture import DaemonProcess

pytestmark = [pytest.mark.boot]

MIB = 1 << 20


def make(docker: Words, name: str, size: str = "512m") -> Path:
    """A volume, and its disk on the host."""
    docker.succeed("volume", "create", "--opt", "type=block", "--opt", f"size={size}", name)
    return disk_of(docker, name)


def disk_of(docker: Words, name: str) -> Path:
    return Path(json.loads(docker.succeed("volume", "inspect", name))[0]["Mountpoint"])


def taken(disk: Path) -> int:
    return disk.stat().st_blocks * 512


@pytest.fixture(autouse=True)
def no_volumes(request: pytest.FixtureRequest) -> Iterator[None]:
    if "docker" not in request.fixturenames:
        yield
        return
    docker: Words = request.getfixturevalue("docker")
    yield
    docker.sweep()
    if names := docker.succeed("volume", "ls", "-q").split():
        docker.succeed("volume", "rm", *names)


@BOTH
def test_a_disk_of_a_containers_own(docker: Words) -> None:
    """An ext4, empty, with owners; what one container has written and not synced the next one reads."""
    disk = make(docker, "db")
    assert disk.stat().st_size == 512 * MIB and taken(disk) < 32 * MIB
    said = docker.run(
        "-v", "db:/d", "busybox", "sh", "-c",
        "ls -A /d; echo kept >/d/f; chown 70:71 /d/f; chmod 4640 /d/f; mkfifo /d/p; ln /d/f /d/h; stat -f -c %T /d;"
        " grep ' /d ' /proc/mounts | cut -d' ' -f3",
    )  # fmt: skip
    assert said.splitlines() == ["ext2/ext3", "ext4"]
    said = docker.run(
        "-v", "db:/d:ro", "busybox", "sh", "-c",
        "cat /d/f; stat -c '%u:%g %a %h' /d/f; test -p /d/p && echo pipe; touch /d/x 2>/dev/null || echo kept",
    )  # fmt: skip
    assert said.splitlines() == ["kept", "70:71 4640 2", "pipe", "kept"]
    usage = json.loads(docker.daemon.request("GET", "/v1.47/system/df").body)["Volumes"]
    assert [
        (v["Name"], v["UsageData"]["RefCount"], v["UsageData"]["Size"] == taken(disk)) for v in usage
    ] == [("db", 0, True)]
    told = json.loads(docker.succeed("volume", "inspect", "db"))[0]
    assert (told["Driver"], told["Options"]) == ("local", {"type": "block", "size": "512m"})
    assert docker.succeed("volume", "prune", "-f", "-a").split()[2] == "db"
    assert not disk.parent.exists()


@BOTH
def test_a_second_container_is_refused_with_the_first_ones_name(docker: Words) -> None:
    make(docker, "db")
    docker.sleeper("--name", "holder", "-v", "db:/d")
    created = docker.succeed("create", "-v", "db:/d", "busybox", "true").strip()
    said = docker.fail(1, "start", created)
    assert "volume db is attached to container holder" in said
    assert docker.state(created)["Status"] == "created"
    assert "attached to container holder" in docker.fail(1, "cp", f"{created}:/d", "-")
    assert "attached to container holder" in docker.fail(125, "run", "--rm", "-v", "db:/x", "busybox", "true")
    assert "volume is in use" in docker.fail(1, "volume", "rm", "db")
    docker.succeed("stop", "-t", "5", "holder")
    docker.succeed("start", "-a", created)
    said = docker.fail(1, "create", "-v", "db:/d", "-v", "db:/e", "busybox", "true")
    assert "can be mounted once" in said
    part = "type=volume,src=db,dst=/d,volume-subpath=x"
    assert "cannot look into it" in docker.fail(1, "create", "--mount", part, "busybox", "true")
    for number in range(4):
        make(docker, f"more{number}", "16m")
    words = [word for number in range(4) for word in ("-v", f"more{number}:/m{number}")]
    assert "4 block volumes at most" in docker.fail(1, "create", *words, "-v", "db:/d", "busybox", "true")
    said = docker.run(*words, "busybox", "sh", "-c", "grep -c ' /m. ext4 ' /proc/mounts")
    assert said == "4\n"


@BOTH
def test_files_are_copied_into_it_and_out_of_it(docker: Words, place: Path) -> None:
    """And a machine that only stands by for one container's files makes way for another."""
    place.chmod(0o777)
    (place / "one").write_text("one\n")
    make(docker, "db", "64m")
    stopped = docker.succeed("create", "-v", "db:/d", "busybox", "true").strip()
    docker.succeed("cp", str(place / "one"), f"{stopped}:/d/one")
    running = docker.sleeper("-v", "db:/d")
    assert docker.succeed("exec", running, "cat", "/d/one") == "one\n"
    docker.succeed("cp", str(place / "one"), f"{running}:/d/two")
    docker.succeed("cp", f"{running}:/d/two", str(place / "back"))
    assert (place / "back").read_text() == "one\n"
    docker.succeed("rm", "-f", running)
    assert docker.run("-v", "db:/d", "busybox", "cat", "/d/two") == "one\n"


@BOTH
def test_a_new_one_gets_the_images_files_once(docker: Words) -> None:
    made = docker.start(
        "busybox", "sh", "-c", "mkdir /d; echo of the image >/d/f; chown 5:6 /d/f; chmod 750 /d"
    )
    docker.succeed("wait", made)
    docker.succeed("commit", made, "filled")
    try:
        make(docker, "db", "64m")
        said = docker.run(
            "-v", "db:/d", "filled", "sh", "-c", "cat /d/f; stat -c %u:%g /d/f; stat -c %a /d; rm /d/f"
        )
        assert said.splitlines() == ["of the image", "5:6", "750"]
        assert docker.run("-v", "db:/d", "filled", "ls", "-A", "/d") == ""
        make(docker, "bare", "64m")
        assert docker.run("-v", "bare:/d:nocopy", "filled", "ls", "-A", "/d") == ""
    finally:
        docker.sweep()
        docker.succeed("rmi", "filled")


@BOTH
def test_it_grows_and_gives_back(docker: Words) -> None:
    disk = make(docker, "db", "96m")
    size = "df -m /d | tail -1 | tr -s ' ' | cut -d' ' -f2"
    before = int(docker.run("-v", "db:/d", "busybox", "sh", "-c", f"echo kept >/d/f; {size}"))
    assert 60 < before <= 96
    docker.succeed("volume", "create", "--opt", "type=block", "--opt", "size=2g", "db")
    said = docker.fail(1, "volume", "create", "--opt", "type=block", "--opt", "size=1g", "db")
    assert "does not shrink" in said
    assert disk.stat().st_size == 2048 * MIB and taken(disk) < 64 * MIB
    id = docker.sleeper("-v", "db:/d")
    after = int(docker.succeed("exec", id, "sh", "-c", size))
    assert 1800 < after <= 2048
    assert docker.succeed("exec", id, "cat", "/d/f") == "kept\n"
    docker.succeed("exec", id, "sh", "-c", "dd if=/dev/urandom of=/d/big bs=1M count=200 2>/dev/null && sync")
    full = taken(disk)
    assert full > 200 * MIB
    docker.succeed("exec", id, "sh", "-c", "rm /d/big && sync")
    docker.succeed("stop", "-t", "5", id)
    assert taken(disk) < full - 50 * MIB, "what the guest's kernel has put off until the end it drops"


@BOTH
def test_bad_sizes_and_options(docker: Words) -> None:
    for options in (
        "size=0",
        "size=1k",
        "size=2t",
        "size=x",
        "size=-1",
        "size=10m,o=ro",
        "device=/dev/sda",
        "",
    ):
        words = [word for option in options.split(",") if option for word in ("--opt", option)]
        docker.fail(1, "volume", "create", "--opt", "type=block", *words, "bad")
    docker.fail(1, "volume", "create", "--opt", "size=1g", "bad")
    assert docker.succeed("volume", "ls", "-q") == ""
    assert list((docker.daemon.home / "volumes").glob("*bad*")) == []


@BOTH
def test_what_is_removed_by_force_has_written_all(docker: Words) -> None:
    """As with Docker, whose containers' pages are the host's."""
    make(docker, "db", "64m")
    id = docker.sleeper("-v", "db:/d")
    docker.succeed("exec", id, "sh", "-c", "echo not synced >/d/f")
    docker.succeed("rm", "-f", id)
    assert docker.run("-v", "db:/d", "busybox", "cat", "/d/f") == "not synced\n"


@BOTH_NEW
def test_a_daemon_that_was_killed_knows_who_has_it(new_daemon: Callable[[], DaemonProcess]) -> None:
    daemon = new_daemon()
    docker = Words(daemon)
    make(docker, "db", "64m")
    docker.sleeper("--name", "holder", "-v", "db:/d")
    docker.succeed("exec", "holder", "sh", "-c", "echo before >/d/f")
    daemon.kill()
    daemon.start()
    assert docker.succeed("exec", "holder", "cat", "/d/f") == "before\n"
    said = docker.fail(125, "run", "--rm", "-v", "db:/d", "busybox", "true")
    assert "attached to container holder" in said
    docker.succeed("restart", "-t", "1", "holder")
    assert docker.succeed("exec", "holder", "cat", "/d/f") == "before\n"
    docker.succeed("rm", "-f", "holder")
    assert docker.run("-v", "db:/d", "busybox", "cat", "/d/f") == "before\n"


def test_the_host_mounts_nothing(docker: Words) -> None:
    make(docker, "db", "64m")
    before = Path("/proc/self/mountinfo").read_text()
    id = docker.sleeper("-v", "db:/d")
    assert Path("/proc/self/mountinfo").read_text() == before
    loops = [name for name in os.listdir("/sys/block") if name.startswith("loop")]
    backing = [Path(f"/sys/block/{name}/loop/backing_file") for name in loops]
    assert not any(path.exists() and "_disk" in path.read_text() for path in backing)
    docker.succeed("rm", "-f", id)
