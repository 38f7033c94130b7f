from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insula.api.decode import decode_container, decode_exec, decode_ports
from insula.api.decode_mounts import decode_bind, decode_mount
from insula.api.fields import CONFIG, ENDPOINT, HOST_CONFIG
from insula.container.mount_request import VolumesFrom
from insula.container.restart_policy import RestartPolicy
from insula.container.spec import ContainerSpec, MountRequest
from insula.container.spec_limits import DeviceLimits, Ulimit
from insula.errors import InsulaError, InvalidArgument, NotImplemented
from insula.network.endpoint import EndpointSpec
from insula.network.ports import PortSpec


def decode(document: dict[str, Any], name: str = "", platform: str = "") -> tuple[ContainerSpec, list[str]]:
    return decode_container({"Image": "busybox", **document}, name, platform, (1, 51))


CLI_RUN = {
    "Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "AttachStdout": True, "AttachStderr": True,
    "Tty": False, "OpenStdin": False, "StdinOnce": False, "Env": None, "Cmd": ["true"], "Image": "busybox",
    "Volumes": {}, "WorkingDir": "", "Entrypoint": None, "OnBuild": None, "Labels": {},
    "HostConfig": {
        "Binds": None, "ContainerIDFile": "", "LogConfig": {"Type": "", "Config": {}}, "NetworkMode": "default",
        "PortBindings": {}, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": True,
        "VolumeDriver": "", "VolumesFrom": None, "ConsoleSize": [24, 80], "CapAdd": None, "CapDrop": None,
        "CgroupnsMode": "", "Dns": [], "DnsOptions": [], "DnsSearch": [], "ExtraHosts": None, "GroupAdd": None,
        "IpcMode": "", "Cgroup": "", "Links": None, "OomScoreAdj": 0, "PidMode": "", "Privileged": False,
        "PublishAllPorts": False, "ReadonlyRootfs": False, "SecurityOpt": None, "UTSMode": "", "UsernsMode": "",
        "ShmSize": 0, "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0, "CgroupParent": "",
        "BlkioWeight": 0, "BlkioWeightDevice": [], "BlkioDeviceReadBps": [], "BlkioDeviceWriteBps": [],
        "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [], "CpuPeriod": 0, "CpuQuota": 0,
        "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "CpusetCpus": "", "CpusetMems": "", "Devices": [],
        "DeviceCgroupRules": None, "DeviceRequests": None, "MemoryReservation": 0, "MemorySwap": 0,
        "MemorySwappiness": -1, "OomKillDisable": False, "PidsLimit": 0, "Ulimits": [], "CpuCount": 0,
        "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0, "MaskedPaths": None, "ReadonlyPaths": None,
    },
    "NetworkingConfig": {
        "EndpointsConfig": {
            "default": {
                "IPAMConfig": None, "Links": None, "Aliases": None, "MacAddress": "", "DriverOpts": None,
                "GwPriority": 0, "NetworkID": "", "EndpointID": "", "Gateway": "", "IPAddress": "",
                "IPPrefixLen": 0, "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
                "DNSNames": None,
            }
        }
    },
}  # fmt: skip
"""What the docker command 28 sends for `docker run --rm busybox true`."""


def test_what_the_docker_command_sends_passes_without_a_word() -> None:
    spec, warnings = decode(CLI_RUN)
    assert warnings == []
    assert spec.cmd == ("true",)
    assert spec.auto_remove
    assert (spec.console_rows, spec.console_columns) == (24, 80)


LIMITS = {
    "MemoryReservation": 32 << 20, "MemorySwap": 64 << 20, "CpuShares": 512, "CpusetCpus": "0", "CpusetMems": "0",
    "BlkioWeight": 300, "BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 9}, {"Path": "/dev/sdb", "Rate": 8}],
    "BlkioDeviceWriteBps": [{"path": "/dev/sda", "rate": 7}], "BlkioDeviceReadIOps": [{"Path": "/dev/x", "Rate": 6}],
    "BlkioDeviceWriteIOps": [{"Path": "/dev/x", "Rate": 0}, {"Path": "/dev/y", "Rate": 5}],
    "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}, {"Name": "core", "Soft": -1, "Hard": -1}],
    "StorageOpt": {"size": "1.5G"}, "OomScoreAdj": -5,
}  # fmt: skip
GUARDS = {
    "GroupAdd": ["video", "9"], "CapAdd": ["net_admin"], "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"],
    "Sysctls": {"net.core.somaxconn": "9"}, "MaskedPaths": [], "ReadonlyPaths": ["/proc/sys"],
    "Annotations": {"a": "b", "insula.kernel": "/boot/mine"},
}  # fmt: skip


def test_every_field_of_the_spec_is_reached() -> None:
    spec, warnings = decode(
        {
            "Cmd": ["a"], "Entrypoint": "e", "Env": ["A=1"], "WorkingDir": "/w", "User": "u:g", "Tty": True,
            "OpenStdin": True, "StdinOnce": True, "AttachStdin": True, "AttachStdout": True, "AttachStderr": True,
            "Labels": {"l": "1"}, "Hostname": "h", "Domainname": "d", "StopSignal": "INT", "StopTimeout": 3,
            "Healthcheck": {"Test": ["CMD", "true"]}, "Shell": ["sh"],
            "HostConfig": {
                "Memory": 64 << 20, "NanoCpus": 500_000_000, "PidsLimit": 9, "ShmSize": 1 << 20, "Privileged": True,
                "ReadonlyRootfs": True, "Init": True, "Tmpfs": {"/t": "size=1m"}, "AutoRemove": True,
                "Dns": ["192.0.2.1"], "DnsSearch": ["example.org"], "DnsOptions": ["ndots:1"],
                "ExtraHosts": ["a:192.0.2.2"], "PublishAllPorts": True,
                "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080-8081"}]},
                "NetworkMode": "n", "LogConfig": {"Type": "none"}, "Isolation": "fresh", "ConsoleSize": [1, 2],
                "Mounts": [{"Type": "tmpfs", "Target": "/m", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 0o700}}],
                "VolumesFrom": ["other:ro"], "VolumeDriver": "local", "Links": ["other:o"],
                **LIMITS, **GUARDS,
            },
            "ExposedPorts": {"81/udp": {}}, "Volumes": {"/v": {}},
            "NetworkingConfig": {"EndpointsConfig": {"n": {
                "Aliases": ["x"], "MacAddress": "02:00:00:00:00:01", "IPAMConfig": {"IPv4Address": "192.0.2.9"},
            }}},
        },
        name="/n1", platform="linux/arm64",
    )  # fmt: skip
    assert warnings == []
    assert spec.entrypoint == ("e",)
    assert spec.mounts == (MountRequest("tmpfs", "", "/m", options="size=4096,mode=700"),)
    assert spec.name == "n1"
    assert spec.device_limits == DeviceLimits(8, 7, 6, 5)
    assert spec.ulimits == (Ulimit("nofile", 1, 2), Ulimit("core", -1, -1))
    assert (spec.storage_size, spec.kernel) == (3 << 29, "/boot/mine")
    assert (spec.masked_paths, spec.readonly_paths) == ((), ("/proc/sys",))
    assert spec.published == (PortSpec("tcp", 80, "127.0.0.1", 8080, 8081),)
    assert spec.endpoints == (EndpointSpec("n", ipv4="192.0.2.9", mac="02:00:00:00:00:01", aliases=("x",)),)
    default = ContainerSpec(image="busybox")
    untouched = [f for f in ContainerSpec.__slots__ if getattr(spec, f) == getattr(default, f)]
    assert sorted(untouched) == ["cpu_period", "cpu_quota", "image", "left_mode", "log_options", "restart"]


MAC = "02:42:ac:11:00:0a"
LISTED = {"EndpointsConfig": {"a": {"Aliases": ["x"]}, "b": {}}}


@pytest.mark.parametrize(
    "mode, networking, endpoints",
    [
        ("", {}, (EndpointSpec("bridge", mac=MAC),)),
        ("default", {"EndpointsConfig": {"default": {}}}, (EndpointSpec("default", mac=MAC),)),
        ("default", {"EndpointsConfig": {"bridge": {"MacAddress": MAC.upper()}}}, (EndpointSpec("bridge", mac=MAC),)),
        ("a", {}, (EndpointSpec("a", mac=MAC),)),
        ("a", LISTED, (EndpointSpec("a", mac=MAC, aliases=("x",)), EndpointSpec("b"))),
        ("c", LISTED, (EndpointSpec("a", aliases=("x",)), EndpointSpec("b"), EndpointSpec("c", mac=MAC))),
    ],
)  # fmt: skip
def test_the_containers_mac_is_that_of_its_main_network(
    mode: str, networking: dict[str, Any], endpoints: tuple[EndpointSpec, ...]
) -> None:
    spec, _ = decode({"MacAddress": MAC, "HostConfig": {"NetworkMode": mode}, "NetworkingConfig": networking})
    assert spec.endpoints == endpoints


@pytest.mark.parametrize(
    "document, words",
    [
        ({"HostConfig": {"NetworkMode": "none"}}, "conflicting options: mac-address and the network mode"),
        ({"NetworkDisabled": True}, "conflicting options: mac-address and the network mode"),
        (
            {"NetworkingConfig": {"EndpointsConfig": {"default": {"MacAddress": "02:42:ac:11:00:0b"}}}},
            "must match the endpoint-specific MAC address",
        ),
        ({"MacAddress": "03:42:ac:11:00:0a"}, "invalid MAC address"),
    ],
)
def test_a_mac_that_no_network_can_have_is_refused(document: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        decode({"MacAddress": MAC, **document})


@pytest.mark.parametrize(
    ("sent", "policy"),
    [
        (None, RestartPolicy()),
        ({}, RestartPolicy()),
        ({"Name": "", "MaximumRetryCount": 4}, RestartPolicy()),
        ({"Name": "no"}, RestartPolicy()),
        ({"Name": "on-failure", "MaximumRetryCount": 4}, RestartPolicy("on-failure", 4)),
        ({"Name": "always", "MaximumRetryCount": None}, RestartPolicy("always")),
    ],
)
def test_restart_policies(sent: Any, policy: RestartPolicy) -> None:
    spec, warnings = decode({"Cmd": ["a"], "HostConfig": {"RestartPolicy": sent}})
    assert (spec.restart, warnings) == (policy, [])


@pytest.mark.parametrize(
    "sent",
    [
        {"Name": 1},
        {"Name": "always", "MaximumRetryCount": "3"},
        {"Name": "often"},
        {"Name": "no", "MaximumRetryCount": 1},
    ],
)
def test_what_is_no_restart_policy(sent: Any) -> None:
    with pytest.raises(InvalidArgument):
        decode({"Cmd": ["a"], "HostConfig": {"RestartPolicy": sent}})


def test_names_of_fields_match_whatever_their_case() -> None:
    spec, _ = decode({"cmd": ["x"], "hostconfig": {"privileged": True}})
    assert spec.cmd == ("x",)
    assert spec.privileged


def test_binds() -> None:
    assert decode_bind("/a:/b:ro") == MountRequest("bind", "/a", "/b", True, plain=True, mode="ro")
    assert decode_bind("name:/b") == MountRequest("volume", "name", "/b", plain=True)
    assert decode_bind("name:/b:nocopy").no_copy
    assert decode_bind("/b") == MountRequest("volume", "", "/b", plain=True)
    assert decode_bind("/a:/b:rw,rprivate,cached").propagation == "rprivate"


@pytest.mark.parametrize(
    "text",
    [
        ":/b", "/a:", "/a:/b:ro:x", "", "/a:/b:ro,rw", "/a:/b:odd", "/a:/b:nocopy", "n1:/b:rprivate", "a:/b", "na me:/b",
        "/a:b", "/a:/", "/a:/proc/1", "/a:/b:shared", "/a:/b:rslave", "/a\0:/b", "../a:/b",
    ],
)  # fmt: skip
def test_binds_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        decode_bind(text)


def test_what_a_label_of_a_bind_means_here_is_said() -> None:
    spec, warnings = decode({"HostConfig": {"Binds": ["/a:/b:z"]}})
    assert spec.mounts[0].mode == "z"
    assert len(warnings) == 1 and "SELinux" in warnings[0]


def test_mounts() -> None:
    bind = {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True}
    assert decode_mount(bind) == MountRequest("bind", "/a", "/b", True)
    shallow = decode_mount(bind | {"BindOptions": {"ReadOnlyNonRecursive": True, "NonRecursive": True}})
    assert (shallow.deep_read_only, shallow.recursive) == (False, False)
    assert decode_mount(bind | {"BindOptions": {"CreateMountpoint": True}}).plain
    options = {
        "NoCopy": True, "Subpath": "x/y", "Labels": {"k": "v"},
        "DriverConfig": {"Name": "local", "Options": {"type": "none", "o": "bind", "device": "/d"}},
    }  # fmt: skip
    volume = decode_mount({"Type": "volume", "Source": "vv", "Target": "/b", "VolumeOptions": options})
    assert (volume.no_copy, volume.subpath, volume.labels, volume.driver) == (
        True,
        "x/y",
        {"k": "v"},
        "local",
    )
    assert volume.driver_options["device"] == "/d"


@pytest.mark.parametrize(
    "changed",
    [
        {"Source": ""}, {"Source": "relative"}, {"Target": ""}, {"Target": "/"}, {"Type": "odd"}, {"Odd": 1},
        {"ReadOnly": "yes"}, {"BindOptions": {"Propagation": "shared"}}, {"BindOptions": {"Odd": True}},
        {"BindOptions": {"ReadOnlyNonRecursive": True}}, {"VolumeOptions": {"NoCopy": True}}, {"Consistency": "odd"},
        {"Type": "volume"}, {"Type": "volume", "Source": "vv", "BindOptions": {"NonRecursive": True}},
        {"Type": "volume", "Source": "vv", "VolumeOptions": {"Subpath": "../x"}},
        {"Type": "volume", "Source": "vv", "VolumeOptions": {"Subpath": "/x"}},
        {"Type": "volume", "Source": "", "VolumeOptions": {"Subpath": "x"}},
        {"ReadOnly": True, "BindOptions": {"ReadOnlyNonRecursive": True, "ReadOnlyForceRecursive": True}},
    ],
)  # fmt: skip
def test_mounts_that_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        decode_mount({"Type": "bind", "Source": "/a", "Target": "/b"} | changed)


def test_mounts_that_are_not_there_yet() -> None:
    with pytest.raises(NotImplemented, match="not there yet"):
        decode_mount({"Type": "image", "Source": "busybox", "Target": "/b"})


def test_volumes_from() -> None:
    spec, _ = decode({"HostConfig": {"VolumesFrom": ["one", "two:ro"]}, "Volumes": {"/v": {}}})
    assert spec.volumes_from == (VolumesFrom("one"), VolumesFrom("two", True))
    assert spec.volumes == ("/v",)
    for text in ("", ":ro", "one:odd"):
        with pytest.raises(InvalidArgument):
            decode({"HostConfig": {"VolumesFrom": [text]}})


def test_ports() -> None:
    assert decode_ports({"80/tcp": [{"HostPort": "8080"}], "53/udp": None}) == ("8080:80/tcp", ":53/udp")
    for ports in ({"0/tcp": None}, {"70000/tcp": None}, {"x": None}, {"80/odd": None}, {"80/tcp": "x"}):
        with pytest.raises(InvalidArgument):
            decode_ports(ports)


def test_exec() -> None:
    spec = decode_exec({"Cmd": ["a", "b"], "Tty": True, "User": "u", "Env": ["A=1"], "DetachKeys": "a"})
    assert (spec.cmd, spec.tty, spec.user, spec.env, spec.detach_keys) == (
        ("a", "b"),
        True,
        "u",
        ("A=1",),
        "a",
    )
    for wrong in ({}, {"Cmd": []}, {"Cmd": [""]}, {"Cmd": [1]}, {"Cmd": ["a"], "Tty": "x"}):
        with pytest.raises(InvalidArgument):
            decode_exec(wrong)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([f.name for f in (*CONFIG, *HOST_CONFIG, *ENDPOINT)]) | st.text(max_size=8)
SECTION = st.dictionaries(NAMES, JSON, max_size=5)


@settings(deadline=None)
@given(
    SECTION,
    SECTION | JSON,
    JSON | st.fixed_dictionaries({"EndpointsConfig": st.dictionaries(NAMES, SECTION)}),
)
def test_any_json_is_decoded_or_refused(config: Any, host: Any, networking: Any) -> None:
    document = {**config, "HostConfig": host, "NetworkingConfig": networking}
    try:
        spec, _ = decode_container({"Image": "x", **document}, "", "", (1, 51))
    except InsulaError as error:
        assert error.message
    else:
        assert isinstance(spec, ContainerSpec)


@settings(deadline=None)
@given(SECTION)
def test_any_exec_is_decoded_or_refused(document: Any) -> None:
    try:
        decode_exec(document)
    except InsulaError as error:
        assert error.message
