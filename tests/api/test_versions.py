"""Every operation, at five versions of the API, against a daemon: answered as docs/compatibility.md says, in the shape
that the version has."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from image_tars import docker_archive, file, make_tar

from daemon_fixture import DaemonProcess

ROOT = Path(__file__).resolve().parents[2]
API = json.loads((Path(__file__).parent / "engine_api.json").read_text())
PAGE = (ROOT / "docs" / "compatibility.md").read_text()
LISTED = dict(re.findall(r"^\| `([A-Z]+ /(?!insula)\S+)` \| ([a-z ]+) \|$", PAGE, re.MULTILINE))
VERSIONS = [(1, 24), (1, 41), (1, 44), (1, 47), (1, 51)]
IMAGE, NAME = "versions:1", "versioned"
NEW = {"ImageManifestDescriptor": (1, 48)}
ONLY_IF_ASKED = {"SizeRw", "SizeRootFs", "Health", "Manifests", "Descriptor", "OsVersion", "Variant"}

# What an operation that is done answers here: nothing runs, so much is a refusal of its own.
SPECIAL: dict[str, tuple[str, Any, int]] = {
    "POST /containers/create": (f"?name={NAME}2", {"Image": IMAGE}, 201),
    "POST /containers/{id}/attach": ("", None, 200),
    "GET /containers/{id}/attach/ws": ("", None, 400),
    "GET /containers/{id}/logs": ("?stdout=1", None, 200),
    "POST /containers/{id}/start": ("?detachKeys=odd", None, 400),
    "POST /containers/{id}/stop": ("", None, 304),
    "POST /containers/{id}/restart": ("?t=x", None, 400),
    "POST /containers/{id}/kill": ("", None, 409),
    "GET /containers/{id}/top": ("", None, 409),
    "GET /containers/{id}/stats": ("?stream=0&one-shot=1", None, 200),
    "POST /containers/{id}/update": ("", {"CpuShares": 512}, 200),
    "GET /images/get": (f"?names={IMAGE}", None, 200),
    "POST /networks/create": ("", {"Name": "bridge"}, 403),
    "POST /networks/prune": ("", None, 200),
    "GET /networks/{id}": ("", None, 404),
    "DELETE /networks/{id}": ("", None, 404),
    "POST /networks/{id}/connect": ("", {"Container": "nothing"}, 404),
    "POST /networks/{id}/disconnect": ("", {"Container": "nothing"}, 404),
    "POST /containers/{id}/pause": ("", None, 409),
    "POST /containers/{id}/unpause": ("", None, 409),
    "POST /containers/{id}/resize": ("?h=1&w=1", None, 409),
    "POST /containers/{id}/rename": ("?name=a%20b", None, 400),
    "POST /containers/{id}/exec": ("", {"Cmd": ["x"]}, 409),
    "DELETE /containers/{id}": ("?link=1", None, 404),
    "POST /commit": ("?container=nobody", {}, 404),
    "HEAD /containers/{id}/archive": ("", None, 400),
    "GET /containers/{id}/archive": ("", None, 400),
    "PUT /containers/{id}/archive": ("", None, 400),
    "POST /exec/{id}/start": ("", {}, 404),
    "POST /exec/{id}/resize": ("?h=1&w=1", None, 404),
    "GET /exec/{id}/json": ("", None, 404),
    "GET /events": ("?since=1&until=2", None, 200),
    "POST /containers/prune": ("?filters=%7B%22label%22%3A%5B%22none%22%5D%7D", None, 200),
    "POST /auth": ("", {"serveraddress": "127.0.0.1:1"}, 503),
    "GET /distribution/{name}/json": ("", None, 503),
    "GET /images/search": ("?term=127.0.0.1:1/x", None, 503),
    "POST /images/{name}/push": ("?tag=nothing", None, 404),
    "POST /images/create": ("?fromImage=nothing&tag=1", None, 503),
    "POST /images/load": ("", b"no archive", 200),
    "POST /images/{name}/tag": ("?repo=versions&tag=1", None, 201),
    "DELETE /images/{name}": ("x", None, 404),
    "POST /build": ("", None, 400),
    "POST /build/cancel": ("?id=none", None, 404),
    "POST /volumes/create": ("", {"Name": "versioned"}, 201),
    "GET /volumes/{name}": ("", None, 404),
    "DELETE /volumes/{name}": ("", None, 404),
}  # fmt: skip
STATUS = {"done": 200, "later": 501, "none there": 404, "no swarm": 503}


@pytest.fixture(scope="module")
def container(daemon: DaemonProcess) -> Any:
    archive = docker_archive([make_tar(("f", file(b"x")))], tags=[IMAGE], config={"Cmd": ["x"]})
    assert daemon.docker("load", input=archive).returncode == 0
    made = daemon.request("POST", f"/containers/create?name={NAME}", {"Image": IMAGE}).json()["Id"]
    yield made
    daemon.request("DELETE", f"/containers/{made}")
    daemon.request("DELETE", f"/images/{IMAGE}")


@pytest.mark.parametrize("version", VERSIONS, ids=lambda v: f"{v[0]}.{v[1]}")
def test_every_operation_answers_as_listed(
    daemon: DaemonProcess, container: str, version: tuple[int, int]
) -> None:
    wrong = []
    for operation in (*API["operations"], *API["undocumented"]):
        method, path = operation.split()
        query, body, status = SPECIAL.get(operation, ("", None, STATUS[LISTED[operation]]))
        if path.endswith(("/changes", "/export")):  # of one that is there they would start a machine
            path, status = path.replace("{id}", "nobody"), 404
        if operation.endswith("/checkpoints") and method == "POST":
            body = {}
        place = path.replace("{name}", IMAGE) if path.startswith("/images") else path.replace("{id}", NAME)
        target = f"/v{version[0]}.{version[1]}{re.sub(r'{[a-z]+}', 'x', place)}{query}"
        if operation == "DELETE /images/{name}":
            target = f"/v{version[0]}.{version[1]}/images/nothing"
        if path == "/containers/{id}/wait":
            status = 200
        answer = daemon.request(method, target, body)
        if answer.status != status:
            wrong.append((operation, LISTED[operation], status, answer.status, answer.body[:120]))
        if operation == "POST /containers/create":
            daemon.request("DELETE", f"/containers/{NAME}2")
    assert wrong == []


@pytest.mark.parametrize("version", VERSIONS, ids=lambda v: f"{v[0]}.{v[1]}")
def test_answers_have_the_fields_of_their_version(
    daemon: DaemonProcess, container: str, version: tuple[int, int]
) -> None:
    root = f"/v{version[0]}.{version[1]}"
    inspect = daemon.request("GET", f"{root}/containers/{container}/json").json()
    listed = daemon.request("GET", f"{root}/containers/json?all=1").json()[0]
    image = daemon.request("GET", f"{root}/images/{IMAGE}/json").json()
    images = next(i for i in daemon.request("GET", f"{root}/images/json").json() if IMAGE in i["RepoTags"])
    for kind, document in (
        ("ContainerInspectResponse", inspect),
        ("ContainerState", inspect["State"]),
        ("NetworkSettings", inspect["NetworkSettings"]),
        ("ContainerSummary", listed),
        ("ImageSummary", images),
        ("ImageInspect", image),
    ):
        wanted = {name for name in API["fields"][kind] if NEW.get(name, (1, 0)) <= version} - ONLY_IF_ASKED
        assert wanted - set(document) == set(), kind
        assert {name for name, since in NEW.items() if since > version} & set(document) == set(), kind
    assert ("VirtualSize" in image) == ("VirtualSize" in images) == (version < (1, 44))
    assert ("ContainerConfig" in image) == (version < (1, 45))
    assert ("Hostname" in image["Config"]) == (version < (1, 50))
    assert images["Containers"] == (1 if version >= (1, 51) else -1)
