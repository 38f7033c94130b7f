"""Answers what containers ask by name: each other, in turn where several hold one name; else the host's resolver.

Pure but for the turn: a question as bytes and who asks in, an answer or "ask the host" out. Malformed questions get
no answer. Who asks is told by the source address, which the tap's rules hold it to.
"""

import encodings.idna  # noqa: F401 - dnslib encodes names of answers by it, when its file may be out of netd's reach
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from dnslib import AAAA, PTR, QTYPE, RCODE, RR, A, DNSRecord
from dnslib.dns import EDNS0, DNSError

TTL = 600
UDP_DEFAULT, UDP_MAX = 512, 4096
QUESTION_MAX = 4096
NAMES_MAX = 64

IPAddress = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Holder:
    """One end of a network as names see it. owner: the container, which may be on several networks; dns: the
    name servers that it asks in place of the host's; links: what it alone calls others on this network, and what they
    are called."""

    owner: str
    network: str
    names: tuple[str, ...]
    addresses: tuple[IPAddress, ...]
    domain: str = ""
    dns: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Names:
    """Who is called what. internal: networks whose members ask nobody outside; plain: networks without names
    (Docker's default bridge has none)."""

    holders: dict[str, Holder] = field(default_factory=dict)
    internal: frozenset[str] = frozenset()
    plain: frozenset[str] = frozenset()
    turn: int = 0

    def answer(self, question: bytes, asker: IPAddress, *, tcp: bool) -> bytes | None:
        """The answer; empty bytes: not ours, ask the host; None: no question, or nobody who may ask."""
        networks = self._networks(asker)
        record = parse_question(question)
        if record is None or not networks:
            return None
        name, kind = str(record.q.qname).rstrip(".").lower(), QTYPE.get(record.q.qtype)
        reply = record.reply()
        if kind == "PTR":
            found: list[RR] | None = self._reverse(record, networks)
        else:
            found = self._forward(record, kind, self._called(name, networks, asker))
        if found is None:
            if networks - self.internal:
                return b""
            reply.header.rcode = RCODE.NXDOMAIN
            found = []
        reply.add_answer(*found)
        reply.header.ra = 1
        return _fit(reply, record, tcp)

    def servers(self, asker: IPAddress) -> tuple[str, ...]:
        """Whom to ask for what is not ours; empty: the host's."""
        return next((h.dns for h in self.holders.values() if asker in h.addresses and h.dns), ())

    def _own(self, asker: IPAddress) -> list[Holder]:
        """All that the container with this address has."""
        owners = {holder.owner for holder in self.holders.values() if asker in holder.addresses}
        return [holder for holder in self.holders.values() if holder.owner in owners]

    def _networks(self, asker: IPAddress) -> set[str]:
        return {holder.network for holder in self._own(asker)}

    def _members(self, networks: set[str]) -> Iterable[Holder]:
        return (h for h in self.holders.values() if h.network in networks and h.network not in self.plain)

    def _called(self, name: str, networks: set[str], asker: IPAddress) -> list[Holder]:
        """Who has a name for this asker: by its own links first, as Docker has it."""
        links = [
            (holder.network, target)
            for holder in self._own(asker)
            for alias, target in holder.links
            if alias.lower() == name
        ]
        linked = [
            h
            for h in self._members(networks)
            if any(h.network == n and t.lower() in h.names for n, t in links)
        ]
        return linked or [h for h in self._members(networks) if name in h.names]

    def _forward(self, record: DNSRecord, kind: str, holders: list[Holder]) -> list[RR] | None:
        if not holders:
            return None
        self.turn += 1
        start = self.turn % len(holders)
        found = []
        for holder in holders[start:] + holders[:start]:
            for address in holder.addresses:
                if kind == "A" and address.version == 4:
                    found.append(RR(record.q.qname, QTYPE.A, rdata=A(str(address)), ttl=TTL))
                elif kind == "AAAA" and address.version == 6:
                    found.append(RR(record.q.qname, QTYPE.AAAA, rdata=AAAA(str(address)), ttl=TTL))
        return found

    def _reverse(self, record: DNSRecord, networks: set[str]) -> list[RR] | None:
        address = parse_pointer(str(record.q.qname))
        for holder in self._members(networks):
            if address in holder.addresses and holder.names:
                called = f"{holder.names[0]}.{holder.domain}" if holder.domain else holder.names[0]
                return [RR(record.q.qname, QTYPE.PTR, rdata=PTR(called), ttl=TTL)]
        return None


def parse_question(data: bytes) -> DNSRecord | None:
    """A query with one question, or None for anything else."""
    if not 12 <= len(data) <= QUESTION_MAX:
        return None
    try:
        record = DNSRecord.parse(data)
    except (DNSError, ValueError, IndexError, KeyError, TypeError, UnicodeError):
        return None
    if record.header.qr or record.header.opcode or len(record.questions) != 1 or record.rr:
        return None
    return record


def parse_pointer(name: str) -> IPAddress | None:
    """The address that a reverse look-up is about."""
    parts = name.rstrip(".").lower().split(".")
    try:
        if parts[-2:] == ["in-addr", "arpa"] and len(parts) == 6:
            return IPv4Address(".".join(reversed(parts[:4])))
        if parts[-2:] == ["ip6", "arpa"] and len(parts) == 34:
            return ip_address(int("".join(reversed(parts[:32])), 16).to_bytes(16, "big"))
    except ValueError:
        return None
    return None


def _fit(reply: DNSRecord, question: DNSRecord, tcp: bool) -> bytes:
    """Cut to what the asker takes by UDP, and marked so (RFC 1035 4.1.1, RFC 6891)."""
    size = UDP_DEFAULT
    for extra in question.ar:
        if extra.rtype == QTYPE.OPT:
            size = max(size, min(extra.edns_len, UDP_MAX))
            reply.add_ar(EDNS0(udp_len=UDP_MAX))
    packed: bytes = reply.pack()
    if tcp or len(packed) <= size:
        return packed
    return bytes(reply.truncate().pack())
