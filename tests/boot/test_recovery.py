"""Kept from harm: the daemon killed at any moment, QEMU killed, and both; nothing of a container is lost.

A moment is drawn from a seed: which request is under way, how long after it the daemon is killed, whether it
stays away, on which platform the containers run. Talkers print numbered lines, more than the credit lets them
say unheard, and exit with a code of their own; each is checked line by line.
"""

import contextlib
import http.client
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from footprint import fill, settle, take_still
from words import BOTH_NEW, USERS, Words

from boot_paths import PLATFORMS
from daemon_fixture import DaemonProcess

pytestmark = pytest.mark.boot

LINES = 3000
TALK = """
i=0
while [ $i -lt LINES ]; do echo "out $i of this container"; echo "err $i of this container" >&2; i=$((i + 1)); done
exit $CODE
""".replace("LINES", str(LINES))
OPERATIONS = ("create", "start", "claim", "run", "stop", "rm", "rm -f", "nothing")
LONGEST = 0.25
"""Seconds after a request within which the daemon is killed: more than any of them takes."""


Request = tuple[str, str, Any]


@dataclass(frozen=True)
class Talker:
    name: str
    code: int
    tty: bool
    platform: str


class Scene:
    """One daemon with its containers, and who was told what."""

    def __init__(self, daemon: DaemonProcess, seed: int) -> None:
        self.daemon = daemon
        self.docker = Words(daemon)
        self.random = random.Random(seed)
        self.number = 0

    def create(self, *command: str) -> str:
        """A container; its name."""
        self.number += 1
        name = f"c{self.number}"
        made = self.daemon.request(
            "POST", f"/containers/create?name={name}", {"Image": "busybox", "Cmd": command}
        )
        assert made.status == 201, made.body
        return name

    def platform(self) -> str:
        return PLATFORMS[self.random.random() < 0.25]

    def talker(self) -> Talker:
        talker, body = self.plan_talker()
        made = self.daemon.request("POST", create_path(talker), body)
        assert made.status == 201, made.body
        return talker

    def plan_talker(self) -> tuple[Talker, dict[str, Any]]:
        """Who talks how, and the body of its creation."""
        self.number += 1
        rng = self.random
        talker = Talker(f"c{self.number}", rng.randrange(1, 120), rng.random() < 0.5, self.platform())
        body = {
            "Image": "busybox",
            "Cmd": ["sh", "-c", TALK],
            "Env": [f"CODE={talker.code}"],
            "Tty": talker.tty,
        }
        return talker, body

    def start(self, name: str) -> None:
        answer = self.daemon.request("POST", f"/containers/{name}/start")
        assert answer.status == 204, answer.body

    def check(self, talker: Talker) -> None:
        """It has ended, or will, with its code, and every line is there once and in order."""
        waited = self.daemon.request("POST", f"/containers/{talker.name}/wait")
        assert waited.json() == {"StatusCode": talker.code}, (
            talker,
            waited.body,
            self.docker.state(talker.name),
        )
        assert self.docker.state(talker.name)["ExitCode"] == talker.code
        logs = self.daemon.docker("logs", talker.name)
        assert logs.returncode == 0, logs.stderr
        if talker.tty:
            lines = logs.stdout.split(b"\r\n")
            assert lines.pop() == b"" and logs.stderr == b""
            check_lines(talker, [line for line in lines if line.startswith(b"out")], b"out")
            check_lines(talker, [line for line in lines if line.startswith(b"err")], b"err")
            assert len(lines) == 2 * LINES
        else:
            check_lines(talker, logs.stdout.splitlines(), b"out")
            check_lines(talker, logs.stderr.splitlines(), b"err")

    def remove(self, name: str) -> None:
        answer = self.daemon.request("DELETE", f"/containers/{name}?force=1")
        assert answer.status == 204, answer.body
        assert self.daemon.request("GET", f"/containers/{name}/json").status == 404


def check_lines(talker: Talker, lines: list[bytes], word: bytes) -> None:
    expected = [b"%b %d of this container" % (word, n) for n in range(LINES)]
    if lines != expected:
        at = next(
            (n for n, pair in enumerate(zip(lines, expected, strict=False)) if pair[0] != pair[1]), None
        )
        raise AssertionError(
            f"{talker}: {len(lines)} lines of {word!r}, first wrong: {at} {lines[at or -1][:80]!r}"
        )


def create_path(talker: Talker) -> str:
    return f"/containers/create?name={talker.name}&platform={talker.platform}"


@contextlib.contextmanager
def under_way(daemon: DaemonProcess, requests: list[Request]) -> Iterator[list[int]]:
    """Requests, one after the other, whose daemon may die: the statuses that came."""
    statuses: list[int] = []

    def ask() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            for request in requests:
                statuses.append(daemon.request(*request).status)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        thread.join()


class Moment:
    """One kill: what is prepared, what is asked, and what must hold afterwards."""

    def __init__(self, scene: Scene, operation: str) -> None:
        self.scene = scene
        self.operation = operation
        self.talker: Talker | None = None
        self.name = ""
        prepare: Callable[[], list[Request]] = getattr(self, "prepare_" + operation.replace(" -", "_"))
        self.requests = prepare()

    def prepare_create(self) -> list[Request]:
        self.name = f"made{self.scene.number}"
        return [("POST", f"/containers/create?name={self.name}", {"Image": "busybox", "Cmd": ["true"]})]

    def prepare_start(self) -> list[Request]:
        self.talker = self.scene.talker()
        self.name = self.talker.name
        return [("POST", f"/containers/{self.name}/start", None)]

    def prepare_claim(self) -> list[Request]:
        """A start that finds the pool full."""
        fill(self.scene.daemon, PLATFORMS)
        return self.prepare_start()

    def prepare_run(self) -> list[Request]:
        self.talker, body = self.scene.plan_talker()
        self.name = self.talker.name
        return [
            ("POST", create_path(self.talker), body),
            ("POST", f"/containers/{self.name}/start", None),
        ]

    def prepare_stop(self) -> list[Request]:
        self.name = self.scene.create("sleep", "1000000")
        self.scene.start(self.name)
        return [("POST", f"/containers/{self.name}/stop?t=0", None)]

    def prepare_rm(self) -> list[Request]:
        self.name = self.scene.create("true")
        self.scene.start(self.name)
        self.scene.daemon.request("POST", f"/containers/{self.name}/wait")
        return [("DELETE", f"/containers/{self.name}", None)]

    def prepare_rm_f(self) -> list[Request]:
        self.prepare_stop()
        return [("DELETE", f"/containers/{self.name}?force=1", None)]

    def prepare_nothing(self) -> list[Request]:
        return [("GET", "/_ping", None)]

    def check(self, statuses: list[int]) -> None:
        scene, docker = self.scene, self.scene.docker
        if not self.name:
            return
        found = scene.daemon.request("GET", f"/containers/{self.name}/json")
        if found.status == 404:
            assert self.operation in ("create", "run", "rm", "rm -f"), self.operation
            assert 201 not in statuses, "what was told made is not there"
            return
        assert found.status == 200, found.body
        assert not (self.operation in ("rm", "rm -f") and statuses == [204])
        state = docker.state(self.name)
        if self.talker is not None:
            if state["Status"] == "created":
                assert 204 not in statuses, "a start that was told done is undone"
                assert state["ExitCode"] == 0 and state["Error"] == "", state
                scene.start(self.name)
            scene.check(self.talker)
        elif self.operation == "stop":
            assert state["Status"] == "exited" or statuses != [204]
            docker.succeed("stop", "-t", "0", self.name)
            assert docker.state(self.name)["ExitCode"] == 137
        elif self.operation == "rm":
            assert (state["Status"], state["ExitCode"]) == ("exited", 0)
        scene.remove(self.name)


def live_through(scene: Scene, moments: int, away: float) -> None:
    daemon, rng = scene.daemon, scene.random
    for number in range(moments):
        operation = (
            OPERATIONS[number % len(OPERATIONS)] if number < len(OPERATIONS) else rng.choice(OPERATIONS)
        )
        talkers = [scene.talker() for _ in range(2)]
        moment = Moment(scene, operation)
        for talker in talkers:
            scene.start(talker.name)
        delay = rng.uniform(0, LONGEST)
        with under_way(daemon, moment.requests) as statuses:
            time.sleep(delay)  # the moment
            daemon.kill()
        if number % 2:
            time.sleep(away)
        daemon.start()
        assert daemon.said() == ""
        try:
            moment.check(statuses)
            for talker in talkers:
                scene.check(talker)
                scene.remove(talker.name)
        except BaseException as error:
            error.add_note(
                f"moment {number}: {operation}, killed after {delay:.3f} s, away: {bool(number % 2)}"
            )
            raise


@pytest.mark.parametrize(
    ("new_daemon", "moments", "away"),
    [
        *((user, 10 if user == USERS[0] else 4, 2.0) for user in USERS),
        *(
            pytest.param(user, 100, 10.0, marks=[pytest.mark.soak, pytest.mark.timeout(7200)])
            for user in USERS
        ),
    ],
    indirect=["new_daemon"],
)
def test_the_daemon_is_killed_at_any_moment(
    new_daemon: Callable[[], DaemonProcess], moments: int, away: float
) -> None:
    scene = Scene(new_daemon(), seed=20261123)
    for platform in PLATFORMS:
        scene.docker.run("--platform", platform, "busybox", "true")
    scene.daemon.kill()  # the first one is the parent of the network's processes, and holds them; later ones do not
    scene.daemon.start()
    fill(scene.daemon, PLATFORMS)
    before = take_still(scene.daemon)
    live_through(scene, moments, away)
    assert settle(scene.daemon, before, PLATFORMS) == before
    assert scene.docker.faults() == []


# -- adoption, looked at closely


@BOTH_NEW
def test_an_adopted_container_is_as_any_other(new_daemon: Callable[[], DaemonProcess]) -> None:
    docker = Words(daemon := new_daemon())
    script = "echo ready; while read line; do echo got $line; done; trap 'exit 6' TERM; while :; do sleep 1 & wait $!; done"
    docker.succeed("run", "-d", "-i", "--name", "on", "-m", "64m", "busybox", "sh", "-c", script)
    docker.until_lines("on", "ready")
    pid = docker.state("on")["Pid"]
    daemon.kill()
    daemon.start()
    state = docker.state("on")
    assert (state["Status"], state["Pid"]) == ("running", pid)
    with docker.begin("attach", "on") as client:
        assert client.stdin is not None and client.stdout is not None
        client.stdin.write(b"one\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"got one\n"
    daemon.restart()
    assert docker.succeed("exec", "on", "cat", "/sys/fs/cgroup/memory.max").strip() == str(64 << 20)
    docker.fail(9, "exec", "on", "sh", "-c", "exit 9")
    with docker.begin("attach", "on") as client:
        assert client.stdin is not None and client.stdout is not None
        client.stdin.write(b"two\n")
        client.stdin.close()
        assert client.stdout.readline() == b"got two\n"
    docker.succeed("kill", "on")
    assert docker.state("on")["ExitCode"] == 137
    docker.succeed("start", "on")
    docker.succeed("rm", "-f", "on")


@BOTH_NEW
def test_an_exec_goes_on_and_its_exit_code_is_known(new_daemon: Callable[[], DaemonProcess]) -> None:
    docker = Words(daemon := new_daemon())
    docker.sleeper("--name", "host")
    made = daemon.request("POST", "/containers/host/exec",
                          {"Cmd": ["sh", "-c", "until [ -e /go ]; do sleep 0.1; done; exit 44"], "AttachStdout": True})  # fmt: skip
    exec_id = made.json()["Id"]
    assert daemon.request("POST", f"/exec/{exec_id}/start", {"Detach": True}).status == 200
    daemon.kill()
    daemon.start()
    found = daemon.request("GET", f"/exec/{exec_id}/json").json()
    assert (found["Running"], found["ExitCode"]) == (True, None)
    docker.succeed("exec", "host", "touch", "/go")
    until(lambda: not daemon.request("GET", f"/exec/{exec_id}/json").json()["Running"])
    assert daemon.request("GET", f"/exec/{exec_id}/json").json()["ExitCode"] == 44


@BOTH_NEW
def test_what_ended_while_nobody_looked_has_ended_well(new_daemon: Callable[[], DaemonProcess]) -> None:
    docker = Words(daemon := new_daemon())
    docker.start(
        "--name",
        "kept",
        "busybox",
        "sh",
        "-c",
        "echo begun; until [ -e /go ]; do sleep 0.1; done; echo over; exit 21",
    )
    docker.start(
        "--name", "gone", "--rm", "busybox", "sh", "-c", "until [ -e /go ]; do sleep 0.1; done; exit 22"
    )
    for name in ("kept", "gone"):
        docker.succeed("exec", "-d", name, "sh", "-c", "sleep 0.5; touch /go")
    daemon.kill()
    time.sleep(2)  # both end in the meantime
    daemon.start()
    assert docker.succeed("wait", "kept") == "21\n"
    assert docker.succeed("logs", "kept") == "begun\nover\n"
    until(lambda: len(docker.containers()) == 1)
    assert not (daemon.home / "containers" / "gone").exists()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# -- QEMU killed


@pytest.mark.parametrize("away", [False, True])
@BOTH_NEW
def test_a_container_whose_machine_is_killed_has_exited(
    new_daemon: Callable[[], DaemonProcess], away: bool
) -> None:
    docker = Words(daemon := new_daemon())
    docker.start("--name", "victim", "busybox", "sh", "-c", "echo said; sleep 1000000")
    docker.start("--name", "other", "busybox", "sleep", "1000000")
    docker.until_lines("victim", "said")
    pid = docker.state("victim")["Pid"]
    if away:
        daemon.kill()
    os.kill(pid, signal.SIGKILL)
    if away:
        until(lambda: not os.path.exists(f"/proc/{pid}/fd") or not os.listdir(f"/proc/{pid}/fd"))
        daemon.start()
    assert docker.succeed("wait", "victim") == "137\n"
    state = docker.state("victim")
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 137, False)
    assert "machine" in state["Error"] and "gone" in state["Error"]
    assert docker.succeed("logs", "victim") == "said\n"
    docker.succeed("start", "victim")
    assert docker.state("victim")["Error"] == ""
    docker.until_lines("victim", "said", 2)
    assert docker.state("other")["Running"] is True
    for name in ("victim", "other"):
        docker.succeed("rm", "-f", name)
    until(lambda: not any((daemon.home / "containers").iterdir()))


def test_an_idle_machine_that_dies_is_replaced(new_daemon: Callable[[], DaemonProcess]) -> None:
    docker = Words(daemon := new_daemon())
    fill(daemon, PLATFORMS[:1])
    for machine in daemon.request("GET", "/insula/pool").json()["Pool"]:
        os.kill(machine["pid"], signal.SIGKILL)
    assert docker.run("busybox", "echo", "well") == "well\n"
