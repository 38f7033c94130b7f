"""Pulls from a real registry: words, digests, platforms, compressions, and what an interrupted one leaves."""

import asyncio
from collections.abc import Callable

import pytest
import zstandard
from hand_made import QUICK, Made, gzipped, pull, push, statuses, tar_of
from image_tars import read_file
from relay import open_relay

from insula.errors import InvalidArgument, NotFound, Unavailable
from insula.image.reference import host_architecture
from insula.image.registry.registries import Registries
from insula.image.store import ImageStore
from insula.paths import Paths
from registry_process import Registry

HOST = host_architecture()
OTHER = "arm64" if HOST != "arm64" else "amd64"
IMAGE_LINES = [
    "Pulling fs layer",
    "Downloading",
    "Verifying Checksum",
    "Download complete",
    "Extracting",
    "Pull complete",
]


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - of what is inside, nobody tells
        await asyncio.sleep(0.01)


def files(paths: Paths) -> set[str]:
    return {
        path.name
        for folder in (paths.blobs, paths.layer_disks, paths.staging)
        for path in folder.rglob("*")
        if path.is_file()
    }


async def test_the_words_and_the_image(
    registries: Registries, store: ImageStore, registry: Registry, paths: Paths
) -> None:
    made = Made()
    made.image([tar_of("low"), tar_of("high", 3 << 20)], HOST, config={"Cmd": ["sh"]})
    digest = made.put(registry, "words/one", "1")
    name = f"{registry.address}/words/one"
    lines = await pull(registries, f"{name}:1")
    assert statuses(lines, "1") == ["Pulling from words/one"]
    assert statuses(lines) == [f"Digest: {digest}", f"Status: Downloaded newer image for {name}:1"]
    big = next(key for key, data in made.blobs.items() if len(data) > 1 << 20)
    assert statuses(lines, big[7:19]) == IMAGE_LINES
    counted = [
        (line.current, line.total)
        for line in lines
        if line.subject == big[7:19] and line.status == "Downloading"
    ]
    assert counted[-1] == (len(made.blobs[big]),) * 2 and counted == sorted(counted)
    image = store.find(f"{name}:1")
    assert (image.repo_tags, image.repo_digests, image.config.cmd) == (
        (f"{name}:1",),
        (f"{name}@{digest}",),
        ("sh",),
    )
    async with store.open_rootfs(image) as rootfs:
        assert read_file(rootfs.layers[0], "low") == b"low"
    again = await pull(registries, f"{name}:1")
    assert statuses(again) == [f"Digest: {digest}", f"Status: Image is up to date for {name}:1"]
    await store.remove(f"{name}:1")
    assert files(paths) == set()


async def test_by_digest(registries: Registries, store: ImageStore, registry: Registry) -> None:
    made = Made()
    made.image([tar_of("d")], HOST)
    name = f"{registry.address}/pinned"
    digest = made.put(registry, "pinned", "1")
    lines = await pull(registries, f"{name}@{digest}")
    assert statuses(lines, digest) == ["Pulling from pinned"]
    image = store.find(f"{name}@{digest}")
    assert (image.repo_tags, image.repo_digests) == ((), (f"{name}@{digest}",))
    removed = await store.remove(f"{name}@{digest}")
    assert [(r.untagged, r.deleted) for r in removed] == [(f"{name}@{digest}", ""), ("", image.id)]


async def test_a_moved_tag_leaves_the_old_image_its_digest(
    registries: Registries, store: ImageStore, registry: Registry
) -> None:
    name = f"{registry.address}/moved"
    found = []
    for content in ("a", "b"):
        made = Made()
        made.image([tar_of(content)], HOST)
        digest = made.put(registry, "moved", "1")
        await pull(registries, f"{name}:1")
        found.append((store.find(f"{name}:1").id, digest))
    (old, old_digest), (new, _) = found
    assert store.find(f"{name}@{old_digest}").id == old != new == store.find(f"{name}:1").id
    assert store.find(old).repo_tags == ()
    removed = [r.untagged or r.deleted for r in await store.remove(f"{name}:1")]
    assert removed[-1] == new and f"{name}@{old_digest}" not in removed
    assert store.find(f"{name}@{old_digest}").id == old


def index_of_three(*, attested: bool = False) -> Made:
    made = Made()
    entries = [made.image([tar_of("shared"), tar_of(arch)], arch) for arch in ("amd64", "arm64", "s390x")]
    if attested:
        entries += [made.attestation(entry["digest"]) for entry in entries]
    made.index(*entries)
    return made


async def test_platforms(registries: Registries, store: ImageStore, registry: Registry) -> None:
    name = f"{registry.address}/three"
    digest = index_of_three().put(registry, "three", "1")
    await pull(registries, f"{name}:1")
    assert store.platforms(f"{name}:1") == (f"linux/{HOST}",)
    await pull(registries, f"{name}:1", "linux/s390x")
    assert store.platforms(f"{name}:1") == tuple(sorted((f"linux/{HOST}", "linux/s390x")))
    with pytest.raises(
        NotFound,
        match=r"no matching manifest for linux/riscv64 .*it has linux/amd64, linux/arm64, linux/s390x",
    ):
        await pull(registries, f"{name}:1", "linux/riscv64")
    again = await pull(registries, f"{name}:1", f"linux/{HOST}", "linux/s390x")
    assert statuses(again)[-1] == f"Status: Image is up to date for {name}:1"
    assert {image.repo_digests for image in store.list()} == {(f"{name}@{digest}",)}
    alone = Made()
    alone.image([tar_of("x")], OTHER)
    alone.put(registry, "alone", "1")
    with pytest.raises(
        NotFound, match=rf"does not provide the specified platform \(linux/{HOST}\): it is for linux/{OTHER}"
    ):
        await pull(registries, f"{registry.address}/alone:1", f"linux/{HOST}")
    await pull(registries, f"{registry.address}/alone:1")  # as with Docker: it is what there is


@pytest.mark.parametrize("attested", [False, True])
async def test_all_platforms_are_pushed_back_as_the_same_index(
    registries: Registries, store: ImageStore, registry: Registry, attested: bool
) -> None:
    name = f"{registry.address}/whole{attested}".lower()
    made = index_of_three(attested=attested)
    digest = made.put(registry, f"whole{attested}".lower(), "1")
    await pull(registries, f"{name}:1", all=True)
    await store.tag(f"{name}:1", f"{name}/copy:2")
    lines = await push(registries, f"{name}/copy:2")
    assert statuses(lines)[-1] == f"2: digest: {digest} size: {len(made.manifests[digest][0])}"
    for key, (data, kind) in made.manifests.items():
        got, heads = registry.get(f"/v2/whole{attested}/copy/manifests/{key}".lower(), kind)
        assert (got, heads["docker-content-digest"]) == (data, key)
    assert store.find(f"{name}/copy:2", f"linux/{HOST}").repo_digests == (
        f"{name}/copy@{digest}",
        f"{name}@{digest}",
    )


async def test_some_platforms_go_back_under_their_index_where_the_others_are(
    registries: Registries, store: ImageStore, registry: Registry
) -> None:
    name = f"{registry.address}/some"
    digest = index_of_three().put(registry, "some", "1")
    await pull(registries, f"{name}:1", "linux/amd64", "linux/arm64")
    assert statuses(await push(registries, f"{name}:1"))[-1].startswith(f"1: digest: {digest}")
    await store.tag(f"{name}:1", f"{name}/two:1")
    assert digest not in statuses(await push(registries, f"{name}/two:1"))[-1]
    index = registry.json("/v2/some/two/manifests/1", "application/vnd.oci.image.index.v1+json")
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]


@pytest.mark.parametrize(
    ("kind", "compress"),
    [
        ("application/vnd.oci.image.layer.v1.tar+zstd", zstandard.ZstdCompressor().compress),
        ("application/vnd.oci.image.layer.v1.tar", bytes),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", gzipped),
    ],
)
async def test_compressions(
    registries: Registries, store: ImageStore, registry: Registry, kind: str, compress
) -> None:
    made = Made()
    made.image([tar_of("packed", 70_000)], HOST, compress, kind)
    digest = made.put(registry, "packed", "1")
    await pull(registries, f"{registry.address}/packed:1")
    async with store.open_rootfs(store.find(f"{registry.address}/packed:1")) as rootfs:
        assert len(read_file(rootfs.layers[0], "packed")) == 70_000
    await store.tag(f"{registry.address}/packed:1", f"{registry.address}/packed/again:1")
    assert digest in statuses(await push(registries, f"{registry.address}/packed/again:1"))[-1]


async def test_what_is_no_image_is_refused(registries: Registries, registry: Registry, paths: Paths) -> None:
    foreign, layer = Made(), "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    foreign.image([tar_of("f")], HOST, layer_kind=layer)
    foreign.put(registry, "foreign", "1")
    with pytest.raises(InvalidArgument, match="foreign layer"):
        await pull(registries, f"{registry.address}/foreign:1")
    artifact = Made()
    chart = {"mediaType": "application/vnd.cncf.helm.chart.v1", **artifact.blob(b"{}")}
    artifact.manifest({"config": chart, "layers": []}, "application/vnd.oci.image.manifest.v1+json")
    artifact.put(registry, "artifact", "1")
    with pytest.raises(InvalidArgument, match="is no image, but an artifact"):
        await pull(registries, f"{registry.address}/artifact:1")
    nested = Made()
    nested.index(
        nested.index(nested.image([tar_of("n")], HOST)) | {"platform": {"os": "linux", "architecture": HOST}}
    )
    nested.put(registry, "nested", "1")
    with pytest.raises(InvalidArgument, match="names a further index"):
        await pull(registries, f"{registry.address}/nested:1")
    wrong = Made()
    entry = wrong.image([tar_of("w")], OTHER)
    wrong.index(entry | {"platform": {"os": "linux", "architecture": HOST}})
    wrong.put(registry, "wrong", "1")
    with pytest.raises(InvalidArgument, match=f"says linux/{HOST} of an image that is for linux/{OTHER}"):
        await pull(registries, f"{registry.address}/wrong:1")
    assert files(paths) == set()


async def test_what_is_not_there(registries: Registries, registry: Registry) -> None:
    made = Made()
    made.image([tar_of("t")], HOST)
    made.put(registry, "there", "1")
    with pytest.raises(
        NotFound, match=r"^manifest for \S+/there:2 not found: manifest unknown: manifest unknown$"
    ):
        await pull(registries, f"{registry.address}/there:2")
    with pytest.raises(Unavailable, match=r"cannot reach 127\.0\.0\.1:1: "):
        await pull(registries, "127.0.0.1:1/there:1")


async def test_a_connection_that_is_cut_twenty_times(store: ImageStore, registry: Registry) -> None:
    made = Made()
    made.image([tar_of("one", 2 << 20, 1), tar_of("two", 2 << 20, 2)], HOST)
    digest = made.put(registry, "cut", "1")
    for seed in (1, 2):
        registries = Registries(store, patience=QUICK)
        with open_relay(registry, cuts=20, seed=seed) as relay:
            lines = await pull(registries, f"{relay.address}/cut:1")
            assert relay.cuts == 0
            assert f"Digest: {digest}" in statuses(lines)
            for blob in (key for key, data in made.blobs.items() if len(data) > 1 << 20):
                starts = relay.starts(blob)
                assert starts[0] == 0 and starts == sorted(set(starts)), "no byte is asked for twice"
            async with store.open_rootfs(store.find(f"{relay.address}/cut:1")) as rootfs:
                assert len(read_file(rootfs.layers[1], "two")) == 2 << 20
            await store.remove(f"{relay.address}/cut:1")
        await registries.close()


async def test_a_layer_is_fetched_once_for_all_who_ask(
    registries: Registries, store: ImageStore, registry: Registry
) -> None:
    big = tar_of("big", 1 << 20)
    names = []
    for own in ("a", "b", "c"):
        made = Made()
        made.image([big, tar_of(own)], HOST)
        made.put(registry, f"together/{own}", "1")
        names.append(f"together/{own}:1")
    blob = "sha256:" + next(key for key, data in made.blobs.items() if len(data) > 1 << 19).removeprefix(
        "sha256:"
    )
    with open_relay(registry, hold=True) as relay:
        pulls = [asyncio.create_task(pull(registries, f"{relay.address}/{name}")) for name in names]
        assert await asyncio.to_thread(relay.reached.wait, 60)
        waiting = registries._downloads._shared._waiting
        await until(lambda: max(waiting.values(), default=0) == len(names))
        pulls[0].cancel()  # whoever began it may give up
        await asyncio.wait([pulls[0]])
        relay.go.set()
        for lines in await asyncio.gather(*pulls[1:]):
            assert "Pull complete" in statuses(lines, blob[7:19])
        assert relay.starts(blob) == [0]
        with pytest.raises(NotFound):
            store.find(f"{relay.address}/{names[0]}")


async def test_a_pull_that_is_cut_off_leaves_no_image_and_its_whole_layers(
    registries: Registries, store: ImageStore, registry: Registry, paths: Paths
) -> None:
    made = Made()
    made.image([tar_of("small"), tar_of("large", 1 << 20)], HOST)
    made.put(registry, "half", "1")
    large = next(key for key, data in made.blobs.items() if len(data) > 1 << 19)
    small = made.manifests[made.top][0].decode().partition('"layers": [{')[2].partition('"digest": "')[2][:71]
    with open_relay(registry, hold=True) as relay:
        task = asyncio.create_task(pull(registries, f"{relay.address}/half:1"))
        assert await asyncio.to_thread(relay.reached.wait, 60)
        await until(lambda: small in store.leftovers._until)
        task.cancel()
        await asyncio.wait([task])
        assert store.list() == () and [p.name for p in paths.blobs.rglob("*") if p.is_file()] == [small[7:]]
        assert not list(paths.staging.iterdir())
        await store.close()
        await store.open()  # the next daemon
        assert store.blobs.has(small)
        relay.go.set()
        lines = await pull(registries, f"{relay.address}/half:1")
        assert statuses(lines, small[7:19]) == ["Already exists"]
        assert relay.starts(small) == [0] and relay.starts(large) == [0, 0]
        await store.remove(f"{relay.address}/half:1")
    assert files(paths) == set()


async def test_leftovers_are_garbage_after_a_day(
    store: ImageStore, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = store.blobs.write_bytes(b"a layer")
    await store.leftovers.note(digest)
    await store.open()
    assert store.blobs.has(digest)
    monkeypatch.setattr("insula.image.leftovers.time.time", lambda: 4e9)
    await store.open()
    assert files(paths) == set()
