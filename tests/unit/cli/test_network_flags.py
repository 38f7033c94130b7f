"""`--network` and its kin → the request; `network create`'s subnets."""

from typing import Any

import pytest

from insula.cli.create import make_document
from insula.cli.create_flags import RUN_FLAGS
from insula.cli.failure import UsageFailure
from insula.cli.flags import parse
from insula.cli.networks import VERBS, make_subnets


def document(*words: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """HostConfig and EndpointsConfig."""
    made = make_document(parse(RUN_FLAGS, (*words, "x"), mixed=False), False)
    return made["HostConfig"], made.get("NetworkingConfig", {}).get("EndpointsConfig")


def test_a_plain_network_is_the_mode_alone() -> None:
    assert document("--network", "none") == ({"NetworkMode": "none"}, None)
    assert document("--net=a") == ({"NetworkMode": "a"}, None)
    assert document() == ({}, None)


def test_several_networks_and_the_long_form() -> None:
    host, endpoints = document(
        "--network", "a", "--network", "name=b,alias=x,alias=y,ip=10.0.0.2,ip6=fd00::2,mac-address=02:00:00:00:00:01",
        "--network", "name=c,gw-priority=-5,driver-opt=k=v", "--ip", "10.1.0.2", "--network-alias", "z",
    )  # fmt: skip
    assert host == {"NetworkMode": "a"}
    assert endpoints == {
        "a": {"IPAMConfig": {"IPv4Address": "10.1.0.2"}, "Aliases": ["z"]},
        "b": {
            "Aliases": ["x", "y"], "IPAMConfig": {"IPv4Address": "10.0.0.2", "IPv6Address": "fd00::2"},
            "MacAddress": "02:00:00:00:00:01",
        },
        "c": {"GwPriority": -5, "DriverOpts": {"k": "v"}},
    }  # fmt: skip


def test_links_and_a_mac() -> None:
    assert document("--link", "a:b") == ({"Links": ["a:b"]}, None)
    assert document("--network", "n", "--link", "a:b") == (
        {"NetworkMode": "n", "Links": ["a:b"]}, {"n": {"Links": ["a:b"]}},
    )  # fmt: skip
    assert document("--mac-address", "02:00:00:00:00:01") == (
        {},
        {"default": {"MacAddress": "02:00:00:00:00:01"}},
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--network", "alias=x"], "has no name="),
        (["--network", "name=a,thing=1"], "unknown key 'thing'"),
        (["--network", "name=a,alias"], "KEY=VALUE is wanted"),
        (["--network", "name=a,gw-priority=x"], "not a whole number"),
        (["--network", "a", "--network", "a"], "multiple times"),
        (["--network", "a", "--network", "none"], "networks by themselves"),
    ],
)
def test_what_cannot_be_sent(words: list[str], reason: str) -> None:
    with pytest.raises(UsageFailure, match=reason):
        document(*words)


def subnets(*words: str) -> list[dict[str, Any]]:
    return make_subnets(parse(VERBS["network create"].flags, words))


def test_what_belongs_to_which_subnet() -> None:
    assert subnets() == []
    assert subnets(
        "--subnet", "10.0.0.0/24", "--subnet", "fd00::/64", "--gateway", "fd00::9", "--gateway", "10.0.0.9",
        "--ip-range", "10.0.0.128/25", "--aux-address", "a=10.0.0.5",
    ) == [
        {"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.9", "IPRange": "10.0.0.128/25", "AuxiliaryAddresses": {"a": "10.0.0.5"}},
        {"Subnet": "fd00::/64", "Gateway": "fd00::9"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [["--gateway", "10.0.0.1"], ["--subnet", "x", "--gateway", "10.0.0.1"], ["--subnet", "10.0.0.0/24", "--gateway", "x"],
     ["--subnet", "10.0.0.0/24", "--gateway", "10.0.0.1", "--gateway", "10.0.0.2"]],
)  # fmt: skip
def test_what_belongs_to_none(words: list[str]) -> None:
    with pytest.raises(UsageFailure):
        subnets(*words)
