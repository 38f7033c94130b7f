"""Plans against what is written here; and the whole of a plain one, field by field."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from insula.agent.boot_document import (
    BootDocument,
    BootFlag,
    File,
    Limit,
    Mount,
    MountKind,
    ProcessFlag,
    ProcessSpec,
    Sysctl,
)
from insula.agent.limits import NO_LIMITS, Limits
from insula.container.capabilities import NAMES
from insula.container.mount_point import point_of
from insula.container.mounting import place_mounts
from insula.container.name_files import HOSTS
from insula.container.plan import LIMITS, MASKED, READ_ONLY, Choices, Plan, make_exec, make_plan
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec, ExecSpec, MountRequest
from insula.container.spec_limits import DeviceLimits, Ulimit
from insula.errors import InvalidArgument
from insula.guest.request import GuestRequest
from insula.machine.spec import Throttle

CHOICES = Choices(boot=5, main=1, entropy=b"e" * 16, seccomp=b"12345678")
SETTINGS = Settings(
    entrypoint=("/entry",), cmd=("a", "b"), env=("PATH=/bin", "A=1"), hostname="island", user="app"
)
LAYERS = (Path("/disks/low"), Path("/disks/high"))
DISK = Path("/c/writable.ext4")
FOURTEEN = 0xA80425FB
"""The default of Docker, as /proc/self/status shows it."""


def plan(settings: Settings = SETTINGS, **spec: Any) -> Plan:
    return make_plan(ContainerSpec(image="i", **spec), settings, "linux/amd64", LAYERS, DISK, CHOICES)


def test_a_plain_one() -> None:
    made = plan()
    assert made.request == GuestRequest("linux/amd64", 0, 0.0, LAYERS, DISK)
    document = made.document
    assert (document.number, document.entropy, document.hostname) == (5, b"e" * 16, "island")
    assert (document.layers, document.writable, document.flags) == ((0, 1), 0, BootFlag(0))
    assert document.mounts == ()
    assert document.sysctls == (
        Sysctl("net/ipv4/ip_unprivileged_port_start", "0"),
        Sysctl("net/ipv4/ping_group_range", "0 2147483647"),
    )
    assert (document.masked, document.read_only) == (MASKED, READ_ONLY)
    assert document.files == (
        File("/etc/hostname", b"island\n"),
        File("/etc/hosts", HOSTS.encode() + b"127.0.1.1\tisland\n"),
        File("/etc/resolv.conf", b""),
    )
    assert document.limits == NO_LIMITS
    assert document.shm == 64 << 20
    main = document.main
    assert (main.number, main.arguments, main.user, main.directory) == (1, ("/entry", "a", "b"), "app", "/")
    assert main.environment == ("HOSTNAME=island", "PATH=/bin", "A=1")
    assert (main.groups, main.oom_score_adj) == ((), 0)
    assert (main.flags, main.seccomp, main.limits) == (ProcessFlag(0), b"12345678", LIMITS)
    caps = main.capabilities
    assert (caps.bounding, caps.effective, caps.permitted) == (FOURTEEN,) * 3
    assert (caps.inheritable, caps.ambient) == (0, 0)


def test_it_can_be_sent() -> None:
    document = plan(tty=True, privileged=True, tmpfs={"/run": ""}).document
    assert BootDocument.decode(document.encode()) == document


def test_limits() -> None:
    made = plan(memory=100 << 20, nano_cpus=500_000_000, pids_limit=50, shm_size=1 << 20)
    assert (made.request.memory, made.request.cpus) == (100 << 20, 0.5)
    document = made.document
    assert document.limits == Limits(memory=100 << 20, cpu_quota=50_000, cpu_period=100_000, pids=50)
    assert document.shm == 1 << 20
    assert plan(pids_limit=-1).document.limits.pids == 0


def test_privileged_lifts_everything_inside() -> None:
    document = plan(privileged=True).document
    assert document.flags == BootFlag.PRIVILEGED
    assert (document.masked, document.read_only) == ((), ())
    assert document.main.capabilities.bounding == (1 << len(NAMES)) - 1


@pytest.mark.parametrize("exec", [False, True])
def test_guards_of_the_main_process_and_of_every_other(exec: bool) -> None:
    spec = ContainerSpec(
        image="i", group_add=("video", "7"), cap_add=("SYS_TIME",), cap_drop=("ALL",),
        security_opt=("no-new-privileges",), oom_score_adj=-5,
        ulimits=(Ulimit("core", 0, 5), Ulimit("nofile", 10, -1)),
    )  # fmt: skip
    made: ProcessSpec
    if exec:
        made = make_exec(ExecSpec(cmd=("ls",)), spec, SETTINGS, 9, b"")
    else:
        made = make_plan(spec, SETTINGS, "linux/amd64", LAYERS, DISK, CHOICES).document.main
    assert (made.groups, made.oom_score_adj) == (("video", "7"), -5)
    assert made.flags == ProcessFlag.NO_NEW_PRIVILEGES
    assert made.capabilities.bounding == 1 << NAMES.index("SYS_TIME")
    assert set(made.limits) == {Limit(7, 10, 2**64 - 1), Limit(4, 0, 5)}


def test_sysctls_are_added_to_dockers_and_win() -> None:
    document = plan(sysctls={"net.ipv4.ping_group_range": "1 0", "net/core/somaxconn": "9"}).document
    assert document.sysctls == (
        Sysctl("net/ipv4/ip_unprivileged_port_start", "0"),
        Sysctl("net/ipv4/ping_group_range", "1 0"),
        Sysctl("net/core/somaxconn", "9"),
    )


@pytest.mark.parametrize("privileged", [False, True])
def test_paths_that_are_named_take_the_place_of_dockers(privileged: bool) -> None:
    document = plan(masked_paths=(), readonly_paths=("/etc",), privileged=privileged).document
    assert (document.masked, document.read_only) == ((), ("/etc",))


def test_what_the_machine_is_asked_for() -> None:
    made = plan(
        cpu_quota=200_000, cpuset_cpus="0", memory_reservation=100 << 20, device_limits=DeviceLimits(write_bps=5),
        kernel="/boot/mine",
    )  # fmt: skip
    assert made.request.throttle == Throttle(write_bps=5)
    assert (made.request.memory, made.request.kernel) == (0, Path("/boot/mine"))
    assert made.document.limits.cpu_quota == 200_000


@pytest.mark.parametrize(
    ("option", "flag"),
    [("read_only", BootFlag.READ_ONLY), ("init", BootFlag.INIT), ("auto_remove", BootFlag.DISPOSABLE)],
)
def test_flags(option: str, flag: BootFlag) -> None:
    assert plan(**{option: True}).document.flags == flag


def test_a_terminal_and_its_input() -> None:
    main = plan(tty=True, open_stdin=True, console_rows=24, console_columns=80).document.main
    assert main.flags == ProcessFlag.TTY | ProcessFlag.STDIN
    assert (main.rows, main.columns) == (24, 80)
    assert "TERM=xterm" in main.environment


def test_the_image_may_overrule_what_is_ours() -> None:
    settings = Settings(cmd=("x",), env=("TERM=dumb", "HOSTNAME=other"), hostname="island")
    assert plan(settings, tty=True).document.main.environment == ("HOSTNAME=other", "TERM=dumb")


async def test_tmpfs_come_in_the_order_of_depth() -> None:
    mounts = (
        MountRequest("tmpfs", "", "/a", options="size=1m"),
        MountRequest("tmpfs", "", "/a/b/c", read_only=True),
    )
    spec = ContainerSpec(image="i", tmpfs={"/a/b": "mode=700,exec"}, mounts=mounts)
    points = [point_of(mount, "", "", anonymous=False) for mount in mounts]
    placed = await place_mounts(spec, points, None)  # type: ignore[arg-type]  # there are none
    choices = replace(CHOICES, placed=placed)
    document = make_plan(spec, SETTINGS, "linux/amd64", LAYERS, DISK, choices).document
    assert [mount.target for mount in document.mounts] == ["/a", "/a/b", "/a/b/c"]
    default = 2 | 4 | 8 | 1 << 21
    assert document.mounts[0] == Mount(MountKind.TMPFS, "tmpfs", "/a", default, "size=1m")
    assert document.mounts[1] == Mount(MountKind.TMPFS, "tmpfs", "/a/b", default & ~8, "mode=700")
    assert document.mounts[2].flags == default | 1


def test_a_domain_name_is_in_hosts() -> None:
    files = plan(domainname="sea").document.files
    assert files[1].content.endswith(b"127.0.1.1\tisland.sea island\n")


def test_fresh() -> None:
    assert plan(isolation="fresh").request.fresh


def test_too_many_layers_and_no_program() -> None:
    with pytest.raises(InvalidArgument):
        make_plan(ContainerSpec(image="i"), SETTINGS, "linux/amd64", LAYERS * 20, DISK, CHOICES)
    with pytest.raises(InvalidArgument):
        plan(Settings(cmd=("",)))


def test_an_exec() -> None:
    spec = ExecSpec(cmd=("ls",), env=("A=2",), tty=True, attach_stdin=True, working_dir="/w", user="root")
    made = make_exec(spec, ContainerSpec(image="i"), SETTINGS, 9, b"12345678")
    assert (made.number, made.arguments, made.directory, made.user) == (9, ("ls",), "/w", "root")
    assert made.environment == ("HOSTNAME=island", "TERM=xterm", "PATH=/bin", "A=2")
    assert made.flags == ProcessFlag.TTY | ProcessFlag.STDIN
    assert made.capabilities.bounding == FOURTEEN


def test_an_exec_takes_the_containers_user_and_directory() -> None:
    settings = Settings(cmd=("x",), user="app", working_dir="/srv", hostname="island")
    made = make_exec(ExecSpec(cmd=("ls",)), ContainerSpec(image="i"), settings, 9, b"")
    assert (made.user, made.directory) == ("app", "/srv")


def test_a_privileged_exec() -> None:
    made = make_exec(ExecSpec(cmd=("ls",), privileged=True), ContainerSpec(image="i"), SETTINGS, 9, b"")
    assert made.flags == ProcessFlag.PRIVILEGED
    assert made.capabilities.bounding == (1 << len(NAMES)) - 1
