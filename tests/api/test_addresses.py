"""What the daemon fetches itself, from a web server on the loopback: a build's context, a Dockerfile alone, what ADD
names, a tree to be imported."""

import gzip
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from daemon_fixture import DaemonProcess

CLASSIC = {"DOCKER_BUILDKIT": "0"}


def tar_of(**files: bytes) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


class Site:
    """pages: by path; (status, headers, body). asked: the headers that came, by path."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: dict[str, dict[str, str]] = {}
        self.address = ""

    def put(self, path: str, body: bytes = b"", status: int = 200, **headers: str) -> str:
        self.pages[path] = status, headers, body
        return f"http://{self.address}{path}"


@contextmanager
def open_site() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked[self.path] = {name.lower(): value for name, value in self.headers.items()}
            status, headers, body = site.pages.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.address = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    with open_site() as made:
        yield made


@pytest.fixture
def emptied(daemon: DaemonProcess) -> Iterator[DaemonProcess]:
    yield daemon
    daemon.docker("rmi", "-f", "from:address", "alone:address")
    daemon.request("POST", "/build/prune?all=1")


@pytest.mark.parametrize("which", ["docker", "insula"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_context_at_an_address(emptied: DaemonProcess, site: Site, which: str, packed: bool) -> None:
    tar = tar_of(**{"Other": b"FROM scratch\nCOPY f /f\nLABEL from=address\n", "f": b"f"})
    address = site.put("/context.tar", gzip.compress(tar) if packed else tar)
    words = ("build", "-t", "from:address", "-f", "Other", address)
    made = emptied.docker(*words, env=CLASSIC) if which == "docker" else emptied.insula(*words)
    # a COPY takes a machine, and there is none here: all that was read before is told
    assert b"Step 2/3 : COPY f /f" in made.stdout, (made.stdout, made.stderr)
    site.put("/context.tar", tar_of(Other=b"FROM scratch\nLABEL from=address\n"))
    made = emptied.docker(*words, env=CLASSIC)
    assert made.returncode == 0, made.stderr
    shown = json.loads(emptied.docker("image", "inspect", "from:address").stdout)[0]
    assert shown["Config"]["Labels"] == {"from": "address"}


def test_a_dockerfile_alone(emptied: DaemonProcess, site: Site) -> None:
    address = site.put("/Dockerfile", b"FROM scratch\nLABEL alone=yes\n")
    path = f"/build?remote={address}&t=alone:address"
    assert emptied.request("POST", path).status == 200
    shown = json.loads(emptied.docker("image", "inspect", "alone:address").stdout)[0]
    assert shown["Config"]["Labels"] == {"alone": "yes"}
    address = site.put("/large", b"# " + b"x" * (3 << 20))
    answer = emptied.request("POST", f"/build?remote={address}")
    assert answer.status == 400 and "too large for a Dockerfile" in answer.message


def test_what_leads_elsewhere_is_followed_and_told_nobody_s_password(
    emptied: DaemonProcess, site: Site
) -> None:
    (Path(emptied.env["HOME"]) / ".netrc").write_text("default login alice password secret\n")
    with open_site() as other:
        there = other.put("/there", b"FROM scratch\nLABEL a=1\n")
        address = site.put("/here", status=302, Location=there)
        assert emptied.request("POST", f"/build?remote={address}").status == 200
        assert "authorization" not in site.asked["/here"] and "authorization" not in other.asked["/there"]
    round_ = site.put("/round", status=301, Location="/round")
    answer = emptied.request("POST", f"/build?remote={round_}")
    assert answer.status == 400 and "leads on more than 10 times" in answer.message
    away = site.put("/away", status=307, Location="file:///etc/passwd")
    answer = emptied.request("POST", f"/build?remote={away}")
    assert answer.status == 400 and "another kind of address" in answer.message


@pytest.mark.parametrize(
    ("remote", "status", "told"),
    [
        ("git://x/y.git", 501, "a build from a Git repository is not there yet: git://x/y.git"),
        ("https://github.com/a/b", 501, "clone it and send it as the context"),
        ("ftp://x/y", 400, "neither http nor https"),
        ("http://127.0.0.1:9/x", 503, "build failed: http://127.0.0.1:9/x cannot be fetched"),
        ("http://SITE/missing", 400, "answers with status 404"),
        ("http://SITE/cut", 503, "cannot be fetched"),
    ],
)
def test_what_cannot_be_had(emptied: DaemonProcess, site: Site, remote: str, status: int, told: str) -> None:
    site.pages["/cut"] = 200, {"Content-Length": "100000"}, b"FROM scratch\n"
    answer = emptied.request("POST", f"/build?remote={remote.replace('SITE', site.address)}")
    assert (answer.status, told in answer.message) == (status, True), answer.body
    assert list((emptied.home / "staging").glob("image-*")) == []


@pytest.mark.parametrize("which", ["docker", "insula", "bare"])
def test_an_import(emptied: DaemonProcess, site: Site, which: str) -> None:
    address = site.put("/tree.tar.gz", gzip.compress(tar_of(f=b"content")))
    if which == "bare":  # as with Docker, it is http where nothing else is said
        answer = emptied.request(
            "POST", f"/images/create?fromSrc={address.removeprefix('http://')}&repo=from&tag=address"
        )
        assert answer.status == 200 and b"error" not in answer.body, answer.body
    else:
        command = emptied.docker if which == "docker" else emptied.insula
        made = command("import", "-c", "CMD run", address, "from:address")
        assert made.returncode == 0 and b"sha256:" in made.stdout, made.stderr
        shown = json.loads(emptied.docker("image", "inspect", "from:address").stdout)[0]
        assert shown["Config"]["Cmd"] == ["/bin/sh", "-c", "run"]
    assert json.loads(emptied.docker("image", "inspect", "from:address").stdout)[0]["RootFS"]["Layers"]


def test_an_import_that_fails(emptied: DaemonProcess, site: Site) -> None:
    done = emptied.docker("import", f"http://{site.address}/none", "from:address")
    assert done.returncode == 1 and b"answers with status 404" in done.stderr
    refused = emptied.request("POST", "/images/create?fromSrc=ftp://x/y")
    assert refused.status == 400 and "http or https" in refused.message
