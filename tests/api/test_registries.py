"""Registries by the stock commands: docker, skopeo and insula against a real registry, plain and behind a password."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_tars import docker_archive, file, make_tar
from relay import open_relay

from daemon_fixture import DaemonProcess, UnixConnection
from registry_process import PASSWORD, USER, Registry, open_registry

ROOTFS = make_tar(("etc", {"type": b"5", "mode": 0o755}), ("etc/hello", file(os.urandom(70_000))))


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with open_registry() as opened:
        yield opened


@pytest.fixture(scope="module")
def guarded() -> Iterator[Registry]:
    with open_registry(login=True) as opened:
        yield opened


@pytest.fixture
def emptied(daemon: DaemonProcess) -> Iterator[DaemonProcess]:
    """What a test leaves behind is taken away, its credentials too."""
    before = {image["Id"] for image in daemon.request("GET", "/images/json").json()}
    yield daemon
    for image in daemon.request("GET", "/images/json").json():
        if image["Id"] not in before:
            assert daemon.request("DELETE", f"/images/{image['Id']}?force=1").status == 200
    (Path(daemon.env["DOCKER_CONFIG"]) / "config.json").unlink(missing_ok=True)


def load(daemon: DaemonProcess, *names: str, platforms: tuple[str, ...] = ("amd64", "arm64")) -> None:
    archive = docker_archive([ROOTFS], tags=list(names), config={"Cmd": ["sh"]}, platforms=list(platforms))
    assert daemon.docker("load", "-q", input=archive).returncode == 0


def skopeo(*words: str) -> bytes:
    done = subprocess.run(["skopeo", *words], capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_docker_pushes_and_pulls(emptied: DaemonProcess, registry: Registry) -> None:
    name = f"{registry.address}/by/docker:1"
    load(emptied, name)
    pushed = emptied.docker("push", name)
    assert pushed.returncode == 0, pushed.stderr
    said = pushed.stdout.decode().splitlines()
    assert said[0] == f"The push refers to repository [{registry.address}/by/docker]"
    digest = said[-1].split()[2]
    assert said[-1].startswith("1: digest: sha256:") and [line.split(": ")[1] for line in said[1:-1]] == [
        "Preparing",
        "Pushed",
    ]
    assert b"Layer already exists" in emptied.docker("push", name).stdout
    assert (
        emptied.docker("rmi", name).stdout.decode().splitlines()[1]
        == f"Untagged: {name.removesuffix(':1')}@{digest}"
    )
    pulled = emptied.docker("pull", name)
    assert pulled.stdout.decode().splitlines()[-3:] == [
        f"Digest: {digest}", f"Status: Downloaded newer image for {name}", name,
    ]  # fmt: skip
    assert b"Pulling from by/docker" in pulled.stdout and b"Pull complete" in pulled.stdout
    assert f"Status: Image is up to date for {name}".encode() in emptied.docker("pull", name).stdout
    shown = json.loads(emptied.docker("image", "inspect", name).stdout)[0]
    assert shown["RepoDigests"] == [f"{name.removesuffix(':1')}@{digest}"]
    seen = emptied.request("GET", f"/distribution/{name}/json").json()
    assert seen["Descriptor"]["digest"] == digest
    assert seen["Platforms"] == [{"architecture": a, "os": "linux"} for a in ("amd64", "arm64")]


def test_docker_create_pulls_what_is_not_here(emptied: DaemonProcess, registry: Registry) -> None:
    name = f"{registry.address}/created:1"
    load(emptied, name)
    assert emptied.docker("push", "-q", name).returncode == 0
    assert emptied.docker("rmi", name).returncode == 0
    for command in (emptied.docker, emptied.insula):
        never = command("create", "--pull", "never", name)
        assert never.returncode == 1 and b"No such image" in never.stderr
        made = command("create", name)
        assert made.returncode == 0, made.stderr
        assert f"Unable to find image '{name}' locally".encode() in made.stderr
        assert b"Pull complete" in made.stderr and len(made.stdout) == 65
        again = command("create", "--pull", "always", name)
        assert b"Image is up to date" in again.stdout + again.stderr
        for container in (made, again):
            assert emptied.docker("rm", container.stdout.decode().split()[-1]).returncode == 0
        assert emptied.docker("rmi", name).returncode == 0
    wrong = emptied.docker("create", f"{registry.address}/created:2")
    assert wrong.returncode == 1 and b"manifest unknown" in wrong.stderr
    other = emptied.insula("create", "--platform", "linux/s390x", name)
    assert other.returncode == 1 and b"no matching manifest for linux/s390x" in other.stderr


def test_skopeo_reads_what_was_pushed_and_the_reverse(
    emptied: DaemonProcess, registry: Registry, tmp_path: Path
) -> None:
    name = f"{registry.address}/by/insula:1"
    load(emptied, name)
    assert emptied.insula("push", name).returncode == 0
    layout = f"oci:{tmp_path}/layout:1"
    skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{name}", layout)
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}")
    assert [m["platform"]["architecture"] for m in json.loads(raw)["manifests"]] == ["amd64", "arm64"]
    back = f"{registry.address}/by/skopeo:1"
    skopeo("copy", "--all", "--dest-tls-verify=false", layout, f"docker://{back}")
    theirs = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{back}")
    assert emptied.docker("rmi", name).returncode == 0
    pulled = emptied.insula("pull", "--all-platforms", back)
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stdout.decode().splitlines()[-1] == back
    assert emptied.insula("tag", back, f"{registry.address}/again:2").returncode == 0
    assert emptied.insula("push", f"{registry.address}/again:2").returncode == 0
    assert skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{registry.address}/again:2") == theirs


def test_a_repository_whole(emptied: DaemonProcess, registry: Registry) -> None:
    name = f"{registry.address}/many"
    load(emptied, f"{name}:a", f"{name}:b")
    assert emptied.docker("push", "-a", name).returncode == 0
    assert sorted(registry.json("/v2/many/tags/list")["tags"]) == ["a", "b"]
    for tag in "ab":
        assert emptied.docker("rmi", f"{name}:{tag}").returncode == 0
    for command in (emptied.docker, emptied.insula):
        assert command("pull", "-a", name).returncode == 0
        listed = emptied.docker("images", "--format", "{{.Tag}}", name).stdout.decode()
        assert sorted(set(listed.split())) == ["a", "b"]
        for tag in "ab":
            assert emptied.docker("rmi", f"{name}:{tag}").returncode == 0


def test_what_a_registry_no_longer_has(emptied: DaemonProcess, registry: Registry) -> None:
    name = f"{registry.address}/deleted"
    load(emptied, f"{name}:1", platforms=("amd64",))
    said = emptied.docker("push", f"{name}:1").stdout.decode()
    assert registry.delete(f"/v2/deleted/manifests/{said.split('digest: ')[1].split()[0]}") == 202
    assert emptied.docker("rmi", f"{name}:1").returncode == 0
    gone = emptied.docker("pull", f"{name}:1")
    assert (gone.returncode, gone.stderr.decode()) == (
        1, f"Error response from daemon: manifest for {name}:1 not found: manifest unknown: manifest unknown\n",
    )  # fmt: skip
    searched = emptied.docker("search", f"{registry.address}/deleted")
    assert searched.returncode == 1 and b"has no search" in searched.stderr


@pytest.mark.parametrize("which", ["docker", "insula"])
def test_logging_in_and_out(emptied: DaemonProcess, guarded: Registry, which: str) -> None:
    command = emptied.docker if which == "docker" else emptied.insula
    config = Path(emptied.env["DOCKER_CONFIG"]) / "config.json"
    name = f"{guarded.address}/guarded/{which}:1"
    load(emptied, name)
    denied = command("push", name)
    assert denied.returncode == 1 and b"no basic auth credentials" in denied.stderr
    wrong = command("login", "-u", USER, "--password-stdin", guarded.address, input=b"wrong\n")
    assert wrong.returncode == 1 and b"unauthorized: authentication required" in wrong.stderr
    assert not config.exists() or guarded.address not in config.read_text()
    config.write_text('{"detachKeys": "ctrl-a"}')
    done = command("login", "-u", USER, "--password-stdin", guarded.address, input=f"{PASSWORD}\n".encode())
    assert done.returncode == 0 and b"Login Succeeded" in done.stdout, done.stderr
    kept = json.loads(config.read_text())
    assert list(kept["auths"]) == [guarded.address] and kept["detachKeys"] == "ctrl-a"
    assert which == "docker" or config.stat().st_mode & 0o777 == 0o600  # docker leaves a file its mode
    for other in (emptied.docker, emptied.insula):  # each understands what the other kept
        assert other("push", name).returncode == 0
    assert emptied.docker("rmi", name).returncode == 0
    assert command("pull", name).returncode == 0
    again = command("login", guarded.address)  # with what was kept
    assert again.returncode == 0 and b"Login Succeeded" in again.stdout
    assert b"Removing login credentials" in command("logout", guarded.address).stdout
    assert json.loads(config.read_text()).get("auths", {}) == {}
    assert command("push", name).returncode == 1


def test_a_header_that_is_none(emptied: DaemonProcess, registry: Registry) -> None:
    for header, status in (
        ("e30=", 404),
        ("e30", 404),
        ("bnVsbA==", 404),
        ("!", 400),
        ("W10=", 400),
        ("eyJ1c2VybmFtZSI6MX0", 400),
    ):
        path = f"/images/create?fromImage={registry.address}/nothing&tag=1"
        assert emptied.request("POST", path, headers={"X-Registry-Auth": header}).status == status, header


def test_a_client_that_goes_away_ends_its_pull(emptied: DaemonProcess, registry: Registry) -> None:
    name = f"{registry.address}/abandoned:1"
    load(emptied, name, platforms=("amd64",))
    assert emptied.docker("push", "-q", name).returncode == 0
    assert emptied.docker("rmi", name).returncode == 0
    with open_relay(registry, hold=True, beyond=20_000) as relay:
        connection = UnixConnection(emptied.socket)
        connection.request(
            "POST", f"/images/create?fromImage={relay.address}/abandoned&tag=1&platform=linux/amd64"
        )
        connection.getresponse()
        assert relay.reached.wait(60)
        assert list((emptied.home / "staging").glob("image-*")) != []
        connection.sock.close()  # and the response's file with it
        connection.close()
        deadline = time.monotonic() + 60
        while list((emptied.home / "staging").glob("image-*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert list((emptied.home / "staging").glob("image-*")) == []
        assert emptied.docker("images", "-q", f"{relay.address}/abandoned").stdout == b""


def test_docker_py(emptied: DaemonProcess, registry: Registry) -> None:
    name = f"{registry.address}/by/python"
    load(emptied, f"{name}:1", platforms=("amd64",))
    lines = list(emptied.client.images.push(name, tag="1", stream=True, decode=True))
    assert lines[-1]["aux"]["Tag"] == "1" and lines[-1]["aux"]["Size"] > 100
    emptied.client.images.remove(f"{name}:1")
    image = emptied.client.images.pull(name, tag="1")
    assert image.tags == [f"{name}:1"]
    data = emptied.client.images.get_registry_data(f"{name}:1")
    assert data.id == lines[-1]["aux"]["Digest"] and data.has_platform("linux/amd64")
    assert emptied.client.images.pull(f"{name}@{data.id}").id == image.id


def test_info_tells_of_the_mirror(daemon: DaemonProcess) -> None:
    assert daemon.request("GET", "/info").json()["RegistryConfig"]["Mirrors"] == [daemon.mirror]


@pytest.mark.parametrize("again", [False, True])
def test_a_build_pulls_what_it_stands_on(emptied: DaemonProcess, guarded: Registry, again: bool) -> None:
    """With the credentials that the docker command sends along; `--pull` asks the registry in any case."""
    name = f"{guarded.address}/base:1"
    load(emptied, name)
    emptied.docker("login", "-u", USER, "--password-stdin", guarded.address, input=f"{PASSWORD}\n".encode())
    assert emptied.docker("push", "-q", name).returncode == 0
    if not again:
        assert emptied.docker("rmi", name).returncode == 0
    dockerfile = f"FROM {name}\nLABEL built=yes\n".encode()
    flags = ["--pull"] if again else []
    built = emptied.docker(
        "build", *flags, "-t", "built", "-", input=dockerfile, env={"DOCKER_BUILDKIT": "0"}
    )
    assert built.returncode == 0, built.stderr
    status = "Image is up to date" if again else "Downloaded newer image"
    assert f"Status: {status} for {name}".encode() in built.stdout
    shown = json.loads(emptied.docker("image", "inspect", "built").stdout)[0]
    assert shown["Config"]["Labels"] == {"built": "yes"}
    assert emptied.docker("logout", guarded.address).returncode == 0
    if again:
        refused = emptied.docker("build", "--pull", "-", input=dockerfile, env={"DOCKER_BUILDKIT": "0"})
        assert refused.returncode == 1 and b"no basic auth credentials" in refused.stderr
