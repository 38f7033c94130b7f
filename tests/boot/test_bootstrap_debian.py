"""`insula bootstrap debian`: foreign second stages in machines of their platforms, and what Debian then is.

Minutes each, under emulation."""

import http.client
import json
import re
from collections.abc import Callable, Iterator

import pytest
from words import Words

from boot_paths import MACHINES, PLATFORMS
from daemon_fixture import DaemonProcess, UnixConnection

pytestmark = [pytest.mark.boot, pytest.mark.soak]

DEBIAN = "debian:bookworm"
INTERIM = "insula/debian-first-stage"
MINUTES = 3600.0
CLEANED = {"/var/lib/apt/lists/partial", "/var/log/apt"}  # folders that apt makes again
SET_IDS = {
    "/usr/bin/passwd": ("4755", "0:0"),
    "/usr/bin/chage": ("2755", "0:42"),
    "/var/mail/": ("2775", "0:8"),
    "/tmp": ("1777", "0:0"),
    "/etc/shadow": ("640", "0:42"),
}


@pytest.fixture(scope="module")
def made(seeded_daemon: DaemonProcess) -> Words:
    done = seeded_daemon.insula("bootstrap", "debian", timeout=MINUTES)
    assert done.returncode == 0, (done.stdout, done.stderr)
    for platform in PLATFORMS:
        assert f"Made {DEBIAN} for {platform}".encode() in done.stdout
    return Words(seeded_daemon)


@pytest.fixture(scope="module")
def seeded_daemon(daemon: DaemonProcess) -> Iterator[DaemonProcess]:
    """The session's own; it loses Debian again."""
    yield daemon
    daemon.docker("rmi", "-f", DEBIAN)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_debian_is_whole(made: Words, platform: str) -> None:
    def run(*words: str) -> str:
        return made.succeed("run", "--rm", "--platform", platform, DEBIAN, *words, timeout=600)

    assert run("uname", "-m").strip() == MACHINES[platform]
    assert re.fullmatch(r"12\.\d+\n", run("cat", "/etc/debian_version"))
    assert "package management program version 1.21" in run("dpkg", "--version")
    assert run("dpkg", "--audit") == ""
    assert set(run("dpkg-query", "-W", "-f", "${db:Status-Status}\n").split()) == {"installed"}
    assert set(run("dpkg", "--verify").split()) - {"missing"} == CLEANED
    assert run("apt-get", "check", "-qq") == ""
    assert run("perl", "-e", "print 6*7") == "42"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_ids_modes_and_links_are_kept(made: Words, platform: str) -> None:
    lines = made.succeed("run", "--rm", "--platform", platform, DEBIAN,
                         "stat", "-Lc", "%n %a %u:%g", *SET_IDS, timeout=600).splitlines()  # fmt: skip
    assert {name: (mode, ids) for name, mode, ids in (line.split() for line in lines)} == SET_IDS
    links = made.succeed("run", "--rm", "--platform", platform, DEBIAN,
                         "readlink", "/bin", "/etc/alternatives/awk", timeout=600)  # fmt: skip
    assert links.splitlines() == ["usr/bin", "/usr/bin/mawk"]
    names = made.succeed("run", "--rm", "--platform", platform, DEBIAN,
                         "stat", "-c", "%h %i", "/usr/bin/perl", "/usr/bin/perl5.36.0", timeout=600)  # fmt: skip
    first, second = names.splitlines()
    assert first == second and first.startswith("2 ")


def test_nothing_of_the_making_is_left(made: Words) -> None:
    assert made.containers() == []
    assert INTERIM not in made.succeed("images", "--format", "{{.Repository}}")


def test_a_platform_that_debian_lacks_is_refused_before_any_work(daemon: DaemonProcess) -> None:
    done = daemon.insula("bootstrap", "--platform", PLATFORMS[0], "--platform", "linux/mips", "debian")
    assert done.returncode != 0
    assert b"linux/mips" in done.stderr
    assert b"Getting" not in done.stdout


def test_a_client_that_goes_takes_everything_with_it(new_daemon: Callable[[], DaemonProcess]) -> None:
    daemon = new_daemon()
    words = Words(daemon)
    with words.begin("events", "--filter", "event=start", "--filter", "event=destroy", "--filter", "event=delete",
                     "--format", "{{.Type}} {{.Action}}") as events:  # fmt: skip
        assert events.stdout is not None
        connection = UnixConnection(daemon.socket, MINUTES)
        answer = begin(connection, "linux/arm64")
        assert events.stdout.readline() == b"container start\n"
        assert INTERIM in words.succeed("images", "--format", "{{.Repository}}")
        answer.close()
        connection.close()
        assert events.stdout.readline() == b"container destroy\n"
        assert events.stdout.readline() == b"image delete\n"
    assert words.containers() == []
    images = words.succeed("images", "--format", "{{.Repository}}").split()
    assert INTERIM not in images and "debian" not in images


def begin(connection: http.client.HTTPConnection, platform: str) -> http.client.HTTPResponse:
    """Asks for Debian, and leaves the answer unread."""
    body = json.dumps({"what": "debian", "platforms": [platform]})
    connection.request("POST", "/insula/bootstrap", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200
    return answer
