from collections.abc import Iterator
from typing import Any

import pytest

from insula.agent.limits import IoLimit, Limits
from insula.container import spec_limits
from insula.container.limits import (
    cpu_weight,
    format_list,
    io_weight,
    limits_of,
    machine_cpus,
    machine_memory,
    throttle_of,
    weights_of,
)
from insula.container.spec import ContainerSpec
from insula.container.spec_limits import DeviceLimits
from insula.machine.spec import Throttle, Weights

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _four_processors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(spec_limits.os, "cpu_count", lambda: 4)
    spec_limits.host_cpus.cache_clear()
    yield
    spec_limits.host_cpus.cache_clear()


def spec(**given: Any) -> ContainerSpec:
    return ContainerSpec(image="i", **given)


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ({}, Limits()),
        ({"memory": 64 * MIB, "memory_reservation": 32 * MIB}, Limits(memory=64 * MIB, memory_low=32 * MIB)),
        ({"nano_cpus": 1_500_000_000}, Limits(cpu_quota=150_000, cpu_period=100_000)),
        ({"cpu_quota": 20_000, "cpu_period": 40_000}, Limits(cpu_quota=20_000, cpu_period=40_000)),
        ({"cpu_quota": 20_000}, Limits(cpu_quota=20_000, cpu_period=100_000)),
        ({"cpu_quota": -1}, Limits()),
        ({"cpu_period": 40_000}, Limits(cpu_period=40_000)),
        ({"cpu_shares": 512}, Limits(cpu_weight=59)),
        ({"cpuset_cpus": "3,1-2,2", "cpuset_mems": "0-0"}, Limits(cpuset_cpus="1-3", cpuset_mems="0")),
        ({"pids_limit": 5}, Limits(pids=5)),
        ({"pids_limit": -1}, Limits()),
        ({"blkio_weight": 500}, Limits(io_weight=4950)),
        ({"device_limits": DeviceLimits(1, 2, 3, 4)}, Limits(io=(IoLimit(1, 2, 3, 4),))),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_guest_is_told(given: dict[str, Any], limits: Limits) -> None:
    assert limits_of(spec(**given)) == limits


def test_shares_and_weights_are_runcs() -> None:
    assert [cpu_weight(shares) for shares in (0, 1, 2, 1024, 262_144, 1 << 40)] == [
        0,
        1,
        1,
        100,
        10_000,
        10_000,
    ]
    assert [io_weight(weight) for weight in (0, 10, 1000)] == [0, 1, 10_000]


def test_lists_in_short() -> None:
    assert format_list(frozenset()) == ""
    assert format_list(frozenset({0, 1, 2, 5, 7, 8})) == "0-2,5,7-8"


def test_qemu_is_told_the_same() -> None:
    assert throttle_of(spec(device_limits=DeviceLimits(1, 2, 3, 4))) == Throttle(1, 2, 3, 4)


def test_the_host_weighs_as_the_guest_does() -> None:
    weighed = spec(cpu_shares=2048, blkio_weight=500)
    limits = limits_of(weighed)
    assert weights_of(weighed) == Weights(limits.cpu_weight, limits.io_weight) != Weights()
    assert weights_of(spec()) == Weights()


@pytest.mark.parametrize(
    ("given", "bytes"),
    [
        ({}, 0), ({"memory": 64 * MIB}, 64 * MIB), ({"memory_reservation": 900 * MIB}, 0),
        ({"memory_reservation": 2048 * MIB}, 2048 * MIB), ({"memory": 3 << 30, "memory_reservation": 1 << 30}, 3 << 30),
    ],
)  # fmt: skip
def test_the_machine_has_the_memory(given: dict[str, Any], bytes: int) -> None:
    assert machine_memory(spec(**given)) == bytes


@pytest.mark.parametrize(
    ("given", "cpus"),
    [
        ({}, 0), ({"nano_cpus": 1_500_000_000}, 1.5), ({"cpu_quota": 250_000}, 2.5), ({"cpu_quota": 9_000_000}, 4),
        ({"cpuset_cpus": "0"}, 1), ({"cpuset_cpus": "3"}, 4), ({"cpuset_cpus": "0-1", "nano_cpus": 500_000_000}, 2),
        ({"cpu_period": 50_000}, 0),
    ],
)  # fmt: skip
def test_the_machine_has_the_processors(given: dict[str, Any], cpus: float) -> None:
    assert machine_cpus(spec(**given)) == cpus
