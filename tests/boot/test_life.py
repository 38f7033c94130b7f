"""Pause, restart policies, update, and the ends that are not the program's own, in real machines."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_networks import fetch
from words import BOTH, BOTH_NEW, Words

from daemon_fixture import DaemonProcess

pytestmark = pytest.mark.boot

COUNT = "i=0; while :; do i=$((i + 1)); echo $i > /count; done"


def cpu_ticks(pid: int) -> int:
    """What the host has given a machine, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def status(docker: Words, name: str) -> str:
    return docker.succeed("ps", "-a", "--filter", f"name={name}", "--format", "{{.Status}}").strip()


def actions(docker: Words, name: str, until: str, count: int = 1) -> list[str]:
    """What has happened to a container, until something has so often."""
    found: list[str] = []
    words = ("events", "--since", "1", "--filter", f"container={name}", "--format", "{{json .}}")
    with docker.begin(*words, stderr=subprocess.STDOUT) as events:
        assert events.stdout is not None
        for line in events.stdout:
            found.append(json.loads(line)["Action"])
            count -= found[-1] == until
            if count == 0:
                return found
    raise AssertionError(f"the events ended without {until!r}: {found}")


def until_status(docker: Words, name: str, wanted: str) -> None:
    deadline = time.monotonic() + 60
    while (state := docker.state(name))["Status"] != wanted:
        assert time.monotonic() < deadline, state


# -- pause


@BOTH
def test_paused_processors_stand_still_and_the_clock_is_right_after(docker: Words) -> None:
    id = docker.start("--name", "still", "busybox", "sh", "-c", COUNT)
    pid = docker.state("still")["Pid"]
    docker.succeed("pause", "still")
    state = docker.state("still")
    assert (state["Status"], state["Running"], state["Paused"]) == ("paused", True, True)
    assert status(docker, "still").endswith(" (Paused)")
    before = cpu_ticks(pid)
    time.sleep(1.2)  # the clock falls behind meanwhile, and nothing is computed
    assert cpu_ticks(pid) - before <= 5
    assert f"Container {id} is paused, unpause the container before exec" in docker.fail(
        1, "exec", "still", "date"
    )
    assert "You cannot attach to a paused container" in docker.fail(1, "attach", "still")
    assert "container is paused and must be unpaused first" in docker.fail(1, "rm", "still")
    assert docker.succeed("logs", "still") == ""
    docker.succeed("unpause", "still")
    inside = int(docker.succeed("exec", "still", "date", "+%s"))
    assert abs(time.time() - inside) < 1
    assert actions(docker, "still", "unpause")[-2:] == ["pause", "unpause"]
    docker.succeed("pause", "still")
    docker.succeed("stop", "-t", "0", "still")
    assert docker.state("still")["ExitCode"] == 137


@BOTH_NEW
def test_it_is_adopted_paused_and_goes_on_where_it_stood(
    new_daemon: Callable[[], DaemonProcess],
) -> None:
    docker = Words(new_daemon())
    docker.start("--name", "still", "busybox", "sh", "-c", COUNT)
    pid = docker.state("still")["Pid"]
    docker.succeed("pause", "still")
    before = cpu_ticks(pid)
    docker.daemon.kill()
    docker.daemon.start()
    state = docker.state("still")
    assert (state["Paused"], state["Pid"]) == (True, pid)
    assert cpu_ticks(pid) - before <= 5
    assert "is paused" in docker.fail(1, "exec", "still", "true")
    docker.daemon.restart()
    docker.succeed("unpause", "still")
    first = int(docker.succeed("exec", "still", "cat", "/count") or 0)  # empty while it is being written
    assert abs(time.time() - int(docker.succeed("exec", "still", "date", "+%s"))) < 1
    while int(docker.succeed("exec", "still", "cat", "/count") or 0) <= first:
        pass
    docker.succeed("rm", "-f", "still")


# -- restart policies


def test_on_failure(docker: Words) -> None:
    docker.start("--name", "again", "--restart", "on-failure:2", "busybox", "sh", "-c", "echo run; exit 3")
    assert actions(docker, "again", "die", 3).count("start") == 3
    shown = docker.inspect("again")
    assert (shown["State"]["Status"], shown["State"]["ExitCode"], shown["RestartCount"]) == ("exited", 3, 2)
    assert shown["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    assert docker.succeed("logs", "again") == "run\n" * 3


@BOTH_NEW
def test_always_comes_back_after_a_reboot_of_the_host(
    new_daemon: Callable[..., DaemonProcess],
) -> None:
    """What a user stopped stays stopped, if its policy says so; ports and volumes come back with what has them."""
    docker = Words(new_daemon())
    script = "echo run >> /runs; sync; echo kept; exec sleep 600"
    for name, policy in (
        ("one", "always"),
        ("two", "unless-stopped"),
        ("three", "unless-stopped"),
        ("four", "no"),
    ):
        docker.start("--name", name, "--restart", policy, "busybox", "sh", "-c", script)
    serve = "echo run >> /v/index.html; sync; echo kept; exec httpd -f -p 80 -h /v"
    docker.start("--name", "five", "--restart", "always", "-p", "127.0.0.1:18080:80", "-v", "kept:/v", "busybox", "sh",
                 "-c", serve)  # fmt: skip
    docker.succeed("stop", "-t", "0", "three")
    for name in ("one", "two", "five"):
        docker.until_lines(name, "kept")
    docker.daemon.reboot()
    for name in ("one", "two", "five"):
        docker.until_lines(name, "kept", 2)
    assert sorted(docker.succeed("ps", "--format", "{{.Names}}").split()) == ["five", "one", "two"]
    assert fetch(18080).split() == ["run", "run"]
    for name in ("one", "two"):
        assert docker.succeed("exec", name, "cat", "/runs") == "run\n" * 2
    assert docker.state("three")["ExitCode"] == 137 and docker.state("four")["Status"] == "exited"
    docker.sweep()


# -- ends that are not the program's own


def report(docker: Words, name: str, field: str) -> str:
    return Path(docker.inspect(name)["Insula"][field]).read_text()


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
@BOTH
def test_a_kernels_panic_is_an_exit_that_tells_of_it(docker: Words, platform: str) -> None:
    docker.start("--name", "panics", "--platform", platform, "--privileged", "busybox", "sh", "-c",
                 "echo before; sync; echo c > /proc/sysrq-trigger; sleep 600")  # fmt: skip
    assert docker.succeed("wait", "panics") == "255\n"
    state = docker.state("panics")
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 255, False)
    first, *lines = state["Error"].splitlines()
    assert first == "the machine is gone: its guest's kernel panicked: sysrq triggered crash"
    assert "Kernel panic - not syncing: sysrq triggered crash" in lines[0]
    assert len(state["Error"]) <= 2200
    kept = report(docker, "panics", "MachineEnd")
    assert kept.startswith(first) and "command: " in kept and "sysrq triggered crash" in kept
    assert docker.succeed("logs", "panics") == "before\n"
    docker.succeed("start", "panics")  # it is whole
    docker.succeed("rm", "-f", "panics")


@BOTH
def test_a_killed_qemu_is_an_exit_of_137(docker: Words) -> None:
    docker.start("--name", "killed", "--restart", "on-failure:1", "busybox", "sleep", "600")
    os.kill(docker.state("killed")["Pid"], signal.SIGKILL)
    assert actions(docker, "killed", "start", 2)[-2:] == ["die", "start"]
    os.kill(docker.state("killed")["Pid"], signal.SIGKILL)
    assert docker.succeed("wait", "killed") == "137\n"
    state = docker.state("killed")
    assert (state["ExitCode"], state["Error"]) == (137, "the machine is gone: its QEMU was killed")
    assert "command: " in report(docker, "killed", "MachineEnd")


@BOTH
def test_an_out_of_memory_kill_is_told_though_the_program_goes_on(docker: Words) -> None:
    script = (
        "tail /dev/zero; echo went on; read line; exit 0"  # with a pipe, two programs thrash instead of one
    )
    docker.start("-i", "--name", "hungry", "-m", "32m", "busybox", "sh", "-c", script)
    assert "oom" in actions(docker, "hungry", "oom")
    assert docker.state("hungry")["OOMKilled"] is True and docker.state("hungry")["Running"] is True
    docker.succeed("attach", "hungry", input=b"\n")
    assert docker.succeed("wait", "hungry") == "0\n"
    assert docker.state("hungry")["OOMKilled"] is True
    docker.fail(137, "run", "--name", "main", "-m", "32m", "busybox", "sh", "-c", "exec tail /dev/zero")
    state = docker.state("main")
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)
    assert actions(docker, "main", "die")[-2:] == ["oom", "die"]
