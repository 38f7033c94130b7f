"""Health checks in real machines, through the docker command; waited for by events."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from words import BOTH, Words

from daemon_fixture import DaemonProcess

pytestmark = pytest.mark.boot


@contextmanager
def events(docker: Words, name: str) -> Iterator[Callable[[str], dict[str, object]]]:
    """Gives a function that waits for the container's next event so called."""
    words = ("events", "--since", "1", "--filter", f"container={name}", "--format", "{{json .}}")
    with docker.begin(*words, stderr=subprocess.STDOUT) as client:

        def until(action: str) -> dict[str, object]:
            assert client.stdout is not None
            for line in client.stdout:
                event = json.loads(line)
                if event["Action"] == action:
                    return dict(event)
            raise AssertionError(f"the events ended without {action!r}")

        yield until


def status(docker: Words, name: str) -> str:
    return docker.succeed("ps", "-a", "--filter", f"name={name}", "--format", "{{.Status}}").strip()


def listed(docker: Words, health: str) -> list[str]:
    return docker.succeed("ps", "--filter", f"health={health}", "--format", "{{.Names}}").split()


@BOTH
def test_from_starting_to_healthy_to_unhealthy_and_back(docker: Words) -> None:
    docker.start(
        "--name", "sick", "--health-cmd", "echo looked; test ! -e /ill", "--health-interval", "200ms",
        "--health-retries", "2", "busybox", "sleep", "600",
    )  # fmt: skip
    with events(docker, "sick") as until:
        until("exec_create: /bin/sh -c echo looked; test ! -e /ill")
        until("exec_start: /bin/sh -c echo looked; test ! -e /ill")
        assert until("exec_die")["Actor"]["Attributes"]["exitCode"] == "0"  # type: ignore[index]
        until("health_status: healthy")
        assert status(docker, "sick").endswith(" (healthy)")
        assert (listed(docker, "healthy"), listed(docker, "none")) == (["sick"], [])
        health = docker.state("sick")["Health"]
        assert (health["Status"], health["FailingStreak"]) == ("healthy", 0)
        assert health["Log"][-1]["Output"] == "looked\n"
        docker.succeed("exec", "sick", "touch", "/ill")
        until("health_status: unhealthy")
        assert status(docker, "sick").endswith(" (unhealthy)")
        assert docker.state("sick")["Health"]["FailingStreak"] >= 2
        docker.succeed("exec", "sick", "rm", "/ill")
        until("health_status: healthy")
    assert "invalid value for health (well)" in docker.fail(1, "ps", "--filter", "health=well")


def test_it_shows_that_it_is_starting(docker: Words) -> None:
    docker.start(
        "--name", "slow", "--health-cmd", "false", "--health-start-period", "1h", "busybox", "sleep", "600"
    )
    assert status(docker, "slow").endswith(" (health: starting)")
    assert listed(docker, "starting") == ["slow"]
    docker.succeed("kill", "slow")
    assert docker.state("slow")["Health"]["Status"] == "unhealthy"
    assert "health" not in status(docker, "slow")


def test_a_hanging_probe_is_killed_and_runs_with_the_container_s_own_settings(docker: Words) -> None:
    docker.start(
        "--name", "hung", "--user", "65534", "--workdir", "/tmp", "--env", "A=b", "--health-interval", "100ms",
        "--health-timeout", "500ms", "--health-retries", "1", "--health-cmd", "id -u; pwd; echo $A; exec sleep 100",
        "busybox", "sleep", "600",
    )  # fmt: skip
    with events(docker, "hung") as until:
        until("health_status: unhealthy")
    first = docker.state("hung")["Health"]["Log"][0]
    assert first["ExitCode"] == -1
    assert first["Output"] == "Health check exceeded timeout (500ms): 65534\n/tmp\nb\n"


def test_the_checks_go_on_after_the_daemon_s_death(new_daemon: Callable[[], DaemonProcess]) -> None:
    docker = Words(daemon := new_daemon())
    docker.start(
        "--name", "well", "--health-cmd", "true", "--health-interval", "200ms", "busybox", "sleep", "600"
    )
    with events(docker, "well") as until:
        until("health_status: healthy")
    daemon.kill()
    daemon.start()
    assert docker.state("well")["Health"]["Status"] == "healthy"
    with events(docker, "well") as until:
        until("exec_die")
    assert docker.state("well")["Health"]["Status"] == "healthy"


def test_docker_py_sees_it(docker: Words) -> None:
    client = docker.daemon.client
    check = {"test": "false", "interval": 200_000_000, "timeout": 10**9, "retries": 1}
    container = client.containers.run("busybox", "sleep 600", detach=True, healthcheck=check)
    with events(docker, container.name or "") as until:
        until("health_status: unhealthy")
    container.reload()
    assert container.health == "unhealthy"
    assert container.attrs["Config"]["Healthcheck"]["Test"] == ["CMD-SHELL", "false"]


def test_the_insula_command_sets_it(docker: Words) -> None:
    done = docker.daemon.insula("run", "-d", "--name", "own", "--health-cmd", "exit 3", "--health-interval", "100ms",
                                "--health-retries", "1", "busybox", "sleep", "600")  # fmt: skip
    assert done.returncode == 0, done.stderr
    with events(docker, "own") as until:
        until("health_status: unhealthy")
    assert docker.state("own")["Health"]["Log"][0]["ExitCode"] == 3


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--health-cmd", "true", "--health-interval", "1us"],
            "Interval in Healthcheck cannot be less than 1ms",
        ),
        (
            ["--health-cmd", "true", "--health-timeout", "5ns"],
            "Timeout in Healthcheck cannot be less than 1ms",
        ),
    ],
)
def test_what_docker_refuses_is_refused_in_its_words(docker: Words, flags: list[str], words: str) -> None:
    assert words in docker.fail(1, "create", *flags, "busybox")
