"""Ports in all their forms, bound for real on the loopback."""

import socket
from contextlib import ExitStack

import pytest

from insula.errors import Internal, InvalidArgument, NotImplemented
from insula.network.ports import PortSpec, bind_port, parse_port_spec


def test_forms() -> None:
    assert parse_port_spec("80/tcp", "", "") == PortSpec("tcp", 80)
    assert parse_port_spec("53/udp", "127.0.0.1", "5353") == PortSpec("udp", 53, "127.0.0.1", 5353, 5353)
    assert parse_port_spec("80", "::1", "8000-8010") == PortSpec("tcp", 80, "::1", 8000, 8010)


@pytest.mark.parametrize(
    "words",
    [("0/tcp", "", ""), ("65536/tcp", "", ""), ("x", "", ""), ("80/tcp", "host", "80"), ("80/tcp", "", "x"),
     ("80/tcp", "", "90-80"), ("80/x", "", ""), ("80/tcp", "", "99999")],
)  # fmt: skip
def test_what_is_no_port(words: tuple[str, str, str]) -> None:
    with pytest.raises(InvalidArgument):
        parse_port_spec(*words)


def test_sctp_is_refused_by_name() -> None:
    with pytest.raises(NotImplemented, match="sctp"):
        parse_port_spec("80/sctp", "", "")


def test_any_port_is_one_number_for_all_addresses() -> None:
    with ExitStack() as held:
        made = bind_port(PortSpec("tcp", 80))
        for _, listener in made:
            held.enter_context(listener)
        assert len({bound.host_port for bound, _ in made}) == 1
        assert made[0][0].host_ip == "0.0.0.0"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_port_in_use_is_told_in_dockers_words_and_a_range_goes_on(protocol: str) -> None:
    with ExitStack() as held:
        [(bound, listener)] = bind_port(PortSpec(protocol, 80, "127.0.0.1"))
        held.enter_context(listener)
        number = bound.host_port
        with pytest.raises(Internal, match="address already in use"):
            bind_port(PortSpec(protocol, 81, "127.0.0.1", number, number))
        if number < 65535:
            [(second, other)] = bind_port(
                PortSpec(protocol, 81, "127.0.0.1", number, min(number + 50, 65535))
            )
            held.enter_context(other)
            assert second.host_port > number


def test_nothing_stays_bound_if_one_address_fails() -> None:
    with socket.socket(socket.AF_INET6) as blocker:
        blocker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        blocker.bind(("::", 0))
        blocker.listen()
        number = blocker.getsockname()[1]
        with pytest.raises(Internal):
            bind_port(PortSpec("tcp", 80, "", number, number))
        [(_, listener)] = bind_port(PortSpec("tcp", 80, "127.0.0.1", number, number))
        listener.close()
