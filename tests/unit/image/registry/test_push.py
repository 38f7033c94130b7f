"""Pushes to a real registry: what came without a manifest, what is there already, what a neighbour has."""

import gzip
import json

import pytest
from hand_made import pull, push, statuses, tar_of
from image_tars import as_stream, docker_archive, read_file
from relay import open_relay

from insula.errors import NotFound, Unavailable
from insula.image.manifest import digest_of
from insula.image.registry.registries import Registries
from insula.image.store import ImageStore
from insula.paths import Paths
from registry_process import Registry

SHARED, OWN, OTHER = tar_of("shared", 300_000), tar_of("own", 1, 1), tar_of("other", 1, 2)
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


async def load(store: ImageStore, layers: list[bytes], *tags: str) -> None:
    async for _ in store.load(as_stream(docker_archive(layers, tags=list(tags)))):
        pass


async def test_what_came_without_a_manifest(
    registries: Registries, store: ImageStore, registry: Registry, paths: Paths
) -> None:
    name = f"{registry.address}/archived"
    await load(store, [SHARED, OWN], f"{name}:1")
    await load(store, [SHARED, OTHER], "beside:1")
    before = store.find(f"{name}:1")
    said = statuses(await push(registries, f"{name}:1"))
    manifest, heads = registry.get("/v2/archived/manifests/1", MANIFEST)
    assert said[-1] == f"1: digest: {heads['docker-content-digest']} size: {len(manifest)}"
    document = json.loads(manifest)
    assert document["config"]["digest"] == before.id
    unpacked = [
        gzip.decompress(registry.get(f"/v2/archived/blobs/{layer['digest']}")[0])
        for layer in document["layers"]
    ]
    assert [digest_of(layer) for layer in unpacked] == list(before.config.diff_ids)
    after, beside = store.find(f"{name}:1"), store.find("beside:1")
    assert (after.id, after.disks, after.repo_digests) == (
        before.id,
        before.disks,
        (f"{name}@{digest_of(manifest)}",),
    )
    assert after.layers[0] == beside.layers[0] != before.layers[0]
    lines = await push(registries, f"{name}:1")
    assert {line.status for line in lines if line.subject} == {"Preparing", "Layer already exists"}
    assert statuses(lines)[-1] == said[-1]
    await store.remove(f"{name}:1")
    assert not store.blobs.has(before.layers[0].digest), "the plain tar is nobody's any more"
    async with store.open_rootfs(store.find("beside:1")) as rootfs:
        assert len(read_file(rootfs.layers[0], "shared")) == 300_000
    await store.close()
    await store.open()  # the next daemon
    assert store.find("beside:1") == beside


async def test_a_neighbour_has_it(registries: Registries, store: ImageStore, registry: Registry) -> None:
    name = f"{registry.address}/house"
    await load(store, [tar_of("n", 50_000, 9)], f"{name}/a:1", f"{name}/b:1")
    short = store.find(f"{name}/a:1").config.diff_ids[0][7:19]
    assert statuses(await push(registries, f"{name}/a:1"), short) == [
        "Compressing",
        "Preparing",
        "Pushing",
        "Pushed",
    ]
    assert statuses(await push(registries, f"{name}/b:1"), short) == ["Preparing", "Mounted from house/a"]


async def test_a_connection_that_is_cut_while_it_is_pushed(
    registries: Registries, store: ImageStore, registry: Registry
) -> None:
    with open_relay(registry, upward=3) as relay:
        await load(store, [tar_of("c", 1 << 20, 5)], f"{relay.address}/cut/up:1")
        await push(registries, f"{relay.address}/cut/up:1")
        assert relay.upward == 0
    lines = await pull(registries, f"{registry.address}/cut/up:1")
    assert "Downloaded newer image" in statuses(lines)[-1] or "up to date" in statuses(lines)[-1]
    assert registry.json("/v2/cut/up/tags/list")["tags"] == ["1"]


async def test_what_is_not_here(registries: Registries, store: ImageStore, registry: Registry) -> None:
    with pytest.raises(NotFound, match="does not exist locally with the tag: nothing"):
        await push(registries, "nothing:1")
    await load(store, [OWN], f"{registry.address}/gone:1")
    store.blobs.path(store.find(f"{registry.address}/gone:1").layers[0].digest).unlink()
    with pytest.raises(Unavailable, match="a layer of the image is not there"):
        await push(registries, f"{registry.address}/gone:1")
