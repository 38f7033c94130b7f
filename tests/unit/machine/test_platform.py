"""The table of architectures."""

import os

import pytest

from insula.errors import InvalidArgument
from insula.machine.platform import find_platform, host_platform, platforms


def test_there_are_both_architectures() -> None:
    assert {"linux/amd64", "linux/arm64"} <= set(platforms())


def test_an_unknown_platform_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidArgument, match=r"linux/mips64.*linux/amd64, linux/arm64"):
        find_platform("linux/mips64")


def test_the_host_has_its_own_row() -> None:
    assert os.uname().machine in host_platform().hosts or not any(p.native for p in platforms().values())
