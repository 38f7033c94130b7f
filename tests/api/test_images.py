"""Images by the docker command and docker-py: load with progress, import, tag, history, filters, removal."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from daemon_fixture import DaemonProcess


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def archive(tag: str, architecture: str = "amd64", **config: Any) -> tuple[bytes, str]:
    """A docker-archive of one layer, and the image's id."""
    layer = tar_of({"file": tag.encode()})
    document = {
        "architecture": architecture, "os": "linux", "created": "2024-01-02T03:04:05Z", "config": config,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        "history": [{"created": "2024-01-02T03:04:05Z", "created_by": "by hand", "comment": "c"}],
    }  # fmt: skip
    raw = json.dumps(document).encode()
    digest = hashlib.sha256(raw).hexdigest()
    manifest = [{"Config": f"{digest}.json", "RepoTags": [tag], "Layers": ["l/layer.tar"]}]
    return tar_of({
        "l/layer.tar": layer, f"{digest}.json": raw, "manifest.json": json.dumps(manifest).encode(),
    }), f"sha256:{digest}"  # fmt: skip


@pytest.fixture
def emptied(daemon: DaemonProcess) -> Iterator[DaemonProcess]:
    """Whatever other tests loaded is not in the way, and what this one loads is taken away."""
    before = {image["Id"] for image in daemon.request("GET", "/images/json").json()}
    yield daemon
    for image in daemon.request("GET", "/images/json").json():
        if image["Id"] not in before:
            assert daemon.request("DELETE", f"/images/{image['Id']}?force=1").status == 200


def test_load_says_what_it_loaded(emptied: DaemonProcess) -> None:
    data, id = archive("hand/made:1", Cmd=["sh"], Env=["A=1"], Labels={"l": "1"})
    ran = emptied.docker("load", input=data)
    assert ran.stdout.endswith(b"Loaded image: hand/made:1\n"), ran
    shown = json.loads(emptied.docker("image", "inspect", "hand/made:1").stdout)[0]
    assert shown["Id"] == id
    assert shown["RepoTags"] == ["hand/made:1"]
    assert (shown["Architecture"], shown["Os"]) == ("amd64", "linux")
    assert shown["Config"]["Env"] == ["A=1"]
    assert shown["Created"] == "2024-01-02T03:04:05Z"
    assert b"by hand" in emptied.docker("history", "--no-trunc", "hand/made:1").stdout


def test_load_again_changes_nothing(emptied: DaemonProcess) -> None:
    data, id = archive("hand/made:2")
    for _ in range(2):
        assert emptied.docker("load", "-q", input=data).stdout == b"Loaded image: hand/made:2\n"
    assert emptied.docker("images", "-q", "--no-trunc", "hand/made").stdout.decode().split() == [id]


def test_lists_and_their_filters(emptied: DaemonProcess) -> None:
    for tag, labels in (("one:1", {"a": "1"}), ("two:1", {"a": "2"})):
        assert emptied.docker("load", input=archive(tag, Labels=labels)[0]).returncode == 0

    def listed(*filters: str) -> list[str]:
        words = [word for item in filters for word in ("-f", item)]
        ran = emptied.docker("images", "--format", "{{.Repository}}", *words)
        assert ran.returncode == 0, ran.stderr
        return sorted(set(ran.stdout.decode().split()) & {"one", "two"})

    assert listed() == ["one", "two"]
    assert listed("label=a=1") == ["one"]
    assert listed("label=a") == ["one", "two"]
    assert listed("reference=tw*") == ["two"]
    assert listed("dangling=true") == []


def test_versions_shape_an_image(emptied: DaemonProcess) -> None:
    emptied.docker("load", input=archive("hand/made:3", Cmd=["sh"])[0])
    at = {v: emptied.request("GET", f"/v1.{v}/images/hand/made:3/json").json() for v in (43, 44, 45, 49, 50)}
    assert ["VirtualSize" in at[v] for v in (43, 44)] == [True, False]
    assert ["ContainerConfig" in at[v] for v in (44, 45)] == [True, False]
    assert ["Hostname" in at[v]["Config"] for v in (49, 50)] == [True, False]


def test_tag_and_remove(emptied: DaemonProcess) -> None:
    data, id = archive("hand/made:4")
    emptied.docker("load", input=data)
    assert emptied.docker("tag", "hand/made:4", "other:x").returncode == 0
    assert emptied.docker("tag", "hand/made:4", "Bad:Tag:x").returncode == 1
    assert emptied.docker("rmi", "hand/made:4").stdout == b"Untagged: hand/made:4\n"
    assert emptied.docker("create", "--name", "user", "other:x", "cmd").returncode == 0
    refused = emptied.docker("rmi", "other:x")
    assert refused.returncode == 1
    assert b"conflict" in refused.stderr
    assert emptied.docker("rm", "user").returncode == 0
    assert emptied.docker("rmi", "other:x").stdout.decode().split("\n")[-2] == f"Deleted: {id}"


def test_docker_py_loads_and_imports(emptied: DaemonProcess) -> None:
    data, id = archive("hand/made:5")
    assert [image.id for image in emptied.client.images.load(data)] == [id]
    answer = emptied.client.api.import_image_from_data(tar_of({"f": b"x"}), repository="brought", tag="in")
    made = emptied.client.images.get("brought:in")
    assert made.id in answer
    emptied.client.images.remove("brought:in")


def test_a_load_that_is_cut_off_keeps_nothing(emptied: DaemonProcess) -> None:
    data, _ = archive("hand/made:6")
    before = emptied.request("GET", "/images/json").json()
    for length in (1, 511, 600, len(data) // 2):
        ran = emptied.docker("load", input=data[:length])
        assert ran.returncode == 1, (length, ran.stdout)
        assert ran.stderr.count(b"\n") == 1, ran.stderr
    assert emptied.request("GET", "/images/json").json() == before
    assert list((emptied.home / "staging").glob("image-*")) == []  # a template may be in the making there


def test_a_digest_that_differs_is_refused(emptied: DaemonProcess) -> None:
    data, _ = archive("hand/made:7")
    ran = emptied.docker("load", input=data.replace(b"hand/made:7", b"hand/made:8", 1))
    assert ran.returncode == 1
    assert b"sha256" in ran.stderr or b"differ" in ran.stderr, ran.stderr
