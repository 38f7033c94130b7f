"""What single RUN steps of a build have mounted: caches, files, ssh agents."""

import contextlib
import os
import shutil
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from build_words import build, write_context
from words import BOTH, Words

from boot_paths import PLATFORMS
from probe_program import connect

pytestmark = pytest.mark.boot


class Echo(socketserver.StreamRequestHandler):
    """Says how much it was told, and then all of it again."""

    def handle(self) -> None:
        data = self.rfile.read()
        self.wfile.write(b"%d\n" % len(data) + data)


@contextlib.contextmanager
def listening(path: Path, docker: Words) -> Iterator[None]:
    """A socket of the daemon's user's."""
    server = socketserver.ThreadingUnixStreamServer(str(path), Echo)
    owner = docker.daemon.home.stat().st_uid
    os.chown(path, owner, owner)
    path.chmod(0o600)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        path.unlink()


@BOTH
def test_cache_mounts_outlive_the_build(docker: Words, place: Path) -> None:
    step = "RUN --mount=type=cache,target=/var/kept,sharing=locked echo {0} >> /var/kept/f; cat /var/kept/f | tr '\\n' ' '"
    folder = write_context(
        place, f"FROM busybox\n{step.format('one')}\n{step.format('two')}\nRUN ls -A /var/kept || echo none\n"
    )
    out, _ = build(docker, "-t", "kept", folder)
    assert "\none " in out and "\none two " in out
    write_context(
        place,
        "FROM busybox\nRUN --mount=type=cache,id=/var/kept,dst=/x,ro cat /x/f && ! touch /x/g 2>/dev/null\n",
    )
    out, _ = build(docker, folder)
    assert "\none\ntwo\n" in out
    assert "f" not in docker.run("kept", "sh", "-c", "ls -A /var/kept || true").split()
    assert docker.daemon.request("POST", "/build/prune?all=1").status == 200
    assert not [
        name for name in docker.succeed("volume", "ls", "-q").split() if name.startswith("build-cache-")
    ]


@BOTH
def test_bind_mounts_are_there_for_one_step(docker: Words, place: Path) -> None:
    folder = write_context(
        place,
        "FROM busybox AS made\n"
        "RUN mkdir /out && echo made > /out/f && chown -R 8:8 /out\n"
        "FROM busybox\n"
        "RUN --mount=target=/in --mount=type=bind,source=sub/one,target=/etc/one "
        "--mount=from=made,source=/out,target=/made "
        "cat /in/sub/one /etc/one /made/f > /kept && ls -ln /made/f /in/sub/one && ! touch /in/new\n"
        "RUN --mount=target=/in,rw echo lost > /in/new && cat /in/new >> /kept && [ ! -e /in/gone ]\n"
        "RUN [ ! -e /in ] && [ ! -e /made ] && [ ! -e /etc/one ]\n",
        {"sub/one": "one\n", "gone": "x", ".dockerignore": "gone\n"},
    )
    out, _ = build(docker, "-t", "bound", folder)
    listed = [line.split() for line in out.splitlines() if line.startswith("-rw")]
    assert {(words[2], words[3], words[-1]) for words in listed} == {
        ("8", "8", "/made/f"),
        ("0", "0", "/in/sub/one"),
    }
    assert docker.run("bound", "sh", "-c", "cat /kept; ls -d /in /made 2>/dev/null; true") == (
        "one\none\nmade\nlost\n"
    )
    assert "Running in" not in build(docker, "-t", "bound", folder)[0]
    (place / "sub" / "one").write_text("two\n")
    assert build(docker, "-t", "bound", folder)[0].count("Running in") == 3
    assert "build-bind" not in docker.succeed("volume", "ls")


@BOTH
def test_a_cache_of_somebody_is_theirs(docker: Words, place: Path) -> None:
    mount = "--mount=type=cache,id=theirs,target=/c,uid=8,gid=12,mode=0750"
    folder = write_context(
        place,
        f"FROM busybox\nUSER 8:12\nRUN {mount} stat -c %u:%g:%a /c && echo kept > /c/f\n"
        f"RUN {mount} cat /c/f\n"
        "RUN --mount=type=cache,id=theirs,target=/c,sharing=private [ ! -e /c/f ]\n",
    )
    out, _ = build(docker, "--no-cache", folder)
    assert "8:12:750\n" in out and "kept\n" in out
    docker.succeed("volume", "prune", "-af")


@BOTH
def test_a_cache_begins_with_what_another_stage_has(docker: Words, place: Path) -> None:
    lines = (
        "FROM busybox AS made",
        "RUN mkdir -p /out/deep && echo {0} > /out/deep/f && chown 8:8 /out/deep/f",
        "FROM busybox",
        "ARG WHERE=/c",
        "RUN --mount=type=cache,target=$WHERE,from=made,source=/out,mode=0750 "
        "cat /c/deep/f; stat -c '%u %a' /c/deep/f /c | tr '\\n' ' '; echo more >> /c/deep/f",
        "RUN --mount=type=cache,target=/c,from=made,source=/out,mode=0750 echo again: $(cat /c/deep/f)",
        "RUN [ ! -e /c ] && ls -d /proc/self/fd",
    )
    out, _ = build(docker, write_context(place, "\n".join(lines).format("one")))
    assert "\none\n8 644 0 750 " in out and "\nagain: one more\n" in out, out
    out, _ = build(docker, write_context(place, "\n".join(lines).format("two")))
    assert "\ntwo\n8 644 0 750 " in out and "\nagain: two more\n" in out, out
    docker.daemon.insula("builder", "prune", "-af")
    assert "build-cache" not in docker.succeed("volume", "ls")


@BOTH
@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_ssh_agent_is_there_for_one_step(docker: Words, place: Path, platform: str) -> None:
    folder = write_context(
        place,
        "FROM busybox\nCOPY connect /connect\n"
        "RUN --mount=type=ssh,required echo to $SSH_AUTH_SOCK | /connect $SSH_AUTH_SOCK; echo $(stat -c '%a %F' $SSH_AUTH_SOCK)\n"
        "RUN --mount=type=ssh,id=git,target=/s,mode=0666,uid=7 for i in 1 2 3; do echo $i | /connect /s & done; wait; "
        "stat -c '%u %a' /s\n"
        "RUN [ -z $SSH_AUTH_SOCK ] && [ ! -e /s ] && [ ! -e /run/buildkit ]\n",
    )
    shutil.copy(connect(platform), place / "connect")
    with listening(place / "a", docker), listening(place / "b", docker):
        words = ("build", "--platform", platform, "-t", "agents", "--ssh", f"default={place / 'a'}")
        done = docker.daemon.insula(*words, "--ssh", f"git={place / 'b'}", folder, timeout=300)
        out = done.stdout.decode()
        assert done.returncode == 0, (out, done.stderr, docker.health())
        assert "\n29\nto /run/buildkit/ssh_agent.0\n600 socket\n" in out
        assert out.count("\n2\n") == 3 and "\n7 666\n" in out
    listed = docker.run("--platform", platform, "agents", "ls", "/run", "/")
    assert "buildkit" not in listed and "\ns\n" not in listed
    refused = docker.daemon.insula("build", "--no-cache", folder, timeout=300)
    assert refused.returncode == 1
    assert b"line 3: no SSH key 'default' forwarded from the client" in refused.stderr
