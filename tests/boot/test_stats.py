"""What `top` and `stats` tell, against what the guest's own /proc and cgroup say at the same time."""

import json
import re
import time
from typing import Any

import pytest
from words import BOTH, Words

pytestmark = pytest.mark.boot

MIB = 1 << 20
NEAR = 0.05
HOLD = "head -c 100m /dev/zero > /dev/shm/held"
READ = "cat /sys/fs/cgroup/memory.current; grep -E '^(anon|shmem|file|inactive_file) ' /sys/fs/cgroup/memory.stat; " \
       "grep -E '^(usage|user|system)_usec' /sys/fs/cgroup/cpu.stat; cat /sys/fs/cgroup/pids.current /proc/uptime"  # fmt: skip


def stats(docker: Words, name: str, query: str = "stream=0&one-shot=1") -> dict[str, Any]:
    answer = docker.daemon.request("GET", f"/containers/{name}/stats?{query}")
    assert answer.status == 200, answer.body
    return dict(answer.json())


def inside(docker: Words, name: str) -> dict[str, float]:
    """The guest's own words, by their names in them."""
    current, *lines, pids, uptime = docker.succeed("exec", name, "sh", "-c", READ).splitlines()
    found = {word: float(number) for word, number in (line.split() for line in lines)}
    return found | {"current": float(current), "pids": float(pids), "uptime": float(uptime.split()[0])}


def near(value: float, *others: float) -> bool:
    """Within 5 % of the others, which are what it was before and after."""
    return min(others) * (1 - NEAR) <= value <= max(others) * (1 + NEAR)


@BOTH
def test_memory_is_what_the_guest_says(docker: Words) -> None:
    docker.start("--name", "held", "-m", "200m", "--shm-size", "128m", "busybox", "sh", "-c",
                 f"{HOLD}; echo held; exec sleep 600")  # fmt: skip
    docker.until_lines("held", "held")
    before, found, after = inside(docker, "held"), stats(docker, "held"), inside(docker, "held")
    memory = found["memory_stats"]
    assert memory["usage"] > 100 * MIB
    assert near(memory["usage"], before["current"], after["current"])
    for name in ("shmem", "file"):
        assert near(memory["stats"][name], before[name], after[name]), name
    assert memory["limit"] == 200 * MIB
    assert found["pids_stats"]["current"] == 1
    used = memory["usage"] - memory["stats"]["inactive_file"]
    shown = docker.succeed(
        "stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}} {{.Name}}", "held"
    ).split()
    number = float(shown[0].removesuffix("MiB"))
    assert near(number, used / MIB) and shown[1:] == ["/", "200MiB", "1", "held"]
    assert found["insula"]["qemu"]["memory_rss"] > memory["stats"]["shmem"]


@BOTH
def test_processor_time_is_what_the_guest_says(docker: Words) -> None:
    docker.start("--name", "busy", "busybox", "sh", "-c", "while :; do :; done")
    first = stats(docker, "busy")
    deadline = time.monotonic() + 60
    while (
        stats(docker, "busy")["cpu_stats"]["cpu_usage"]["total_usage"] < 4 * 10**9
    ):  # enough for 5 % to be seen
        assert time.monotonic() < deadline
        time.sleep(0.2)
    before, found, after = inside(docker, "busy"), stats(docker, "busy"), inside(docker, "busy")
    cpu = found["cpu_stats"]
    for name, inner in (("total_usage", "usage_usec"), ("usage_in_usermode", "user_usec")):
        assert near(cpu["cpu_usage"][name], 1000 * before[inner], 1000 * after[inner]), name
    assert near(cpu["system_cpu_usage"] / cpu["online_cpus"], 1e9 * before["uptime"], 1e9 * after["uptime"])
    assert found["insula"]["qemu"]["cpu_usage"] > first["insula"]["qemu"]["cpu_usage"]
    (shown,) = docker.succeed("stats", "--no-stream", "--format", "{{.CPUPerc}}", "busy").split()
    assert 20 < float(shown.removesuffix("%")) < 150
    own = docker.daemon.insula("stats", "--no-stream", "--format", "{{.CPUPerc}}", "busy").stdout.decode()
    assert 20 < float(own.strip().removesuffix("%")) < 150


@BOTH
def test_disk_traffic_is_counted(docker: Words) -> None:
    docker.start("--name", "writer", "busybox", "sh", "-c",
                 "head -c 20m /dev/zero > /file; sync; echo done; exec sleep 600")  # fmt: skip
    docker.until_lines("writer", "done")
    entries = stats(docker, "writer")["blkio_stats"]["io_service_bytes_recursive"]
    written = sum(entry["value"] for entry in entries if entry["op"] == "write")
    assert 20 * MIB * (1 - NEAR) <= written < 40 * MIB
    (shown,) = docker.succeed("stats", "--no-stream", "--format", "{{.BlockIO}}", "writer").splitlines()
    assert re.fullmatch(r"[\d.]+[kM]?B / [\d.]+MB", shown)


LINK_COUNTERS = (
    "rx_bytes",
    "rx_packets",
    "rx_errors",
    "rx_dropped",
    "tx_bytes",
    "tx_packets",
    "tx_errors",
    "tx_dropped",
)


def link_counters(docker: Words, name: str) -> dict[str, int]:
    """Of eth0, in the words of the guest's own /proc."""
    (line,) = docker.succeed("exec", name, "grep", "eth0:", "/proc/net/dev").splitlines()
    fields = [int(word) for word in line.partition(":")[2].split()]
    return dict(zip(LINK_COUNTERS, fields[:4] + fields[8:12], strict=True))


@BOTH
def test_network_traffic_is_what_the_guest_says(docker: Words) -> None:
    docker.start("--name", "source", "busybox", "sh", "-c",
                 "mkdir /w && head -c 8m /dev/zero > /w/f && httpd -p 80 -h /w && echo serves && exec sleep 600")  # fmt: skip
    docker.sleeper("--name", "sink")
    docker.until_lines("source", "serves")
    address = docker.inspect("source")["NetworkSettings"]["IPAddress"]
    docker.succeed("exec", "sink", "wget", "-q", "-O", "/dev/null", f"http://{address}/f")
    for name, most, least in (("sink", "rx_bytes", "tx_bytes"), ("source", "tx_bytes", "rx_bytes")):
        before, found, after = (
            link_counters(docker, name),
            stats(docker, name)["networks"],
            link_counters(docker, name),
        )
        assert set(found) == {"eth0"}
        assert found["eth0"][most] > 8 * MIB > 10 * found["eth0"][least] > 0
        for counter in LINK_COUNTERS:
            assert near(found["eth0"][counter], before[counter], after[counter]), (name, counter)
    (shown,) = docker.succeed("stats", "--no-stream", "--format", "{{.NetIO}}", "sink").splitlines()
    received = re.fullmatch(r"([\d.]+)MB / [\d.]+[kM]?B", shown)
    assert received is not None and near(float(received[1]) * 1e6, link_counters(docker, "sink")["rx_bytes"])


def test_the_stream_has_a_sample_a_second_with_the_one_before(docker: Words) -> None:
    docker.sleeper("--name", "flow")
    seen = []
    for sample in docker.daemon.client.containers.get("flow").stats(stream=True, decode=True):
        seen.append(sample)
        if len(seen) == 3:
            break
    assert seen[0]["preread"] == "0001-01-01T00:00:00Z"
    assert [one["read"] for one in seen[:2]] == [one["preread"] for one in seen[1:]]
    assert seen[1]["cpu_stats"] == seen[2]["precpu_stats"]
    assert seen[2]["cpu_stats"]["system_cpu_usage"] > seen[1]["cpu_stats"]["system_cpu_usage"]
    two = stats(docker, "flow", "stream=0")
    assert two["precpu_stats"]["system_cpu_usage"] and two["preread"] < two["read"]
    assert {"networks", "read", "precpu_stats", "cpu_stats", "memory_stats", "blkio_stats"} <= set(two)
    answer = docker.daemon.request("GET", "/containers/flow/stats?one-shot=1")
    assert (answer.status, answer.message) == (400, "cannot have stream=true and one-shot=true")
    docker.succeed("pause", "flow")
    paused = stats(docker, "flow")
    assert paused["memory_stats"]["usage"] == stats(docker, "flow")["memory_stats"]["usage"] > 0
    answer = docker.daemon.request("GET", "/containers/flow/top")
    assert answer.status == 409 and "is paused" in answer.message
    docker.succeed("unpause", "flow")


def test_what_does_not_run_is_shown_as_nothing(docker: Words) -> None:
    docker.succeed("create", "--name", "still", "busybox", "true")
    assert stats(docker, "still")["memory_stats"] == {}
    lines = docker.succeed(
        "stats", "--all", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}"
    ).splitlines()
    assert lines == ["still 0B / 0B 0"]
    assert docker.succeed("stats", "--no-stream", "--format", "{{.Name}}") == ""
    assert docker.daemon.request("GET", "/containers/none/stats").status == 404
    assert "is not running" in docker.fail(1, "top", "still")
    assert (
        docker.daemon.insula("stats", "-a", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}}").stdout
        == b"still --\n"
    )


@BOTH
def test_top_shows_the_container_s_processes(docker: Words) -> None:
    docker.start("--name", "two", "--user", "1000:100", "busybox", "sh", "-c", "sleep 601 & echo up; wait")
    docker.until_lines("two", "up")
    head, *rows = docker.succeed("top", "two").splitlines()
    assert head.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert [(row.split()[:3], " ".join(row.split()[7:])) for row in rows] == [
        (["1000", "1", "0"], "sh -c sleep 601 & echo up; wait"), (["1000", rows[1].split()[1], "1"], "sleep 601"),
    ]  # fmt: skip
    ours = docker.succeed("exec", "two", "sh", "-c", "cat /proc/1/status").splitlines()
    kib = int(next(line for line in ours if line.startswith("VmRSS:")).split()[1])
    top = docker.daemon.client.containers.get("two").top(ps_args="aux")
    main = dict(zip(top["Titles"], top["Processes"][0], strict=True))
    assert near(int(main["RSS"]), kib)
    assert (main["PID"], main["TTY"], main["STAT"]) == ("1", "?", "Ss")
    listed = docker.daemon.client.api.top("two", "-eopid,user,args")
    assert listed["Titles"] == ["PID", "USER", "COMMAND"]
    answer = docker.daemon.request("GET", "/containers/two/top?ps_args=-efL")
    assert answer.status == 400 and "supported are -ef, aux" in answer.message
    done = docker.daemon.insula("top", "two", "-o", "pid,comm")
    assert [line.split() for line in done.stdout.decode().splitlines()][:2] == [
        ["PID", "COMMAND"],
        ["1", "sh"],
    ]
    with docker.begin("events", "--since", "1", "--filter", "event=top", "--format", "{{.Action}}") as events:
        assert events.stdout is not None and events.stdout.readline() == b"top\n"


def test_the_processor_time_in_top_is_the_guest_s_own(docker: Words) -> None:
    docker.start("--name", "loop", "busybox", "sh", "-c", "while :; do :; done")
    read = ("exec", "loop", "cut", "-d", " ", "-f", "14,15", "/proc/1/stat")
    ticks = 0
    deadline = time.monotonic() + 60
    while ticks < 4000 // 10:  # 4 s of hundredths
        assert time.monotonic() < deadline
        ticks = sum(map(int, docker.succeed(*read).split()))
    (row,) = docker.daemon.client.api.top("loop", "-o pid,time")["Processes"]
    after = sum(map(int, docker.succeed(*read).split()))
    hours, minutes, seconds = map(int, row[1].split(":"))
    assert ticks / 100 - 1 <= hours * 3600 + minutes * 60 + seconds <= after / 100


def test_the_json_format_of_the_docker_command(docker: Words) -> None:
    docker.sleeper("--name", "one")
    (line,) = docker.succeed("stats", "--no-stream", "--format", "json").splitlines()
    shown = json.loads(line)
    assert (shown["Name"], shown["PIDs"]) == ("one", "2") or shown["Name"] == "one"
    table = docker.succeed("stats", "--no-stream").splitlines()
    assert table[0].split() == (
        ["CONTAINER", "ID", "NAME", "CPU", "%", "MEM", "USAGE", "/", "LIMIT", "MEM", "%", "NET", "I/O", "BLOCK", "I/O", "PIDS"]
    )  # fmt: skip
    assert re.search(
        r" one +[\d.]+% +[\d.]+[KM]iB / [\d.]+[MG]iB +[\d.]+% +[\d.]+[kM]?B / [\d.]+[kM]?B +[\d.]+[kM]?B / ",
        table[1],
    )
