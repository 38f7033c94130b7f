"""Limits that Docker refuses, in Docker's words."""

from typing import Any

import pytest

from insula.container import spec_limits
from insula.container.spec import ContainerSpec
from insula.container.spec_limits import DeviceLimits, Ulimit, parse_list, smallest
from insula.errors import InvalidArgument

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec_limits.os, "cpu_count", lambda: 2)


CPUS = "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"
PERIOD = "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"memory": 1}, "Minimum memory limit allowed is 6MB"),
    ({"memory": 6 * MIB - 1}, "Minimum memory limit allowed is 6MB"),
    ({"memory": -1}, "Minimum memory limit allowed is 6MB"),
    ({"memory": 8192 * MIB}, "no machine has 8192 MiB of memory for a container (at most 8096 MiB)"),
    ({"memory_reservation": 9000 * MIB}, "no machine has 9000 MiB of memory for a container (at most 8096 MiB)"),
    ({"memory": 64 * MIB, "memory_swap": 32 * MIB},
     "Minimum memoryswap limit should be larger than memory limit, see usage"),
    ({"memory_swap": 32 * MIB}, "You should always set the Memory limit when using Memoryswap limit, see usage"),
    ({"memory_swap": -2}, "invalid memory swap limit -2 (-1 is unlimited)"),
    ({"memory_reservation": 5 * MIB}, "Minimum memory reservation allowed is 6MB"),
    ({"memory_reservation": -5}, "Minimum memory reservation allowed is 6MB"),
    ({"memory": 32 * MIB, "memory_reservation": 33 * MIB},
     "Minimum memory limit can not be less than memory reservation limit, see usage"),
    ({"nano_cpus": 1_000, "cpu_period": 50_000},
     "Conflicting options: Nano CPUs and CPU Period cannot both be set"),
    ({"nano_cpus": 1_000, "cpu_quota": 50_000}, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
    ({"nano_cpus": -1}, CPUS), ({"nano_cpus": 1}, CPUS), ({"nano_cpus": 2_000_000_001}, CPUS),
    ({"cpu_period": 999}, PERIOD), ({"cpu_period": 1_000_001}, PERIOD), ({"cpu_period": -1}, PERIOD),
    ({"cpu_quota": 999}, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
    ({"cpu_shares": -1}, "invalid CPU shares (-1): value must be a positive integer"),
    ({"cpuset_cpus": "0-2"}, "Requested CPUs are not available - requested 0-2, available: 0-1"),
    ({"cpuset_cpus": "1-42"}, "Requested CPUs are not available - requested 1-42, available: 0-1"),
    ({"cpuset_mems": "1"}, "Requested memory nodes are not available - requested 1, available: 0"),
    ({"cpuset_cpus": "0--1"}, "Invalid value 0--1 for cpuset cpus: invalid format: 0--1"),
    ({"cpuset_cpus": "1-0"}, "Invalid value 1-0 for cpuset cpus: invalid format: 1-0"),
    ({"cpuset_cpus": "0,"}, "Invalid value 0, for cpuset cpus: invalid format: 0,"),
    ({"cpuset_mems": "x"}, "Invalid value x for cpuset mems: invalid format: x"),
    ({"cpuset_cpus": "0-99999999"},
     "Invalid value 0-99999999 for cpuset cpus: value of out range, maximum is 8192"),
    ({"blkio_weight": 9}, "Range of blkio weight is from 10 to 1000"),
    ({"blkio_weight": 1001}, "Range of blkio weight is from 10 to 1000"),
    ({"blkio_weight": -1}, "Range of blkio weight is from 10 to 1000"),
    ({"oom_score_adj": 1001}, "Invalid value 1001, range for oom score adj is [-1000, 1000]"),
    ({"oom_score_adj": -1001}, "Invalid value -1001, range for oom score adj is [-1000, 1000]"),
    ({"shm_size": -1}, "SHM size can not be less than 0"),
    ({"storage_size": 1}, "the storage size 1 is out of range (from 32 MiB to 512 GiB)"),
    ({"storage_size": 1 << 50}, f"the storage size {1 << 50} is out of range (from 32 MiB to 512 GiB)"),
)  # fmt: skip


@pytest.mark.parametrize(("spec", "words"), WRONG, ids=lambda value: str(value)[:50])
def test_what_docker_refuses(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ContainerSpec(image="i", **spec)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    "spec",
    [
        {"memory": 6 * MIB}, {"memory": 8096 * MIB}, {"memory": 64 * MIB, "memory_swap": 64 * MIB},
        {"memory": 64 * MIB, "memory_swap": 128 * MIB}, {"memory": 64 * MIB, "memory_swap": -1}, {"memory_swap": -1},
        {"memory": 64 * MIB, "memory_reservation": 64 * MIB}, {"memory_reservation": 2048 * MIB},
        {"nano_cpus": 10_000_000}, {"nano_cpus": 2_000_000_000}, {"cpu_period": 1000}, {"cpu_quota": -1},
        {"cpu_quota": 1000, "cpu_period": 1_000_000}, {"cpu_quota": 900_000}, {"cpu_shares": 1},
        {"cpuset_cpus": "0,1,0-1", "cpuset_mems": "0"}, {"blkio_weight": 10}, {"blkio_weight": 1000},
        {"oom_score_adj": -1000}, {"storage_size": 32 * MIB},
    ],
    ids=str,
)  # fmt: skip
def test_what_docker_takes(spec: dict[str, Any]) -> None:
    made = ContainerSpec(image="i", **spec)
    assert {name: getattr(made, name) for name in spec} == spec


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("as", 1, 1), "invalid ulimit type: as"),
        (("", 1, 1), "invalid ulimit type: "),
        (("nofile", 2, 1), "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
        (("nofile", -1, 1),
         "ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: 1"),
        (("nofile", 1, -2), "invalid ulimit nofile: -2 is negative (-1 is unlimited)"),
    ],
)  # fmt: skip
def test_ulimits(values: tuple[str, int, int], words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Ulimit(*values)
    assert str(caught.value) == words
    assert Ulimit("core", -1, -1).hard == -1
    assert Ulimit("core", 5, -1).soft == 5


def test_rates() -> None:
    assert smallest([0, 7, 3, 0]) == 3
    assert smallest([]) == 0
    with pytest.raises(InvalidArgument):
        DeviceLimits(read_bps=1 << 63)


def test_lists() -> None:
    assert parse_list("", "cpus") == frozenset()
    assert parse_list("03,1-2,0-0", "cpus") == {0, 1, 2, 3}
