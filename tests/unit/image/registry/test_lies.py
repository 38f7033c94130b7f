"""A registry that lies, never ends, leads elsewhere or wants to know too much: each is refused, and keeps nothing."""

import asyncio
import base64
import gzip
import json
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web
from hand_made import GZIP_LAYER, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Made, pull, statuses, tar_of
from liar import Answer, Liar, an_image, serve

from insula.errors import InsulaError
from insula.image.reference import host_architecture
from insula.image.registry.challenge import Credentials
from insula.image.registry.patience import Patience
from insula.image.registry.refusal import Denied
from insula.image.registry.registries import Registries
from insula.image.store import ImageStore
from insula.paths import Paths

HOST = host_architecture()
ALICE = Credentials("alice", "secret")


def answer(body: bytes, **headers: str) -> Answer:
    async def give(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers=headers)

    return give


def kept(paths: Paths) -> list[Path]:
    return [
        p
        for folder in (paths.blobs, paths.layer_disks, paths.staging)
        for p in folder.rglob("*")
        if p.is_file()
    ]


async def refused(registries: Registries, paths: Paths, liar: Liar, **pulling: Credentials) -> str:
    """What a pull of it is refused with; nothing is kept."""
    with pytest.raises(InsulaError) as failure:
        await pull(registries, f"{liar.address}/liar:1", **pulling)
    assert kept(paths) == []
    return str(failure.value)


async def test_a_layer_of_another_digest(registries: Registries, paths: Paths) -> None:
    made, layer = an_image()
    wrong = bytearray(made.blobs[layer])
    wrong[-1] ^= 1
    async with serve(Liar(made, {layer: answer(bytes(wrong))})) as liar:
        assert f"filesystem layer verification failed for digest {layer}" in await refused(
            registries, paths, liar
        )


@pytest.mark.parametrize("change", [-1, 1])
async def test_a_layer_of_another_length(registries: Registries, paths: Paths, change: int) -> None:
    made, layer = an_image()
    data = made.blobs[layer]
    wrong = data[:-1] if change < 0 else data + b"x"
    async with serve(Liar(made, {layer: answer(wrong)})) as liar:
        said = await refused(registries, paths, liar)
    assert f"has {len(data)} bytes, and the registry sends {len(wrong)}" in said


async def test_a_layer_without_an_end(registries: Registries, paths: Paths) -> None:
    made, layer = an_image()
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while sent < 1 << 30:
                await response.write(made.blobs[layer] or b"x")
                sent += 1
        return response

    async with serve(Liar(made, {layer: endless})) as liar:
        assert "the registry sends more" in await refused(registries, paths, liar)


async def test_a_layer_that_stands_still(store: ImageStore, paths: Paths) -> None:
    made, layer = an_image(1 << 20)
    asked: list[str] = []

    async def stall(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Range", ""))
        response = web.StreamResponse(headers={"Content-Length": str(len(made.blobs[layer]))})
        await response.prepare(request)
        with suppress(ConnectionError):
            await response.write(made.blobs[layer][:1000])
            await asyncio.Event().wait()
        return response

    registries = Registries(store, patience=Patience(silence=0.5, vain=3, pause=0.01))
    async with serve(Liar(made, {layer: stall})) as liar:
        # that one takes no Range: it begins again each time, and has had its thousand bytes before
        assert "nothing came for 0.5 s" in await refused(registries, paths, liar)
    assert asked[0] == "" and len(asked) <= 5 and set(asked[1:]) <= {"bytes=1000-", ""}
    await registries.close()


async def test_another_range_than_was_asked_for(registries: Registries, paths: Paths) -> None:
    made, layer = an_image(1 << 20)
    data = made.blobs[layer]

    async def cut(request: web.Request) -> web.StreamResponse:
        if "Range" in request.headers:
            total = {"Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"}
            return web.Response(status=206, body=data, headers=total)
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[: 300 << 10])
        assert request.transport is not None
        request.transport.close()
        return response

    async with serve(Liar(made, {layer: cut})) as liar:
        assert "the registry sends 'bytes 0-" in await refused(registries, paths, liar)


async def test_a_server_without_ranges_begins_again(registries: Registries, store: ImageStore) -> None:
    made, layer = an_image(1 << 20)
    data = made.blobs[layer]
    times = 0

    async def once(request: web.Request) -> web.StreamResponse:
        nonlocal times
        times += 1
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[: 300 << 10] if times == 1 else data)
        if times == 1:
            assert request.transport is not None
            request.transport.close()
        return response

    async with serve(Liar(made, {layer: once})) as liar:
        assert statuses(await pull(registries, f"{liar.address}/liar:1"))[-1].startswith("Status: Downloaded")
        assert times == 2 and store.find(f"{liar.address}/liar:1")


async def test_a_manifest_of_a_hundred_megabytes(registries: Registries, paths: Paths) -> None:
    made, _ = an_image()
    sent = 0

    async def huge(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": OCI_MANIFEST})
        await response.prepare(request)
        with suppress(ConnectionError):
            while sent < 100 << 20:
                await response.write(b" " * (1 << 16))
                sent += 1 << 16
        return response

    async with serve(Liar(made, {"/manifests/1": huge})) as liar:
        assert "sends more than 4194304 bytes" in await refused(registries, paths, liar)
    assert sent < 50 << 20
    async with serve(
        Liar(made, {"/manifests/1": answer(b" " * (5 << 20), **{"Content-Type": OCI_MANIFEST})})
    ) as liar:
        assert "sends 5242880 bytes (4194304 at most)" in await refused(registries, paths, liar)


async def test_an_index_that_names_itself(registries: Registries, paths: Paths) -> None:
    made, _ = an_image()
    entry = {
        "mediaType": OCI_INDEX,
        "digest": made.top,
        "size": 10,
        "platform": {"os": "linux", "architecture": HOST},
    }
    itself = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    both = answer(itself, **{"Content-Type": OCI_INDEX})
    async with serve(Liar(made, {"/manifests/1": both, made.top: both})) as liar:
        assert "the registry lies" in await refused(registries, paths, liar)
        assert len(liar.seen) == 3  # the way, the index, and itself once more


@pytest.mark.parametrize("what", ["manifest", "config", "layers", "schema 1", "no JSON", "helm"])
async def test_documents_that_are_not_what_they_are_said_to_be(
    registries: Registries, paths: Paths, what: str
) -> None:
    made, _ = an_image()
    document = json.loads(made.manifests[made.top][0])
    answers: dict[str, Answer] = {}
    if what == "manifest":
        made.index(
            {
                "digest": made.top,
                "size": 3,
                "mediaType": OCI_MANIFEST,
                "platform": {"os": "linux", "architecture": HOST},
            }
        )
        wanted = "bytes, not 3: the registry lies"
    elif what == "config":
        answers[document["config"]["digest"]] = answer(b"{}")
        wanted = f"the image's config has 2 bytes, not {document['config']['size']}"
    elif what == "layers":
        more = {"mediaType": GZIP_LAYER, **made.blob(gzip.compress(tar_of("m")))}
        made.manifest({**document, "layers": [*document["layers"], more]}, OCI_MANIFEST)
        wanted = "names 1 layers, its manifest 2"
    elif what == "schema 1":
        answers["/manifests/1"] = answer(b'{"schemaVersion": 1, "fsLayers": []}')
        wanted = "Docker manifest of schema 1, which is no longer read"
    elif what == "no JSON":
        answers["/manifests/1"] = answer(b"<html>")
        wanted = "the manifest 1 is not JSON"
    else:
        config = {"mediaType": OCI_CONFIG, **made.blob(b"[]")}
        made.manifest({"config": config, "layers": []}, OCI_MANIFEST)
        wanted = "is not a JSON object"
    async with serve(Liar(made, answers)) as liar:
        assert wanted in await refused(registries, paths, liar)


def basic(header: str) -> str:
    return base64.b64decode(header.removeprefix("Basic ")).decode() if header.startswith("Basic ") else header


def behind_basic(made: Made, then: Answer | None = None) -> dict[str, Answer]:
    """Everything wants a password; what has one gets `then`, or what there is."""

    async def guard(request: web.Request) -> web.StreamResponse:
        if basic(request.headers.get("Authorization", "")) != "alice:secret":
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="here"'})
        return await (then or Liar(made).serve)(request)

    return {"": guard}


async def test_a_redirect_elsewhere_is_not_told_who_we_are(registries: Registries, store: ImageStore) -> None:
    made, _ = an_image()
    async with serve(Liar(made)) as elsewhere:

        async def lead(request: web.Request) -> web.StreamResponse:
            if "/blobs/" in request.path:
                return web.Response(
                    status=307, headers={"Location": f"http://{elsewhere.address}{request.path}"}
                )
            return await Liar(made).serve(request)

        async with serve(Liar(made, behind_basic(made, lead))) as liar:
            await pull(registries, f"{liar.address}/liar:1", credentials=ALICE)
        assert elsewhere.seen and {auth for _, auth in elsewhere.seen} == {""}
        assert [basic(auth) for path, auth in liar.seen if "/blobs/" in path and auth]
    assert store.find(f"{liar.address}/liar:1")


async def test_redirects_without_an_end(registries: Registries, paths: Paths) -> None:
    made, layer = an_image()

    async def again(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": request.path})

    async with serve(Liar(made, {layer: again})) as liar:
        assert "redirects more than 5 times" in await refused(registries, paths, liar)

    async def away(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "file:///etc/passwd"})

    async with serve(Liar(made, {layer: away})) as liar:
        assert "redirects to no address" in await refused(registries, paths, liar)


async def test_a_token_comes_from_where_the_registry_says(registries: Registries, store: ImageStore) -> None:
    made, _ = an_image()
    given: list[tuple[str, str]] = []

    async def tokens(request: web.Request) -> web.StreamResponse:
        given.append((request.path_qs, basic(request.headers.get("Authorization", ""))))
        return web.json_response({"token": f"t{len(given)}"})

    async with serve(Liar(made, {"/token": tokens})) as server:

        async def guard(request: web.Request) -> web.StreamResponse:
            # the first token is good for one request: as one that gets too old on the way
            bearer = request.headers.get("Authorization", "")
            if bearer not in ("Bearer t1", "Bearer t2") or (
                bearer == "Bearer t1" and "/blobs/" in request.path
            ):
                told = (
                    f'Bearer realm="http://{server.address}/token",service="here",scope="repository:x:pull"'
                )
                return web.Response(status=401, headers={"WWW-Authenticate": told})
            return await Liar(made).serve(request)

        async with serve(Liar(made, {"": guard})) as liar:
            await pull(registries, f"{liar.address}/liar:1", credentials=ALICE)
            assert given[0] == ("/token?service=here&scope=repository:liar:pull", "alice:secret")
            assert len(given) == 2
            assert {auth for _, auth in liar.seen} <= {"", "Bearer t1", "Bearer t2"}
    assert store.find(f"{liar.address}/liar:1")


@pytest.mark.parametrize("credentials", [Credentials(), Credentials("alice", "wrong")])
async def test_who_is_not_believed_is_denied(registries: Registries, credentials: Credentials) -> None:
    made, _ = an_image()
    async with serve(Liar(made, behind_basic(made))) as liar:
        with pytest.raises(Denied, match=r"no basic auth credentials|unauthorized: authentication required"):
            await pull(registries, f"{liar.address}/liar:1", credentials=credentials)


async def test_what_a_registry_says_is_one_short_line(registries: Registries) -> None:
    made, _ = an_image()

    async def shout(request: web.Request) -> web.StreamResponse:
        document = {"errors": [{"code": "DENIED", "message": "a\nb\x1b[31m" + "c" * 100_000}]}
        return web.json_response(document, status=403)

    async with serve(Liar(made, {"/manifests/1": shout})) as liar:
        with pytest.raises(InsulaError, match="pull access denied for") as failure:
            await pull(registries, f"{liar.address}/liar:1")
    assert len(str(failure.value)) < 800 and str(failure.value).isprintable()


async def test_trouble_that_passes_is_borne(registries: Registries, store: ImageStore) -> None:
    made, layer = an_image()
    times: list[str] = []

    async def busy(request: web.Request) -> web.StreamResponse:
        times.append(request.path)
        if times.count(request.path) < 3:
            return web.Response(status=503 if len(times) % 2 else 429)
        return await Liar(made).serve(request)

    async with serve(Liar(made, {"/manifests/1": busy, layer: busy})) as liar:
        await pull(registries, f"{liar.address}/liar:1")
        assert store.find(f"{liar.address}/liar:1")


async def test_trouble_that_stays_is_told(registries: Registries, paths: Paths) -> None:
    made, _ = an_image()

    async def broken(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    async with serve(Liar(made, {"/manifests/1": broken})) as liar:
        said = await refused(registries, paths, liar)
    assert said == "received unexpected HTTP status: 500 Internal Server Error"
