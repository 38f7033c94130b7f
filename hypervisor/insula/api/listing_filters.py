"""The filters of `ps`: read once, with Docker's refusals, then asked of each container.

OR within a filter, AND across filters; of labels, all. What a filter looks at is what the list shows.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from insula.api.call import read_integer
from insula.api.encode_network import encode_endpoints, list_ports
from insula.api.filters import Filters, check_known, has_labels, read_flag
from insula.api.pattern import Matcher
from insula.container.health import HealthStatus
from insula.container.view import ContainerView
from insula.errors import InvalidArgument

STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
HEALTHS = tuple(HealthStatus)
FILTERS = (
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name", "network",
    "publish", "since", "status", "volume",
)  # fmt: skip
PORT_MAX = 65535
PROTOCOLS = ("tcp", "udp", "sctp")
Test = Callable[[ContainerView], bool]


@dataclass(frozen=True, slots=True)
class PortRange:
    """`80`, `80/udp`, `8000-8080/tcp`."""

    first: int
    last: int
    protocol: str

    def has(self, number: int, protocol: str) -> bool:
        return self.first <= number <= self.last and protocol == self.protocol


def make_test(filters: Filters, ancestors: frozenset[str], identities: Iterable[str]) -> Test:
    """Whether a container passes all filters but before and since. ancestors: ids of the images that the filter of
    this name means; identities: of all containers. Raises InvalidArgument."""
    check_known(filters, FILTERS)
    tests: list[Test] = []
    for name, make in MAKERS.items():
        if values := filters.get(name, ()):
            tests.append(make(values))
    if filters.get("id"):
        tests.append(by_ids(filters["id"], tuple(identities)))
    if filters.get("ancestor"):
        tests.append(lambda view: view.image_id in ancestors)
    if read_flag(filters, "is-task"):
        tests.append(lambda view: False)  # there is no swarm whose task it could be
    if filters.get("publish") or filters.get("expose"):
        tests.append(by_ports(filters.get("publish", ()), filters.get("expose", ())))
    return lambda view: all(test(view) for test in tests)


def by_ids(values: Sequence[str], identities: tuple[str, ...]) -> Test:
    """An id's beginning means the one container that has it, or none."""
    found = [[id for id in identities if id.startswith(value)] for value in values if value]
    wanted = frozenset(ids[0] for ids in found if len(ids) == 1)
    return lambda view: view.id in wanted


def by_names(values: Sequence[str]) -> Test:
    """Expressions; the name has a slash before it, and is tried without it too."""
    matcher = Matcher(values)
    return lambda view: matcher.matches(f"/{view.name}") or matcher.matches(view.name)


def by_labels(values: Sequence[str]) -> Test:
    return lambda view: has_labels(view.settings.labels, values)


def by_states(values: Sequence[str]) -> Test:
    check_words("status", "state", values, STATES)
    return lambda view: view.state.status in values


def by_healths(values: Sequence[str]) -> Test:
    check_words("health", "health", values, HEALTHS)
    return lambda view: health_of(view) in values


def health_of(view: ContainerView) -> str:
    return str(HealthStatus.NONE if view.state.health is None else view.state.health.status)


def by_exit_codes(values: Sequence[str]) -> Test:
    """Only what has run and does not run has an exit code."""
    codes = {read_exit_code(value) for value in values}
    return lambda view: view.state.exit_code in codes and not view.state.running and view.state.started_ns > 0


def by_volumes(values: Sequence[str]) -> Test:
    return lambda view: any(value in (m.name, m.source, m.target) for m in view.mounts for value in values)


def by_networks(values: Sequence[str]) -> Test:
    def test(view: ContainerView) -> bool:
        networks = encode_endpoints(view)
        ids = [str(endpoint["NetworkID"]) for endpoint in networks.values()]
        return any(value in networks or any(id.startswith(value) for id in ids) for value in values if value)

    return test


def by_isolations(values: Sequence[str]) -> Test:
    return lambda view: (view.spec.isolation or "default") in values


def by_ports(published: Sequence[str], exposed: Sequence[str]) -> Test:
    """Either filter lets a container through, as in Docker."""
    outside = [read_ports("publish", value) for value in published]
    inside = [read_ports("expose", value) for value in exposed]

    def test(view: ContainerView) -> bool:
        for port in list_ports(view):
            protocol = port["Type"]
            if any(r.has(port["PublicPort"], protocol) for r in outside if "PublicPort" in port):
                return True
            if any(r.has(port["PrivatePort"], protocol) for r in inside):
                return True
        return False

    return test


MAKERS: dict[str, Callable[[Sequence[str]], Test]] = {
    "name": by_names, "label": by_labels, "status": by_states, "health": by_healths,
    "exited": by_exit_codes, "volume": by_volumes, "network": by_networks, "isolation": by_isolations,
}  # fmt: skip


def check_words(name: str, kind: str, values: Sequence[str], known: Sequence[str]) -> None:
    """Raises InvalidArgument."""
    for value in values:
        if value not in known:
            shown = value[:80]
            raise InvalidArgument(
                f"invalid filter '{name}={shown}': invalid value for {kind} ({shown}): "
                f"must be one of {', '.join(known)}"
            )


def read_exit_code(text: str) -> int:
    """Raises InvalidArgument."""
    try:
        return read_integer(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"invalid filter 'exited={text[:80]}': {error.message}") from error


def read_ports(name: str, text: str) -> PortRange:
    """Raises InvalidArgument."""
    shown = text[:80]
    if ":" in text:
        raise InvalidArgument(f"filter for '{name}' should not contain ':': {shown}")
    ports, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    first, dash, last = ports.partition("-")
    why = ""
    for number in (first, last) if dash else (first,):
        if not (number.isascii() and number.isdigit()):
            why = why or f'strconv.ParseUint: parsing "{number[:40]}": invalid syntax'
        elif len(number) > 5 or int(number) > PORT_MAX:
            why = why or f'strconv.ParseUint: parsing "{number[:40]}": value out of range'
    if not why and dash and int(last) < int(first):
        why = f"invalid range specified for port: {ports[:40]}"
    if protocol not in PROTOCOLS:
        why = why or f"invalid proto: {protocol[:40]}"
    if why:
        raise InvalidArgument(f"error while looking up for {name} {shown}: {why}")
    return PortRange(int(first), int(last if dash else first), protocol)
