"""What is free is chosen, what is taken or outside is refused in Docker's words."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network

import pytest

from insula.errors import Forbidden, InsulaError, InvalidArgument
from insula.network.address import check_overlap, choose_address, choose_subnet, make_mac, make_subnet


def test_the_first_network_is_dockers() -> None:
    subnet = choose_subnet(4, [])
    assert (str(subnet.network), str(subnet.gateway)) == ("172.17.0.0/16", "172.17.0.1")


def test_a_choice_overlaps_nothing() -> None:
    taken = [IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/20")]
    assert str(choose_subnet(4, taken).network) == "192.168.16.0/20"
    with pytest.raises(Forbidden, match="fully subnetted"):
        choose_subnet(4, [IPv4Network("0.0.0.0/0")])


def test_an_ipv6_subnet_is_one_of_our_own_prefix() -> None:
    first = choose_subnet(6, [])
    second = choose_subnet(6, [first.network])
    assert first.network.is_private
    assert not first.network.overlaps(second.network)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("x",), "invalid subnet"),
        (("192.0.2.0/24", "198.51.100.1"), "invalid gateway"),
        (("192.0.2.0/24", "", "198.51.100.0/28"), "invalid ip-range"),
        (("192.0.2.0/24", "", "", {"a": "198.51.100.9"}), "invalid auxiliary address"),
        (("192.0.2.0/30", "", "", {"a": "192.0.2.1", "b": "192.0.2.2"}), "leave none for the gateway"),
        (("192.0.2.0/31",), "no room"),
        (("192.0.2.0/24", "gate"), "invalid gateway"),
    ],
)
def test_what_is_no_subnet(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        make_subnet(*words)


def test_overlaps_are_refused() -> None:
    with pytest.raises(Forbidden, match="Pool overlaps"):
        check_overlap(ip_network("10.1.0.0/16"), [ip_network("10.0.0.0/8")])
    check_overlap(ip_network("10.1.0.0/16"), [ip_network("10.2.0.0/16"), ip_network("fd00::/8")])


def test_addresses_are_given_lowest_first_and_kept_ones_never() -> None:
    subnet = make_subnet("192.0.2.0/29", "192.0.2.1", "", {"printer": "192.0.2.2"})
    taken: set[IPv4Address | IPv6Address] = set()
    while True:
        try:
            taken.add(choose_address(subnet, taken))
        except InsulaError as error:
            assert "no available" in str(error)
            break
    assert sorted(map(str, taken)) == ["192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"]


@pytest.mark.parametrize("wanted", ["192.0.2.1", "192.0.2.0", "192.0.2.255", "192.0.2.9"])
def test_an_address_that_is_in_use(wanted: str) -> None:
    subnet = make_subnet("192.0.2.0/24")
    with pytest.raises(Forbidden, match="already in use"):
        choose_address(subnet, {IPv4Address("192.0.2.9")}, IPv4Address(wanted))


def test_the_range_bounds_the_choice() -> None:
    subnet = make_subnet("10.0.0.0/8", "", "10.9.0.0/30")
    assert str(choose_address(subnet, set())) == "10.9.0.1"


def test_a_mac_is_the_addresses_own() -> None:
    assert make_mac(IPv4Address("172.17.0.2")) == "02:42:ac:11:00:02"
    assert make_mac(IPv6Address("fd00::2")).startswith("02:42:")
