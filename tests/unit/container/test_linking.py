"""Links of the default network: whom they mean, and what is shown of it."""

from dataclasses import dataclass, replace

import pytest
from test_leases import endpoint

from insula.container.leases import Leases
from insula.container.linking import find_linked, resolve_links, shown_links
from insula.container.record import Record
from insula.container.registry import Registry
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec
from insula.container.state import Status
from insula.errors import Conflict, InvalidArgument


@dataclass
class Held:
    record: Record


def record(name: str, number: int, **spec: object) -> Record:
    settings = Settings(
        hostname=f"{name}-host", env=("PATH=/bin", "HOME=/", "FOO=1=2", "EMPTY"), exposed_ports=("53/udp",)
    )
    return Record(
        id=f"{number:064x}", name=name, created_ns=0, spec=ContainerSpec(image="i", **spec), settings=settings,  # type: ignore[arg-type]
        image_id="i", platform="linux/amd64",
    )  # fmt: skip


@pytest.fixture
def registry() -> Registry[Held]:
    made: Registry[Held] = Registry()
    on_default = Leases((endpoint("bridge", 1, plain=True),))
    for item in (
        replace(record("db", 1, exposed=("5432", "90/tcp")), status=Status.RUNNING, leases=on_default),
        replace(record("far", 2), status=Status.RUNNING, leases=Leases((endpoint("own", 2),))),
        record("still", 3),
    ):
        made.reserve(item.name, item.id)
        made.add(Held(item))
    return made


def linking(registry: Registry[Held], *links: str) -> Record:
    own = record("web", 9, links=links)
    return replace(own, links=resolve_links(registry, own))


def test_what_is_shown_of_a_link(registry: Registry[Held]) -> None:
    (linked,) = find_linked(registry, linking(registry, "db:my-db"))
    assert linked.addresses == ("10.0.1.2",)
    assert linked.names == ("my-db", "db-host", "db")
    assert linked.environment == (
        "MY_DB_PORT=tcp://10.0.1.2:90",
        "MY_DB_PORT_90_TCP=tcp://10.0.1.2:90", "MY_DB_PORT_90_TCP_ADDR=10.0.1.2", "MY_DB_PORT_90_TCP_PORT=90",
        "MY_DB_PORT_90_TCP_PROTO=tcp",
        "MY_DB_PORT_5432_TCP=tcp://10.0.1.2:5432", "MY_DB_PORT_5432_TCP_ADDR=10.0.1.2",
        "MY_DB_PORT_5432_TCP_PORT=5432", "MY_DB_PORT_5432_TCP_PROTO=tcp",
        "MY_DB_PORT_53_UDP=udp://10.0.1.2:53", "MY_DB_PORT_53_UDP_ADDR=10.0.1.2", "MY_DB_PORT_53_UDP_PORT=53",
        "MY_DB_PORT_53_UDP_PROTO=udp",
        "MY_DB_NAME=/web/my-db", "MY_DB_ENV_FOO=1=2",
    )  # fmt: skip


def test_a_link_means_the_container_and_not_its_name(registry: Registry[Held]) -> None:
    own = linking(registry, "db:d")
    db = registry.find("db")
    db.record = replace(db.record, name="other")
    assert shown_links(registry, own) == ("/other:/web/d",)
    assert find_linked(registry, own)[0].names == ("d", "db-host", "other")
    registry.forget(db.record)
    assert shown_links(registry, own) == ()
    assert find_linked(registry, own) == ()


@pytest.mark.parametrize(
    ("link", "reason"), [("still:s", "Cannot link to a non running container: /still AS /web/s"),
                         ("far:f", "Cannot link to /far, as it does not belong to the default network")],
)  # fmt: skip
def test_what_cannot_be_linked_to_fails_the_start(registry: Registry[Held], link: str, reason: str) -> None:
    with pytest.raises(Conflict, match=reason):
        find_linked(registry, linking(registry, link))


def test_what_is_not_there_is_found_at_create(registry: Registry[Held]) -> None:
    with pytest.raises(InvalidArgument, match="could not get container for nobody"):
        linking(registry, "nobody:n")
    with pytest.raises(InvalidArgument, match="the alias a is that of two links"):
        linking(registry, "db:a", "far:a")
