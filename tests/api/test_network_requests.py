"""Networks of containers that do not run: what they are to join, what is refused, and in whose words."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from image_tars import docker_archive, file, make_tar

from daemon_fixture import DaemonProcess

IMAGE, NAME = "networks:1", "networked"


@pytest.fixture(scope="module")
def image(daemon: DaemonProcess) -> Iterator[str]:
    archive = docker_archive([make_tar(("f", file(b"x")))], tags=[IMAGE], config={"Cmd": ["x"]})
    assert daemon.docker("load", input=archive).returncode == 0
    yield IMAGE
    daemon.request("DELETE", f"/images/{IMAGE}")


@pytest.fixture
def networks(daemon: DaemonProcess) -> Iterator[dict[str, str]]:
    """`given` has a subnet of its own, `chosen` has not; by name → id."""
    made = {}
    for name, config in (("given", [{"Subnet": "10.66.0.0/24"}]), ("chosen", [])):
        answer = daemon.request("POST", "/networks/create", {"Name": name, "IPAM": {"Config": config}})
        assert answer.status == 201, answer.body
        made[name] = answer.json()["Id"]
    yield made
    for name in made:
        assert daemon.request("DELETE", f"/networks/{name}").status == 204


@pytest.fixture
def make(daemon: DaemonProcess, image: str) -> Iterator[Callable[..., Any]]:
    def create(name: str = NAME, **fields: Any) -> Any:
        return daemon.request("POST", f"/containers/create?name={name}", {"Image": image, **fields})

    yield create
    for container in daemon.request("GET", "/containers/json?all=1").json():
        if container["Image"] == IMAGE:
            daemon.request("DELETE", f"/containers/{container['Id']}")


def joined(daemon: DaemonProcess) -> dict[str, Any]:
    return dict(daemon.request("GET", f"/containers/{NAME}/json").json()["NetworkSettings"]["Networks"])


def change(daemon: DaemonProcess, network: str, what: str, **settings: Any) -> tuple[int, str]:
    answer = daemon.request("POST", f"/networks/{network}/{what}", {"Container": NAME, **settings})
    return answer.status, answer.body.decode()


def test_what_a_container_is_to_join(
    daemon: DaemonProcess, networks: dict[str, str], make: Callable[..., Any]
) -> None:
    make()
    wish = {"IPAMConfig": {"IPv4Address": "10.66.0.9"}, "Aliases": ["a"], "Links": ["x:y"], "GwPriority": 3}
    assert change(daemon, "given", "connect", EndpointConfig=wish)[0] == 200
    found = joined(daemon)
    assert set(found) == {"bridge", "given"}
    assert {"Aliases": ["a"], "Links": ["x:y"], "GwPriority": 3}.items() <= found["given"].items()
    assert found["given"]["IPAMConfig"] == {"IPv4Address": "10.66.0.9"}
    status, said = change(daemon, networks["given"], "connect")
    assert status == 403 and "already exists in network given" in said
    assert change(daemon, "bridge", "disconnect")[0] == 200
    assert change(daemon, networks["given"], "disconnect")[0] == 200
    assert joined(daemon) == {}
    status, said = change(daemon, "given", "disconnect")
    assert status == 403 and "is not connected to network given" in said
    assert change(daemon, "chosen", "connect")[0] == 200
    assert set(joined(daemon)) == {"chosen"}
    assert daemon.request("GET", f"/containers/{NAME}/json").json()["HostConfig"]["NetworkMode"] == "default"


@pytest.mark.parametrize(
    ("network", "settings", "status", "reason"),
    [
        ("nothing", {}, 404, "network nothing not found"),
        ("chosen", {"IPAMConfig": {"IPv4Address": "10.66.0.9"}}, 400, "user configured subnets"),
        ("given", {"IPAMConfig": {"IPv4Address": "10.67.0.9"}}, 400, "no configured subnet contains IP address 10.67.0.9"),
        ("given", {"IPAMConfig": {"IPv4Address": "x"}}, 400, "invalid IPv4 address"),
        ("given", {"IPAMConfig": {"IPv6Address": "fd00::9"}}, 400, "user configured subnets"),
        ("given", {"MacAddress": "x"}, 400, "invalid MAC address"),
        ("given", {"Links": [":"]}, 400, "bad format for links"),
        ("given", {"Aliases": [""]}, 400, "invalid alias"),
        ("given", {"Aliases": "a"}, 400, "Aliases"),
        ("given", {"GwPriority": "1"}, 400, "GwPriority"),
    ],
)  # fmt: skip
def test_what_no_container_can_join(
    daemon: DaemonProcess, networks: dict[str, str], make: Callable[..., Any],
    network: str, settings: dict[str, Any], status: int, reason: str,
) -> None:  # fmt: skip
    make()
    assert change(daemon, network, "connect", EndpointConfig=settings)[0] == status
    assert reason in change(daemon, network, "connect", EndpointConfig=settings)[1]
    assert set(joined(daemon)) == {"bridge"}


def test_none_is_alone_and_four_are_the_most(
    daemon: DaemonProcess, networks: dict[str, str], make: Callable[..., Any]
) -> None:
    make(HostConfig={"NetworkMode": "none"})
    status, said = change(daemon, "given", "connect")
    assert status == 400 and "private (none) mode" in said
    endpoints = {name: {} for name in ("a", "b", "c", "d")}
    answer = make("many", NetworkingConfig={"EndpointsConfig": endpoints})
    assert answer.status == 400 and b"4 networks at a time, not 5" in answer.body
    answer = make("linked", HostConfig={"NetworkMode": "none", "Links": ["a"]})
    assert answer.status == 400 and b"conflicting options" in answer.body


def test_links_follow_names_and_can_be_taken_away(daemon: DaemonProcess, make: Callable[..., Any]) -> None:
    make("other")
    assert make(HostConfig={"Links": ["other:o", "other"]}).status == 201

    def shown() -> Any:
        return daemon.request("GET", f"/containers/{NAME}/json").json()["HostConfig"]["Links"]

    assert shown() == [f"/other:/{NAME}/o", f"/other:/{NAME}/other"]
    assert daemon.request("POST", "/containers/other/rename?name=another").status == 204
    assert shown() == [f"/another:/{NAME}/o", f"/another:/{NAME}/other"]
    assert daemon.request("DELETE", f"/containers/{NAME}/o?link=1").status == 204
    assert daemon.request("DELETE", f"/containers/{NAME}/o?link=1").status == 404
    assert daemon.request("DELETE", f"/containers/{NAME}?link=1").status == 404
    assert shown() == [f"/another:/{NAME}/other"]
    answer = make("late", HostConfig={"Links": ["nobody:n"]})
    assert answer.status == 400 and b"could not get container for nobody" in answer.body


ICC, BINDING = "com.docker.network.bridge.enable_icc", "com.docker.network.bridge.host_binding_ipv4"
MASQUERADE, MTU = "com.docker.network.bridge.enable_ip_masquerade", "com.docker.network.driver.mtu"


@pytest.mark.parametrize(
    ("asked", "status", "reason"),
    [
        ({"Name": ""}, 400, "invalid network name"),
        ({"Name": "../x"}, 400, "invalid network name"),
        ({"Name": "n" * 256}, 400, "invalid network name"),
        ({"Name": "host"}, 403, "predefined host network"),
        ({"Name": "given"}, 409, "network with name given already exists"),
        ({"Driver": "overlays"}, 404, "could not find plugin"),
        ({"Driver": "host"}, 403, 'only one instance of "host"'),
        ({"Scope": "swarm"}, 400, "scope"),
        ({"IPAM": {"Driver": "x"}}, 400, "invalid IPAM driver"),
        ({"IPAM": {"Config": [{}]}}, 400, "invalid CIDR block notation"),
        ({"IPAM": {"Config": [{"Subnet": "x"}]}}, 400, "invalid CIDR block notation"),
        ({"IPAM": {"Config": [{"Subnet": "10.66.0.128/25"}]}}, 403, "Pool overlaps"),
        ({"IPAM": {"Config": [{"Subnet": "10.68.0.0/24"}, {"Subnet": "10.68.0.0/16"}]}}, 403, "Pool overlaps"),
        ({"IPAM": {"Config": [{"Subnet": "10.68.0.0/31"}]}}, 400, "no room"),
        ({"IPAM": {"Config": [{"Subnet": "10.68.0.0/24", "Gateway": "10.69.0.1"}]}}, 400, "not within the subnet"),
        ({"IPAM": {"Config": [{"Subnet": "10.68.0.0/24", "IPRange": "10.69.0.0/25"}]}}, 400, "not within the subnet"),
        ({"IPAM": {"Config": [{"Subnet": "10.68.0.0/24", "AuxiliaryAddresses": {"a": "10.69.0.1"}}]}}, 400, "not within"),
        ({"EnableIPv6": False, "IPAM": {"Config": [{"Subnet": "fd66::/64"}]}}, 400, "IPv6"),
        ({"Options": {MTU: "67"}}, 400, "invalid MTU"),
        ({"Options": {"x": "y"}}, 400, "invalid network option x"),
        ({"Options": {ICC: "perhaps"}}, 400, "true or false"),
        ({"Options": {MASQUERADE: "false"}}, 400, "cannot be had"),
        ({"Options": {BINDING: "127.0.0.1"}}, 400, "cannot be had"),
    ],
)  # fmt: skip
def test_networks_that_cannot_be(
    daemon: DaemonProcess, networks: dict[str, str], asked: dict[str, Any], status: int, reason: str
) -> None:
    before = daemon.request("GET", "/networks").json()
    answer = daemon.request("POST", "/networks/create", {"Name": "wrong", **asked})
    assert (answer.status, reason in answer.message) == (status, True), answer.body
    assert daemon.request("GET", "/networks").json() == before


def test_options_that_have_an_effect_are_told(daemon: DaemonProcess) -> None:
    options = {ICC: "false", MTU: "1400", MASQUERADE: "true", BINDING: "0.0.0.0"}
    answer = daemon.request("POST", "/networks/create", {"Name": "apart", "Options": options})
    assert answer.status == 201, answer.body
    assert daemon.request("GET", "/networks/apart").json()["Options"] == options
    assert daemon.request("DELETE", "/networks/apart").status == 204
