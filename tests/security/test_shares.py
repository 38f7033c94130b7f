"""What is mounted into a machine, from inside a container that has every privilege there: nothing beyond the source.

The guest's kernel is taken for the attacker's: it may mount the devices' tags itself, and sends QEMU what it likes.
"""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_paths import fresh_home, make_folder
from daemon_fixture import DaemonProcess
from ordinary_user import IS_ROOT, ORDINARY, give

pytestmark = pytest.mark.boot

SECRET = "not for guests"
KINDS = ("root", "user") if IS_ROOT else ("user",)


class Host:
    """A daemon, and a folder with a source in it and what lies beside it."""

    def __init__(self, daemon: DaemonProcess, folder: Path) -> None:
        self.daemon = daemon
        self.folder = folder
        self.source = folder / "source"

    def inside(self, script: str, *words: str) -> str:
        """What a privileged container says."""
        mount = ("-v", f"{self.source}:/m")
        argv = ("run", "--rm", "--privileged", *mount, *words, "busybox", "sh", "-c", script)
        done = self.daemon.docker(*argv, timeout=120)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout.decode(errors="replace")


@pytest.fixture(scope="module", params=KINDS)
def daemon(request: pytest.FixtureRequest) -> Iterator[DaemonProcess]:
    user = ORDINARY if request.param == "user" and IS_ROOT else None
    with fresh_home(user) as home:
        daemon = DaemonProcess(home, user=user)
        try:
            daemon.start()
            made = daemon.request(
                "POST", "/insula/bootstrap", {"what": "busybox", "platforms": ["linux/amd64"]}
            )
            assert made.status == 200 and b"error" not in made.body
            yield daemon
        finally:
            daemon.close()


@pytest.fixture
def host(daemon: DaemonProcess) -> Iterator[Host]:
    folder = make_folder()
    owner = daemon.home.stat().st_uid
    (folder / "source" / "sub").mkdir(parents=True)
    (folder / "source" / "file").write_text("shared\n")
    (folder / "beside").mkdir()
    (folder / "beside" / "secret").write_text(SECRET)
    give(folder, owner if owner else None)
    yield Host(daemon, folder)
    shutil.rmtree(folder)


def test_no_path_leads_above_the_source(host: Host) -> None:
    said = host.inside(
        "for p in /m/.. /m/../.. /m/sub/../../beside /m/../beside/secret /m/sub/../../source; do ls -A $p; cat $p; done 2>&1;"
        " cd /m/sub; cd ../..; pwd; ls -A"
    )
    assert SECRET not in said and "beside" not in said.replace("/m/sub/../../beside", "").replace(
        "/m/../beside", ""
    )


def test_links_of_the_guests_making_lead_within_the_guest(host: Host) -> None:
    beside = host.folder / "beside"
    script = (
        f"ln -s {beside} /m/absolute; ln -s ../beside /m/relative; ln -s /proc/self/root /m/magic; ln -s {beside}/secret /m/s;"
        " for p in absolute relative magic s; do cat /m/$p/secret /m/$p; ls /m/$p; echo x >/m/$p/made; done 2>&1; true"
    )
    assert SECRET not in host.inside(script)
    assert sorted(path.name for path in beside.iterdir()) == ["secret"]
    assert (beside / "secret").read_text() == SECRET


def test_a_link_put_in_a_folders_place_again_and_again(host: Host) -> None:
    """A race of rename against a walk: QEMU never follows a link on the way."""
    script = (
        "mkdir -p /m/a; echo own >/m/a/secret; ln -s ../beside /m/link;"
        " (i=0; while [ $i -lt 300 ]; do mv /m/a /m/b; mv /m/link /m/a; mv /m/a /m/link; mv /m/b /m/a; i=$((i+1)); done) &"
        " i=0; while [ $i -lt 300 ]; do cat /m/a/secret; echo x >/m/a/made; i=$((i+1)); done 2>/dev/null; wait; true"
    )
    assert SECRET not in host.inside(script)
    assert [path.name for path in (host.folder / "beside").iterdir()] == ["secret"]


def test_devices_cannot_be_made(host: Host) -> None:
    said = host.inside("mknod /m/disk b 8 0 && echo made; mknod /m/mem c 1 1 && echo made; cat /m/disk; true")
    for name in ("disk", "mem"):  # none, or a plain file of the daemon's user
        path = host.source / name
        assert not path.exists() or stat.S_ISREG(path.lstat().st_mode), said


def test_a_program_with_a_set_id_gives_nothing_on_the_host(host: Host) -> None:
    """Owned as the mount's owners are: root's daemon keeps the owner, as Docker does; never a user of a machine's."""
    host.inside("cp /bin/busybox /m/shell; chmod 6755 /m/shell")
    made = (host.source / "shell").stat()
    assert made.st_uid == host.source.stat().st_uid


def test_the_tags_show_what_is_shared_and_nothing_else(host: Host) -> None:
    """Mounted by the guest itself, from the top: the places, of which one is the source."""
    said = host.inside(
        "mkdir /a /b; umount /m; mount -t 9p -o trans=virtio,version=9p2000.L binds /a; mount -t 9p -o trans=virtio volumes /b;"
        " ls /a | wc -l; ls -A /a/.. /b/.. >/dev/null; find /a /b -name secret; find /a /b -type f -size +0 | head;"
        " touch /a/x /b/x /a/d1/x; rmdir /a/d5; mv /a/d6 /a/e; ls /a | wc -l"
    )
    lines = said.split()
    assert SECRET not in said
    assert lines[0] == lines[-1]
    found = [line for line in lines if line.startswith("/")]
    assert {Path(line).name for line in found} <= {"file"}


def test_one_container_sees_nothing_of_anothers(host: Host) -> None:
    other = host.daemon.docker("run", "-d", "-v", f"{host.folder / 'beside'}:/n", "busybox", "sleep", "1000")
    try:
        said = host.inside(
            "mkdir /a; umount /m; mount -t 9p -o trans=virtio,version=9p2000.L binds /a; find /a -name secret; find / -xdev -name secret"
        )
        assert "secret" not in said
    finally:
        host.daemon.docker("rm", "-f", other.stdout.decode().strip())


def test_a_source_that_became_a_link_is_what_it_leads_to_when_it_is_used(host: Host) -> None:
    """As with Docker: looked at anew at each start, never in between."""
    made = host.daemon.docker("create", "--name", "swapped", "-v", f"{host.source}:/m", "busybox", "ls", "/m")
    assert made.returncode == 0
    host.source.rename(host.folder / "moved")
    host.source.symlink_to("/proc/self/root")
    try:
        done = host.daemon.docker("start", "-a", "swapped")
        assert SECRET.encode() not in done.stdout
    finally:
        host.daemon.docker("rm", "-f", "swapped")


def test_nothing_is_mounted_on_the_host(host: Host) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    running = host.daemon.docker(
        "run", "-d", "-v", f"{host.source}:/m", "-v", "vol:/v", "busybox", "sleep", "1000"
    )
    assert running.returncode == 0, running.stderr
    assert Path("/proc/self/mountinfo").read_text() == before
    host.daemon.docker("rm", "-f", running.stdout.decode().strip())
    host.daemon.docker("volume", "rm", "vol")


@pytest.mark.skipif(not IS_ROOT, reason="looks at another user's files")
def test_who_owns_what_a_guest_makes(host: Host) -> None:
    host.inside("touch /m/roots; touch /m/others; chown 1234:1234 /m/others; true")
    owner = host.source.stat().st_uid
    assert (host.source / "roots").stat().st_uid == owner
    assert (host.source / "others").stat().st_uid == (1234 if owner == 0 else owner)
    listed = subprocess.run(
        ["find", str(host.source), "-uid", "+1879048191"], capture_output=True, check=True
    )
    assert listed.stdout == b"", "no machine's id owns a file of the host"
    assert os.path.exists(host.source / "file")
