"""`docker update`: what is changed in a container's life is read inside it; what its machine has no room for is recorded,
told, and there after a restart. For root's daemon and an ordinary user's."""

import json
import subprocess

import pytest
from words import BOTH, Words

pytestmark = pytest.mark.boot

CGROUP = "/sys/fs/cgroup"
MIB = 1 << 20


def files(docker: Words, name: str, *wanted: str) -> list[str]:
    """Files of the container's own cgroup."""
    return docker.succeed("exec", name, "sh", "-c", f"cd {CGROUP}; cat {' '.join(wanted)}").splitlines()


@BOTH
def test_what_fits_its_machine_is_done_at_once(docker: Words) -> None:
    docker.sleeper("--name", "held", "-m", "100m", "--cpus", "0.5")
    pid = docker.state("held")["Pid"]
    flags = "-m 150m --memory-reservation 50m --memory-swap 150m --cpus 0.8 --cpu-shares 512 --cpuset-cpus 0 " \
            "--cpuset-mems 0 --pids-limit 30 --blkio-weight 20"  # fmt: skip
    assert docker.succeed("update", *flags.split(), "held") == "held\n"
    names = (
        "memory.max",
        "memory.low",
        "cpu.max",
        "cpu.weight",
        "cpuset.cpus",
        "cpuset.mems",
        "pids.max",
        "io.weight",
    )
    said = files(docker, "held", *names)
    assert said == [str(150 * MIB), str(50 * MIB), "80000 100000", "59", "0", "0", "30", "default 102"]
    assert docker.state("held")["Pid"] == pid
    host = docker.inspect("held")["HostConfig"]
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (150 * MIB, 800_000_000, 30)
    docker.succeed("restart", "-t", "0", "held")
    assert files(docker, "held", *names) == said


@BOTH
def test_quotas_rates_and_a_limit_that_is_lifted(docker: Words) -> None:
    docker.sleeper("--name", "held", "--cpu-quota", "20000", "--pids-limit", "20")
    assert docker.succeed(
        "update", "--cpu-quota", "30000", "--cpu-period", "60000", "--pids-limit", "-1", "held"
    )
    rates = {
        "BlkioDeviceWriteBps": [{"Path": "/dev/any", "Rate": MIB}],
        "BlkioDeviceReadIOps": [{"Path": "/dev/any", "Rate": 70}],
    }
    answer = docker.daemon.request("POST", "/containers/held/update", rates)
    assert answer.status == 200, answer.body
    *disks, quota, pids = files(docker, "held", "io.max", "cpu.max", "pids.max")
    assert (quota, pids) == ("30000 60000", "max")
    assert {line.partition(" ")[2] for line in disks} == {f"rbps=max wbps={MIB} riops=70 wiops=max"}


@BOTH
def test_what_its_machine_has_no_room_for_waits_for_the_next_start(docker: Words) -> None:
    docker.sleeper("--name", "small", "-m", "100m")
    said = docker.fail(1, "update", "-m", "900m", "--memory-swap", "900m", "small")
    assert "its machine has 256 MiB of memory, too little for a limit of 900 MiB" in said
    assert "it is recorded, and takes effect after restart" in said
    assert files(docker, "small", "memory.max") == [str(100 * MIB)]
    assert docker.inspect("small")["HostConfig"]["Memory"] == 900 * MIB
    docker.succeed("restart", "-t", "0", "small")
    assert files(docker, "small", "memory.max") == [str(900 * MIB)]


@BOTH
def test_a_paused_one_has_it_when_it_goes_on(docker: Words) -> None:
    docker.sleeper("--name", "waits")
    docker.succeed("pause", "waits")
    docker.succeed("update", "--pids-limit", "31", "waits")
    docker.succeed("unpause", "waits")
    assert files(docker, "waits", "pids.max") == ["31"]


@BOTH
def test_a_policy_counts_from_now_on(docker: Words) -> None:
    docker.start("--name", "counts", "busybox", "sh", "-c", "until [ -e /go ]; do sleep 0.1; done; exit 3")
    docker.succeed("update", "--restart", "on-failure:2", "counts")
    docker.succeed("exec", "-d", "counts", "touch", "/go")
    died = 0
    words = ("events", "--since", "1", "--filter", "container=counts", "--format", "{{json .}}")
    with docker.begin(*words, stderr=subprocess.STDOUT) as events:
        assert events.stdout is not None
        while died < 3:
            died += json.loads(events.stdout.readline())["Action"] == "die"
    shown = docker.inspect("counts")
    assert (shown["State"]["Status"], shown["RestartCount"]) == ("exited", 2)
