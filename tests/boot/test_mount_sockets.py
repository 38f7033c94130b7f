"""Sockets of the host's in a container: echoed through, the daemon's own, those that nobody listens at any more."""

import contextlib
import os
import shutil
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from words import BOTH, BOTH_NEW, Words

from boot_paths import DEFAULT, PLATFORMS, make_folder
from daemon_fixture import DaemonProcess
from probe_program import connect

pytestmark = [pytest.mark.boot]


class Echo(socketserver.StreamRequestHandler):
    """Says how much it was told, and then all of it again."""

    def handle(self) -> None:
        data = self.rfile.read()
        self.wfile.write(b"%d\n" % len(data) + data)


class Place:
    """A folder of the daemon's user, with the program that connects. mounts: the words for it."""

    def __init__(self, folder: Path, owner: int, platform: str) -> None:
        self.folder, self.owner = folder, owner
        shutil.copy(connect(platform), folder / "connect")
        for path in (folder, folder / "connect"):
            os.chown(path, owner, owner)
        self.mounts = ("--platform", platform, "-v", f"{folder / 'connect'}:/connect:ro")

    @contextmanager
    def listening(self, path: Path) -> Iterator[None]:
        server = socketserver.ThreadingUnixStreamServer(str(path), Echo)
        os.chown(path, self.owner, self.owner)
        path.chmod(0o660)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            path.unlink()


@contextmanager
def open_place(daemon: DaemonProcess, platform: str) -> Iterator[Place]:
    folder = make_folder()
    try:
        yield Place(folder, daemon.home.stat().st_uid, platform)
    finally:
        shutil.rmtree(folder)


@BOTH
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_socket_of_the_hosts(docker: Words, platform: str) -> None:
    """Its path is longer than a socket's address may be."""
    with open_place(docker.daemon, platform) as place:
        path = place.folder / ("a-name-that-is-long-" * 8) / "socket"
        path.parent.mkdir()
        os.chown(path.parent, place.owner, place.owner)
        with contextlib.chdir(path.parent), place.listening(Path("socket")):
            words = (*place.mounts, "-v", f"{path}:/run/s/echo:ro", "busybox", "sh", "-c")
            said = docker.run(*words, "stat -c '%F %a %u' /run/s/echo; echo hello | /connect /run/s/echo")
            assert said.splitlines() == [f"socket 660 {place.owner}", "6", "hello"]
            many = "for i in 1 2 3 4 5 6 7 8 9; do (echo $i | /connect /run/s/echo) & done; wait"
            assert sorted("".join(docker.run(*words, many).split())) == sorted("123456789" + 9 * "2")
            large = "head -c 3000000 /dev/zero | /connect /run/s/echo | wc -c"
            assert docker.run(*words, large).strip() == str(3_000_000 + 8)


@BOTH_NEW
def test_the_daemons_own_socket_and_its_restart(new_daemon: Callable[[], DaemonProcess]) -> None:
    """A client in the container drives the daemon that runs it, over the daemon's death."""
    daemon = new_daemon()
    docker = Words(daemon)
    with open_place(daemon, DEFAULT) as place:
        inside = docker.sleeper(*place.mounts, "-v", f"{daemon.socket}:/var/run/docker.sock")
        # a client that closes its half at once is gone, to the daemon: this one waits for the answer
        ask = (
            "rm -f /ask; mkfifo /ask; exec 3<>/ask; printf 'GET /containers/json HTTP/1.0\\r\\n\\r\\n' >&3; "
            "/connect /var/run/docker.sock <&3"
        )
        assert inside in docker.succeed("exec", inside, "sh", "-c", ask)
        docker.succeed("pause", inside)
        docker.succeed("unpause", inside)
        daemon.kill()
        daemon.start()
        assert inside in docker.succeed("exec", inside, "sh", "-c", ask)
        docker.succeed("rm", "-f", inside)


@BOTH
def test_a_socket_that_nobody_listens_at_any_more_says_nothing(docker: Words) -> None:
    with open_place(docker.daemon, DEFAULT) as place:
        path = place.folder / "socket"
        with place.listening(path):
            id = docker.sleeper(*place.mounts, "-v", f"{path}:/s")
            ask = ("exec", id, "sh", "-c", "echo x | /connect /s; true")
            assert docker.succeed(*ask).split() == ["2", "x"]
        assert docker.succeed(*ask) == ""
        path.symlink_to("/etc/passwd")
        assert docker.succeed(*ask) == ""
        path.unlink()
        with place.listening(path):
            assert docker.succeed(*ask).split() == ["2", "x"], "another one by that name is as good"
        docker.succeed("rm", "-f", id)
