"""Whom a name means, how it is spoken to, what it asks of us; and HTTPS with certificates that nobody vouches for."""

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest
from hand_made import QUICK, Made, pull, push, statuses, tar_of
from liar import Liar, an_image, serve

from insula.errors import InvalidArgument, NotFound, Unavailable
from insula.image.reference import host_architecture
from insula.image.registry.challenge import Challenge, Credentials, parse_challenges
from insula.image.registry.origin import Origin, RegistrySettings, find_origin, find_proxy, parse_mirror
from insula.image.registry.refusal import Denied, explain, read_refusal
from insula.image.registry.registries import Registries
from insula.image.store import ImageStore
from registry_process import PASSWORD, USER, Registry

ALICE = Credentials(USER, PASSWORD)
NAMED = RegistrySettings(insecure=("here:5000", "10.1.0.0/16"))


@pytest.mark.parametrize(
    ("domain", "origin"),
    [
        ("docker.io", Origin("registry-1.docker.io")),
        ("ghcr.io", Origin("ghcr.io")),
        ("here:5000", Origin("here:5000", "", True)),
        ("here:5001", Origin("here:5001")),
        ("10.1.2.3:80", Origin("10.1.2.3:80", "", True)),
        ("10.2.2.3", Origin("10.2.2.3")),
        ("localhost", Origin("localhost", "", True)),
        ("127.8.8.8:5000", Origin("127.8.8.8:5000", "", True)),
        ("[::1]:5000", Origin("[::1]:5000", "", True)),
        ("127.evil.example", Origin("127.evil.example")),
        ("localhost.evil.example", Origin("localhost.evil.example")),
    ],
)
def test_where_a_registry_is(domain: str, origin: Origin) -> None:
    assert find_origin(domain, NAMED) == origin


def test_a_mirror_stands_for_the_hub_alone() -> None:
    settings = RegistrySettings("https://mirror:5000/")
    assert find_origin("docker.io", settings) == Origin("mirror:5000", "https", False)
    assert find_origin("ghcr.io", settings) == Origin("ghcr.io")
    for wrong in ("mirror:5000", "ftp://mirror", "http://mirror/path", "http://user@mirror", "http://"):
        with pytest.raises(InvalidArgument, match="is no registry's address"):
            parse_mirror(wrong)


def test_a_proxy_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "near.example,.lan")
    assert find_proxy("https", "ghcr.io") == "http://proxy:3128"
    for scheme, host in (
        ("https", "near.example"),
        ("https", "a.lan"),
        ("https", "localhost"),
        ("https", "::1"),
        ("http", "ghcr.io"),
    ):
        assert find_proxy(scheme, host) == ""


async def test_a_proxy_in_front_is_used(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """An HTTP proxy gets the whole address; this one is itself the registry."""
    made, _ = an_image()
    async with serve(Liar(made)) as liar:
        monkeypatch.setenv("http_proxy", f"http://alice:secret@{liar.address}")
        monkeypatch.setenv("no_proxy", "")
        registries = Registries(store, RegistrySettings(insecure=("far.example",)), QUICK)
        await pull(registries, "far.example/liar:1")
        await registries.close()
        assert liar.proxied == {"Basic YWxpY2U6c2VjcmV0"} and {auth for _, auth in liar.seen} == {""}
    assert store.find("far.example/liar:1")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Basic realm="x"', [Challenge("basic", "x")]),
        ('Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"',
         [Challenge("bearer", "https://a/t", "s", "repository:a/b:pull,push")]),
        ('bearer realm=r , service="a \\"b\\""', [Challenge("bearer", "r", 'a "b"')]),
        ('Basic realm="x", Bearer realm="y",service=z', [Challenge("basic", "x"), Challenge("bearer", "y", "z")]),
        ("Negotiate", [Challenge("negotiate")]),
        ("", []),
        ('"', []),
        ("=" * 100_000, []),
    ],
)  # fmt: skip
def test_challenges(header: str, found: list[Challenge]) -> None:
    assert parse_challenges([header]) == found


def test_credentials_are_never_shown() -> None:
    assert "secret" not in repr(Credentials("alice", "secret", "token", "other"))


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"m"}]}', NotFound, "manifest unknown: m"),
        (401, b"", Denied, "unauthorized: authentication required"),
        (
            401,
            b'{"details":"incorrect username or password"}',
            Denied,
            "unauthorized: incorrect username or password",
        ),
        (403, b"<html>", Denied, "denied: requested access to the resource is denied"),
        (500, b'{"errors":[{"code":7}]}', Unavailable, "received unexpected HTTP status: 500 Oops"),
        (400, b"[" * 100_000, InvalidArgument, "received unexpected HTTP status: 400 Oops"),
    ],
)
def test_refusals(status: int, body: bytes, kind: type, said: str) -> None:
    error = explain(read_refusal(status, "Oops", body))
    assert (type(error), str(error)) == (kind, said)


# -- passwords, mirrors, certificates, with real registries


async def test_a_registry_behind_a_password(store: ImageStore, guarded: Registry) -> None:
    registries = Registries(store, patience=QUICK)
    made = Made()
    made.image([tar_of("g")], host_architecture())
    name = f"{guarded.address}/guarded"
    with pytest.raises(Denied, match="no basic auth credentials"):
        await pull(registries, f"{name}:1")
    with pytest.raises(Denied, match="unauthorized: authentication required"):
        await registries.log_in(guarded.address, Credentials(USER, "wrong"))
    await registries.log_in(guarded.address, ALICE)
    async with serve(Liar(made)) as source:
        await pull(registries, f"{source.address}/g:1")
        await store.tag(f"{source.address}/g:1", f"{name}:1")
        with pytest.raises(Denied, match="no basic auth credentials"):
            await push(registries, f"{name}:1")
        assert made.top in statuses(await push(registries, f"{name}:1", ALICE))[-1]
        await store.remove(f"{name}:1")
        await store.remove(f"{source.address}/g:1")
    lines = await pull(registries, f"{name}:1", credentials=ALICE)
    assert f"Digest: {made.top}" in statuses(lines)
    await registries.close()


async def test_a_mirror_has_the_last_word(store: ImageStore, registry: Registry) -> None:
    registries = Registries(store, RegistrySettings(f"http://{registry.address}"), QUICK)
    made = Made()
    made.image([tar_of("m")], host_architecture())
    digest = made.put(registry, "library/mirrored", "1")
    assert f"Digest: {digest}" in statuses(await pull(registries, "mirrored:1"))
    assert store.find("mirrored:1").repo_digests == (f"mirrored@{digest}",)
    with pytest.raises(NotFound, match=r"^manifest for mirrored:2 not found: manifest unknown"):
        await pull(registries, "mirrored:2")
    with pytest.raises(
        NotFound, match=r"^pull access denied for nobodys, repository does not exist or may require"
    ):
        await pull(registries, "nobodys:1")
    await registries.close()


async def test_a_mirror_is_not_told_who_we_are(store: ImageStore) -> None:
    made, _ = an_image()
    async with serve(Liar(made)) as liar:
        registries = Registries(store, RegistrySettings(f"http://{liar.address}"), QUICK)
        token = Credentials(USER, PASSWORD, "", "token")
        await pull(registries, "library/liar:1", credentials=token)
        assert {auth for _, auth in liar.seen} == {""}
        await pull(registries, f"{liar.address}/liar:1", credentials=token)
        assert "Bearer token" in {auth for _, auth in liar.seen}
        await registries.close()


async def test_certificates(store: ImageStore, tmp_path: Path) -> None:
    """Only who is named insecure may have one that nobody vouches for."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    await asyncio.to_thread(
        subprocess.run,
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    made, _ = an_image()
    async with serve(Liar(made), tls) as liar:
        registries = Registries(store, patience=QUICK)
        await pull(registries, f"{liar.address}/liar:1")
        await registries.close()
        registries = Registries(store, RegistrySettings(f"https://{liar.address}"), QUICK)
        with pytest.raises(Unavailable, match="certificate verify failed"):
            await pull(registries, "library/liar:1")
        registries._certificates = ssl.create_default_context(cafile=str(certificate))
        await pull(registries, "library/liar:1")
        await registries.close()
