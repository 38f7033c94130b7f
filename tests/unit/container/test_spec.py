from typing import Any

import pytest

from insula import errors
from insula.container.mount_request import MOUNTS_MAX
from insula.container.spec import ContainerSpec, ExecSpec, MountRequest


@pytest.mark.parametrize(
    "spec",
    [
        {"image": ""},
        {"name": "x"}, {"name": "-x"}, {"name": "a/b"}, {"name": "é" * 3}, {"name": "a" * 256},
        {"memory": 1}, {"memory": (6 << 20) - 1}, {"memory": -1}, {"memory": 1 << 50},
        {"nano_cpus": -1}, {"nano_cpus": 1}, {"nano_cpus": 10**15},
        {"shm_size": -1},
        {"env": ("=x",)}, {"env": ("",)},
        {"working_dir": "relative"},
        {"stop_signal": "NOSUCH"}, {"stop_timeout": -2},
        {"hostname": "h" * 65}, {"domainname": "d" * 65}, {"hostname": "a b"}, {"hostname": "a\n1.2.3.4 b"},
        {"domainname": "é"}, {"group_add": ("",)}, {"group_add": ("g" * 257,)}, {"group_add": ("1",) * 1025},
        {"annotations": {"": "x"}}, {"masked_paths": ("relative",)}, {"readonly_paths": ("/a\0b",)},
        {"kernel": "relative"}, {"cap_add": ("X",)}, {"cap_drop": ("X",)}, {"sysctls": {"vm.swappiness": "1"}},
        {"security_opt": ("odd",)}, {"tmpfs": {"/proc": ""}}, {"tmpfs": {"/run": "odd"}},
        {"tmpfs": {"/a": "", "/a/.": ""}}, {"tmpfs": {"/a": ""}, "mounts": (MountRequest("tmpfs", "", "/a"),)},
        {"network_mode": "host"}, {"network_mode": "container:x"},
        {"tmpfs": {"relative": ""}}, {"tmpfs": {"/": ""}}, {"tmpfs": {"/a/..": ""}},
        {"log_driver": "syslog"}, {"log_options": {"tags": "x"}},
        {"isolation": "hyperv"},
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidArgument):
        ContainerSpec(**({"image": "i"} | spec))


def test_mounts_that_are_not_there_yet_say_so() -> None:
    with pytest.raises(errors.NotImplemented, match="not there yet"):
        MountRequest("image", "busybox", "/b")


def test_a_container_has_so_many_mounts_and_no_more() -> None:
    mounts = tuple(MountRequest("bind", "/a", f"/b{number}") for number in range(MOUNTS_MAX + 1))
    ContainerSpec(image="i", mounts=mounts[:-1])
    with pytest.raises(errors.InvalidArgument, match="mounts at most"):
        ContainerSpec(image="i", mounts=mounts)


def test_dockers_words() -> None:
    with pytest.raises(errors.InvalidArgument, match="Minimum memory limit allowed is 6MB"):
        ContainerSpec(image="i", memory=4096)
    with pytest.raises(errors.InvalidArgument, match=r"only \[a-zA-Z0-9\]\[a-zA-Z0-9_.-\] are allowed"):
        ContainerSpec(image="i", name="a b")
    with pytest.raises(errors.InvalidArgument, match=r'^hostname "h{65}" is too long \(maximum 64 bytes\)$'):
        ContainerSpec(image="i", hostname="h" * 65)
    with pytest.raises(errors.InvalidArgument, match="Duplicate mount point: //a"):
        ContainerSpec(image="i", tmpfs={"/a": "", "//a": ""})
    with pytest.raises(errors.InvalidArgument, match=r"range of CPUs is from 0\.01 to"):
        ContainerSpec(image="i", nano_cpus=10**15)


@pytest.mark.parametrize(
    "spec",
    [
        {"hostname": "My_host.example-1"},
        {"name": "a.b-c_1"},
        {"memory": 6 << 20},
        {"nano_cpus": 10_000_000},
        {"env": ("A",)},
    ],
)
def test_what_is_right_is_taken(spec: dict[str, Any]) -> None:
    made = ContainerSpec(image="i", **spec)
    assert {name: getattr(made, name) for name in spec} == spec


@pytest.mark.parametrize("spec", [{"cmd": ()}, {"cmd": ("",)}, {"cmd": ("a",), "working_dir": "b"}])
def test_execs(spec: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidArgument):
        ExecSpec(**spec)
