"""What is wrong gets one clear line and the right status, and changes nothing: a real daemon, no machine."""

import io
import json
import socket
import tarfile
from typing import Any

import docker
import pytest

from daemon_fixture import DaemonProcess


@pytest.fixture(scope="module")
def image(daemon: DaemonProcess) -> str:
    """An image of one file."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        info = tarfile.TarInfo("bin/true")
        info.mode = 0o755
        tar.addfile(info, io.BytesIO())
    made = daemon.docker("import", "-c", "CMD /bin/true", "-", "tiny:1", input=data.getvalue())
    assert made.returncode == 0, made.stderr
    return made.stdout.decode().strip()


def create(daemon: DaemonProcess, **fields: Any) -> tuple[int, Any]:
    host = fields.pop("HostConfig", {})
    answer = daemon.request("POST", "/containers/create", {"Image": "tiny:1", **fields, "HostConfig": host})
    return answer.status, answer.json()


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"Image": "nope"}, 404, "No such image: nope:latest"),
    ({"Image": ""}, 400, "no image"),
    ({"Cmd": 3}, 400, "cannot unmarshal number into Go struct field Config.Cmd"),
    ({"Env": "A=1"}, 400, "cannot unmarshal string into Go struct field Config.Env"),
    ({"Tty": "yes"}, 400, "Config.Tty of type bool"),
    ({"Labels": ["a"]}, 400, "Config.Labels"),
    ({"Env": ["=x"]}, 400, "invalid environment variable: =x"),
    ({"WorkingDir": "relative"}, 400, "absolute"),
    ({"Hostname": "x" * 65}, 400, "hostname"),
    ({"StopSignal": "NOTHING"}, 400, "Invalid signal"),
    ({"HostConfig": {"Memory": 1}}, 400, "Minimum memory limit"),
    ({"HostConfig": {"Memory": 1 << 50}}, 400, "of memory for a container"),
    ({"HostConfig": {"Memory": 1 << 70}}, 400, "HostConfig.Memory"),
    ({"HostConfig": {"Memory": 1.5}}, 400, "HostConfig.Memory of type int64"),
    ({"HostConfig": {"Memory": True}}, 400, "cannot unmarshal bool"),
    ({"HostConfig": {"NanoCpus": 10**15}}, 400, "range of CPUs"),
    ({"HostConfig": {"NetworkMode": "host"}}, 400, "network=host"),
    ({"HostConfig": {"NetworkMode": "container:abc"}}, 400, "machine of its own"),
    ({"HostConfig": {"PidMode": "container:abc"}}, 400, "machine of its own"),
    ({"HostConfig": {"Devices": [{"PathOnHost": "/dev/kvm"}]}}, 400, "HostConfig.Devices cannot be had"),
    ({"HostConfig": {"DeviceRequests": [{"Count": -1}]}}, 400, "DeviceRequests"),
    ({"HostConfig": {"Runtime": "nvidia"}}, 400, "unknown or invalid runtime name: nvidia"),
    ({"HostConfig": {"IpcMode": "other"}}, 400, "invalid IpcMode"),
    ({"HostConfig": {"Tmpfs": {"relative": ""}}}, 400, "mount path must be absolute"),
    ({"HostConfig": {"LogConfig": {"Type": "asdf"}}}, 400, "no log driver named 'asdf'"),
    ({"HostConfig": {"Isolation": "hyperv"}}, 400, "invalid isolation"),
    ({"HostConfig": {"Mounts": [{"Type": "odd", "Target": "/x"}]}}, 400, "mount type unknown"),
    ({"HostConfig": {"Mounts": [{"Type": "tmpfs"}]}}, 400, "Target must not be empty"),
    ({"HostConfig": {"Mounts": ["x"]}}, 400, "HostConfig.Mounts"),
    ({"HostConfig": {"ConsoleSize": [1]}}, 400, "ConsoleSize"),
    ({"HostConfig": {"PortBindings": {"x/tcp": []}}}, 400, "invalid containerPort: x"),
    ({"HostConfig": {"CapAdd": ["CAP_NOTHING"]}}, 400, "CAP_NOTHING"),
    ({"HostConfig": {"RestartPolicy": {"Name": "often"}}}, 400, "unknown policy 'often'"),
    (
        {"HostConfig": {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 1}}},
        400,
        "only be used with 'on-failure'",
    ),
    (
        {"HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": -1}}},
        400,
        "cannot be negative",
    ),
    (
        {"HostConfig": {"RestartPolicy": {"Name": "always"}, "AutoRemove": True}},
        400,
        "can't create 'AutoRemove'",
    ),
    ({"HostConfig": {"Sysctls": {"a": "b"}}}, 400, "a"),
    ({"NetworkingConfig": {"EndpointsConfig": {"n" * 5000: {}}}}, 400, "invalid network"),
    ({"NetworkingConfig": []}, 400, "NetworkingConfig"),
]


@pytest.mark.parametrize("fields,status,words", REFUSED, ids=lambda v: str(v)[:50])
def test_create_refuses(
    daemon: DaemonProcess, image: str, fields: dict[str, Any], status: int, words: str
) -> None:
    before = daemon.request("GET", "/containers/json?all=1").json()
    got, body = create(daemon, **fields)
    assert (got, words in body["message"]) == (status, True), body
    assert "\n" not in body["message"]
    assert len(body["message"]) < 600
    assert daemon.request("GET", "/containers/json?all=1").json() == before


def test_what_has_no_effect_is_echoed_and_named(daemon: DaemonProcess, image: str) -> None:
    status, body = create(daemon, HostConfig={"PidMode": "host", "CgroupParent": "x", "Odd": 1})
    assert status == 201
    assert [
        any(name in line for line in body["Warnings"]) for name in ("PidMode", "CgroupParent", "Odd")
    ] == [True] * 3
    shown = daemon.request("GET", f"/containers/{body['Id']}/json").json()
    assert shown["HostConfig"]["PidMode"] == "host"
    assert daemon.request("DELETE", f"/containers/{body['Id']}").status == 204


@pytest.mark.parametrize(
    "body,content,words",
    [
        (b"", "application/json", "EOF"),
        (b"{", "application/json", "invalid JSON"),
        (b"[]", "application/json", "array"),
        (b"null", "application/json", "null"),
        (b"{}", "text/plain", "unsupported Content-Type header (text/plain)"),
        (b'{"a":' * 100_000, "application/json", "invalid JSON"),
        (b"\xff\xfe{}", "application/json", "invalid JSON"),
        (b'"' + b"x" * (5 << 20) + b'"', "application/json", "more than 4 MiB"),
    ],
    ids=["empty", "cut", "list", "null", "type", "deep", "encoding", "large"],
)
def test_bodies_that_are_no_request(daemon: DaemonProcess, body: bytes, content: str, words: str) -> None:
    answer = daemon.request("POST", "/containers/create", body, {"Content-Type": content})
    assert answer.status == 400, answer.body
    assert words in answer.message


def test_versions(daemon: DaemonProcess) -> None:
    for version in ("1.22", "1.24", "1.41", "1.44", "1.51"):
        assert daemon.request("GET", f"/v{version}/info").status == 200
    old = daemon.request("GET", "/v1.21/info")
    assert (old.status, old.message) == (
        400,
        "client version 1.21 is too old. Minimum supported API version is 1.24, "
        "please upgrade your client to a newer version",
    )
    new = daemon.request("GET", "/v1.52/info")
    assert (new.status, new.message) == (
        400, "client version 1.52 is too new. Maximum supported API version is 1.51",
    )  # fmt: skip
    assert daemon.request("GET", "/v9999.9999/info").status == 400


def test_headers_are_on_everything(daemon: DaemonProcess) -> None:
    for method, path in (("HEAD", "/_ping"), ("GET", "/nothing"), ("GET", "/v1.44/containers/x/json")):
        answer = daemon.request(method, path)
        assert answer.headers["Api-Version"] == "1.51"
        assert answer.headers["Ostype"] == "linux"
        assert answer.headers["Server"].startswith("Docker/")
    assert daemon.request("GET", "/nothing").headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "method,path,status,words",
    [
        ("GET", "/nothing", 404, "page not found"),
        ("PATCH", "/containers/json", 404, "page not found"),
        ("GET", "/", 404, "page not found"),
        ("GET", "/v1.44", 404, "page not found"),
        ("GET", "/containers/nope/json", 404, "No such container: nope"),
        ("POST", "/containers/nope/start", 404, "No such container: nope"),
        ("POST", "/containers/nope/wait?condition=odd", 400, "condition"),
        ("POST", "/containers/nope/attach?stream=1", 404, "No such container"),
        ("POST", "/containers/nope/stop?t=abc", 400, 'parsing "abc": invalid syntax'),
        ("POST", "/containers/nope/resize?h=x&w=1", 400, "invalid syntax"),
        ("POST", "/containers/nope/resize?h=-1&w=1", 400, "out of range"),
        ("GET", "/containers/nope/logs", 400, "at least one stream"),
        ("GET", "/containers/nope/logs?stdout=1&since=never", 400, "invalid time"),
        ("GET", "/containers/nope/top", 404, "No such container"),
        ("GET", "/containers/json?filters=%7B", 400, "invalid filter"),
        ("GET", "/containers/json?filters=%5B%5D", 400, "invalid filter"),
        ("GET", '/containers/json?filters={"odd":["x"]}', 400, "invalid filter 'odd'"),
        ("GET", '/containers/json?filters={"status":["odd"]}', 400, "invalid filter 'status=odd'"),
        ("GET", '/containers/json?filters={"label":[1]}', 400, "invalid filter 'label'"),
        ("GET", '/images/json?filters={"odd":["x"]}', 400, "invalid filter"),
        ("GET", '/events?filters={"odd":["x"]}', 400, "invalid filter"),
        ("GET", "/events?since=5&until=4", 400, "cannot be after"),
        ("GET", "/images/nope/json", 404, "No such image: nope:latest"),
        ("GET", "/images/UPPER/json", 404, "UPPER"),
        ("DELETE", "/images/nope", 404, "No such image"),
        ("POST", "/images/nope/tag?repo=x", 404, "No such image"),
        ("POST", "/images/create?fromImage=docker.io%2Flibrary%2Fbusybox&tag=latest", 503, "cannot reach 127.0.0.1:1"),
        ("POST", "/images/create?fromImage=127.0.0.1:1/x&tag=latest&platform=a/b/c/d", 400, "is not a platform"),
        ("POST", "/images/create?fromImage=UPPER", 400, "must be lowercase"),
        ("POST", "/images/nope/push", 404, "An image does not exist locally with the tag: nope"),
        ("GET", "/images/search?term=x&limit=101", 400, "is outside the range of [1, 100]"),
        ("GET", "/images/search?term=127.0.0.1:1/x", 503, "cannot reach 127.0.0.1:1"),
        ("GET", "/distribution/127.0.0.1:1/x/json", 503, "cannot reach 127.0.0.1:1"),
        ("POST", "/images/create", 400, "neither"),
        ("GET", "/exec/nope/json", 404, "nope"),
        ("POST", "/exec/nope/start", 404, "nope"),
        ("POST", "/swarm/init", 503, "not a swarm manager"),
        ("GET", "/services", 503, "not a swarm manager"),
        ("GET", "/nodes/x", 503, "not a swarm manager"),
        ("POST", "/swarm/leave", 503, "not part of a swarm"),
        ("POST", "/build?remote=x", 400, "neither http nor https"),
        ("POST", "/build?remote=git://127.0.0.1:1/x.git", 501, "not there yet"),
        ("POST", "/networks/create", 400, "EOF"),
        ("POST", "/insula/bootstrap", 400, "EOF"),
        ("POST", "/insula/pool/fill", 400, "platform"),
        ("POST", "/insula/pool/fill?platform=linux/vax", 400, "vax"),
    ],
    ids=lambda v: str(v)[:40],
)  # fmt: skip
def test_endpoints_refuse(daemon: DaemonProcess, method: str, path: str, status: int, words: str) -> None:
    answer = daemon.request(method, path.replace('"', "%22").replace("{", "%7B").replace("}", "%7D"))
    assert (answer.status, words in answer.message) == (status, True), answer.body


def test_names_and_ids(daemon: DaemonProcess, image: str) -> None:
    first = daemon.request("POST", "/containers/create?name=one", {"Image": "tiny:1"})
    assert first.status == 201
    id = first.json()["Id"]
    again = daemon.request("POST", "/containers/create?name=one", {"Image": image})
    assert again.status == 409
    assert '"/one" is already in use' in again.message
    bad = daemon.request("POST", "/containers/create?name=-x", {"Image": image})
    assert (bad.status, "Invalid container name (-x)" in bad.message) == (400, True)
    for reference in (id, id[:12], "one", "/one".replace("/", "%2F")):
        assert daemon.request("GET", f"/containers/{reference}/json").json()["Id"] == id
    assert daemon.request("DELETE", "/images/tiny:1").status == 409
    assert daemon.request("POST", "/containers/one/kill").status == 409
    assert daemon.request("POST", "/containers/one/stop").status == 304
    assert daemon.request("POST", "/containers/one/exec", {"Cmd": ["x"]}).status == 409
    assert daemon.request("POST", "/containers/one/exec", {"Cmd": []}).status == 400
    assert daemon.request("POST", "/containers/one/rename?name=two").status == 204
    assert daemon.request("DELETE", "/containers/two").status == 204
    assert daemon.request("DELETE", "/containers/two").status == 404


def test_start_takes_no_body(daemon: DaemonProcess) -> None:
    answer = daemon.request("POST", "/containers/nope/start", {"Binds": []})
    assert (answer.status, "non-empty request body" in answer.message) == (400, True)
    assert daemon.request("POST", "/containers/nope/start", {}).status == 404


def test_a_platform_that_is_not_there_says_what_is(daemon: DaemonProcess, image: str) -> None:
    answer = daemon.request("POST", "/containers/create?platform=linux/s390x", {"Image": "tiny:1"})
    assert answer.status == 404
    assert "linux/amd64" in answer.message


@pytest.mark.parametrize(
    "data", [b"", b"nothing", b"\x1f\x8b\x08" + b"\0" * 100], ids=["empty", "text", "gzip"]
)
def test_archives_that_are_none(daemon: DaemonProcess, data: bytes) -> None:
    before = daemon.request("GET", "/images/json").json()
    ran = daemon.docker("load", input=data or b"\0")
    assert ran.returncode == 1, ran.stdout
    assert ran.stderr
    assert b"Traceback" not in ran.stderr
    assert daemon.request("GET", "/images/json").json() == before


def test_a_body_that_ends_early_and_bytes_that_are_no_http(daemon: DaemonProcess) -> None:
    for data in (
        b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
        b"\0\1\2\3\r\n\r\n",
        b"GET " + b"/x" * 100_000 + b" HTTP/1.1\r\n\r\n",
    ):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(daemon.socket))
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(65536)
            except OSError:
                continue  # closed on us, which is an answer too
            assert not answer or answer.split()[1].startswith(b"4"), answer
    assert daemon.request("GET", "/_ping").body == b"OK"


def test_docker_py_reads_what_it_knows(daemon: DaemonProcess, image: str) -> None:
    client = daemon.client
    assert client.ping()
    assert client.version()["ApiVersion"] == "1.51"
    assert client.info()["Driver"] == "insula"
    assert client.images.get("tiny:1").id == image
    made = client.containers.create(
        "tiny:1", command=["/bin/true"], name="py", labels={"a": "b"}, detach=True
    )
    assert made.status == "created"
    assert [c.name for c in client.containers.list(all=True, filters={"label": "a=b"})] == ["py"]
    assert client.containers.list(all=True, filters={"label": "a=c"}) == []
    made.remove()
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("py")
    with pytest.raises(docker.errors.APIError) as raised:
        client.containers.create("tiny:1", network_mode="host")
    assert raised.value.status_code == 400


def test_the_daemon_is_alone_and_its_socket_private(daemon: DaemonProcess) -> None:
    assert daemon.socket.stat().st_mode & 0o777 == 0o600
    assert (daemon.run / "daemon.pid").read_text().strip() == str(daemon.pid)
    second = DaemonProcess(daemon.home)
    second.run = daemon.run
    second.env["INSULA_RUN"] = str(daemon.run)
    with pytest.raises(AssertionError, match=f"a daemon is running already .*pid {daemon.pid}"):
        second.start()
    second.close()
    assert daemon.request("GET", "/_ping").status == 200


def test_the_loop_tells_its_delays(daemon: DaemonProcess) -> None:
    figures = json.loads(daemon.request("GET", "/insula/loop").body)
    assert figures["Turns"] > 0
    assert 0 <= figures["MedianMs"] <= figures["P999Ms"] <= figures["MaxMs"]
