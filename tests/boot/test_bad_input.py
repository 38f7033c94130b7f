"""Bad input gets one clear line and the right status, and changes nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from image_tars import docker_archive, file, make_tar
from words import Words

pytestmark = pytest.mark.boot

CREATE = "/containers/create"
NESTED = b"[" * 200_000


def refused(
    docker: Words, status: int, words: str, method: str, path: str, body: Any = None, **headers: str
) -> None:
    """One request: its status, words in its one line, and everything as it was."""
    before = state_of(docker)
    answer = docker.daemon.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    assert (answer.status, words.lower() in answer.message.lower()) == (status, True), (
        answer.status,
        answer.body[:2000],
    )
    assert set(answer.json()) == {"message"} and answer.headers["Content-Type"] == "application/json"
    assert 0 < len(answer.message) < 1000 and "Traceback" not in answer.message
    assert state_of(docker) == before


def state_of(docker: Words) -> tuple[Any, ...]:
    """Containers and images, and the files of both."""
    daemon = docker.daemon
    containers = daemon.request("GET", "/containers/json?all=1").json()
    images = daemon.request("GET", "/images/json?all=1").json()
    files = sorted(str(p) for name in ("containers", "images") for p in (daemon.home / name).rglob("*"))
    return [(c["Id"], c["State"]) for c in containers], [(i["Id"], i["RepoTags"]) for i in images], files


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "EOF"),
        (b"{", "invalid JSON"),
        (b"[]", "array into an object"),
        (b"null", "null into an object"),
        (b'{"Image": "busybox"} trailing', "invalid JSON"),
        (b"\xff\xfe{}", "invalid JSON"),
        (NESTED, "invalid JSON"),
        ({"Image": 5}, "Image"),
        ({"Image": "busybox", "Cmd": {"a": 1}}, "Cmd"),
        ({"Image": "busybox", "Cmd": ["a", 1]}, "Cmd"),
        ({"Image": "busybox", "Env": "A=b"}, "Env"),
        ({"Image": "busybox", "Tty": "yes"}, "Tty"),
        ({"Image": "busybox", "Labels": ["a"]}, "Labels"),
        ({"Image": "busybox", "HostConfig": []}, "HostConfig"),
        ({"Image": "busybox", "HostConfig": {"Memory": "1g"}}, "Memory"),
        ({"Image": "busybox", "HostConfig": {"Memory": 1.5}}, "Memory"),
        ({"Image": "busybox", "HostConfig": {"Memory": 1}}, "memory"),
        ({"Image": "busybox", "HostConfig": {"Memory": -1}}, "memory"),
        ({"Image": "busybox", "HostConfig": {"Memory": 1 << 62}}, "memory"),
        ({"Image": "busybox", "HostConfig": {"Memory": 1 << 70}}, "memory"),
        ({"Image": "busybox", "HostConfig": {"NanoCpus": -1}}, "cpu"),
        ({"Image": "busybox", "HostConfig": {"NanoCpus": 10**15}}, "cpu"),
        ({"Image": "busybox", "HostConfig": {"NanoCpus": 1}}, "cpu"),
        ({"Image": "busybox", "HostConfig": {"NetworkMode": "host"}}, "host"),
        ({"Image": "busybox", "HostConfig": {"Tmpfs": {"relative": ""}}}, "relative"),
        ({"Image": "busybox", "Env": ["=x"]}, "environment"),
        ({"Image": "busybox", "WorkingDir": "relative"}, "working directory"),
        ({"Image": "busybox", "StopSignal": "SIGNOTHING"}, "signal"),
        ({"Image": "busybox", "Cmd": ["nul\0byte"]}, "NUL"),
        ({"Image": "busybox", "User": "a\0b"}, "NUL"),
        (b'{"Image": "busybox", "Hostname": "\\ud800"}', "no text"),
    ],
    ids=lambda value: str(value)[:60] if not isinstance(value, bytes) else repr(value[:20]),
)  # fmt: skip
def test_a_wrong_container_is_not_created(docker: Words, body: Any, words: str) -> None:
    refused(docker, 400, words, "POST", CREATE, body)


def test_what_is_too_large_is_refused(docker: Words) -> None:
    refused(docker, 400, "MiB", "POST", CREATE, {"Image": "busybox", "Env": ["A=" + "x" * (5 << 20)]})
    for much in ({"Cmd": ["x" * (3 << 20)]}, {"Env": [f"A{n}=x" for n in range(150_000)]}):
        answer = docker.daemon.request("POST", CREATE, {"Image": "busybox", **much})
        if answer.status == 201:  # then its start says why not, and the container can go
            id = answer.json()["Id"]
            started = docker.daemon.request("POST", f"/containers/{id}/start")
            assert started.status in (400, 500) and len(started.message) < 1000, started.body[:1000]
            assert docker.daemon.request("DELETE", f"/containers/{id}").status == 204
        else:
            assert answer.status == 400 and len(answer.message) < 1000


def test_wrong_headers_versions_and_paths(docker: Words) -> None:
    refused(docker, 400, "Content-Type", "POST", CREATE, b"{}", Content_Type="text/plain")
    refused(docker, 400, "is too old", "GET", "/v1.10/info")
    refused(docker, 400, "is too new", "GET", "/v1.99/info")
    refused(docker, 404, "page not found", "GET", "/v1.41/nothing")
    refused(docker, 404, "page not found", "GET", "/v9/../../etc/passwd")
    refused(docker, 404, "page not found", "PATCH", "/containers/json")
    refused(docker, 400, "filter", "GET", "/containers/json?filters=%7B")
    refused(docker, 400, "filter", "GET", "/containers/json?filters=%7B%22nonsense%22%3A%5B%22x%22%5D%7D")
    refused(docker, 400, "strconv", "GET", "/containers/json?limit=many")


def test_not_even_http(docker: Words) -> None:
    from daemon_fixture import UnixConnection

    before = state_of(docker)
    for raw in (b"\0" * 4096, b"GET / HTTP/9.9\r\n\r\n", b"POST /containers/create HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
                b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"):  # fmt: skip
        connection = UnixConnection(docker.daemon.socket)
        connection.connect()
        connection.sock.sendall(raw)
        assert connection.sock.recv(65536).split(b"\r\n")[0].split(b" ")[1] == b"400"
        connection.close()
    assert state_of(docker) == before


def test_a_body_that_ends_early(docker: Words) -> None:
    from daemon_fixture import UnixConnection

    before = state_of(docker)
    connection = UnixConnection(docker.daemon.socket)
    connection.connect()
    connection.sock.sendall(b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
                            b"Content-Length: 1000\r\n\r\n{\"Image\": \"busybox\"}")  # fmt: skip
    connection.close()
    assert docker.daemon.request("GET", "/_ping").body == b"OK"
    assert state_of(docker) == before


# -- what is not there


def test_unknown_images_and_containers(docker: Words) -> None:
    refused(docker, 404, "No such image: nothing:latest", "POST", CREATE, {"Image": "nothing"})
    refused(docker, 404, "No such image", "GET", "/images/nothing/json")
    for method, path in (
        ("GET", "json"), ("POST", "start"), ("POST", "stop"), ("POST", "kill"), ("POST", "wait"), ("GET", "logs?stdout=1"),
        ("POST", "attach?stream=1"), ("POST", "resize?h=1&w=1"), ("POST", "rename?name=x"), ("POST", "restart"),
    ):  # fmt: skip
        refused(docker, 404, "No such container: nothing", method, f"/containers/nothing/{path}")
    refused(docker, 404, "No such container: nothing", "DELETE", "/containers/nothing")
    refused(docker, 404, "No such exec", "GET", "/exec/nothing/json")
    refused(docker, 400, "image", "POST", CREATE, {"Image": ""})
    refused(docker, 404, "No such image", "POST", CREATE, {"Image": "UPPER/../case"})


def test_an_ambiguous_id_names_nobody(docker: Words) -> None:
    ids = [docker.succeed("create", "busybox", "true").strip() for _ in range(17)]  # two begin alike
    first = next(id[0] for id in ids if sum(other[0] == id[0] for other in ids) > 1)
    refused(docker, 400, "multiple IDs found with provided prefix", "GET", f"/containers/{first}/json")
    refused(docker, 400, "multiple IDs found with provided prefix", "DELETE", f"/containers/{first}?force=1")


def test_an_absent_platform_says_which_there_are(docker: Words) -> None:
    refused(
        docker,
        404,
        "linux/amd64, linux/arm64",
        "POST",
        f"{CREATE}?platform=linux/s390x",
        {"Image": "busybox"},
    )
    refused(docker, 400, "", "POST", f"{CREATE}?platform=nonsense/../x", {"Image": "busybox"})
    said = docker.fail(125, "run", "--rm", "--pull", "never", "--platform", "linux/s390x", "busybox")
    assert "linux/amd64" in said


@pytest.mark.parametrize(
    "host",
    [{"Tmpfs": {"/x": "size=lots"}}, {"Tmpfs": {"/x": "nonsense=1"}}],
    ids=str,
)
def test_what_only_a_start_can_refuse(docker: Words, host: Any) -> None:
    created = docker.daemon.request("POST", CREATE, {"Image": "busybox", "Cmd": ["true"], "HostConfig": host})
    if created.status != 201:
        assert created.status == 400 and 0 < len(created.message) < 1000
        return
    id = created.json()["Id"]
    started = docker.daemon.request("POST", f"/containers/{id}/start")
    assert started.status in (400, 500) and 0 < len(started.message) < 1000, started.body
    assert docker.state(id)["Status"] == "created"
    assert docker.daemon.request("DELETE", f"/containers/{id}").status == 204


def test_names_that_cannot_be(docker: Words) -> None:
    for name in ("a/b", "-x", "a%20b", "%2e%2e", "x" * 300, "a%0ab"):
        refused(docker, 400, "name", "POST", f"{CREATE}?name={name}", {"Image": "busybox"})


def test_commands_that_cannot_be(docker: Words) -> None:
    archive = docker_archive([make_tar(("file", file(b"x")))], ["empty:1"], {})
    loaded = docker.daemon.request("POST", "/images/load", archive, {"Content-Type": "application/x-tar"})
    assert b"Loaded image: empty:1" in loaded.body
    refused(docker, 400, "no command specified", "POST", CREATE, {"Image": "empty:1"})
    said = docker.fail(127, "run", "--rm", "busybox", "")
    assert 'exec: ""' in said
    docker.fail(127, "run", "--rm", "empty:1", "/anything")
    id = docker.sleeper()
    refused(docker, 400, "No exec command specified", "POST", f"/containers/{id}/exec", {"Cmd": []})
    docker.succeed("rm", "-f", id)
    docker.succeed("rmi", "empty:1")


# -- moves that cannot be made


def test_moves_that_cannot_be_made(docker: Words) -> None:
    id = docker.succeed("create", "busybox", "true").strip()
    refused(docker, 409, "is not running", "POST", f"/containers/{id}/kill")
    refused(docker, 409, "not running", "POST", f"/containers/{id}/exec", {"Cmd": ["true"]})
    refused(docker, 409, "not running", "POST", f"/containers/{id}/resize?h=1&w=1")
    refused(docker, 400, "strconv", "POST", f"/containers/{id}/stop?t=soon")
    refused(docker, 400, "condition", "POST", f"/containers/{id}/wait?condition=whenever")
    refused(docker, 400, "at least one stream", "GET", f"/containers/{id}/logs")
    docker.start("--name", "up", "busybox", "sleep", "1000000")
    assert docker.daemon.request("POST", "/containers/up/start").status == 304
    refused(docker, 400, "nvalid signal", "POST", "/containers/up/kill?signal=NOTHING")
    refused(docker, 400, "nvalid signal", "POST", "/containers/up/kill?signal=999")
    refused(docker, 409, "container is running", "DELETE", "/containers/up")
    refused(docker, 400, "", "POST", "/containers/up/resize?h=0&w=70000")


# -- archives


def test_archives_that_are_not_whole_or_not_true(docker: Words, tmp_path: Path) -> None:
    layer = make_tar(("file", file(b"text" * 1000)))
    whole = docker_archive([layer], ["bad:1"], {"Cmd": ["/file"]})
    wrong = docker_archive([layer], ["bad:1"], {}, diff_ids=[b"another"])
    before = state_of(docker)
    for name, data in {
        "empty": b"", "noise": b"\x5a" * 5000, "cut": whole[: len(whole) // 2], "cut in a header": whole[:700],
        "no manifest": layer, "wrong digest": wrong, "not gzip": b"\x1f\x8b" + b"\0" * 100,
    }.items():  # fmt: skip
        (tmp_path / "archive").write_bytes(data)
        done = docker.daemon.docker("load", "-i", str(tmp_path / "archive"))
        assert done.returncode == 1, (name, done.stdout)
        lines = done.stderr.decode().strip().splitlines()
        assert len(lines) == 1 and len(lines[0]) < 1000, (name, lines)
        assert state_of(docker) == before, name
    assert not list((docker.daemon.home / "staging").iterdir())


def test_the_daemon_is_still_well(docker: Words) -> None:
    """Last: after all of that it answers, and its log tells of no fault."""
    assert json.loads(docker.succeed("version", "--format", "{{json .Server.Os}}")) == "linux"
    assert docker.run("busybox", "echo", "well") == "well\n"
    assert docker.faults() == []
