"""What follows from a container's networks: devices, routes, files, and which of them it asks for."""

from dataclasses import replace

import pytest

from insula.container.leases import (
    Leases,
    Linked,
    check_networks,
    classic_links,
    hosts_lines,
    link_of,
    links_of,
    resolv_conf,
    wishes,
)
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec
from insula.errors import Conflict, InvalidArgument
from insula.machine.spec import NICS
from insula.network.endpoint import Endpoint, EndpointSpec, parse_link


def endpoint(network: str, number: int, **other: object) -> Endpoint:
    fields = {
        "id": f"{number:064x}", "network_id": f"{number:064x}", "network": network, "bridge": f"br-{number}",
        "mac": f"02:42:00:00:00:{number:02x}", "addresses": (f"10.0.{number}.2/24",), "gateways": (f"10.0.{number}.1",),
        "mtu": 1500, "internal": False, "plain": False, "names": ("me",),
    }  # fmt: skip
    return Endpoint(**fields | other)  # type: ignore[arg-type]


def defaults(leases: Leases) -> list[tuple[str, str]]:
    """Which device has a default route, and through which gateway."""
    return [(link.name, str(route.gateway)) for link in links_of(leases) for route in link.routes]


def test_the_default_route_is_the_first_networks_by_name() -> None:
    assert defaults(Leases((endpoint("b", 1), endpoint("a", 2)))) == [("eth1", "10.0.2.1")]


def test_priority_goes_before_the_name() -> None:
    leases = Leases((endpoint("b", 1, gateway_priority=1), endpoint("a", 2)))
    assert defaults(leases) == [("eth0", "10.0.1.1")]


def test_an_internal_network_leads_nowhere() -> None:
    assert defaults(Leases((endpoint("a", 1, internal=True), endpoint("b", 2)))) == [("eth1", "10.0.2.1")]
    assert defaults(Leases((endpoint("a", 1, internal=True),))) == []


def test_ipv4_and_ipv6_may_lead_out_by_different_networks() -> None:
    six = endpoint("z", 2, addresses=("fd00::2/64",), gateways=("fd00::1",))
    assert defaults(Leases((endpoint("a", 1), six))) == [("eth0", "10.0.1.1"), ("eth1", "fd00::1")]


def test_devices_keep_their_numbers_when_others_go() -> None:
    leases = Leases((endpoint("a", 1), endpoint("b", 2), endpoint("c", 3)))
    left = leases.without_nic(1)
    assert left.placed == ((0, endpoint("a", 1)), (2, endpoint("c", 3)))
    assert link_of(left, 2).name == "eth2"
    again = left.with_endpoint(left.free_nic(), endpoint("d", 4))
    assert [nic for nic, _ in again.placed] == [0, 2, 1]


def test_a_machine_has_so_many_devices() -> None:
    leases = Leases(tuple(endpoint(str(n), n) for n in range(NICS)))
    with pytest.raises(Conflict, match=f"on {NICS} networks"):
        leases.free_nic()
    spec = ContainerSpec(
        image="i", network_mode="a", endpoints=tuple(EndpointSpec(str(n)) for n in range(NICS))
    )
    with pytest.raises(InvalidArgument, match=f"on {NICS} networks at a time, not {NICS + 1}"):
        check_networks(spec)


def test_the_network_of_the_mode_comes_first_until_it_is_left() -> None:
    spec = ContainerSpec(
        image="i", network_mode="default", endpoints=(EndpointSpec("b"), EndpointSpec("bridge"))
    )
    assert [wish.network for wish in wishes(spec)] == ["bridge", "b"]
    left = replace(spec, endpoints=(EndpointSpec("b"),), left_mode=True)
    assert [wish.network for wish in wishes(left)] == ["b"]
    assert wishes(replace(left, endpoints=())) == ()
    assert wishes(ContainerSpec(image="i", network_mode="none")) == ()


def test_links_are_the_modes_networks() -> None:
    own = ContainerSpec(
        image="i", network_mode="n", links=("a:b",), endpoints=(EndpointSpec("bridge", links=("c:d",)),)
    )
    assert [(wish.network, wish.links) for wish in wishes(own)] == [("n", ("a:b",)), ("bridge", ("c:d",))]
    assert classic_links(own) == ("c:d",)
    default = ContainerSpec(
        image="i", links=("a:b",), endpoints=(EndpointSpec("default", links=("a:b", "c")),)
    )
    assert classic_links(default) == ("a:b", "c")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("a:b", ("a", "b")), ("a", ("a", "a")), ("/a:/own/b", ("a", "b"))],
)
def test_links_have_three_forms(text: str, parsed: tuple[str, str]) -> None:
    assert parse_link(text) == parsed


@pytest.mark.parametrize(
    "text", ["", ":", ":b", "a:b:c", "a b", "a:b c", "a\n:b", "a:-b", "/a:/own/", "a" * 2000]
)
def test_what_is_no_link(text: str) -> None:
    with pytest.raises(InvalidArgument, match="bad format for links"):
        ContainerSpec(image="i", links=(text,))
    with pytest.raises(InvalidArgument, match="bad format for links"):
        EndpointSpec("n", links=(text,))


def test_there_is_nobody_to_link_to_without_a_network() -> None:
    with pytest.raises(InvalidArgument, match="conflicting options"):
        ContainerSpec(image="i", network_mode="none", links=("a:b",))
    with pytest.raises(InvalidArgument, match="64 links at most"):
        ContainerSpec(image="i", links=tuple(f"a:b{n}" for n in range(65)))


def test_hosts_has_links_before_the_containers_own_addresses() -> None:
    leases = Leases((endpoint("a", 1),), linked=(Linked(("10.0.1.9",), ("db", "web"), ()),))
    spec = ContainerSpec(image="i", extra_hosts=("x:192.0.2.1",))
    lines = hosts_lines(spec, Settings(hostname="me"), leases).splitlines()
    assert lines == ["192.0.2.1\tx", "10.0.1.9\tdb web", "10.0.1.2\tme"]


def test_the_name_server_is_one_that_is_reached() -> None:
    leases = Leases((endpoint("a", 1, internal=True), endpoint("b", 2)))
    spec = ContainerSpec(image="i")
    assert resolv_conf(spec, leases, ()).splitlines() == ["nameserver 10.0.2.1", "options ndots:0"]
    assert "nameserver 10.0.1.1" in resolv_conf(spec, leases.without_nic(1), ())
    assert resolv_conf(spec, Leases(), ()) == ""
    asked = ContainerSpec(image="i", dns_search=("example.org", "."), dns_options=("timeout:1",))
    assert "search example.org\noptions timeout:1" in resolv_conf(asked, leases, ("host.example",))
    assert "search host.example\n" in resolv_conf(spec, leases, ("host.example",))
