"""Flags of run and create → the create request's JSON."""

from pathlib import Path
from typing import Any

import pytest

from insula.cli.create import environment, make_document, parse_cpus, parse_size, query
from insula.cli.create_flags import (
    CONFIG_TEXTS,
    CREATE_FLAGS,
    HOST_BOOLS,
    HOST_LISTS,
    HOST_NUMBERS,
    HOST_PAIRS,
    HOST_SIZES,
    HOST_TEXTS,
    RUN_FLAGS,
)
from insula.cli.failure import UsageFailure
from insula.cli.flags import Options, parse


def options(*words: str) -> Options:
    return parse(RUN_FLAGS, words, mixed=False)


def document(*words: str, detach: bool = False) -> dict[str, Any]:
    return make_document(options(*words), detach)


def test_the_least() -> None:
    assert document("busybox") == {
        "Image": "busybox", "Cmd": None, "Env": [], "Labels": {}, "Tty": False, "OpenStdin": False,
        "StdinOnce": False, "AttachStdin": False, "AttachStdout": True, "AttachStderr": True, "HostConfig": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["x", "ls", "-l", "--rm"], "Cmd", ["ls", "-l", "--rm"]),
        (["-t", "x"], "Tty", True),
        (["-i", "x"], "OpenStdin", True),
        (["-i", "x"], "StdinOnce", True),
        (["-i", "x"], "AttachStdin", True),
        (["-i", "-a", "stdout", "x"], "StdinOnce", False),
        (["-i", "-a", "stdout", "x"], "AttachStderr", False),
        (["-a", "STDIN", "x"], "AttachStdin", True),
        (["-e", "A=1", "-e", "B=x=y", "x"], "Env", ["A=1", "B=x=y"]),
        (["-w", "/srv", "x"], "WorkingDir", "/srv"),
        (["-u", "1000:100", "x"], "User", "1000:100"),
        (["--entrypoint", "/bin/sh", "x"], "Entrypoint", ["/bin/sh"]),
        (["--entrypoint", "", "x"], "Entrypoint", [""]),
        (["-l", "a=b", "-l", "c", "x"], "Labels", {"a": "b", "c": ""}),
        (["-h", "name", "x"], "Hostname", "name"),
        (["--stop-signal", "QUIT", "x"], "StopSignal", "QUIT"),
        (["--stop-timeout", "-1", "x"], "StopTimeout", -1),
        (["--no-healthcheck", "x"], "Healthcheck", {"Test": ["NONE"]}),
        (["--expose", "80", "--expose", "53/udp", "x"], "ExposedPorts", {"80/tcp": {}, "53/udp": {}}),
    ],
)
def test_config(words: list[str], field: str, value: Any) -> None:
    assert document(*words)[field] == value


@pytest.mark.parametrize(
    ("words", "host"),
    [
        (["--rm"], {"AutoRemove": True}),
        (["-m", "512m"], {"Memory": 512 << 20}),
        (["--cpus", "1.5"], {"NanoCpus": 1_500_000_000}),
        (["--init"], {"Init": True}),
        (["--init=false"], {"Init": False}),
        (["--privileged"], {"Privileged": True}),
        (["--read-only"], {"ReadonlyRootfs": True}),
        (["--tmpfs", "/a", "--tmpfs", "/b:size=1m,mode=700"], {"Tmpfs": {"/a": "", "/b": "size=1m,mode=700"}}),
        (["--network", "none"], {"NetworkMode": "none"}),
        (["--isolation", "fresh"], {"Isolation": "fresh"}),
        (["--memory-swap", "-1"], {"MemorySwap": -1}),
        (["--pids-limit", "100"], {"PidsLimit": 100}),
        (["--restart", "on-failure:3"], {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}),
        (["-v", "/a:/b:ro"], {"Binds": ["/a:/b:ro"]}),
        (["--log-opt", "max-size=1m"], {"LogConfig": {"Type": "", "Config": {"max-size": "1m"}}}),
        (["--sysctl", "a.b=1"], {"Sysctls": {"a.b": "1"}}),
        (["-p", "127.0.0.1:8080:80/udp"],
         {"PortBindings": {"80/udp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}}),
        (["-p", "[::1]:8000-8001:80-81"],
         {"PortBindings": {"80/tcp": [{"HostIp": "::1", "HostPort": "8000"}], "81/tcp": [{"HostIp": "::1", "HostPort": "8001"}]}}),
        (["-p", "8000-8010:80"], {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8000-8010"}]}}),
        (["-p", "80-81/udp"],
         {"PortBindings": {port: [{"HostIp": "", "HostPort": ""}] for port in ("80/udp", "81/udp")}}),
        (["-p", "80"], {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}}),
        (["--device", "/dev/x"],
         {"Devices": [{"PathOnHost": "/dev/x", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}]}),
    ],
)  # fmt: skip
def test_host_config(words: list[str], host: dict[str, Any]) -> None:
    assert document(*words, "x")["HostConfig"] == host


def test_in_the_background_nothing_is_attached() -> None:
    made = document("-di", "x", detach=True)
    attached = [made[f"Attach{name}"] for name in ("Stdin", "Stdout", "Stderr")]
    assert (attached, made["OpenStdin"], made["StdinOnce"]) == ([False] * 3, True, False)


def test_query() -> None:
    found = query(options("--name", "bob", "--platform", "linux/arm64", "--pull", "never", "x"))
    assert found == {"name": "bob", "platform": "linux/arm64"}


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "12x", "i"], ["-m", "", "i"], ["-m", "-5m", "i"], ["-m", "9" * 40, "i"], ["-m", "1e400", "i"],
        ["-m", "9999999999g", "i"], ["--cpus", "many", "i"], ["--cpus", "0.0000000001", "i"],
        ["-a", "stdlog", "i"], ["-l", "=x", "i"], ["-e", "=x", "i"], ["--restart", "on-failure:x", "i"],
        ["--env-file", "/does/not/exist", "i"],
    ],
)  # fmt: skip
def test_refused_before_anything_is_sent(words: list[str]) -> None:
    with pytest.raises(UsageFailure):
        document(*words)


def test_attach_and_detach_exclude_each_other() -> None:
    with pytest.raises(UsageFailure, match="conflicting options"):
        document("-d", "-a", "stdout", "x", detach=True)


def test_pull_is_one_of_three_words() -> None:
    with pytest.raises(UsageFailure, match="always, missing or never"):
        query(options("--pull", "often", "x"))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1b", 1),
        ("1k", 1024),
        ("1kb", 1024),
        ("1KiB", 1024),
        ("1.5m", 3 << 19),
        ("2G", 2 << 30),
        ("2 gb", 2 << 30),
        ("0", 0),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text, "memory") == size


def test_cpus_are_exact() -> None:
    assert parse_cpus("0.1") == 100_000_000
    assert parse_cpus("2") == 2_000_000_000


def test_environment_comes_from_files_flags_and_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "yes")
    monkeypatch.delenv("NOT_OURS", raising=False)
    file = tmp_path / "env"
    file.write_text("# a comment\n\nA=1\n  B=x y \nOURS\r\n")
    found = environment(options("-e", "A=2", "-e", "OURS", "-e", "NOT_OURS", "--env-file", str(file), "x"))
    assert found == ["A=1", "B=x y ", "OURS=yes", "A=2", "OURS=yes"]


@pytest.mark.parametrize("content", [b"A B=1\n", b"\xff\xfe=1\n", b"=x\n"])
def test_a_bad_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "env"
    file.write_bytes(content)
    with pytest.raises(UsageFailure):
        document("--env-file", str(file), "x")


def test_every_flag_is_used() -> None:
    tables = (CONFIG_TEXTS, HOST_BOOLS, HOST_LISTS, HOST_NUMBERS, HOST_PAIRS, HOST_SIZES, HOST_TEXTS)
    in_tables = {flag for table in tables for flag in table}
    by_hand = {
        "attach", "cidfile", "cpus", "device", "entrypoint", "env", "env-file", "expose", "interactive", "label",
        "health-cmd", "health-interval", "health-retries", "health-start-interval", "health-start-period",
        "health-timeout", "label-file", "log-driver", "log-opt", "name", "no-healthcheck", "platform", "publish",
        "mount", "volume", "pull", "quiet", "restart", "stop-timeout", "tmpfs", "tty", "annotation", "blkio-weight-device",
        "device-read-bps", "device-read-iops", "device-write-bps", "device-write-iops", "gpus", "kernel", "security-opt",
        "storage-opt", "ulimit", "ip", "ip6", "link", "mac-address", "net", "network", "network-alias",
    }  # fmt: skip
    assert {flag.name for flag in CREATE_FLAGS} == in_tables | by_hand
