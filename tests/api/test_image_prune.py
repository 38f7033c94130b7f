"""`image prune`: what goes, what stays, what it gives back; `save` and `history` by the docker command."""

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from test_images import archive

from daemon_fixture import DaemonProcess

OLD = "2024-06-01T00:00:00Z"


@pytest.fixture
def own() -> Iterator[DaemonProcess]:
    """A daemon whose images are this test's."""
    process = DaemonProcess()
    process.start()
    try:
        yield process
    finally:
        process.close()


def load(own: DaemonProcess, tag: str, **config: Any) -> str:
    data, id = archive(tag, **config)
    assert own.docker("load", "-q", input=data).returncode == 0
    return id


def prune(own: DaemonProcess, **filters: list[str]) -> tuple[int, Any]:
    text = quote(json.dumps({name.replace("_not", "!"): values for name, values in filters.items()}))
    answer = own.request("POST", f"/v1.51/images/prune?filters={text}")
    return answer.status, answer.json()


def names(own: DaemonProcess, query: str = "") -> str:
    images = own.request("GET", f"/images/json{query}").json()
    return " ".join(sorted(name for image in images for name in image["RepoTags"] or ["-"]))


def test_only_what_has_no_name_goes(own: DaemonProcess) -> None:
    id = load(own, "gone:1")
    load(own, "kept:1")
    own.docker("tag", "kept:1", "gone:1")
    assert names(own) == "- gone:1 kept:1"
    status, told = prune(own)
    assert (status, told["ImagesDeleted"]) == (200, [{"Deleted": id}])
    assert told["SpaceReclaimed"] > 0
    assert names(own) == "gone:1 kept:1"
    assert prune(own) == (200, {"ImagesDeleted": None, "SpaceReclaimed": 0})


def test_all_goes_but_what_a_container_uses(own: DaemonProcess) -> None:
    id = load(own, "gone:1")
    load(own, "used:1")
    assert own.docker("create", "--network", "none", "used:1", "cmd").returncode == 0
    status, told = prune(own, dangling=["false"])
    assert (status, told["ImagesDeleted"]) == (200, [{"Untagged": "gone:1"}, {"Deleted": id}])
    assert names(own) == "used:1"
    shown = own.docker("image", "prune", "-af").stdout.decode()
    assert shown == "Total reclaimed space: 0B\n"


def test_filters_choose_images(own: DaemonProcess) -> None:
    load(own, "a:1", Labels={"k": "1"})
    load(own, "b:1", Labels={"k": "2"})
    load(own, "c:1")

    def left(**filters: list[str]) -> str:
        assert prune(own, dangling=["false"], **filters)[0] == 200
        return names(own)

    assert left(until=["2023-01-01T00:00:00Z"]) == "a:1 b:1 c:1"
    assert left(label=["k=3"]) == "a:1 b:1 c:1"
    assert left(label=["k"], label_not=["k=1"]) == "a:1 c:1"
    assert left(until=[OLD], label_not=["k"]) == "a:1"
    for wrong in ({"odd": ["1"]}, {"dangling": ["maybe"]}, {"until": ["x"]}):
        assert prune(own, **wrong)[0] == 400


def test_lists_go_by_the_time_an_image_was_made(own: DaemonProcess) -> None:
    load(own, "a:1")
    for until, found in (("2023-01-01", ""), (OLD, "a:1")):
        assert names(own, f"?filters={quote(json.dumps({'until': [until]}))}") == found


def test_save_by_the_docker_command(own: DaemonProcess) -> None:
    id = load(own, "a:1")
    saved = own.docker("save", "a:1")
    assert saved.returncode == 0, saved.stderr
    own.docker("rmi", "a:1")
    assert own.docker("load", "-q", input=saved.stdout).stdout == b"Loaded image: a:1\n"
    assert own.request("GET", "/images/a:1/json").json()["Id"] == id
    assert saved.stdout.startswith(b"blobs")
    missing = own.docker("save", "a:1", "none:1")
    assert missing.returncode == 1
    assert b"No such image: none:1" in missing.stderr
    filters = quote(json.dumps({"event": ["save"]}))
    told = own.request("GET", f"/events?since=1&until={time.time():.9f}&filters={filters}").body
    assert json.loads(told)["Actor"]["ID"] == id


def test_history_has_sizes(own: DaemonProcess) -> None:
    load(own, "a:1")
    (step,) = own.request("GET", "/images/a:1/history").json()
    assert step["Size"] > 0
