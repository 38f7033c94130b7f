"""`save`: one tar that Docker's readers and those of OCI layouts take, and that loads as what it was."""

import io
import json
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from image_tars import as_stream, docker_archive, file, make_tar, sha256

from insula.database import Database
from insula.errors import InvalidArgument, NotFound, Unavailable
from insula.events import EventBus
from insula.image.archive import Loaded
from insula.image.reference import host_architecture
from insula.image.saving import open_saved
from insula.image.store import ImageStore
from insula.paths import Paths

ONE, TWO = make_tar(("one", file(b"1"))), make_tar(("two", file(b"2" * 5000)))
OTHER = "arm64" if host_architecture() != "arm64" else "amd64"


async def load(store: ImageStore, data: bytes) -> list[str]:
    return [event.id async for event in store.load(as_stream(data)) if isinstance(event, Loaded)]


async def save(store: ImageStore, *names: str, platforms: Sequence[str] = ()) -> bytes:
    async with open_saved(store, names, platforms) as pieces:
        return b"".join([piece async for piece in pieces])


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = {info.name: archive.extractfile(info) for info in archive if info.isfile()}
        return {name: found.read() for name, found in files.items() if found is not None}


async def test_what_is_saved_loads_as_it_was(store: ImageStore, tmp_path: Path) -> None:
    (id,) = await load(store, docker_archive([ONE, TWO], ["a:1"]))
    await store.tag("a:1", "b/c:2")
    data = await save(store, "a:1", "b/c:2")
    found = members(data)
    blobs = {name.rpartition("/")[2]: raw for name, raw in found.items() if name.startswith("blobs/")}
    assert all(sha256(raw) == name for name, raw in blobs.items())
    docker = json.loads(found["manifest.json"])
    digits = [sha256(ONE), sha256(TWO)]
    assert docker == [
        {"Config": f"blobs/sha256/{id[7:]}", "RepoTags": ["a:1", "b/c:2"], "Layers": [f"blobs/sha256/{d}" for d in digits]}
    ]  # fmt: skip
    index = json.loads(found["index.json"])["manifests"]
    assert [entry["annotations"]["io.containerd.image.name"] for entry in index] == [
        "docker.io/library/a:1",
        "docker.io/b/c:2",
    ]
    assert data == await save(store, "a:1", "b/c:2")
    other = Paths(tmp_path / "other", tmp_path / "run")
    other.make()
    database = Database(other.database)
    await database.open()
    second = ImageStore(other, database, EventBus())
    await second.open()
    assert set(await load(second, data)) == {id}
    assert second.find("a:1").repo_tags == ("a:1", "b/c:2")
    assert await save(second, "a:1", "b/c:2") == data
    await second.close()
    await database.close()


async def test_names_mean_tags_repositories_and_ids(store: ImageStore) -> None:
    (id,) = await load(store, docker_archive([ONE], ["a:1"]))
    await load(store, docker_archive([TWO], ["a:2"]))
    names = json.loads(members(await save(store, "a"))["manifest.json"])
    assert [item["RepoTags"] for item in names] == [["a:1"], ["a:2"]]
    (by_id,) = json.loads(members(await save(store, id[7:19]))["manifest.json"])
    assert by_id["RepoTags"] is None
    for wrong in (("none",), ("a:3",), ("a:1", "none")):
        with pytest.raises(NotFound):
            await save(store, *wrong)
    with pytest.raises(InvalidArgument):
        await save(store)


async def test_platforms_are_an_index_and_the_host_is_last(store: ImageStore) -> None:
    await load(store, docker_archive([ONE], ["a:1"], platforms=[host_architecture(), OTHER]))
    found = members(await save(store, "a:1"))
    (entry,) = json.loads(found["index.json"])["manifests"]
    inner = json.loads(found[f"blobs/sha256/{entry['digest'][7:]}"])
    assert {one["platform"]["architecture"] for one in inner["manifests"]} == {host_architecture(), OTHER}
    last = json.loads(found["manifest.json"])[-1]
    assert json.loads(found[last["Config"]])["architecture"] == host_architecture()
    (alone,) = json.loads(members(await save(store, "a:1", platforms=[f"linux/{OTHER}"]))["manifest.json"])
    assert json.loads(found[alone["Config"]])["architecture"] == OTHER
    both = [f"linux/{OTHER}", f"linux/{host_architecture()}"]
    assert await save(store, "a:1", platforms=both) == await save(store, "a:1")
    with pytest.raises(NotFound):
        await save(store, "a:1", platforms=[*both, "linux/s390x"])


async def test_readers_of_others_take_it(store: ImageStore, tmp_path: Path) -> None:
    await load(store, docker_archive([ONE, TWO], ["a:1"]))
    (archive := tmp_path / "saved.tar").write_bytes(await save(store, "a:1"))
    id = store.find("a:1").id
    for kind, name in (("docker-archive", "a:1"), ("oci-archive", "1")):
        told = run("skopeo", "inspect", "--config", "--raw", f"{kind}:{archive}:{name}")
        assert "sha256:" + sha256(told) == id
        run("skopeo", "copy", f"{kind}:{archive}:{name}", f"oci:{tmp_path / kind}:x")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "layout", filter="data")
    for type, *ref in (("image", "--ref", "name=1"), ("image",)):
        run("oci-image-tool", "validate", "--type", type, *ref, tmp_path / "layout")
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path / 'layout'}:1", tmp_path / "bundle")
    assert (tmp_path / "bundle" / "rootfs" / "two").read_bytes() == b"2" * 5000


async def test_what_is_missing_is_told_before_anything_is_sent(store: ImageStore, paths: Paths) -> None:
    await load(store, docker_archive([ONE], ["a:1"]))
    (paths.blobs / "sha256" / sha256(ONE)).unlink()
    with pytest.raises(Unavailable):
        await save(store, "a:1")


def run(*words: object) -> bytes:
    done = subprocess.run([str(word) for word in words], capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
