"""Limits and security options: flags → HostConfig."""

import json
from pathlib import Path
from typing import Any

import pytest

from insula.cli.create import make_document
from insula.cli.create_flags import RUN_FLAGS
from insula.cli.failure import UsageFailure
from insula.cli.flags import parse


def host(*words: str) -> dict[str, Any]:
    made = make_document(parse(RUN_FLAGS, [*words, "busybox"], mixed=False), False)["HostConfig"]
    return dict(made)


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (["--device-read-bps", "/dev/sda:1mb", "--device-read-bps=/dev/sdb:5"],
         {"BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1 << 20}, {"Path": "/dev/sdb", "Rate": 5}]}),
        (["--device-write-bps", "/dev/sda:1k"], {"BlkioDeviceWriteBps": [{"Path": "/dev/sda", "Rate": 1024}]}),
        (["--device-read-iops", "/dev/sda:9"], {"BlkioDeviceReadIOps": [{"Path": "/dev/sda", "Rate": 9}]}),
        (["--device-write-iops", "/dev/sda:9"], {"BlkioDeviceWriteIOps": [{"Path": "/dev/sda", "Rate": 9}]}),
        (["--blkio-weight", "20", "--blkio-weight-device", "/dev/sda:30"],
         {"BlkioWeight": 20, "BlkioWeightDevice": [{"Path": "/dev/sda", "Weight": 30}]}),
        (["--ulimit", "nofile=1:2", "--ulimit", "core=-1"],
         {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}, {"Name": "core", "Soft": -1, "Hard": -1}]}),
        (["--storage-opt", "size=1G"], {"StorageOpt": {"size": "1G"}}),
        (["--cpuset-cpus", "0-1", "--cpuset-mems", "0"], {"CpusetCpus": "0-1", "CpusetMems": "0"}),
        (["--cpu-quota", "5000", "--cpu-period", "10000"], {"CpuQuota": 5000, "CpuPeriod": 10000}),
        (["--oom-score-adj", "-500"], {"OomScoreAdj": -500}),
        (["--memory-swappiness", "0"], {"MemorySwappiness": 0}),
        (["--annotation", "a=b", "--kernel", "/boot/x"], {"Annotations": {"a": "b", "insula.kernel": "/boot/x"}}),
        (["--gpus", "all"], {"DeviceRequests": [{"Capabilities": [["gpu"]], "Options": {"gpus": "all"}}]}),
        (["--security-opt", "no-new-privileges"], {"SecurityOpt": ["no-new-privileges"]}),
        (["--security-opt", "seccomp=unconfined", "--security-opt", "label:disable"],
         {"SecurityOpt": ["seccomp=unconfined", "label:disable"]}),
        (["--security-opt", "systempaths=unconfined"],
         {"SecurityOpt": [], "MaskedPaths": [], "ReadonlyPaths": []}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_is_sent(words: list[str], fields: dict[str, Any]) -> None:
    assert host(*words) == fields


def test_a_kernel_s_path_is_made_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert host("--kernel", "mine") == {"Annotations": {"insula.kernel": str(tmp_path / "mine")}}


def test_a_profile_is_sent_as_its_json(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    file.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}, indent=4))
    sent = '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}'
    assert host("--security-opt", f"seccomp={file}") == {"SecurityOpt": [f"seccomp={sent}"]}
    for content, words in (
        (b"{", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b" " * (1 << 21), "more than 1 MiB"),
    ):
        file.write_bytes(content)
        with pytest.raises(UsageFailure, match=words):
            host("--security-opt", f"seccomp={file}")
    with pytest.raises(UsageFailure, match="opening seccomp profile"):
        host("--security-opt", f"seccomp={tmp_path / 'none'}")


@pytest.mark.parametrize(
    "words",
    [
        ["--device-read-bps", "sda:1"], ["--device-read-bps", "/dev/sda"], ["--device-read-bps", "/dev/sda:fast"],
        ["--device-read-iops", "/dev/sda:1k"], ["--blkio-weight-device", "/dev/sda:x"], ["--blkio-weight", "x"],
        ["--ulimit", "nofile"], ["--ulimit", "nofile=a"], ["--ulimit", "nofile=1:2:3"], ["--ulimit", "=1"],
        ["--storage-opt", "size"], ["--security-opt", "odd"], ["--security-opt", "seccomp="],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_cannot_be_sent(words: list[str]) -> None:
    with pytest.raises(UsageFailure):
        host(*words)
