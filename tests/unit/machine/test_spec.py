"""Classes of memory and processors."""

import pytest

from insula.errors import InvalidArgument
from insula.machine.spec import DEFAULT_MEMORY, cpu_class, memory_class

MIB = 1 << 20


@pytest.mark.parametrize(
    ("limit", "mebibytes"),
    [
        (0, DEFAULT_MEMORY),
        (6 * MIB, 256),
        (160 * MIB, 256),
        (161 * MIB, 512),
        (928 * MIB, 1024),
        (8096 * MIB, 8192),
    ],
)
def test_the_smallest_class_above_limit_and_overhead(limit: int, mebibytes: int) -> None:
    assert memory_class(limit) == mebibytes


def test_more_memory_than_any_machine_has_is_refused_with_the_most() -> None:
    with pytest.raises(InvalidArgument, match="at most 8096 MiB"):
        memory_class(8097 * MIB)


def test_processors() -> None:
    assert cpu_class(0, "tcg", 8) == 1
    assert cpu_class(0, "kvm", 8) == 4
    assert cpu_class(0, "kvm", 2) == 2
    assert cpu_class(0.5, "tcg", 8) == 1
    assert cpu_class(3, "tcg", 2) == 4
    with pytest.raises(InvalidArgument, match="at most 8"):
        cpu_class(8.5, "tcg", 64)
