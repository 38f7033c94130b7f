"""The files of containers that run, have run and have not run yet, in real machines: cp both ways, diff, export."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from words import BOTH, Words

from boot_paths import PLATFORMS
from daemon_fixture import DaemonProcess

pytestmark = pytest.mark.boot
EACH = pytest.mark.parametrize("platform", PLATFORMS)
QUIET = ("--network", "none")


def make(docker: Words, platform: str, *cmd: str, start: bool = False) -> str:
    """A container's id."""
    id = docker.succeed("create", *QUIET, "--platform", platform, "busybox", *cmd).strip()
    if start:
        docker.succeed("start", id)
    return id


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive}


def pack(*items: tuple[tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in items:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def named(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


# -- cp


@EACH
def test_what_is_put_into_a_created_container_is_there_when_it_starts(
    docker: Words, place: Path, platform: str
) -> None:
    (place / "message").write_text("hello\n")
    id = make(docker, platform, "cat", "/srv/message")
    docker.succeed("cp", str(place / "message"), f"{id}:/root/message")
    archive = pack(
        (named("srv", tarfile.DIRTYPE, mode=0o755), b""), (named("srv/message", mode=0o644), b"there\n")
    )
    docker.succeed("cp", "-", f"{id}:/", input=archive)
    assert docker.succeed("start", "-a", id) == "there\n"
    docker.succeed("cp", f"{id}:/root/message", str(place / "back"))
    assert (place / "back").read_text() == "hello\n"


@EACH
def test_out_of_one_that_runs_and_one_that_has_run(docker: Words, place: Path, platform: str) -> None:
    words = "mkdir /d; echo a >/d/a; ln /d/a /d/b; ln -s a /d/l; chmod 4755 /d/a; echo up; exec sleep 1000"
    id = make(docker, platform, "sh", "-c", words, start=True)
    docker.until_lines(id, "up")
    for standing in ("running", "stopped"):
        target = place / standing
        docker.succeed("cp", f"{id}:/d", str(target))
        assert (target / "a").read_text() == (target / "b").read_text() == "a\n"
        assert (target / "l").readlink() == Path("a")
        data = docker.daemon.docker("cp", f"{id}:/d/", "-").stdout
        found = members(data)
        assert set(found) == {"d", "d/a", "d/b", "d/l"}
        assert sorted(member.islnk() for member in found.values()) == [False, False, False, True]
        assert found["d/a"].mode & 0o7777 == 0o4755
        docker.succeed("cp", f"{id}:/d/.", str(place / f"{standing}-content"))
        docker.succeed("stop", "-t", "0", id)


@EACH
def test_changes_are_told_as_docker_tells_them(docker: Words, platform: str) -> None:
    words = (
        "echo x >/new; mkdir /made; touch /made/in; rm /bin/uname; echo y >>/etc/passwd; touch /etc/extra;"
        "echo up; exec sleep 1000"
    )
    id = make(docker, platform, "sh", "-c", words, start=True)
    docker.until_lines(id, "up")
    wanted = {"A /new", "A /made", "A /made/in", "C /bin", "D /bin/uname", "C /etc", "A /etc/extra"}
    for _ in range(2):
        found = set(docker.succeed("diff", id).splitlines())
        assert wanted <= found
        assert found - wanted <= {"C /etc/passwd", "A /etc/passwd"}
        docker.succeed("stop", "-t", "0", id)
    assert docker.succeed("diff", make(docker, platform, "true")) == ""


@EACH
def test_the_agents_own_files_are_no_change(docker: Words, platform: str) -> None:
    id = make(docker, platform, "true", start=True)
    docker.succeed("wait", id)
    assert docker.succeed("diff", id) == ""


@EACH
def test_an_export_has_all_of_it_and_nothing_that_is_mounted(docker: Words, platform: str) -> None:
    words = (
        "mknod /fifo p; mkdir /locked; chmod 1700 /locked; chown 12:34 /locked; echo m >/mnt/x;"
        "dd if=/dev/zero of=/sparse bs=1 count=1 seek=30000000 2>/dev/null; echo up; exec sleep 1000"
    )
    create = ("create", *QUIET, "--platform", platform, "--tmpfs", "/mnt", "busybox", "sh", "-c", words)
    id = docker.succeed(*create).strip()
    docker.succeed("start", id)
    docker.until_lines(id, "up")
    for _ in range(2):
        data = docker.daemon.docker("export", id).stdout
        found = members(data)
        assert found["fifo"].isfifo() and found["sparse"].size == 30_000_001
        assert (found["locked"].mode, found["locked"].uid, found["locked"].gid) == (0o1700, 12, 34)
        assert "bin/busybox" in found and "mnt/x" not in found
        assert not [name for name in found if name.startswith(("proc/", "sys/", "dev/"))]
        assert len(data) < 20 << 20  # holes are not sent
        docker.succeed("stop", "-t", "0", id)


@BOTH
def test_a_start_and_a_removal_wait_for_no_idle_guest(docker: Words, place: Path) -> None:
    (place / "f").write_text("f")
    for _ in range(3):
        id = make(docker, PLATFORMS[0], "cat", "/f")
        docker.succeed("cp", str(place / "f"), f"{id}:/f")
        assert docker.succeed("start", "-a", id) == "f"
        docker.succeed("cp", f"{id}:/f", "-")
        docker.succeed("rm", id)


def test_much_goes_through_in_both_directions(docker: Words, place: Path) -> None:
    size = 200 << 20
    with (place / "big").open("wb") as file:
        for n in range(size >> 20):
            file.write(bytes([n % 251]) * (1 << 20))
    id = make(docker, PLATFORMS[0], "sleep", "1000", start=True)
    docker.succeed("cp", str(place / "big"), f"{id}:/big")
    docker.succeed("cp", f"{id}:/big", str(place / "again"))
    assert (place / "big").read_bytes() == (place / "again").read_bytes()


# -- what clients ask of the endpoints


def test_links_lead_nowhere_out_of_the_container(docker: Words, place: Path) -> None:
    archive = pack(
        (named("out", tarfile.SYMTYPE, linkname="/../../../../etc"), b""),
        (named("up", tarfile.SYMTYPE, linkname="../../../../../tmp"), b""),
        (named("out/planted", mode=0o644), b"p"),
        (named("up/planted", mode=0o644), b"p"),
    )
    id = make(docker, PLATFORMS[0], "ls", "/etc/planted", "/tmp/planted")
    docker.succeed("cp", "-", f"{id}:/root", input=archive)
    assert docker.succeed("start", "-a", id) == "/etc/planted\n/tmp/planted\n"
    assert not Path("/etc/planted").exists() and not Path("/tmp/planted").exists()


@pytest.mark.parametrize("name", ["../../escape", "a/../../escape"])
def test_names_that_lead_out_are_refused(docker: Words, name: str) -> None:
    id = make(docker, PLATFORMS[0], "true")
    said = docker.fail(1, "cp", "-", f"{id}:/root", input=pack((named(name, mode=0o644), b"x")))
    assert "is outside of the directory" in said


def test_bad_requests_are_told_in_dockers_words(docker: Words, place: Path) -> None:
    (place / "f").write_text("f")
    id = make(docker, PLATFORMS[0], "true")
    assert "Could not find the file /nothing in container" in docker.fail(1, "cp", f"{id}:/nothing", "-")
    assert "must be a directory" in docker.fail(1, "cp", "-", f"{id}:/bin/sh", input=b"")
    read_only = docker.succeed("create", *QUIET, "--read-only", "busybox", "true").strip()
    assert "marked read-only" in docker.fail(1, "cp", str(place / "f"), f"{read_only}:/f")
    running = docker.sleeper(*QUIET)
    docker.succeed("pause", running)
    assert "unpause the container" in docker.fail(1, "cp", f"{running}:/etc/passwd", "-")
    docker.succeed("unpause", running)


# -- commit


@EACH
def test_a_commit_is_an_image_of_what_was_changed(docker: Words, platform: str) -> None:
    words = "echo new >/new; rm /bin/uname; rm -r /root; mkdir /root; echo up; exec sleep 1000"
    id = make(docker, platform, "sh", "-c", words, start=True)
    docker.until_lines(id, "up")
    try:
        for standing in ("running", "stopped"):
            name = f"committed:{standing}"
            made = docker.succeed(
                "commit", "-m", "why", "-a", "me", "-c", 'CMD ["cat", "/new"]', id, name
            ).strip()
            assert made.startswith("sha256:")
            if standing == "running":  # and its processes go on
                assert docker.succeed("exec", id, "echo", "on") == "on\n"
            assert docker.run(*QUIET, "--platform", platform, name) == "new\n"
            gone = '[ ! -e /bin/uname ] && [ -z "$(ls -A /root)" ] && [ -d /root ] && echo gone'
            assert docker.run(*QUIET, "--platform", platform, name, "sh", "-c", gone) == "gone\n"
            assert docker.succeed("diff", id)
            image = docker.daemon.request("GET", f"/images/{name}/json").json()
            assert (image["Author"], image["Comment"], len(image["RootFS"]["Layers"])) == ("me", "why", 2)
            docker.succeed("stop", "-t", "0", id)
        again = docker.succeed("create", *QUIET, "--platform", platform, "committed:stopped", "true").strip()
        assert docker.succeed("diff", again) == ""
        docker.succeed("rm", again)
    finally:
        docker.daemon.docker("rmi", "committed:running", "committed:stopped")


def test_a_commit_that_cannot_be_made_leaves_its_container_running(docker: Words) -> None:
    id = docker.sleeper(*QUIET)
    docker.fail(1, "commit", "-c", "RUN x", id, "committed:never")
    docker.fail(1, "commit", id, "Not:A:Name")
    assert docker.succeed("exec", id, "echo", "still") == "still\n"
    assert docker.succeed("images", "-q", "committed") == ""


# -- a daemon that is killed


def test_what_a_client_was_told_is_written_outlives_the_daemon(
    new_daemon: Callable[..., DaemonProcess], place: Path
) -> None:
    """Killed while its guest for the files still has them: the next daemon ends that first."""
    (place / "f").write_text("kept")
    daemon = new_daemon()
    docker = Words(daemon)
    for _ in range(3):
        id = make(docker, PLATFORMS[0], "cat", "/f")
        docker.succeed("cp", str(place / "f"), f"{id}:/f")
        daemon.kill()
        daemon.start()
        assert docker.succeed("start", "-a", id) == "kept"
    assert docker.faults() == []
