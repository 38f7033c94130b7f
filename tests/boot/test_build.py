"""Builds whose steps run in machines, with the docker command and the classic builder's words."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from build_words import CLASSIC, build, write_context
from words import BOTH, Words

from boot_paths import PLATFORMS
from daemon_fixture import DaemonProcess

pytestmark = pytest.mark.boot


def config(docker: Words, image: str) -> dict[str, object]:
    return dict(json.loads(docker.succeed("image", "inspect", image))[0]["Config"])


@BOTH
def test_steps_run_one_after_the_other(docker: Words, place: Path) -> None:
    folder = write_context(
        place,
        "FROM busybox AS first\n"
        "ARG WHO=nobody\n"
        "RUN echo one > /one && echo for $WHO\n"
        "RUN echo two > /two && rm /one && mkdir /d && echo in > /d/f && ln -s f /d/l && chmod 4750 /two\n"
        "WORKDIR /w/x\n"
        "RUN pwd && id -u && hostname && ps | wc -l\n"
        "COPY --chown=8:mail a b/ ./\n"
        "COPY one.txt named\n"
        "USER mail\n"
        'RUN ["/bin/sh", "-c", "id -un; cat named; rm -rf /d 2>&1 || true"]\n'
        "RUN <<EOF\n"
        "set -e\n"
        "X=here\n"
        "echo $X and $(cat sub/deep)\n"
        "EOF\n"
        "FROM busybox\n"
        "COPY --from=first /w /taken\n"
        "COPY --from=0 /two /tw* /\n"
        "RUN ls -ln /taken/x; stat -c %a:%u /two; [ ! -e /one ]\n"
        'CMD ["cat", "/taken/x/named"]\n',
        {"a/x": "ax", "a/sub/deep": "deep", "b/y": "by", "one.txt": "content\n"},
    )
    out, _ = build(docker, "-t", "built:1", "--build-arg", "WHO=tests", folder)
    assert (
        "for tests\n" in out and "/w/x\n0\n" in out and "mail\ncontent\n" in out and "here and deep\n" in out
    )
    assert out.count("Running in ") == out.count("Removing intermediate container ") == 6
    assert "4750:0" in out and "Successfully tagged built:1\n" in out
    assert docker.run("built:1") == "content\n"
    assert docker.run("built:1", "ls", "-ln", "/taken/x/x").split()[2:4] == ["8", "8"]
    again, _ = build(docker, "-t", "built:2", "--build-arg", "WHO=tests", folder)
    assert again.count("Using cache") == 14 and "Running in" not in again
    assert docker.daemon.client.images.get("built:1").id == docker.daemon.client.images.get("built:2").id


def test_the_last_copy_changes_and_only_that_is_done_again(docker: Words, place: Path) -> None:
    text = "FROM busybox\nRUN echo once > /once\nCOPY f /f\nRUN cat /f > /g\n"
    folder = write_context(place, text, {"f": "1"})
    build(docker, "-t", "again", folder)
    (place / "f").write_text("2")
    out, _ = build(docker, "-t", "again", folder)
    assert out.count("Using cache") == 1 and out.count("Running in") == 1
    assert docker.run("again", "cat", "/once", "/g") == "once\n2"


@BOTH
def test_a_step_that_fails(docker: Words, place: Path) -> None:
    folder = write_context(place, "FROM busybox\nRUN echo said >&2; exit 3\n")
    before = docker.succeed("images", "-aq")
    out, err = build(docker, folder, code=3)
    assert "\x1b[91msaid\n\x1b[0m" in out
    assert err.rstrip().endswith("The command '/bin/sh -c echo said >&2; exit 3' returned a non-zero code: 3")
    assert docker.succeed("images", "-aq") == before
    assert not list((docker.daemon.home / "containers").glob("build-*"))
    folder = write_context(place, 'FROM busybox\nRUN ["nothing"]\n')
    _, err = build(docker, folder, code=127)
    assert 'exec: "nothing": executable file not found in $PATH' in err


def test_more_layers_than_a_machine_has_disks(docker: Words, place: Path) -> None:
    steps = "".join(f"RUN echo {n} > /f{n} && rm -f /f{n - 1}\n" for n in range(1, 13))
    folder = write_context(place, f"FROM busybox\n{steps}")
    began = time.monotonic()
    build(docker, "-t", "deep", folder)
    print(f"12 steps: {time.monotonic() - began:.2f} s")
    assert docker.run("deep", "sh", "-c", "ls /f*") == "/f12\n"
    assert len(json.loads(docker.succeed("image", "inspect", "deep"))[0]["RootFS"]["Layers"]) == 13


def test_what_becomes_of_files(docker: Words, place: Path) -> None:
    """Of nothing, by COPY alone; an archive; a folder that is removed and made anew; links, modes, holes."""
    import io
    import tarfile

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:xz") as tar:
        for name, mode, uid in (("up/file", 0o4711, 7), ("up/other", 0o600, 0)):
            item = tarfile.TarInfo(name)
            item.size, item.mode, item.uid = 3, mode, uid
            tar.addfile(item, io.BytesIO(b"abc"))
    folder = write_context(
        place,
        "FROM busybox AS tools\n"
        "RUN mkdir /old && touch /old/a /old/b && ln /old/a /old/c && truncate -s 1G /holes && setfattr -h 2>/dev/null || true\n"
        "RUN rm -rf /old && mkdir -m 700 /old && touch /old/new\n"
        "ADD a.tar.xz /un/\n"
        "COPY --parents p/./q/r.txt p/*.md /par/\n"
        "COPY --exclude=*.md --chmod=640 p /ex/\n"
        'COPY <<A <<"B" /texts/\n'
        "to $HOME_\n"
        "A\n"
        "as $HOME_ is\n"
        "B\n"
        "RUN ls -A /old; stat -c %a /old; stat -c %a:%u /un/up/file; find /par /ex -type f | sort; stat -c %a /ex/q/r.txt\n"
        "RUN cat /texts/A /texts/B; stat -c %s /holes\n"
        "FROM scratch\n"
        "COPY --from=tools /bin/busybox /bin/sh\n"
        "RUN echo of nothing > /made\n"
        'ENTRYPOINT ["/bin/sh", "-c", "read x < /made; echo $x"]\n',
        {"a.tar.xz": archive.getvalue(), "p/q/r.txt": "r", "p/s.md": "s"},
    )
    out, _ = build(docker, "-t", "files", folder)
    lines = out.splitlines()
    at = lines.index("new")
    assert lines[at : at + 7] == [
        "new", "700", "4711:7", "/ex/q/r.txt", "/par/p/s.md", "/par/q/r.txt", "640",
    ]  # fmt: skip
    assert "to \nas $HOME_ is\n1073741824\n" in out
    assert docker.run("files") == "of nothing\n"


def test_networks_hosts_and_secrets(docker: Words, place: Path) -> None:
    folder = write_context(
        place,
        "FROM busybox\n"
        "RUN --network=none echo alone: $(ls /sys/class/net)\n"
        "RUN echo on: $(ls /sys/class/net); grep added.test /etc/hosts\n"
        "RUN --mount=type=tmpfs,target=/scratch,size=1m touch /scratch/x && grep -c ' /scratch tmpfs' /proc/mounts\n"
        "RUN env | grep -c HTTP_PROXY=p\n",
    )
    out, _ = build(
        docker, "-t", "nets", "--add-host", "added.test:1.2.3.4", "--build-arg", "HTTP_PROXY=p", folder
    )
    assert "\nalone: lo\n" in out and "\non: eth0 lo\n" in out, out
    assert "\n1.2.3.4\tadded.test\n" in out and out.count("\n1\n") == 2, out
    assert docker.run("nets", "ls", "/").split().count("scratch") == 0
    assert "HTTP_PROXY=p /bin" not in docker.succeed("history", "--no-trunc", "nets")
    write_context(place, "FROM busybox\nRUN echo on: $(ls /sys/class/net)\n")
    out, _ = build(docker, "--network", "none", folder)
    assert "\non: lo\n" in out, out


@BOTH
def test_a_build_that_is_cut_off_leaves_nothing(docker: Words, place: Path) -> None:
    folder = write_context(place, "FROM busybox\nRUN echo begun; sleep 1000\n")
    containers, before = docker.daemon.home / "containers", docker.faults()
    with docker.begin("build", "--no-cache", folder, env=CLASSIC) as client:
        assert client.stdout is not None
        for line in client.stdout:
            if line == b"begun\n":
                break
        assert list(containers.glob("build-*"))
        client.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 120
    while list(containers.glob("build-*")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # a machine that is killed may leave its monitor in the middle of a word
    assert [fault for fault in docker.faults() if " qemu.qmp." not in fault and fault not in before] == []


def test_a_daemon_that_is_killed_leaves_nothing(
    new_daemon: Callable[..., DaemonProcess], place: Path
) -> None:
    docker = Words(new_daemon())
    folder = write_context(place, "FROM busybox\nRUN echo kept > /kept\nRUN echo begun; sleep 1000\n")
    with docker.begin("build", folder, env=CLASSIC, stderr=-1) as client:
        assert client.stdout is not None
        for line in client.stdout:
            if line == b"begun\n":
                break
        docker.daemon.kill()
        client.wait()
    docker.daemon.start()
    assert not list((docker.daemon.home / "containers").glob("build-*"))
    assert not list((docker.daemon.home / "staging").glob("image-*"))
    write_context(place, "FROM busybox\nRUN echo kept > /kept\nRUN cat /kept\n")
    out, _ = build(docker, folder)
    assert out.count("Using cache") == 1 and "\nkept\n" in out


def test_a_damaged_step_is_done_again(docker: Words, place: Path) -> None:
    folder = write_context(place, "FROM busybox\nRUN echo precious > /f\nENV A=1\n")
    build(docker, "-t", "damaged", folder)
    layer = json.loads(docker.succeed("image", "inspect", "damaged"))[0]["RootFS"]["Layers"][-1]
    blob = docker.daemon.home / "images" / "blobs" / "sha256" / layer.removeprefix("sha256:")
    blob.write_bytes(blob.read_bytes()[:700])
    write_context(place, "FROM busybox\nRUN echo precious > /f\nENV A=1\nRUN cat /f\n")
    out, _ = build(docker, "-t", "damaged", folder)
    assert "Using cache" not in out and "\nprecious\n" in out
    layer = json.loads(docker.succeed("image", "inspect", "damaged"))[0]["RootFS"]["Layers"][-1]
    docker.succeed("rmi", "-f", "damaged")
    write_context(place, "FROM busybox\nRUN echo precious > /g\nENV A=2\n")
    build(docker, folder)
    found = docker.daemon.client.images.list(all=True)
    newest = max(found, key=lambda image: image.attrs["Created"])
    layer = newest.attrs["RootFS"]["Layers"][-1].removeprefix("sha256:")
    blob = docker.daemon.home / "images" / "blobs" / "sha256" / layer
    deadline = time.monotonic() + 120
    while not (disks := list((docker.daemon.home / "images" / "disks").glob(f"{layer}*"))):
        assert time.monotonic() < deadline  # it is made once the build is over
        time.sleep(0.05)
    blob.write_bytes(blob.read_bytes().replace(b"precious", b"spoiled!"))
    for disk in disks:
        disk.unlink()
    write_context(place, "FROM busybox\nRUN echo precious > /g\nENV A=2\nRUN cat /g\n")
    out, _ = build(docker, folder)
    assert "A cached step is damaged: building without the cache\n" in out and "\nprecious\n" in out


@pytest.mark.platform
@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_builds_in_machines_of_its_own(docker: Words, place: Path, platform: str) -> None:
    folder = write_context(
        place,
        "FROM --platform=$TARGETPLATFORM busybox\nARG TARGETARCH TARGETPLATFORM\n"
        "RUN echo $TARGETPLATFORM; uname -m > /machine\nCMD cat /machine\n",
    )
    out, _ = build(docker, "--platform", platform, "-t", f"of:{os.path.basename(platform)}", folder)
    assert f"\n{platform}\n" in out
    ran = docker.run("--platform", platform, f"of:{os.path.basename(platform)}")
    assert ran == docker.run("--platform", platform, "busybox", "uname", "-m")


def test_a_secret_is_in_no_layer_no_history_and_no_log(docker: Words, place: Path) -> None:
    (place / "key").write_text("very-secret-word")
    folder = place / "context"
    folder.mkdir()
    write_context(
        folder,
        "FROM busybox\n"
        "RUN --mount=type=secret,id=key --mount=type=secret,id=word,env=WORD,target=/w,mode=0444 \\\n"
        "    stat -c %a /run/secrets/key /w && [ $(wc -c < /run/secrets/key)$WORD = 16other ] && touch /done\n"
        "RUN ls -A /run/secrets /w 2>/dev/null; [ ! -s /run/secrets/key ] && echo none of it is left\n",
    )
    docker.daemon.env["THE_WORD"] = "other"
    secrets = ("--secret", f"id=key,src={place / 'key'}", "--secret", "id=word,env=THE_WORD")
    done = docker.daemon.insula("build", "-t", "silent", *secrets, str(folder), timeout=300)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert b"\n400\n444\n" in done.stdout and b"none of it is left\n" in done.stdout
    home = docker.daemon.home
    for path in (home / "daemon.log", *(home / "images" / "blobs" / "sha256").iterdir()):
        assert b"very-secret-word" not in path.read_bytes(), path
    assert docker.run("silent", "sh", "-c", "ls /done; ls /run/secrets /w 2>/dev/null; true") == "/done\n"


def test_equal_inputs_give_equal_images(docker: Words, place: Path) -> None:
    folder = write_context(
        place,
        "FROM busybox\nWORKDIR /made/here\nCOPY --chmod=600 a b /copied/\n"
        "RUN mkdir -p /d/e && echo x > /d/e/f && for n in 1 2 3 4 5; do touch /d/$n; done\n",
        {"a": "a", "b": "b"},
    )
    ids = set()
    for _ in range(2):
        build(docker, "--no-cache", "-t", "same", "--build-arg", "SOURCE_DATE_EPOCH=1000000000", folder)
        ids.add(docker.daemon.client.images.get("same").id)
        (place / "a").touch()
    assert len(ids) == 1
    assert (
        docker.run("same", "stat", "-c", "%Y", "/made/here", "/d/e/f", "/copied/b").split()
        == ["1000000000"] * 3
    )


def test_squash_leaves_one_layer_and_the_same_files(docker: Words, place: Path) -> None:
    folder = write_context(
        place,
        "FROM busybox\n"
        "RUN mkdir -p /d/e && echo 1 > /d/one && ln /d/one /d/two && rm -r /var/spool && echo x > /gone\n"
        "RUN rm /gone /d/two && mkdir -p /var/spool && echo 2 > /var/spool/new && chown 8:8 /d\n"
        "ENV A=1\n"
        "COPY f /d/f\n",
        {"f": "f\n"},
    )
    look = ("sh", "-c", "find /d /var /gone -exec stat -c '%n %a %u:%g %F' {} + | sort; cat /d/f /d/one")
    build(docker, "-t", "plain", folder)
    done = docker.daemon.insula("build", "--squash", "-t", "squashed", folder, timeout=300)
    assert done.returncode == 0, done.stderr
    assert docker.run("squashed", *look) == docker.run("plain", *look)
    layers = {
        name: len(json.loads(docker.succeed("image", "inspect", name))[0]["RootFS"]["Layers"])
        for name in ("busybox", "plain", "squashed")
    }
    assert (layers["plain"], layers["squashed"]) == (layers["busybox"] + 3, layers["busybox"] + 1)
    assert "merge" in docker.succeed("history", "squashed") and config(docker, "squashed")["Env"] == [
        *config(docker, "busybox")["Env"], "A=1",  # type: ignore[misc]
    ]  # fmt: skip


@BOTH
def test_stages_that_need_nothing_of_each_other_run_at_the_same_time(docker: Words, place: Path) -> None:
    """Each waits for the other by a cache that both have: one after the other they would wait for ever."""
    wait = "RUN --mount=type=cache,id=meet,target=/c touch /c/{0} && until [ -e /c/{1} ]; do sleep 0.1; done; echo {0} > /f\n"
    folder = write_context(
        place,
        f"FROM busybox AS one\n{wait.format('one', 'two')}"
        f"FROM busybox AS two\n{wait.format('two', 'one')}"
        "FROM busybox\n"
        "COPY --from=one /f /one\n"
        "COPY --from=two /f /two\n",
    )
    out, _ = build(docker, "--no-cache", "-t", "met", folder)
    numbers = [line.split()[1] for line in out.splitlines() if line.startswith("Step ")]
    assert numbers == [f"{n}/7" for n in range(1, 8)]
    assert docker.run("met", "cat", "/one", "/two") == "one\ntwo\n"
    docker.succeed("volume", "prune", "-af")
