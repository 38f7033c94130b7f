"""`system df`: true to the disk, of the kinds that are asked for."""

import pytest
from image_tars import docker_archive, file, make_tar

from daemon_fixture import DaemonProcess


def disk(daemon: DaemonProcess) -> int:
    folders = (daemon.home / "images" / name for name in ("blobs", "disks"))
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def load(daemon: DaemonProcess, tag: str) -> None:
    archive = docker_archive([make_tar(("f", file(tag.encode() * 1000)))], tags=[tag], config={"Cmd": ["x"]})
    assert daemon.docker("load", input=archive).returncode == 0


def test_images_and_containers_and_nothing_else(daemon: DaemonProcess) -> None:
    load(daemon, "df-used:1")
    load(daemon, "df-spare:1")
    made = daemon.request("POST", "/containers/create", {"Image": "df-used:1"}).json()["Id"]
    try:
        found = daemon.request("GET", "/v1.51/system/df").json()
        assert found["LayersSize"] == disk(daemon) > 0
        images = {image["RepoTags"][0]: image for image in found["Images"]}
        assert (images["df-used:1"]["Containers"], images["df-spare:1"]["Containers"]) == (1, 0)
        assert images["df-used:1"]["SharedSize"] == 0 < images["df-used:1"]["Size"]
        container = next(one for one in found["Containers"] if one["Id"] == made)
        assert container["SizeRw"] == 0 < container["SizeRootFs"] < images["df-used:1"]["Size"]
        others = {volume["UsageData"]["RefCount"] for volume in found["Volumes"]}
        assert (others, found["BuildCache"]) in (({0}, []), (set(), []))
        shown = daemon.docker("system", "df").stdout.decode()
        assert "Build Cache" in shown
        assert "Local Volumes" in shown
        assert daemon.docker("system", "df", "-v").returncode == 0
        assert daemon.client.df()["LayersSize"] == found["LayersSize"]
    finally:
        daemon.request("DELETE", f"/containers/{made}")
        for tag in ("df-used:1", "df-spare:1"):
            daemon.request("DELETE", f"/images/{tag}")


@pytest.mark.parametrize(
    "query,given",
    [
        ("?type=container", {"Containers"}),
        ("?type=image&type=volume", {"Images", "Volumes"}),
        ("?type=build-cache", {"BuildCache"}),
        ("", {"Images", "Containers", "Volumes", "BuildCache"}),
    ],
)
def test_kinds(daemon: DaemonProcess, query: str, given: set[str]) -> None:
    found = daemon.request("GET", f"/v1.42/system/df{query}").json()
    assert {name for name, value in found.items() if value is not None} == given | {"LayersSize"}
    old = daemon.request("GET", f"/v1.41/system/df{query}").json()
    assert old["BuilderSize"] == 0
    assert None not in old.values()


def test_an_unknown_kind_is_400(daemon: DaemonProcess) -> None:
    answer = daemon.request("GET", "/v1.51/system/df?type=image&type=odd")
    assert (answer.status, answer.message) == (400, "unknown object type: odd")


def test_shared_sizes_of_images(daemon: DaemonProcess) -> None:
    load(daemon, "df-used:1")
    try:
        for query, size in (("", -1), ("?shared-size=1", 0)):
            assert daemon.request("GET", f"/images/json{query}").json()[0]["SharedSize"] == size
    finally:
        daemon.request("DELETE", "/images/df-used:1")
