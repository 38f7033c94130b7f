"""What `docker run` and its neighbours do, through the real docker command, in real machines."""

import hashlib
import json
import os
import re
import secrets
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from image_tars import docker_archive, file, folder, make_tar
from python_image import load_python_image
from words import BOTH, Words

from boot_paths import DEFAULT, MACHINES, PLATFORMS

pytestmark = [pytest.mark.boot, pytest.mark.platform]

ROOT = Path(__file__).resolve().parents[2]

DEFAULT_CAPABILITIES = 0x00000000A80425FB  # Docker's fourteen


# -- a machine of the image's platform


@pytest.mark.parametrize("platform", PLATFORMS)
@BOTH
def test_a_container_runs_on_the_kernel_of_its_platform(docker: Words, platform: str) -> None:
    out = docker.run("--platform", platform, "busybox", "sh", "-c", "uname -m; uname -n; cat /etc/os-release")
    machine, name, *release = out.splitlines()
    assert machine == MACHINES[platform]
    assert re.fullmatch(r"[0-9a-f]{12}", name)
    assert any(line.startswith("ID=") for line in release)


def test_without_a_platform_it_is_the_hosts(docker: Words) -> None:
    assert docker.run("busybox", "uname", "-m").strip() == MACHINES[DEFAULT]


# -- output, logs


@BOTH
def test_the_two_streams_stay_apart(docker: Words) -> None:
    done = docker.daemon.docker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout) == (3, b"out\n")
    assert done.stderr.endswith(b"err\n")


@BOTH
def test_logs_of_a_container_in_the_background(docker: Words) -> None:
    id = docker.start("--name", "talker", "busybox", "sh", "-c",
                      "for i in 1 2 3; do echo out $i; echo err $i >&2; done; printf tail")  # fmt: skip
    assert re.fullmatch(r"[0-9a-f]{64}", id)
    assert docker.succeed("wait", "talker") == "0\n"
    done = docker.daemon.docker("logs", "talker")
    assert done.stdout == b"out 1\nout 2\nout 3\ntail"
    assert done.stderr == b"err 1\nerr 2\nerr 3\n"
    tail = docker.daemon.docker("logs", "--tail", "1", "talker")
    assert tail.stdout + tail.stderr == b"tail"
    stamped = docker.succeed("logs", "-t", "talker").splitlines()
    assert [line.split(" ", 1)[1] for line in stamped] == ["out 1", "out 2", "out 3", "tail"]
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ", line) for line in stamped)
    cut = stamped[2].split(" ")[0]
    assert docker.succeed("logs", "--since", cut, "talker").startswith("out 3\n")
    assert docker.succeed("logs", "--until", "2020-01-01T00:00:00Z", "talker") == ""


@BOTH
def test_logs_are_followed_to_the_end(docker: Words) -> None:
    script = "echo first; read go; echo second; echo third >&2"
    docker.succeed("create", "-i", "--name", "slow", "busybox", "sh", "-c", script)
    docker.succeed("start", "slow")
    with docker.begin("logs", "-f", "slow", stderr=subprocess.STDOUT) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == b"first\n"
        docker.succeed("attach", "slow", input=b"\n")
        assert sorted(follower.stdout.read().splitlines()) == [b"second", b"third"]
        assert follower.wait() == 0


def test_a_slow_reader_loses_nothing_of_much_output(docker: Words) -> None:
    script = "seq 1 200000; exit 4"
    docker.succeed("create", "--name", "much", "busybox", "sh", "-c", script)
    with docker.begin("start", "-a", "much") as reader:
        assert reader.stdout is not None
        assert reader.stdout.read(2) == b"1\n"
        assert docker.succeed("wait", "much") == "4\n"  # the program did not wait for its reader
        lines = [b"1", *reader.stdout.read().splitlines()]
        assert reader.wait() == 4
    assert lines == [str(n).encode() for n in range(1, 200001)]


# -- input


def test_input_is_piped_through_with_its_end(docker: Words) -> None:
    assert docker.run("-i", "busybox", "cat", input=b"one\ntwo") == "one\ntwo"
    assert docker.run("-i", "busybox", "sh", "-c", "cat; echo over", input=b"") == "over\n"
    assert docker.run("busybox", "wc", "-c", input=b"not attached").strip() == "0"


@BOTH
def test_five_megabytes_there_and_back(docker: Words) -> None:
    data = secrets.token_bytes(5_000_000)
    done = docker.daemon.docker("run", "--rm", "-i", "busybox", "cat", input=data)
    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


# -- what is asked for is what runs


def test_environment_directory_and_entrypoint(docker: Words) -> None:
    out = docker.run(
        "-e", "A=1 2", "-e", "TAKEN", "-w", "/new/folder", "busybox", "sh", "-c", 'echo "$A"; env; pwd'
    )
    assert out.startswith("1 2\n") and out.endswith("/new/folder\n")
    assert "TAKEN" not in out
    taken = docker.daemon.docker("run", "--rm", "-e", "TAKEN", "busybox", "env", env={"TAKEN": "x"})
    assert b"TAKEN=x\n" in taken.stdout
    assert docker.run("--entrypoint", "echo", "busybox", "a", "b") == "a b\n"
    assert (
        docker.run("--hostname", "isle", "busybox", "sh", "-c", "hostname; cat /etc/hostname").split()
        == ["isle"] * 2
    )
    assert "\tisle\n" in docker.run("--hostname", "isle", "busybox", "cat", "/etc/hosts")


@BOTH
def test_users(docker: Words) -> None:
    passwd = "root:x:0:0::/root:/bin/sh\\nana:x:1000:1001::/home/ana:/bin/sh\\n"
    group = "root:x:0:\\nana:x:1001:\\nboat:x:50:ana\\n"
    script = f"printf '{passwd}' > /etc/passwd; printf '{group}' > /etc/group; sleep 1000"
    docker.start("--name", "people", "busybox", "sh", "-c", script)
    # no sleep as a proof: the file is there once the process that writes it says so
    docker.succeed("exec", "people", "sh", "-c", "until grep -qs boat /etc/group; do :; done")
    for user, expected in {
        "ana": "uid=1000(ana) gid=1001(ana) groups=50(boat),1001(ana)",
        "ana:boat": "uid=1000(ana) gid=50(boat) groups=50(boat)",
        "1000": "uid=1000(ana) gid=1001(ana) groups=50(boat),1001(ana)",
        "77:88": "uid=77 gid=88 groups=88",
        "77": "uid=77 gid=0(root) groups=0(root)",
    }.items():
        assert docker.succeed("exec", "-u", user, "people", "id").strip() == expected, user
    assert docker.run("-u", "5:6", "busybox", "id", "-u").strip() == "5"
    assert "HOME=/home/ana" in docker.succeed("exec", "-u", "ana", "people", "env").splitlines()


def test_an_unknown_user_is_told_in_dockers_words(docker: Words) -> None:
    said = docker.fail(125, "run", "--rm", "-u", "nobody-here", "busybox", "true")
    assert "unable to find user nobody-here: no matching entries in passwd file" in said
    assert docker.containers() == []


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (("nothing-here",), 127, 'exec: "nothing-here": executable file not found in $PATH'),
        (("/no/such",), 127, "no such file or directory"),
        (("/etc/passwd",), 126, "permission denied"),
        (("/etc",), 126, ""),
        (("sh", "-c", "exit 125"), 125, ""),
        (("sh", "-c", "sh -c 'kill -9 $$'; exit $?"), 137, ""),
        (("sh", "-c", "exit 42"), 42, ""),
    ],
)
@BOTH
def test_exit_codes(docker: Words, command: tuple[str, ...], code: int, words: str) -> None:
    assert words in docker.fail(code, "run", "--rm", "busybox", *command)
    assert docker.containers() == []


def test_a_start_that_fails_leaves_a_container_that_says_so(docker: Words) -> None:
    said = docker.fail(127, "run", "--name", "failed", "busybox", "nothing-here")
    assert "executable file not found" in said
    state = docker.state("failed")
    assert (state["Status"], state["ExitCode"]) == ("created", 127)
    assert "executable file not found" in state["Error"]


# -- limits


@BOTH
def test_memory_and_processors_have_exact_limits(docker: Words) -> None:
    script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids.max"
    out = docker.run("-m", "100m", "--cpus", "0.5", "--pids-limit", "50", "busybox", "sh", "-c", script)
    assert out.splitlines() == [str(100 << 20), "50000 100000", "50"]
    assert docker.run("busybox", "sh", "-c", script).splitlines() == ["max", "max 100000", "max"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_too_much_memory_ends_it_with_137_and_a_mark(docker: Words, platform: str) -> None:
    docker.fail(
        137, "run", "--name", "eater", "--platform", platform, "-m", "32m", "busybox", "tail", "/dev/zero"
    )
    state = docker.state("eater")
    assert (state["ExitCode"], state["OOMKilled"], state["Status"]) == (137, True, "exited")
    docker.succeed("start", "eater")
    assert docker.succeed("wait", "eater") == "137\n"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_time_passes_on_every_processor_of_a_clone(docker: Words, platform: str) -> None:
    """What a processor's timer was set to is no part of every saved state."""
    script = "for n in 1 2; do for mask in 1 2; do taskset $mask sleep 0.05; done; done; nproc"
    for _ in range(2):
        assert docker.run("--platform", platform, "--cpus", "2", "busybox", "sh", "-c", script) == "2\n"


# -- process 1


def test_init_is_process_one_and_reaps(docker: Words) -> None:
    script = "(sleep 0.1 &) ; (true &) ; exec sleep 1000"
    docker.start("--init", "--name", "with", "busybox", "sh", "-c", script)
    first = docker.succeed("exec", "with", "cat", "/proc/1/comm").strip()
    assert first not in ("sh", "sleep")
    docker.succeed(
        "exec", "with", "sh", "-c", "while grep -ls '^State:.Z' /proc/[0-9]*/status; do :; done; true"
    )
    docker.succeed("stop", "-t", "30", "with")
    assert docker.state("with")["ExitCode"] == 143


def test_without_init_the_program_is_process_one(docker: Words) -> None:
    assert docker.run("busybox", "sh", "-c", "echo $$; cat /proc/1/comm; true").split() == ["1", "sh"]


# -- walls inside the guest


def status_field(text: str, name: str) -> str:
    found = re.search(rf"^{name}:\s*(\S+)", text, re.M)
    assert found, text
    return found[1]


@BOTH
def test_a_default_container_has_dockers_privileges_only(docker: Words) -> None:
    status = docker.run("busybox", "cat", "/proc/self/status")
    assert int(status_field(status, "CapEff"), 16) == DEFAULT_CAPABILITIES
    assert int(status_field(status, "CapBnd"), 16) == DEFAULT_CAPABILITIES
    assert status_field(status, "Seccomp") == "2"


def test_a_privileged_container_has_all_of_the_guests(docker: Words) -> None:
    out = docker.run("--privileged", "busybox", "sh", "-c",
                     "cat /proc/self/status; mount -t tmpfs none /mnt 2>/dev/null || (mkdir -p /mnt && mount -t tmpfs none"
                     " /mnt) && echo mounted; echo 1 > /proc/sys/net/ipv4/ip_forward && echo written")  # fmt: skip
    assert int(status_field(out, "CapEff"), 16) & DEFAULT_CAPABILITIES == DEFAULT_CAPABILITIES
    assert int(status_field(out, "CapEff"), 16).bit_count() >= 38
    assert status_field(out, "Seccomp") == "0"
    assert "mounted" in out and "written" in out


@pytest.mark.parametrize("platform", PLATFORMS)
def test_forbidden_calls_fail(docker: Words, platform: str) -> None:
    script = """
        mkdir -p /mnt
        mount -t tmpfs none /mnt 2>&1 && echo FAULT mount
        unshare -U true 2>&1 && echo FAULT unshare
        hostname other 2>&1 && echo FAULT hostname
        echo 1 > /proc/sys/kernel/randomize_va_space && echo FAULT sysctl
        echo h > /proc/sysrq-trigger && echo FAULT sysrq
        date -s 2000-01-01 >/dev/null 2>&1; [ $(date +%Y) -gt 2020 ] || echo FAULT clock
        chroot / true && echo chroot
        true
    """
    done = docker.daemon.docker("run", "--rm", "--platform", platform, "busybox", "sh", "-c", script)
    assert b"FAULT" not in done.stdout, done.stdout
    assert done.stdout.endswith(b"chroot\n"), (done.stdout, done.stderr)  # Docker's default has it


def test_the_machines_own_devices_are_out_of_reach(docker: Words) -> None:
    script = """
        for name in virtblk virtio-portsdev; do
            for major in $(awk -v name=$name '$2 == name { print $1 }' /proc/devices | sort -u); do
                for minor in 0 1 2 16 32 48; do
                    for kind in b c; do
                        mknod /d $kind $major $minor || echo FAULT mknod
                        (exec 3< /d) 2>&1 | grep -q 'not permitted' && echo refused $name
                        (exec 3<> /d) 2>/dev/null && echo FAULT $name $kind $major $minor
                        rm /d
                    done
                done
            done
        done
        mknod /mem c 1 1; (exec 3< /mem) 2>/dev/null && echo FAULT mem
        mknod /null2 c 1 3; echo ok > /null2 || echo FAULT null
    """
    out = docker.run("busybox", "sh", "-c", script)
    assert "FAULT" not in out, out
    assert set(out.splitlines()) == {"refused virtblk", "refused virtio-portsdev"}


def test_masked_and_read_only_paths(docker: Words) -> None:
    script = """
        wc -c < /proc/kcore; wc -c < /proc/keys; wc -c < /proc/timer_list; ls /proc/acpi /sys/firmware | grep -v : | wc -w
        (echo x > /proc/sys/kernel/domainname) 2>&1 | grep -c -i 'read-only'
        mkdir /sys/fs/cgroup/mine 2>&1 | grep -c -i 'read-only'
    """
    assert docker.run("busybox", "sh", "-c", script).split() == ["0", "0", "0", "0", "1", "1"]


def test_a_containers_dev_has_dockers_nodes(docker: Words) -> None:
    names = docker.run("busybox", "ls", "/dev").split()
    assert set(names) == {"core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout",
                          "tty", "urandom", "zero"}  # fmt: skip


# -- files


@BOTH
def test_read_only_and_tmpfs(docker: Words) -> None:
    script = "touch /x 2>&1; touch /scratch/x && echo kept; grep ' /scratch ' /proc/mounts"
    out = docker.run("--read-only", "--tmpfs", "/scratch:size=1m,mode=700", "busybox", "sh", "-c", script)
    assert "Read-only file system" in out and "kept" in out
    mounted = next(line for line in out.splitlines() if line.startswith("tmpfs /scratch"))
    assert "size=1024k" in mounted and "mode=700" in mounted and "noexec" in mounted
    docker.fail(
        1,
        "run",
        "--rm",
        "--tmpfs",
        "/s:size=1m",
        "busybox",
        "dd",
        "if=/dev/zero",
        "of=/s/x",
        "bs=1M",
        "count=2",
    )


@BOTH
def test_what_is_written_is_kept_over_stop_and_start(docker: Words) -> None:
    script = "trap 'exit 9' TERM; date +%s%N >> /kept; wc -l < /kept; echo here; while :; do sleep 1 & wait $!; done"
    docker.start("--name", "keeper", "busybox", "sh", "-c", script)
    for turn in range(2, 4):
        docker.succeed("exec", "keeper", "sh", "-c", "until [ -s /kept ]; do :; done; rm -f /bin/vi; sync")
        docker.succeed("stop", "-t", "30", "keeper")
        assert docker.state("keeper")["ExitCode"] == 9
        docker.succeed(*(("start", "keeper") if turn == 2 else ("restart", "keeper")))
        docker.until_lines("keeper", "here", turn)
        assert [line for line in docker.succeed("logs", "keeper").split() if line != "here"] == [
            str(n) for n in range(1, turn + 1)
        ]
        docker.fail(1, "exec", "keeper", "test", "-e", "/bin/vi")


# -- stop, kill, wait, rm


@BOTH
def test_stop_asks_first_and_kills_after_the_grace(docker: Words) -> None:
    docker.start("--name", "polite", "busybox", "sh", "-c",
                 "trap 'echo leaving; exit 7' TERM; echo ready; while :; do sleep 1 & wait $!; done")  # fmt: skip
    docker.start(
        "--name", "deaf", "busybox", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"
    )
    for name in ("polite", "deaf"):
        docker.until_lines(name, "ready")
    docker.succeed("stop", "-t", "60", "polite")
    assert docker.state("polite")["ExitCode"] == 7
    assert docker.succeed("logs", "polite") == "ready\nleaving\n"
    began = time.monotonic()
    docker.succeed("stop", "-t", "1", "deaf")
    assert time.monotonic() - began >= 1
    assert docker.state("deaf")["ExitCode"] == 137
    assert docker.succeed("stop", "deaf") == "deaf\n"  # 304: not an error


@BOTH
def test_signals_and_stop_signal(docker: Words) -> None:
    script = "trap 'echo usr1' USR1; trap 'exit 5' INT; echo ready; while :; do sleep 1 & wait $!; done"
    docker.start("--name", "listener", "--stop-signal", "SIGINT", "busybox", "sh", "-c", script)
    docker.until_lines("listener", "ready")
    docker.succeed("kill", "-s", "USR1", "listener")
    docker.until_lines("listener", "usr1")
    docker.succeed("stop", "-t", "60", "listener")
    assert docker.state("listener")["ExitCode"] == 5
    assert "is not running" in docker.fail(1, "kill", "listener")
    assert "nvalid signal" in docker.fail(1, "kill", "-s", "NONSENSE", docker.sleeper())


@BOTH
def test_wait_and_remove(docker: Words) -> None:
    id = docker.sleeper("--name", "there")
    with docker.begin("wait", "there") as waiter:
        said = docker.fail(1, "rm", "there")
        assert "container is running: stop the container before removing or force remove" in said
        assert docker.state(id)["Running"] is True
        docker.succeed("kill", "there")
        assert waiter.communicate() == (b"137\n", None)
    docker.succeed("rm", "there")
    assert "No such container" in docker.fail(1, "inspect", "--type", "container", "there")
    running = docker.sleeper()
    docker.succeed("rm", "-f", running)
    assert docker.containers() == []
    assert not (docker.daemon.home / "containers" / running).exists()


# -- names, labels, lists


def test_names_are_one_containers(docker: Words) -> None:
    first = docker.succeed("create", "--name", "one", "busybox", "true").strip()
    said = docker.fail(125, "run", "--name", "one", "busybox", "true")
    assert f'The container name "/one" is already in use by container "{first}"' in said
    answer = docker.daemon.request("POST", "/v1.41/containers/create?name=one", {"Image": "busybox"})
    assert answer.status == 409
    docker.succeed("rename", "one", "two")
    docker.succeed("create", "--name", "one", "busybox", "true")
    assert docker.inspect("two")["Name"] == "/two"
    assert docker.inspect(first[:7])["Id"] == first


def test_lists_are_filtered(docker: Words) -> None:
    up = docker.sleeper("--name", "up", "--label", "kind=a", "--label", "bare")
    down = docker.succeed("create", "--name", "down", "--label", "kind=b", "busybox", "true").strip()

    def listed(*args: str) -> set[str]:
        return set(docker.succeed("ps", "-q", "--no-trunc", *args).split())

    assert listed() == {up}
    assert listed("-a") == {up, down}
    assert listed("-a", "--filter", "label=kind=b") == {down}
    assert listed("-a", "--filter", "label=kind") == {up, down}
    assert listed("-a", "--filter", "label=bare") == {up}
    assert listed("-a", "--filter", "name=ow") == {down}
    assert listed("--filter", "status=created") == {down}
    assert listed("-a", "--filter", f"id={up[:10]}") == {up}
    assert listed("-a", "--filter", "ancestor=busybox") == {up, down}
    assert listed("-n", "1") == {down}
    shown = docker.succeed("ps", "--format", "{{.Names}}|{{.Image}}|{{.Status}}|{{.Command}}").split("|")
    assert shown[:2] == ["up", "busybox"] and shown[2].startswith("Up ")


# -- exec


@BOTH
def test_exec_has_exit_codes_environment_user_and_directory(docker: Words) -> None:
    docker.sleeper("--name", "host", "-e", "OWN=1")
    docker.fail(3, "exec", "host", "sh", "-c", "exit 3")
    docker.fail(143, "exec", "host", "sh", "-c", "kill -TERM $$")
    out = docker.succeed(
        "exec", "-e", "MORE=2", "-w", "/tmp", "-u", "7:8", "host", "sh", "-c", "echo $OWN$MORE; pwd; id -u"
    )
    assert out.split() == ["12", "/tmp", "7"]
    done = docker.daemon.docker("exec", "host", "sh", "-c", "echo o; echo e >&2")
    assert (done.stdout, done.stderr) == (b"o\n", b"e\n")
    assert docker.succeed("exec", "-i", "host", "cat", input=b"piped") == "piped"
    assert docker.succeed("exec", "host", "cat", input=b"not attached") == ""
    for code, program in ((126, "nothing-here"), (126, "/etc/passwd")):
        docker.fail(code, "exec", "host", program)
    assert "unable to find user nobody-here" in docker.fail(126, "exec", "-u", "nobody-here", "host", "true")
    docker.succeed("exec", "-d", "host", "sh", "-c", "echo left > /left")
    docker.succeed("exec", "host", "sh", "-c", "until grep -qs left /left; do :; done")


def test_an_exec_is_in_the_containers_name_spaces(docker: Words) -> None:
    docker.sleeper("--name", "house")
    script = "for n in pid mnt net ipc uts cgroup; do readlink /proc/1/ns/$n; readlink /proc/self/ns/$n; done"
    pairs = docker.succeed("exec", "house", "sh", "-c", script).split()
    assert pairs[0::2] == pairs[1::2]
    status = docker.succeed("exec", "house", "cat", "/proc/self/status")
    assert int(status_field(status, "CapEff"), 16) == DEFAULT_CAPABILITIES
    assert status_field(status, "Seccomp") == "2"
    privileged = docker.succeed("exec", "--privileged", "house", "cat", "/proc/self/status")
    assert int(status_field(privileged, "CapEff"), 16).bit_count() >= 38


@BOTH
def test_many_execs_at_a_time(docker: Words) -> None:
    docker.sleeper("--name", "busy")
    with ExitStack() as held:
        running = {
            n: held.enter_context(
                docker.begin("exec", "-i", "busy", "sh", "-c", f"cat; seq {n} {n + 3000}; exit {n}")
            )
            for n in range(1, 9)
        }
        for n, client in running.items():
            out, _ = client.communicate(b"in\n")
            assert client.returncode == n
            assert out.split() == [b"in", *(str(k).encode() for k in range(n, n + 3001))]


def test_execs_of_what_does_not_run_are_refused(docker: Words) -> None:
    id = docker.succeed("create", "busybox", "true").strip()
    assert "is not running" in docker.fail(1, "exec", id, "true")


# -- inspect, events, info


@BOTH
def test_inspect_has_what_clients_read(docker: Words) -> None:
    docker.sleeper(
        "--name", "seen", "--label", "a=b", "-e", "X=y", "-m", "64m", "--cpus", "0.5", "--hostname", "h"
    )
    container = docker.daemon.client.containers.get("seen")
    assert (container.name, container.status, container.labels) == ("seen", "running", {"a": "b"})
    assert container.image.tags == ["busybox:latest"]
    found = container.attrs
    assert found["Config"]["Hostname"] == "h" and "X=y" in found["Config"]["Env"]
    assert found["HostConfig"]["Memory"] == 64 << 20 and found["HostConfig"]["NanoCpus"] == 500_000_000
    assert found["State"]["Pid"] > 0 and found["State"]["StartedAt"] > found["Created"]
    assert found["Path"] == "sh" and found["Args"][0] == "-c"
    assert os.path.exists(f"/proc/{found['State']['Pid']}")
    assert found["LogPath"].startswith(str(docker.daemon.home))
    container.stop(timeout=0)
    container.reload()
    assert (
        container.status == "exited" and container.attrs["State"]["FinishedAt"] > found["State"]["StartedAt"]
    )
    assert container.attrs["State"]["Pid"] == 0


def test_events_tell_a_containers_life(docker: Words) -> None:
    began = time.time()
    follow = ("--since", f"{began:.9f}", "--filter", "container=told", "--format", "{{json .}}")
    with docker.begin("events", *follow) as follower:
        docker.fail(3, "run", "--rm", "--name", "told", "--label", "l=1", "busybox", "sh", "-c", "exit 3")
        assert follower.stdout is not None
        events: list[dict[str, Any]] = []
        while not events or events[-1]["Action"] != "destroy":
            events.append(json.loads(follower.stdout.readline()))
    assert [e["Action"] for e in events] == ["create", "attach", "start", "die", "destroy"]
    die = events[3]["Actor"]["Attributes"]
    assert (die["exitCode"], die["name"], die["image"], die["l"]) == ("3", "told", "busybox", "1")
    replayed = docker.succeed("events", "--since", f"{began:.9f}", "--until", f"{time.time():.9f}", "--filter",
                              "container=told", "--filter", "event=die", "--format", "{{.Action}}")  # fmt: skip
    assert replayed == "die\n"


@BOTH
def test_version_and_info(docker: Words) -> None:
    version = json.loads(docker.succeed("version", "--format", "{{json .}}"))
    assert version["Server"]["Os"] == "linux" and version["Server"]["ApiVersion"]
    docker.sleeper()
    info = json.loads(docker.succeed("info", "--format", "{{json .}}"))
    images = docker.daemon.request("GET", "/images/json?all=1").json()  # those of other tests too
    assert (info["Containers"], info["ContainersRunning"]) == (1, 1)
    assert info["Images"] == len(images) >= len(PLATFORMS)
    assert "ERROR" not in docker.succeed("info")


# -- images


@BOTH
def test_an_image_made_elsewhere_is_loaded_run_tagged_and_removed(docker: Words, place: Path) -> None:
    archive = make_archive(docker, place)
    assert "Loaded image: made:1" in docker.succeed("load", "-i", str(archive))
    assert docker.run("made:1") == "from the image\n"
    docker.succeed("tag", "made:1", "made:2")
    assert sorted(docker.succeed("images", "--format", "{{.Repository}}:{{.Tag}}", "made").split()) == [
        "made:1",
        "made:2",
    ]
    id = docker.start("made:2", "sleep", "1000")
    said = docker.fail(1, "rmi", "-f", docker.succeed("images", "-q", "--no-trunc", "made:1").strip())
    assert "(cannot be forced) - a container is using its image" in said
    assert docker.succeed("rmi", "made:1") == "Untagged: made:1\n"
    docker.succeed("rm", "-f", id)
    assert "Deleted: sha256:" in docker.succeed("rmi", "made:2")
    assert "No such image" in docker.fail(1, "inspect", "--type", "image", "made:2")
    docker.fail(125, "run", "--rm", "made:2")


def make_archive(docker: Words, place: Path) -> Path:
    """A docker-archive by hand: busybox's own program, and a file."""
    program = docker.daemon.docker("run", "--rm", "busybox", "cat", "/bin/busybox").stdout
    layer = make_tar(("bin", folder()), ("bin/busybox", file(program, mode=0o755)),
                     ("text", file(b"from the image\n")))  # fmt: skip
    second = make_tar(
        ("bin/sleep", {"type": b"2", "linkname": "busybox"}),
        ("bin/cat", {"type": b"2", "linkname": "busybox"}),
    )
    path = place / "made.tar"
    path.write_bytes(
        docker_archive(
            [layer, second],
            ["made:1"],
            {"Cmd": ["/bin/cat", "/text"], "Env": ["PATH=/bin"]},
            platforms=[DEFAULT.split("/")[1]],
        )
    )
    return path


@pytest.mark.parametrize("platform", PLATFORMS)
@BOTH
def test_an_image_of_one_platform_picks_its_machine(docker: Words, place: Path, platform: str) -> None:
    program = docker.daemon.docker(
        "run", "--rm", "--platform", platform, "busybox", "cat", "/bin/busybox"
    ).stdout
    (place / "root.tar").write_bytes(make_tar(("busybox", file(program, mode=0o755))))
    id = docker.succeed("import", "--platform", platform, "-c", 'CMD ["/busybox", "uname", "-m"]',
                        str(place / "root.tar"), "bare:1")  # fmt: skip
    assert id.startswith("sha256:")
    assert docker.run("bare:1") == f"{MACHINES[platform]}\n"
    docker.succeed("rmi", "bare:1")


@pytest.mark.amd64
def test_a_genuine_image_with_python(docker: Words, tmp_path: Path) -> None:
    with load_python_image(docker, tmp_path) as image:
        assert docker.run(image, "python3", "-c", "print(6*7)") == "42\n"
        assert docker.run(image, "cat", "/etc/os-release").startswith('NAME="Alpine Linux"')
        script = "import hashlib, ssl, sqlite3, threading, os; print(os.getpid(), hashlib.sha256(b'').hexdigest()[:8])"
        assert docker.run(image, "python3", "-c", script) == "1 e3b0c442\n"
