"""Nothing is left: after many runs the processes, descriptors, files and mounts are those from before; and many
starts at a time are all good.
"""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from footprint import fill, settle, take_still
from words import BOTH_NEW, USERS, Words

from boot_paths import MACHINES, PLATFORMS
from daemon_fixture import DaemonProcess

pytestmark = pytest.mark.boot


@pytest.mark.parametrize(
    ("new_daemon", "runs"),
    [
        *((user, 40 if user == USERS[0] else 10) for user in USERS),
        *(pytest.param(user, 200, marks=pytest.mark.soak) for user in USERS),
    ],
    indirect=["new_daemon"],
)
def test_runs_leave_nothing(new_daemon: Callable[[], DaemonProcess], runs: int) -> None:
    docker = Words(daemon := new_daemon())
    for platform in PLATFORMS:
        docker.run("--platform", platform, "busybox", "true")
    fill(daemon, PLATFORMS)
    before = take_still(daemon)
    rng = random.Random(runs)
    for number in range(runs):
        platform = PLATFORMS[rng.random() < 0.25]
        match rng.randrange(5):
            case 0:
                docker.fail(3, "run", "--rm", "--platform", platform, "busybox", "sh", "-c", "exit 3")
            case 1:
                docker.fail(127, "run", "--rm", "--platform", platform, "busybox", "nothing-here")
            case 2:
                assert docker.run("-i", "--platform", platform, "busybox", "cat", input=b"in") == "in"
            case 3:
                id = docker.sleeper("--platform", platform)
                docker.succeed("exec", id, "true")
                docker.succeed("rm", "-f", id)
            case _:
                out = docker.run("--platform", platform, "busybox", "sh", "-c", f"echo {number}; uname -m")
                assert out.split() == [str(number), MACHINES[platform]]
    assert settle(daemon, before, PLATFORMS) == before
    assert daemon.request("GET", "/containers/json?all=1").json() == []


@pytest.mark.parametrize("runs", [40, pytest.param(200, marks=pytest.mark.soak)])
def test_starts_eight_at_a_time_are_all_good(new_daemon: Callable[[], DaemonProcess], runs: int) -> None:
    docker = Words(daemon := new_daemon())
    for platform in PLATFORMS:
        docker.run("--platform", platform, "busybox", "true")
    fill(daemon, PLATFORMS)
    before = take_still(daemon)

    def one(number: int) -> tuple[int, bytes]:
        platform = PLATFORMS[number % 4 == 3]
        script = f"echo {number}; uname -m; exit {number % 100}"
        done = daemon.docker(
            "run", "--rm", "--platform", platform, "busybox", "sh", "-c", script, timeout=300
        )
        return done.returncode, done.stdout

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(one, range(runs)))
    expected = [(n % 100, f"{n}\n{MACHINES[PLATFORMS[n % 4 == 3]]}\n".encode()) for n in range(runs)]
    assert results == expected
    assert settle(daemon, before, PLATFORMS) == before


@BOTH_NEW
def test_clients_that_go_away_leave_nothing(new_daemon: Callable[[], DaemonProcess]) -> None:
    docker = Words(daemon := new_daemon())
    docker.run("busybox", "true")
    docker.sleeper("--name", "host", "-i")
    fill(daemon, PLATFORMS[:1])
    before = take_still(daemon)
    for arguments in (
        ("attach", "host"), ("logs", "-f", "host"), ("exec", "-i", "host", "cat"), ("wait", "host"), ("events",),
    ) * 3:  # fmt: skip
        with docker.begin(*arguments):
            docker.succeed("exec", "host", "true")
    assert settle(daemon, before, PLATFORMS[:1]) == before


def test_a_daemon_that_is_told_to_end_leaves_no_idle_machine(new_daemon: Callable[[], DaemonProcess]) -> None:
    docker = Words(daemon := new_daemon())
    docker.sleeper("--name", "stays")
    fill(daemon, PLATFORMS[:1])
    assert daemon.stop() == 0
    daemon.process = None
    from footprint import processes_of

    machines = sorted(name for _, name in processes_of(daemon) if name.startswith(("bwrap", "qemu")))
    assert machines == ["bwrap", "qemu-system-x86"]  # beside them the network, which outlives the daemon too
    assert len(list((daemon.run / "machines").iterdir())) == 1
    assert not daemon.socket.exists()
    daemon.start()
    docker.succeed("rm", "-f", "stays")
