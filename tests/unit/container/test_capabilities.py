import pytest

from insula.container.capabilities import ALL, DEFAULT, check_capabilities, choose_capabilities
from insula.errors import InvalidArgument


@pytest.mark.parametrize(
    ("added", "dropped", "left"),
    [
        ((), (), DEFAULT),
        (("NET_ADMIN",), (), DEFAULT | {"NET_ADMIN"}),
        (("cap_net_admin",), ("CAP_CHOWN", "kill"), (DEFAULT | {"NET_ADMIN"}) - {"CHOWN", "KILL"}),
        ((), ("ALL",), frozenset()),
        (("CHOWN", "SYS_TIME"), ("all",), {"CHOWN", "SYS_TIME"}),
        (("ALL",), (), ALL),
        (("ALL",), ("SYS_ADMIN",), ALL - {"SYS_ADMIN"}),
        (("ALL",), ("ALL",), ALL),
        (("CHOWN",), ("CHOWN",), DEFAULT),
    ],
)
def test_what_is_left(added: tuple[str, ...], dropped: tuple[str, ...], left: frozenset[str]) -> None:
    check_capabilities(added, dropped)
    assert choose_capabilities(False, added, dropped) == left
    assert choose_capabilities(True, added, dropped) == ALL


@pytest.mark.parametrize("name", ["NOTHING", "CAP_NOTHING", "", "CAP_", "CAP_ALL_", "net admin"])
def test_unknown_ones(name: str) -> None:
    shown = f'unknown capability: "CAP_{name.upper().removeprefix("CAP_")}"'
    for added, dropped, field in (((name,), (), "CapAdd"), ((), ("CHOWN", name), "CapDrop")):
        with pytest.raises(InvalidArgument) as caught:
            check_capabilities(added, dropped)
        assert str(caught.value) == f"invalid {field}: {shown}"
