"""Bind mounts and volumes from the docker command to a guest and back: what the container sees, what the host has."""

import json
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from words import BOTH, BOTH_NEW, Words

from boot_paths import DEFAULT, PLATFORMS, make_folder
from daemon_fixture import DaemonProcess
from ordinary_user import IS_ROOT

pytestmark = [pytest.mark.boot]


@pytest.fixture
def source(docker: Words) -> Iterator[Path]:
    """A folder of the host's that belongs to whoever the daemon is."""
    folder = make_folder()
    owner = (docker.daemon.home).stat()
    (folder / "data").mkdir()
    (folder / "data" / "sub").mkdir()
    (folder / "data" / "file").write_text("of the host\n")
    (folder / "data" / "file").chmod(0o640)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    yield folder / "data"
    shutil.rmtree(folder)


def is_roots(docker: Words) -> bool:
    return docker.daemon.home.stat().st_uid == 0


@pytest.fixture(autouse=True)
def no_volumes(request: pytest.FixtureRequest) -> Iterator[None]:
    if "docker" not in request.fixturenames:
        yield
        return
    docker: Words = request.getfixturevalue("docker")
    yield
    docker.sweep()
    names = docker.succeed("volume", "ls", "-q").split()
    if names:
        docker.succeed("volume", "rm", *names)


# -- bind mounts


@BOTH
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_folder_of_the_host(docker: Words, source: Path, platform: str) -> None:
    said = docker.run(
        "--platform", platform, "-v", f"{source}:/m", "busybox", "sh", "-c",
        "cat /m/file && echo of the guest >/m/made && mkdir -p /m/a/b && mv /m/made /m/a/b/ && ln -s ../file /m/a/l && ln /m/file /m/h"
        " && stat -c '%u %g %a' /m/file",
    )  # fmt: skip
    owner = "0 0" if is_roots(docker) else f"{source.stat().st_uid} {source.stat().st_gid}"
    assert said.splitlines() == ["of the host", f"{owner} 640"]
    assert (source / "a" / "b" / "made").read_text() == "of the guest\n"
    assert os.readlink(source / "a" / "l") == "../file"
    assert (source / "h").stat().st_ino == (source / "file").stat().st_ino
    assert (source / "a").stat().st_uid == source.stat().st_uid


@pytest.mark.skipif(not IS_ROOT, reason="owners are kept by root's daemon alone")
def test_owners_are_the_same_numbers_on_both_sides(docker: Words, source: Path) -> None:
    os.chown(source / "file", 70, 71)
    (source / "file").chmod(0o600)
    said = docker.run(
        "-v", f"{source}:/m", "--user", "70:71", "busybox", "sh", "-c", "cat /m/file; id -u; touch /m/sub/x"
        " 2>/dev/null || echo refused",
    )  # fmt: skip
    assert said.splitlines() == ["of the host", "70", "refused"]
    docker.run("-v", f"{source}:/m", "busybox", "sh", "-c", "chown 1000:1001 /m/file && chmod 4755 /m/file")
    seen = (source / "file").stat()
    assert (seen.st_uid, seen.st_gid, stat.S_IMODE(seen.st_mode)) == (1000, 1001, 0o4755)


@BOTH
def test_a_single_file(docker: Words, source: Path) -> None:
    said = docker.run(
        "-v", f"{source}/file:/etc/one/two", "busybox", "sh", "-c",
        "cat /etc/one/two; echo more >>/etc/one/two; ls -A /etc/one; rm /etc/one/two 2>/dev/null || echo held",
    )  # fmt: skip
    assert said.splitlines() == ["of the host", "two", "held"]
    assert (source / "file").read_text() == "of the host\nmore\n"


@BOTH
def test_read_only(docker: Words, source: Path) -> None:
    tries = "echo x >/m/file || echo x >/m/new || rm /m/file || chmod 777 /m/file || mount -o remount,rw /m || echo kept"
    for words in (
        ("-v", f"{source}:/m:ro"),
        ("--mount", f"type=bind,src={source},dst=/m,readonly"),
        ("--privileged", "-v", f"{source}:/m:ro"),
    ):
        said = docker.run(*words, "busybox", "sh", "-c", f"({tries}) 2>/dev/null; mount -o remount,rw,bind /m 2>/dev/null;"
                          " echo x 2>/dev/null >/m/new || echo kept")  # fmt: skip
        assert said.split()[-1] == "kept"
    assert sorted(path.name for path in source.iterdir()) == ["file", "sub"]
    assert (source / "file").read_text() == "of the host\n"


@BOTH
def test_a_source_that_is_not_there(docker: Words, source: Path) -> None:
    """Docker's two ways."""
    missing = source / "missing" / "folder"
    said = docker.fail(1, "create", "--mount", f"type=bind,src={missing},dst=/m", "busybox", "true")
    assert f'invalid mount config for type "bind": bind source path does not exist: {missing}' in said
    assert docker.containers() == []
    docker.run("-v", f"{missing}:/m", "busybox", "touch", "/m/x")
    assert (missing / "x").exists()


@BOTH
def test_mounts_lie_over_each_other_in_their_order(docker: Words, source: Path) -> None:
    (source / "sub" / "inner").write_text("of the outer\n")
    said = docker.run(
        "-v", f"{source}/file:/m/sub/deep/file", "-v", "vol:/m/sub", "-v", f"{source}:/m", "--tmpfs", "/m/sub/deep/t",
        "busybox", "sh", "-c", "cat /m/file /m/sub/deep/file; ls -A /m/sub /m/sub/deep; touch /m/sub/deep/t/x /m/sub/v",
    )  # fmt: skip
    assert said.split() == [
        "of", "the", "host", "of", "the", "host", "/m/sub:", "deep", "/m/sub/deep:", "file", "t",
    ]  # fmt: skip
    assert [path.name for path in (source / "sub").iterdir()] == ["inner"], (
        "nothing was made in what is covered"
    )


@BOTH
def test_inspect_tells_what_is_mounted(docker: Words, source: Path) -> None:
    id = docker.succeed(
        "create", "-v", f"{source}:/b:ro", "-v", "named:/v", "-v", "/anonymous", "--mount", "type=tmpfs,dst=/t,tmpfs-size=1m",
        "busybox", "true",
    ).strip()  # fmt: skip
    found = docker.inspect(id)
    mounts = {mount["Destination"]: mount for mount in found["Mounts"]}
    assert set(mounts) == {"/b", "/v", "/anonymous", "/t"}
    assert mounts["/b"] == {
        "Type": "bind", "Source": str(source), "Destination": "/b", "Mode": "ro", "RW": False, "Propagation": "rprivate",
    }  # fmt: skip
    assert (mounts["/v"]["Name"], mounts["/v"]["Driver"], mounts["/v"]["RW"]) == ("named", "local", True)
    assert mounts["/v"]["Source"] == str(docker.daemon.home / "volumes" / "named" / "_data")
    assert len(mounts["/anonymous"]["Name"]) == 64
    assert mounts["/t"]["Type"] == "tmpfs"
    binds = found["HostConfig"]["Binds"]  # the docker command sends them in no certain order
    assert sorted(binds) == [f"{source}:/b:ro", "named:/v"]
    assert docker.succeed("ps", "-aq", "--no-trunc", "--filter", "volume=named").strip() == id


@BOTH
def test_work_goes_on_in_a_folder_that_is_closed_to_others(docker: Words, source: Path) -> None:
    """A user's own work, as it is at home: the daemon is that user's, or root's."""
    (work := source / "sub" / "work").mkdir()
    (work / "main.c").write_text("int main;\n")
    for path in (work, work / "main.c"):
        os.chown(path, source.stat().st_uid, source.stat().st_gid)
        path.chmod(0o700 if path.is_dir() else 0o600)
    said = docker.run(
        "-v", f"{work}:/src", "-w", "/src", "busybox", "sh", "-c", "cat main.c; echo made >made; mkdir out"
    )
    assert said == "int main;\n"
    assert (work / "made").read_text() == "made\n" and stat.S_IMODE(work.stat().st_mode) == 0o700
    assert (work / "out").stat().st_uid == source.stat().st_uid


# -- volumes


@BOTH
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_named_volume_outlives_its_containers(docker: Words, platform: str) -> None:
    docker.succeed("volume", "create", "--label", "k=v", "kept")
    docker.run("--platform", platform, "-v", "kept:/v", "busybox", "sh", "-c",
               "echo here >/v/file && chown 70:71 /v/file && chmod 600 /v/file && ln -s file /v/link")  # fmt: skip
    said = docker.run("--platform", platform, "-v", "kept:/v:ro", "busybox", "sh", "-c",
                      "cat /v/link; stat -c '%u %g %a' /v/file")  # fmt: skip
    assert said.splitlines() == ["here", "70 71 600"]
    assert "in use" not in docker.succeed("volume", "rm", "kept")
    docker.fail(1, "volume", "inspect", "kept")


@BOTH
def test_a_new_volume_gets_the_images_files(docker: Words) -> None:
    """With their owners and modes; only once, and not where it is not wanted."""
    inside = docker.run(
        "busybox", "sh", "-c", "cd /etc && find . -type f | sort | xargs stat -c '%n %u %g %a %s'"
    )
    seen = docker.run("-v", "filled:/etc", "busybox", "sh", "-c", "rm /etc/os-release; ls /etc/passwd")
    assert seen.strip() == "/etc/passwd"
    again = docker.run(
        "-v",
        "filled:/v",
        "busybox",
        "sh",
        "-c",
        "cd /v && find . -type f | sort | xargs stat -c '%n %u %g %a %s'",
    )
    wanted = [line for line in inside.splitlines() if "os-release" not in line]
    bound = ("./hostname", "./hosts", "./resolv.conf")
    assert [line for line in again.splitlines() if not line.startswith(bound)] == [
        line for line in wanted if not line.startswith(bound)
    ]
    docker.run("-v", "filled:/etc", "busybox", "test", "!", "-e", "/etc/os-release")
    docker.run("-v", "bare:/etc:nocopy", "busybox", "test", "!", "-e", "/etc/passwd")
    mount = "type=volume,src=bare2,dst=/etc,volume-nocopy"
    docker.run("--mount", mount, "busybox", "test", "!", "-e", "/etc/passwd")


@BOTH
def test_it_gets_them_when_the_container_is_created(docker: Words, place: Path) -> None:
    """As with Docker: before any start, read-only or not, and not again after that."""
    created = docker.succeed("create", "--name", "first", "-v", "early:/bin:ro", "busybox", "/bin/true")
    assert docker.state(created.strip())["Status"] == "created"
    folder = Path(json.loads(docker.succeed("volume", "inspect", "early"))[0]["Mountpoint"])
    program = (folder / "busybox").read_bytes()
    assert program.startswith(b"\x7fELF")
    assert "busybox" in docker.run("-v", "early:/v", "busybox", "ls", "/v")
    place.chmod(0o777)
    docker.succeed("cp", "first:/bin/busybox", str(place / "copied"))
    assert (place / "copied").read_bytes() == program
    docker.succeed("start", "-a", "first")
    docker.fail(1, "run", "--rm", "-v", "early:/bin:ro", "busybox", "touch", "/bin/new")
    docker.run("-v", "early:/v", "busybox", "sh", "-c", "rm -rf /v/*")
    docker.fail(1, "start", "-a", "first")
    docker.succeed("create", "--name", "heir", "--volumes-from", "first", "busybox", "true")
    assert docker.run("-v", "early:/v", "busybox", "ls", "-A", "/v") == ""


@BOTH
def test_a_start_goes_on_with_the_machine_that_filled_a_volume(docker: Words) -> None:
    running = docker.sleeper("-v", "/etc", "-m", "300m")
    assert docker.succeed("exec", running, "cat", "/etc/passwd").startswith("root:")
    assert (
        docker.succeed("exec", running, "sh", "-c", "touch /etc/x && ls /proc/1/task | wc -l").strip() == "1"
    )
    docker.succeed("restart", "-t", "0", running)
    docker.succeed("exec", running, "test", "-e", "/etc/x")


@BOTH
def test_a_volume_that_is_a_folder_of_the_hosts_is_filled_by_root_alone(docker: Words, source: Path) -> None:
    (place := source / "sub" / "empty").mkdir()
    os.chown(place, source.stat().st_uid, source.stat().st_gid)
    docker.succeed("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={place}", "far")
    docker.succeed("create", "-v", "far:/etc", "busybox", "true")
    assert (place / "passwd").exists() == is_roots(docker)


@BOTH
def test_anonymous_volumes_go_with_rm_and_with_their_containers_when_asked(docker: Words) -> None:
    docker.run("-v", "/data", "busybox", "touch", "/data/x")
    assert docker.succeed("volume", "ls", "-q") == ""
    docker.succeed("run", "--name", "one", "-v", "/data", "-v", "named:/n", "busybox", "touch", "/data/x")
    assert len(docker.succeed("volume", "ls", "-q").split()) == 2
    docker.succeed("rm", "-v", "one")
    assert docker.succeed("volume", "ls", "-q").split() == ["named"]
    docker.succeed("run", "--name", "two", "-v", "/data", "busybox", "true")
    docker.succeed("rm", "two")
    assert len(docker.succeed("volume", "ls", "-q", "--filter", "dangling=true").split()) == 2
    assert "named" not in docker.succeed("volume", "prune", "-f")
    assert docker.succeed("volume", "ls", "-q").split() == ["named"]
    assert "named" in docker.succeed("volume", "prune", "-a", "-f")


@BOTH
def test_several_running_containers_share_one(docker: Words) -> None:
    one = docker.sleeper("--name", "one", "-v", "shared:/v")
    two = docker.sleeper("--volumes-from", "one:ro", "--platform", PLATFORMS[-1])
    docker.succeed("exec", one, "sh", "-c", "echo first >/v/file")
    assert docker.succeed("exec", two, "cat", "/v/file") == "first\n"
    docker.succeed("exec", one, "sh", "-c", "echo second >>/v/file")
    assert docker.succeed("exec", two, "cat", "/v/file") == "first\nsecond\n"
    docker.fail(1, "exec", two, "touch", "/v/other")
    said = docker.fail(1, "volume", "rm", "shared")
    assert "volume is in use" in said and one in said
    usage = json.loads(docker.daemon.request("GET", "/v1.47/system/df").body)["Volumes"]
    assert [(v["Name"], v["UsageData"]["RefCount"], v["UsageData"]["Size"]) for v in usage] == [
        ("shared", 2, 13)
    ]


@BOTH
def test_a_part_of_a_volume(docker: Words) -> None:
    docker.run("-v", "whole:/v", "busybox", "sh", "-c",
               "mkdir -p /v/a/b && echo in >/v/a/b/f && ln -s / /v/out && ln -s /a/b /v/within && ln -s ../../.. /v/a/up")  # fmt: skip
    part = "type=volume,src=whole,dst=/p,volume-subpath="
    assert docker.run("--mount", f"{part}a/b", "busybox", "cat", "/p/f") == "in\n"
    assert docker.run("--mount", f"{part}a/b/f", "busybox", "cat", "/p") == "in\n"
    # an ordinary user's volumes have no links that the host could follow
    for link in ("out", "a/up") if is_roots(docker) else ():  # the volume's root, and nothing beyond
        assert docker.run("--mount", f"{part}{link}", "busybox", "ls", "-A", "/p").split() == [
            "a",
            "out",
            "within",
        ]
    assert "no such file" in docker.fail(127, "run", "--rm", "--mount", f"{part}none", "busybox", "true")
    assert docker.containers() == []


@BOTH
def test_volumes_of_other_kinds(docker: Words, source: Path) -> None:
    docker.succeed(
        "volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={source}", "elsewhere"
    )
    assert docker.run("-v", "elsewhere:/v", "busybox", "cat", "/v/file") == "of the host\n"
    docker.succeed(
        "volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=7", "memory"
    )
    said = docker.run(
        "-v",
        "memory:/v",
        "busybox",
        "sh",
        "-c",
        "stat -c %u /v; df -k /v | tail -1 | tr -s ' ' | cut -d' ' -f1,2",
    )
    assert said.splitlines() == ["7", "tmpfs 1024"]
    said = docker.fail(
        1, "volume", "create", "-o", "type=nfs", "-o", "o=addr=10.0.0.1", "-o", "device=:/x", "far"
    )
    assert "the host mounts nothing" in said
    assert "no such" in docker.fail(1, "volume", "inspect", "far").lower()


@BOTH
def test_a_create_that_fails_leaves_no_volume(docker: Words) -> None:
    docker.fail(1, "create", "-v", "made:/v", "-v", "/anon", "--volumes-from", "nobody", "busybox", "true")
    docker.fail(1, "create", "-v", "made:/v", "--mount", "type=bind,src=/no/where,dst=/b", "busybox", "true")
    assert docker.succeed("volume", "ls", "-q") == ""


# -- files of containers


@BOTH
def test_cp_goes_into_volumes_whether_it_runs_or_not(docker: Words, source: Path, place: Path) -> None:
    place.chmod(0o777)
    (place / "one").write_text("one\n")
    created = docker.succeed(
        "create", "--read-only", "-v", "vol:/v", "-v", f"{source}:/m:ro", "busybox", "true"
    ).strip()
    docker.succeed("cp", str(place / "one"), f"{created}:/v/one")
    assert docker.run("-v", "vol:/v", "busybox", "cat", "/v/one") == "one\n"
    assert "marked read-only" in docker.fail(1, "cp", str(place / "one"), f"{created}:/m/one")
    assert "marked read-only" in docker.fail(1, "cp", str(place / "one"), f"{created}:/tmp/one")
    docker.succeed("cp", f"{created}:/m/file", str(place / "two"))
    assert (place / "two").read_text() == "of the host\n"
    running = docker.sleeper("-v", "vol:/v")
    docker.succeed("cp", str(place / "two"), f"{running}:/v/two")
    assert docker.succeed("exec", running, "cat", "/v/two") == "of the host\n"


@BOTH
def test_what_is_mounted_is_no_part_of_the_containers_own_files(
    docker: Words, source: Path, place: Path
) -> None:
    id = docker.succeed(
        "run", "-d", "-v", f"{source}:/m", "-v", "vol:/v", "busybox", "sh", "-c", "touch /own /m/x /v/y"
    ).strip()
    docker.succeed("wait", id)
    assert sorted(docker.succeed("diff", id).splitlines()) == ["A /m", "A /own", "A /v"]
    place.chmod(0o777)
    docker.succeed("export", "-o", str(place / "tar"), id)
    with tarfile.open(place / "tar") as tar:
        names = [name for name in tar.getnames() if name.split("/")[0] in ("m", "v", "own")]
    assert sorted(names) == ["m", "own", "v"]


# -- the daemon's end


@BOTH_NEW
def test_a_daemon_that_was_killed_finds_mounts_and_volumes_again(
    new_daemon: Callable[[], DaemonProcess],
) -> None:
    daemon = new_daemon()
    docker = Words(daemon)
    folder = make_folder()
    owner = daemon.home.stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    try:
        id = docker.sleeper("-v", "kept:/v", "-v", f"{folder}:/m", "-v", "/anonymous")
        docker.succeed("exec", id, "sh", "-c", "echo before | tee /v/file /m/file /anonymous/file")
        daemon.kill()
        daemon.start()
        assert docker.succeed("exec", id, "cat", "/v/file", "/m/file", "/anonymous/file") == "before\n" * 3
        docker.succeed("exec", id, "sh", "-c", "echo after >/m/file")
        assert (folder / "file").read_text() == "after\n"
        assert "in use" in docker.fail(1, "volume", "rm", "kept")
        assert len(docker.inspect(id)["Mounts"]) == 3
        docker.succeed("restart", "-t", "1", id)
        assert docker.succeed("exec", id, "cat", "/v/file", "/m/file") == "before\nafter\n"
        docker.succeed("rm", "-f", "-v", id)
        assert docker.succeed("volume", "ls", "-q").split() == ["kept"]
        assert [path.name for path in (daemon.home / "volumes").iterdir()] == ["kept"]
    finally:
        shutil.rmtree(folder)


def test_clones_of_the_pool_take_mounts(docker: Words, source: Path) -> None:
    filled = docker.daemon.request("POST", f"/insula/pool/fill?platform={DEFAULT.replace('/', '%2F')}")
    assert filled.status == 200
    id = docker.sleeper("-v", f"{source}:/m:ro", "-v", "vol:/v")
    assert docker.inspect(id)["Insula"]["Origin"] == "pool"
    assert docker.succeed("exec", id, "cat", "/m/file") == "of the host\n"


@BOTH
def test_a_folder_that_only_its_owner_may_enter(docker: Words, source: Path) -> None:
    """`-v $PWD:/src`, as somebody works in it: the folder's owner is the daemon's user, and 0700 is its mode."""
    source.chmod(0o700)
    source.parent.chmod(0o700)
    owner = source.stat()
    said = docker.run(
        "-v", f"{source}:/src", "-w", "/src", "busybox", "sh", "-c",
        "cat file && echo built >out && mkdir -p build && mv out build/ && stat -c %a . && ls -A",
    )  # fmt: skip
    assert said.split() == ["of", "the", "host", "700", "build", "file", "sub"]
    made = source / "build" / "out"
    assert made.read_text() == "built\n"
    assert (made.stat().st_uid, made.stat().st_gid) == (owner.st_uid, owner.st_gid)


@BOTH
def test_pruning_all_there_is_takes_anonymous_volumes_alone(docker: Words, source: Path) -> None:
    """As with Docker since API 1.42: `system prune --volumes` leaves those with a name."""
    docker.succeed("volume", "create", "named")
    docker.succeed(
        "volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={source}", "elsewhere"
    )
    docker.succeed("create", "-v", "/anonymous", "-v", "elsewhere:/e", "busybox", "true")
    running = docker.sleeper("-v", "/held")
    before = set(docker.succeed("volume", "ls", "-q").split())
    docker.succeed("system", "prune", "-f", "--volumes")
    left = set(docker.succeed("volume", "ls", "-q").split())
    assert {"named", "elsewhere"} < left and len(before - left) == 1 and len(left) == 3
    assert docker.containers() == [running]
    docker.sweep()
    assert docker.succeed("volume", "prune", "-f", "-a").count("elsewhere") == 1
    assert (source / "file").read_text() == "of the host\n"
