"""A real registry on the loopback: Debian's docker-registry, plain or behind a password, its files in a folder of its own.

with open_registry() as registry: …        registry.address is 127.0.0.1:PORT
with open_registry(login=True) as registry  USER and PASSWORD
"""

import contextlib
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("docker-registry")  # images/setup puts it there
USER, PASSWORD = "alice", "secret"
HTPASSWD = f"{USER}:$2b$05$LmNf7pAQy.tco080hMzYkeSrPiEMH8jt5kCzoOZvs5MAPPtIfyWOS\n"  # bcrypt of PASSWORD
CONFIG = """version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: "%s"}
  delete: {enabled: true}
http: {addr: "127.0.0.1:0"}
"""
LISTENING = re.compile(rb"listening on 127\.0\.0\.1:(\d+)")


@dataclass
class Registry:
    """address: host and port, as in a reference."""

    address: str
    folder: Path

    def get(self, path: str, accept: str = "*/*") -> tuple[bytes, dict[str, str]]:
        request = urllib.request.Request(f"http://{self.address}{path}", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read(), {name.lower(): value for name, value in answer.headers.items()}

    def json(self, path: str, accept: str = "*/*") -> Any:
        return json.loads(self.get(path, accept)[0])

    def put_blob(self, repository: str, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()
        begun = urllib.request.Request(
            f"http://{self.address}/v2/{repository}/blobs/uploads/", b"", method="POST"
        )
        with urllib.request.urlopen(begun, timeout=60) as answer:
            place = answer.headers["Location"]
        self._put(f"{place}&digest=sha256:{digest}", data, "application/octet-stream")

    def put_manifest(self, repository: str, name: str, data: bytes, kind: str) -> None:
        self._put(f"http://{self.address}/v2/{repository}/manifests/{name}", data, kind)

    def _put(self, url: str, data: bytes, kind: str) -> None:
        request = urllib.request.Request(url, data, {"Content-Type": kind}, method="PUT")
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 201

    def delete(self, path: str) -> int:
        request = urllib.request.Request(f"http://{self.address}{path}", method="DELETE")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)


@contextlib.contextmanager
def open_registry(*, login: bool = False) -> Iterator[Registry]:
    with tempfile.TemporaryDirectory(prefix="registry-") as name:
        folder = Path(name)
        config = CONFIG % (folder / "data")
        if login:
            (folder / "htpasswd").write_text(HTPASSWD)
            config += f'auth: {{htpasswd: {{realm: here, path: "{folder}/htpasswd"}}}}\n'
        (folder / "config.yml").write_text(config)
        child = subprocess.Popen(
            [PROGRAM, "serve", folder / "config.yml"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )  # fmt: skip
        reader = threading.Thread(target=child.communicate)  # what nobody reads would fill the pipe
        try:
            port = read_port(child)
            reader.start()
            yield Registry(f"127.0.0.1:{port}", folder)
        finally:
            child.kill()
            if reader.ident is None:
                child.communicate()
            else:
                reader.join()


def read_port(child: "subprocess.Popen[bytes]") -> int:
    """The port that it says it listens on."""
    assert child.stderr is not None
    said = b""
    for line in child.stderr:
        said += line
        if found := LISTENING.search(line):
            return int(found[1])
    raise AssertionError(f"the registry did not start: {said.decode(errors='replace')}")
