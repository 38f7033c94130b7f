"""Who is told what, by the bytes of real questions."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from dnslib import QTYPE, DNSRecord
from dnslib.dns import EDNS0, DNSQuestion

from insula.network.names import Holder, Names

WEB = Holder("c1", "n1", ("web", "www"), (ip_address("192.0.2.2"), ip_address("fd00::2")), "example")
TWIN = Holder("c2", "n1", ("twin", "www"), (ip_address("192.0.2.3"),))
OTHER = Holder("c3", "n2", ("other",), (ip_address("198.51.100.2"),))
BOTH = Holder("c4", "n1", ("both",), (ip_address("192.0.2.4"),))
BOTH_2 = Holder("c4", "n2", ("both",), (ip_address("198.51.100.4"),))
PLAIN = Holder("c5", "plain", (), (ip_address("203.0.113.2"),))


@pytest.fixture
def names() -> Names:
    holders = {str(number): h for number, h in enumerate((WEB, TWIN, OTHER, BOTH, BOTH_2, PLAIN))}
    return Names(holders, plain=frozenset({"plain"}))


def ask(names: Names, name: str, asker: str, kind: str = "A", tcp: bool = False) -> DNSRecord | bytes | None:
    answer = names.answer(DNSRecord.question(name, kind).pack(), ip_address(asker), tcp=tcp)
    return DNSRecord.parse(answer) if answer else answer


def found(record: DNSRecord | bytes | None) -> list[str]:
    assert isinstance(record, DNSRecord)
    return [str(answer.rdata) for answer in record.rr]


def test_names_aliases_and_kinds(names: Names) -> None:
    assert found(ask(names, "web", "192.0.2.3")) == ["192.0.2.2"]
    assert found(ask(names, "WEB.", "192.0.2.3")) == ["192.0.2.2"]
    assert found(ask(names, "web", "192.0.2.3", "AAAA")) == ["fd00::2"]
    assert found(ask(names, "twin", "192.0.2.2", "AAAA")) == []


def test_several_holders_of_one_alias_are_given_in_turn(names: Names) -> None:
    first = [found(ask(names, "www", "192.0.2.4"))[0] for _ in range(4)]
    assert first in (["192.0.2.3", "192.0.2.2"] * 2, ["192.0.2.2", "192.0.2.3"] * 2)


def test_what_is_on_no_network_of_the_asker_is_asked_of_the_host(names: Names) -> None:
    assert ask(names, "other", "192.0.2.2") == b""
    assert ask(names, "example.org", "192.0.2.2") == b""
    assert found(ask(names, "other", "192.0.2.4")) == ["198.51.100.2"], "the asker is on both networks"


def test_an_internal_network_asks_nobody_outside(names: Names) -> None:
    names.internal = frozenset({"n1"})
    record = ask(names, "example.org", "192.0.2.2")
    assert isinstance(record, DNSRecord)
    assert record.header.rcode == 3
    assert ask(names, "example.org", "192.0.2.4") == b"", "by its other network it may"


def test_the_default_network_has_no_names(names: Names) -> None:
    assert ask(names, "web", "203.0.113.2") == b""


def test_reverse(names: Names) -> None:
    assert found(ask(names, "2.2.0.192.in-addr.arpa", "192.0.2.3", "PTR")) == ["web.example."]
    pointer = ip_address("fd00::2").reverse_pointer
    assert found(ask(names, pointer, "192.0.2.3", "PTR")) == ["web.example."]
    assert ask(names, "2.100.51.198.in-addr.arpa", "192.0.2.3", "PTR") == b""


def test_who_is_nobody_is_told_nothing(names: Names) -> None:
    assert ask(names, "web", "192.0.2.99") is None


def test_the_askers_own_servers(names: Names) -> None:
    names.holders["9"] = Holder("c9", "n1", ("x",), (ip_address("192.0.2.9"),), "", ("192.0.2.53",))
    assert names.servers(ip_address("192.0.2.9")) == ("192.0.2.53",)
    assert names.servers(ip_address("192.0.2.2")) == ()


@pytest.mark.parametrize(
    "data",
    [b"", b"x" * 11, b"\0" * 12, b"\xff" * 64, DNSRecord.question("web").pack()[:-3], b"\0" * 5000,
     DNSRecord.question("web").reply().pack(), DNSRecord(questions=[DNSQuestion("a"), DNSQuestion("b")]).pack()],
)  # fmt: skip
def test_what_is_no_question_gets_no_answer(names: Names, data: bytes) -> None:
    assert names.answer(data, ip_address("192.0.2.2"), tcp=False) is None


def test_a_long_answer_is_cut_for_udp_alone(names: Names) -> None:
    for number in range(60):
        names.holders[f"m{number}"] = Holder(
            f"m{number}", "n1", ("many",), (ip_address(f"192.0.2.{100 + number}"),)
        )
    cut = ask(names, "many", "192.0.2.2")
    assert isinstance(cut, DNSRecord)
    assert cut.header.tc == 1
    assert len(found(ask(names, "many", "192.0.2.2", tcp=True))) == 60
    question = DNSRecord.question("many")
    question.add_ar(EDNS0(udp_len=4096))
    answer = names.answer(question.pack(), ip_address("192.0.2.2"), tcp=False)
    assert answer
    assert len(DNSRecord.parse(answer).rr) == 60
    assert QTYPE.OPT in [extra.rtype for extra in DNSRecord.parse(answer).ar]


def test_a_link_is_a_name_for_its_owner_alone(names: Names) -> None:
    names.holders["3"] = replace(BOTH, links=(("db", "web"), ("twin", "web")))
    assert found(ask(names, "DB", "192.0.2.4")) == ["192.0.2.2"]
    assert ask(names, "db", "192.0.2.3") == b""
    assert found(ask(names, "twin", "192.0.2.4")) == ["192.0.2.2"], "its own links come before others' names"
    assert found(ask(names, "db", "198.51.100.4")) == ["192.0.2.2"], "by whichever network it asks"
    del names.holders["0"]
    assert ask(names, "db", "192.0.2.4") == b"", "whom it means is looked up when it is asked"
