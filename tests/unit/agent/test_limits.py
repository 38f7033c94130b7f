from collections.abc import Callable
from dataclasses import fields

import pytest

from insula.agent.fields import Reader
from insula.agent.limits import IO_MAX, NO_LIMITS, IoLimit, Limits
from insula.errors import Internal, InvalidArgument

FULL = Limits(1, 2, 3_000, 4_000, 5, "0-1,3", "0", 8, 9, (IoLimit(1, 2, 3, 4), IoLimit(write_iops=5)))


def test_what_is_encoded_is_decoded_to_the_last_byte() -> None:
    for limits in (NO_LIMITS, FULL):
        reader = Reader(limits.encode(), "limits")
        assert Limits.decode(reader) == limits
        reader.end()


def test_a_cut_one_is_refused() -> None:
    whole = FULL.encode()
    for at in range(len(whole)):
        with pytest.raises(Internal, match="malformed limits"):
            Limits.decode(Reader(whole[:at], "limits"))


def test_every_field_is_on_the_wire() -> None:
    changes: dict[str, object] = {
        "memory": 1, "memory_low": 1, "cpu_quota": 2_000, "cpu_period": 2_000, "cpu_weight": 1,
        "cpuset_cpus": "1", "cpuset_mems": "1", "pids": 1, "io_weight": 1, "io": (IoLimit(1),),
    }  # fmt: skip
    assert set(changes) == {field.name for field in fields(Limits)}
    base: dict[str, object] = {"cpu_period": 1_000}
    encoded = {Limits(**(base | {name: value})).encode() for name, value in changes.items()}  # type: ignore[arg-type]
    assert len(encoded | {Limits(cpu_period=1_000).encode()}) == len(changes) + 1


@pytest.mark.parametrize(
    "build",
    [
        lambda: Limits(memory=-1),
        lambda: Limits(memory=1 << 64),
        lambda: Limits(memory_low=-1),
        lambda: Limits(pids=-1),
        lambda: Limits(cpu_quota=50_000),
        lambda: Limits(cpu_quota=999, cpu_period=100_000),
        lambda: Limits(cpu_period=999),
        lambda: Limits(cpu_period=1_000_001),
        lambda: Limits(cpu_weight=10_001),
        lambda: Limits(io_weight=-1),
        lambda: Limits(cpuset_cpus="0-"),
        lambda: Limits(cpuset_cpus="a"),
        lambda: Limits(cpuset_cpus="0\n"),
        lambda: Limits(cpuset_cpus="0," * 128 + "0"),
        lambda: Limits(cpuset_mems=" 0"),
        lambda: Limits(cpuset_mems=0),  # type: ignore[arg-type]
        lambda: Limits(io=(IoLimit(),) * (IO_MAX + 1)),
        lambda: Limits(io=[IoLimit()]),  # type: ignore[arg-type]
        lambda: IoLimit(read_bps=-1),
    ],
)
def test_what_no_kernel_takes_is_not_built(build: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgument):
        build()
