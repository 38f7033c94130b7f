"""Every option of `docker run`: what of it is seen inside the container, not its echo; and what is refused, in
Docker's words. A machine for each line of the tables, all on one daemon, root's and an ordinary user's."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import docker as docker_py
import pytest
from words import BOTH, Words

pytestmark = pytest.mark.boot

CGROUP = "/sys/fs/cgroup"
STATUS = "/proc/self/status"
FOURTEEN = 0xA80425FB
"""Docker's default set of capabilities."""
NET_ADMIN, SYS_TIME, CHOWN, KILL = 1 << 12, 1 << 25, 1 << 0, 1 << 5


def capabilities(bits: int) -> str:
    return f"CapInh:\t{0:016x}\nCapPrm:\t{bits:016x}\nCapEff:\t{bits:016x}\nCapBnd:\t{bits:016x}\nCapAmb:\t{0:016x}"


SHOW_CAPABILITIES = f"grep Cap {STATUS}"
GUARDED = f"grep -E '^(NoNewPrivs|Seccomp):' {STATUS} | tr -d '\\t'"
MOUNT = "mkdir /m && mount -t tmpfs x /m && echo mounted"
FORKS = "sh -c 'for i in 1 2 3 4 5 6 7; do sleep 9 & done' 2>/f; cut -d: -f3 /f"
IO_MAX = f"cut -d' ' -f2- {CGROUP}/io.max | sort -u"
LISTS = f"grep _list {STATUS} | tr -d '\\t'"


def size_of(path: str) -> str:
    return f"df -k {path} | awk 'NR==2 {{print $2}}'"


def show(*names: str) -> str:
    return "cat " + " ".join(names)


# Each container has the options of all its lines, and runs the script of each: (options, script, what it prints).
SEEN: tuple[tuple[tuple[str, str, str], ...], ...] = (
    (
        ("", SHOW_CAPABILITIES, capabilities(FOURTEEN)),
        ("", GUARDED, "NoNewPrivs:0\nSeccomp:2"),
        ("", "ulimit -Sn; ulimit -Hn", "1048576\n1048576"),
        ("", size_of("/dev/shm"), "65536"),
        ("", show("/proc/self/oom_score_adj"), "0"),
        ("", show("/proc/sys/net/ipv4/ip_unprivileged_port_start"), "0"),
        ("", show("/proc/sys/net/ipv4/ping_group_range"), "0\t2147483647"),
        ("", f"cd {CGROUP}; cat memory.max memory.low pids.max cpu.max cpu.weight io.max",
         "max\n0\nmax\nmax 100000\n100"),
    ),
    (
        ("--shm-size 10m", size_of("/dev/shm"), "10240"),
        ("--ulimit nofile=100:200 --ulimit core=0", "ulimit -Sn; ulimit -Hn; ulimit -c", "100\n200\n0"),
        ("--ulimit nproc=-1 --ulimit stack=1048576:-1", "grep -E 'stack|processes' /proc/self/limits | tr -s ' '",
         "Max stack size 1048576 unlimited bytes \nMax processes unlimited unlimited processes "),
        ("--ulimit fsize=1024", "dd if=/dev/zero of=/f bs=1k count=4 2>/dev/null; wc -c < /f", "1024"),
        ("--group-add 1234 --group-add 7", f"grep Groups {STATUS} | tr -s '\t ' ' '", "Groups: 0 7 1234 "),
        ("--oom-score-adj 345", show("/proc/self/oom_score_adj"), "345"),
        ("--hostname isle --domainname sea", "hostname; cat /proc/sys/kernel/domainname; grep isle /etc/hosts | cut -f2",
         "isle\nsea\nisle.sea isle"),
        ("--sysctl net.ipv4.ip_unprivileged_port_start=90", show("/proc/sys/net/ipv4/ip_unprivileged_port_start"), "90"),
        ("--sysctl net.core.somaxconn=77", show("/proc/sys/net/core/somaxconn"), "77"),
        ("--sysctl kernel.msgmax=4096", show("/proc/sys/kernel/msgmax"), "4096"),
        ("--sysctl kernel.shm_rmid_forced=1", show("/proc/sys/kernel/shm_rmid_forced"), "1"),
        ("--sysctl fs.mqueue.msg_max=11", show("/proc/sys/fs/mqueue/msg_max"), "11"),
        ("--init", show("/proc/1/comm"), "docker-init"),
        ("-e A=1 -w /srv", "echo $A; pwd", "1\n/srv"),
    ),
    (
        ("--pids-limit 20", show(f"{CGROUP}/pids.max"), "20"),
        ("--memory 900m --memory-reservation 800m", f"cd {CGROUP}; cat memory.max memory.low",
         f"{900 << 20}\n{800 << 20}"),
        ("--memory-swap 900m", "awk '/SwapTotal/ {print $2}' /proc/meminfo", "0"),
        ("--cpus 0.5", show(f"{CGROUP}/cpu.max"), "50000 100000"),
        ("--cpu-shares 512", show(f"{CGROUP}/cpu.weight"), "59"),
        ("--cpuset-cpus 0 --cpuset-mems 0", f"cd {CGROUP}; cat cpuset.cpus cpuset.mems", "0\n0"),
        ("", LISTS, "Cpus_allowed_list:0\nMems_allowed_list:0"),
        ("--blkio-weight 20", show(f"{CGROUP}/io.weight"), "default 102"),
        ("--device-read-bps /dev/x:1mb --device-write-bps /dev/x:2mb", IO_MAX, "rbps=1048576 wbps=2097152 riops=30 wiops=40"),
        ("--device-read-iops /dev/x:30 --device-write-iops /dev/x:40", IO_MAX, "rbps=1048576 wbps=2097152 riops=30 wiops=40"),
        ("--read-only --tmpfs /t:size=1m", f"touch /f 2>&1; {size_of('/t')}", "touch: /f: Read-only file system\n1024"),
        ("--tmpfs /dev/shm:size=2m", size_of("/dev/shm"), "2048"),
        ("--mount type=tmpfs,dst=/u,tmpfs-size=1m,tmpfs-mode=700", "stat -c %a /u", "700"),
        ("--oom-score-adj -345", show("/proc/self/oom_score_adj"), "-345"),
    ),
    (
        ("--cpu-quota 20000 --cpu-period 40000", show(f"{CGROUP}/cpu.max"), "20000 40000"),
        ("--pids-limit 5", FORKS, " Resource temporarily unavailable"),
    ),
    (
        ("--cpu-quota 20000", show(f"{CGROUP}/cpu.max"), "20000 100000"),
        ("--pids-limit -1", show(f"{CGROUP}/pids.max"), "max"),
        ("--blkio-weight 20 --blkio-weight-device /dev/x:30", show(f"{CGROUP}/io.weight"), "default 203"),
        ("-u 5:6 --group-add 7", "id -u; id -G", "5\n6 7"),
        ("--cap-drop CAP_CHOWN --cap-drop kill", "grep CapBnd " + STATUS, f"CapBnd:\t{FOURTEEN & ~CHOWN & ~KILL:016x}"),
    ),
    (("--cpuset-cpus 1", f"cat {CGROUP}/cpuset.cpus; nproc", "1\n1"),),
    (("--cap-add NET_ADMIN --cap-add cap_sys_time", SHOW_CAPABILITIES, capabilities(FOURTEEN | NET_ADMIN | SYS_TIME)),
     ("", "ip link set lo mtu 1234 && cat /sys/class/net/lo/mtu", "1234")),
    (("--cap-drop ALL", SHOW_CAPABILITIES, capabilities(0)),
     ("", "touch /f; chown 5 /f 2>&1; true", "chown: /f: Operation not permitted")),
    (("--cap-drop all --cap-add CHOWN", SHOW_CAPABILITIES, capabilities(CHOWN)),
     ("--security-opt no-new-privileges", GUARDED, "NoNewPrivs:1\nSeccomp:2")),
    (("--cap-add ALL --cap-drop NET_ADMIN", SHOW_CAPABILITIES, capabilities(((1 << 41) - 1) & ~NET_ADMIN)),
     ("--security-opt no-new-privileges=false --security-opt seccomp=builtin", GUARDED, "NoNewPrivs:0\nSeccomp:2")),
    (("--security-opt seccomp=unconfined", GUARDED, "NoNewPrivs:0\nSeccomp:0"),
     ("--cap-add SYS_ADMIN", MOUNT, "mounted"),
     ("--security-opt systempaths=unconfined", "grep -c ' /proc/' /proc/mounts", "1"),
     ("", "echo 7 > /proc/sys/vm/swappiness; cat /proc/sys/vm/swappiness", "7")),
    (("--privileged --security-opt seccomp=builtin", GUARDED, "NoNewPrivs:0\nSeccomp:2"), ("", MOUNT, "mounted")),
    (("--storage-opt size=100m", f"test $({size_of('/')}) -lt 102400 && test $({size_of('/')}) -gt 60000 && echo fits",
      "fits"),
     ("", "dd if=/dev/zero of=/f bs=1M count=150 2>&1 | grep -o 'No space.*'", "No space left on device")),
)  # fmt: skip


@BOTH
@pytest.mark.parametrize(
    "lines", SEEN, ids=lambda lines: " ".join(line[0] for line in lines)[:60] or "nothing"
)
def test_what_is_seen(docker: Words, lines: tuple[tuple[str, str, str], ...]) -> None:
    options = [word for line in lines for word in line[0].split()]
    script = "\n".join(f"({line[1]}\n); echo =====" for line in lines)
    printed = docker.run(*options, "busybox", "sh", "-c", script).split("=====\n")
    assert [text.removesuffix("\n") for text in printed[:-1]] == [line[2] for line in lines]


@BOTH
def test_further_processes_have_the_same(docker: Words) -> None:
    id = docker.sleeper("--group-add", "7", "--cap-drop", "ALL", "--cap-add", "CHOWN", "--ulimit", "nofile=50:60",
                        "--oom-score-adj", "99", "--security-opt", "no-new-privileges")  # fmt: skip
    script = f"grep CapBnd {STATUS}; {GUARDED}; id -G; ulimit -Sn; cat /proc/self/oom_score_adj"
    out = docker.succeed("exec", id, "sh", "-c", script).splitlines()
    assert out == [f"CapBnd:\t{CHOWN:016x}", "NoNewPrivs:1", "Seccomp:2", "0 7", "50", "99"]
    out = docker.succeed("exec", "--privileged", id, "grep", "CapBnd", STATUS)
    assert out == f"CapBnd:\t{(1 << 41) - 1:016x}\n"


PROFILE = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}],
}


@BOTH
@pytest.mark.parametrize("options", [(), ("--privileged",)])
def test_a_seccomp_profile_of_ones_own(docker: Words, place: Path, options: tuple[str, ...]) -> None:
    file = place / "profile.json"
    file.write_text(json.dumps(PROFILE, indent=1))
    id = docker.start(*options, "--security-opt", f"seccomp={file}", "busybox", "sleep", "1000")
    for words in ("exec",), ("exec", "--privileged"):
        out = docker.succeed(*words, id, "sh", "-c", f"mkdir /d 2>&1; grep Seccomp: {STATUS}")
        assert out == "mkdir: can't create directory '/d': No space left on device\nSeccomp:\t2\n"


@BOTH
def test_files_of_variables_and_labels(docker: Words, place: Path) -> None:
    (place / "env").write_text("# a comment\nA=1 2\n\nB=x=y\n")
    (place / "labels").write_text("# a comment\nfirst=1\nsecond=\n")
    options = ("--env-file", str(place / "env"), "-e", "B=z", "--label-file", str(place / "labels"), "-l", "third=3",
               "--annotation", "a.b=c")  # fmt: skip
    assert docker.run(*options, "busybox", "sh", "-c", 'echo "$A $B"') == "1 2 z\n"
    docker.succeed("create", "--name", "labelled", *options, "busybox")
    assert docker.succeed("ps", "-aq", "--filter", "label=first=1", "--filter", "label=second").strip()
    assert docker.inspect("labelled")["HostConfig"]["Annotations"] == {"a.b": "c"}


@BOTH
def test_the_signal_and_the_time_to_stop(docker: Words) -> None:
    script = "trap 'exit 3' INT; trap '' TERM; echo up; while :; do sleep 1 & wait $!; done"
    docker.start("--name", "asks", "--stop-signal", "INT", "busybox", "sh", "-c", script)
    docker.start("--name", "deaf", "--stop-timeout", "1", "busybox", "sh", "-c", script)
    for name, code in ("asks", 3), ("deaf", 137):
        docker.until_lines(name, "up")
        docker.succeed("stop", name)
        assert docker.state(name)["ExitCode"] == code


@BOTH
def test_unknown_groups_and_sysctls_are_told_at_the_start(docker: Words) -> None:
    said = docker.fail(125, "run", "--rm", "--group-add", "boat", "busybox", "true")
    assert "unable to find group boat: no matching entries in group file" in said
    said = docker.fail(127, "run", "--rm", "--sysctl", "net.no.such=1", "busybox", "true")
    assert "open /proc/sys/net/no/such: no such file or directory" in said
    said = docker.fail(125, "run", "--rm", "--ulimit", "nofile=9999999999", "busybox", "true")
    assert (
        "error setting rlimits for ready process: error setting rlimit nofile: operation not permitted"
        in said
    )


# -- the disks, held from both sides


WRITTEN = """set -e
cd /sys/block; disk=$(dirname $(grep -l writable vd*/serial)); set -- $(cat $disk/stat); before=$7
read began rest < /proc/uptime
dd if=/dev/zero of=/f bs=64k count=%d conv=fsync 2>/dev/null; sync
read ended rest < /proc/uptime
set -- $(cat $disk/stat); echo $(( ($7 - before) / 2 )) $began $ended"""
"""KiB that the disk has written, by the kernel's own counters, and the guest's clock before and after it, in seconds."""


@BOTH
def test_device_limits_hold_in_the_guest_and_below_it(docker: Words) -> None:
    rate = 2 << 20
    id = docker.start("--privileged", "--device-write-bps", f"/dev/any:{rate}", "--device-write-bps", "/dev/b:9mb",
                      "--device-read-iops", "/dev/any:5000", "busybox", "sleep", "1000")  # fmt: skip
    limits = docker.succeed("exec", id, "cat", f"{CGROUP}/io.max").splitlines()
    assert len(limits) > 1
    for line in limits:
        assert re.fullmatch(rf"\d+:\d+ rbps=max wbps={rate} riops=5000 wiops=max", line)
    lift = (
        f"cut -d' ' -f1 {CGROUP}/io.max | while read d; do echo $d wbps=max riops=max > {CGROUP}/io.max; done"
    )
    docker.succeed("exec", id, "sh", "-c", f"{lift}; test ! -s {CGROUP}/io.max")
    written, began, ended = docker.succeed("exec", id, "sh", "-c", WRITTEN % 96).split()
    assert int(written) >= 6 << 10
    # QEMU lets a tenth of a second's worth pass after a rest, and counts a request once it has let it pass: the last
    # one, of at most max_sectors_kb, comes on top (include/qemu/throttle.h)
    above = rate / 10 + (1280 << 10)
    assert int(written) * 1024 <= rate * (float(ended) - float(began)) * 1.05 + above


# -- another kernel, a boot of its own


@BOTH
def test_another_kernel_and_a_boot_of_its_own(docker: Words, place: Path) -> None:
    home = docker.daemon.home / "kernels"
    kernel = home / json.loads((home / "amd64.json").read_text())["folder"] / "kernel"
    ours = kernel.read_bytes().replace(b"(debian-kernel@", b"(insula-kernel@")
    (place / "vmlinux").write_bytes(ours)
    run = ("--rm", "--platform", "linux/amd64")
    shown = docker.daemon.insula(
        "run", *run, "--kernel", str(place / "vmlinux"), "busybox", "cat", "/proc/version"
    )
    assert b"(insula-kernel@" in shown.stdout, shown
    assert "(debian-kernel@" in docker.run("--platform", "linux/amd64", "busybox", "cat", "/proc/version")
    docker.succeed("run", *run[1:], "-d", "--name", "own", "--isolation", "fresh", "--annotation",
                   f"insula.kernel={place / 'vmlinux'}", "busybox", "sleep", "1000")  # fmt: skip
    assert "(insula-kernel@" in docker.succeed("exec", "own", "cat", "/proc/version")
    assert docker.inspect("own")["Insula"]["Origin"] == "cold"
    said = docker.daemon.insula("run", "--rm", "--kernel", "/etc/passwd", "busybox", "true")
    assert said.returncode == 125 and b"/etc/passwd is no kernel for" in said.stderr


# -- other clients


@BOTH
def test_through_docker_py(docker: Words) -> None:
    out = docker.daemon.client.containers.run(
        "busybox", ["sh", "-c", f"{show(CGROUP + '/pids.max')}; ulimit -n; id -G; {GUARDED}; grep -c ' /proc/' /proc/mounts"],
        remove=True, pids_limit=30, ulimits=[docker_py.types.Ulimit(name="nofile", soft=70, hard=80)], group_add=["9"],
        security_opt=["no-new-privileges"], cap_drop=["ALL"], device_write_bps=[{"Path": "/dev/sda", "Rate": 1 << 30}],
        sysctls={"net.core.somaxconn": "5"}, oom_score_adj=10, mem_reservation="100m", storage_opt={"size": "1g"},
        network_mode="none",
    )  # fmt: skip
    assert out.decode().split("\n")[:5] == ["30", "70", "0 9", "NoNewPrivs:1", "Seccomp:2"]
    api = docker.daemon.client.api
    config = api.create_host_config(network_mode="none") | {"MaskedPaths": ["/etc"], "ReadonlyPaths": []}
    id = api.create_container("busybox", ["sh", "-c", "ls /etc | wc -l; echo 5 > /proc/sys/vm/swappiness && echo yes"],
                              host_config=config)["Id"]  # fmt: skip
    api.start(id)
    api.wait(id)
    assert api.logs(id) == b"0\nyes\n"


@BOTH
def test_through_insula(docker: Words) -> None:
    flags = (
        "--network none --group-add 7 --cap-drop ALL --security-opt no-new-privileges --ulimit nofile=50 --shm-size 1m "
        "--sysctl net.core.somaxconn=5 --oom-score-adj 9 --cpuset-cpus 0 --memory-reservation 100m --storage-opt size=1g "
        "--device-read-bps /dev/sda:1g --pids-limit 50 --cpu-shares 512"
    )
    script = (
        f"id -G; {GUARDED}; ulimit -n; {size_of('/dev/shm')}; cat /proc/sys/net/core/somaxconn /proc/self/oom_score_adj "
        f"{CGROUP}/cpuset.cpus {CGROUP}/memory.low {CGROUP}/pids.max {CGROUP}/cpu.weight"
    )
    done = docker.daemon.insula("run", "--rm", *flags.split(), "busybox", "sh", "-c", script)
    assert done.stdout.decode().splitlines() == [
        "0 7", "NoNewPrivs:1", "Seccomp:2", "50", "1024", "5", "9", "0", str(100 << 20), "50", "59",
    ], done  # fmt: skip


# -- what is refused, and what is warned of


def refused(docker: Words, words: str, **fields: Any) -> None:
    host = {
        name: value for name, value in fields.items() if name not in ("Hostname", "StopSignal", "StopTimeout")
    }
    config = {name: value for name, value in fields.items() if name not in host}
    before = docker.containers()
    answer = docker.daemon.request(
        "POST", "/containers/create", {"Image": "busybox", **config, "HostConfig": host}
    )
    assert (answer.status, answer.message) == (400, words)
    assert docker.containers() == before


MIB = 1 << 20
REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"Memory": 1}, "Minimum memory limit allowed is 6MB"),
    ({"Memory": 64 * MIB, "MemorySwap": 32 * MIB},
     "Minimum memoryswap limit should be larger than memory limit, see usage"),
    ({"MemorySwap": 32 * MIB}, "You should always set the Memory limit when using Memoryswap limit, see usage"),
    ({"MemoryReservation": 1}, "Minimum memory reservation allowed is 6MB"),
    ({"Memory": 6 * MIB, "MemoryReservation": 7 * MIB},
     "Minimum memory limit can not be less than memory reservation limit, see usage"),
    ({"MemorySwappiness": 101}, "Invalid value: 101, valid memory swappiness range is 0-100"),
    ({"NanoCpus": 10**9, "CpuPeriod": 5000}, "Conflicting options: Nano CPUs and CPU Period cannot both be set"),
    ({"NanoCpus": 10**9, "CpuQuota": 5000}, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
    ({"CpuPeriod": 1}, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"),
    ({"CpuQuota": 1}, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
    ({"CpuShares": -1}, "invalid CPU shares (-1): value must be a positive integer"),
    ({"CpusetCpus": "x"}, "Invalid value x for cpuset cpus: invalid format: x"),
    ({"CpusetMems": "1"}, "Requested memory nodes are not available - requested 1, available: 0"),
    ({"BlkioWeight": 5}, "Range of blkio weight is from 10 to 1000"),
    ({"BlkioWeightDevice": [{"Path": "/dev/sda", "Weight": 5}]}, "invalid weight for device: /dev/sda:5"),
    ({"OomScoreAdj": 1001}, "Invalid value 1001, range for oom score adj is [-1000, 1000]"),
    ({"ShmSize": -1}, "SHM size can not be less than 0"),
    ({"CapAdd": ["NOTHING"]}, 'invalid CapAdd: unknown capability: "CAP_NOTHING"'),
    ({"CapDrop": ["CAP_NOTHING"]}, 'invalid CapDrop: unknown capability: "CAP_NOTHING"'),
    ({"SecurityOpt": ["odd"]}, 'invalid --security-opt 1: "odd"'),
    ({"SecurityOpt": ["odd=1"]}, 'invalid --security-opt 2: "odd=1"'),
    ({"SecurityOpt": ["seccomp={"]},
     "Decoding seccomp profile failed: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ({"SecurityOpt": ['seccomp={"defaultAction":"odd"}']}, "string odd is not a valid action for seccomp"),
    ({"Sysctls": {"vm.swappiness": "1"}}, 'sysctl "vm.swappiness" is not in a separate kernel namespace'),
    ({"Sysctls": {"net/../vm/x": "1"}}, "sysctl 'net/../vm/x' is not allowed"),
    ({"Ulimits": [{"Name": "odd", "Soft": 1, "Hard": 1}]}, "invalid ulimit type: odd"),
    ({"Ulimits": [{"Name": "nofile", "Soft": 2, "Hard": 1}]},
     "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
    ({"StorageOpt": {"odd": "1"}}, "Unknown option odd (there is size=…)"),
    ({"StorageOpt": {"size": "large"}}, "invalid size: 'large'"),
    ({"Tmpfs": {"/proc": ""}}, '"/proc" cannot be mounted because it is not of type proc'),
    ({"Tmpfs": {"/": ""}}, "invalid specification: destination can't be '/'"),
    ({"Tmpfs": {"x": ""}}, "invalid mount path: 'x' mount path must be absolute"),
    ({"Annotations": {"": "x"}}, "invalid Annotations: the empty string is not permitted as an annotation key"),
    ({"Annotations": {"insula.kernel": "/no/such"}},
     "the kernel /no/such cannot be read: [Errno 2] No such file or directory: '/no/such'"),
    ({"Hostname": "h" * 65}, f'hostname "{"h" * 65}" is too long (maximum 64 bytes)'),
    ({"Hostname": "h", "UTSMode": "host"}, "conflicting options: hostname and the UTS mode"),
    ({"StopSignal": "ODD"}, "Invalid signal: ODD"),
    ({"CpuRealtimeRuntime": 5},
     "HostConfig.CpuRealtimeRuntime cannot be had (kernel does not support CPU real-time scheduler; use --cpus)"),
)  # fmt: skip


@pytest.mark.parametrize(("fields", "words"), REFUSED, ids=lambda value: str(value)[:50])
@BOTH
def test_what_is_refused(docker: Words, fields: dict[str, Any], words: str) -> None:
    refused(docker, words, **fields)


WARNED = (
    ("--memory 64m --memory-swap 128m", "Memory limited without swap"),
    ("--memory-swappiness 5", "HostConfig.MemorySwappiness has no effect: a machine has no swap"),
    ("--oom-kill-disable", "HostConfig.OomKillDisable has no effect"),
    ("--device-read-bps /dev/sda:1mb", "apply to all of the container's own disks"),
    ("--privileged --cap-drop CHOWN", "HostConfig.CapDrop has no effect"),
    ("--security-opt label=type:x", "The security option label=type:x has no effect"),
    ("--security-opt apparmor=mine", "The security option apparmor=mine has no effect"),
    ("--cgroup-parent x", "HostConfig.CgroupParent has no effect"),
)


@pytest.mark.parametrize(("options", "words"), WARNED, ids=lambda value: value[:40])
@BOTH
def test_what_is_warned_of(docker: Words, options: str, words: str) -> None:
    done = docker.daemon.docker("create", "--network", "none", *options.split(), "busybox")
    assert done.returncode == 0
    assert [line for line in done.stderr.decode().splitlines() if words in line], done.stderr


@pytest.mark.parametrize("options", ["--device /dev/null", "--gpus all", "--device-cgroup-rule a"])
@BOTH
def test_devices_of_the_host_are_refused(docker: Words, options: str) -> None:
    done: subprocess.CompletedProcess[bytes] = docker.daemon.insula("create", *options.split(), "busybox")
    assert done.returncode != 0 and b"a machine has no device of the host" in done.stderr
