"""A real daemon process on folders of its own, for tests: the docker command, docker-py and insula against it.

    daemon = DaemonProcess(); daemon.start(); …; daemon.close()

`close` ends the daemon and then every machine it left running (machines outlive it by design).
"""

import contextlib
import http.client
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import docker

from insula.network.namespace import name_of
from ordinary_user import PYTHON, ROOT, as_user, find_checkout, give

__all__ = ["PYTHON", "ROOT", "Answer", "DaemonProcess", "UnixConnection"]
START_TIMEOUT = 60.0
NO_REGISTRY = "http://127.0.0.1:1"
"""What stands for the Hub: nobody listens there, so that no test asks the network for an image."""


class Answer:
    """One answer of the API."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json()["message"])


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float = 60.0) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class DaemonProcess:
    """One daemon and its folders. Its run directory is short: socket paths have a limit.

    user: the id it and its clients run as; None: the tests' own. before: words before the daemon's own, for one that
    lives elsewhere."""

    def __init__(
        self,
        home: Path | None = None,
        *,
        user: int | None = None,
        debug: bool = True,
        before: tuple[str, ...] = (),
    ) -> None:
        self._before = before
        self._as_user = as_user(user)
        checkout = find_checkout(user)
        self._python = checkout.python
        self._own = Path(tempfile.mkdtemp(prefix="ins-", dir="/tmp"))
        self._own.chmod(0o711)
        give(self._own, user)
        self.home = home or self._own / "home"
        self.run = self._own / "run"
        self.debug = debug
        self.mirror = NO_REGISTRY
        self.process: subprocess.Popen[bytes] | None = None
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(self._own), "INSULA_HOME": str(self.home),
            "INSULA_RUN": str(self.run), "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONFIG": str(self._own),
            "TERM": "xterm", "LC_ALL": "C.UTF-8", **checkout.env,
        }  # fmt: skip
        self._client: docker.DockerClient | None = None

    @property
    def socket(self) -> Path:
        return self.run / "docker.sock"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    # -- life

    def start(self) -> None:
        """Returns when it can be connected to. Raises with its words if it does not start."""
        ours, theirs = os.pipe()
        os.set_inheritable(theirs, True)
        argv = [*self._before]
        argv += self.with_tun(self._python, "-m", "insula.daemon", "--ready-fd", str(theirs))
        argv += ["--registry-mirror", self.mirror]
        argv += ["--debug"] if self.debug else []
        self._said = self._own / f"stderr-{secrets.token_hex(4)}"
        with open(self._said, "wb") as said:
            self.process = subprocess.Popen(
                argv, env=self.env, pass_fds=[theirs], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                start_new_session=True, cwd="/",
            )  # fmt: skip
        os.close(theirs)
        try:
            ready, _, _ = select.select([ours], [], [], START_TIMEOUT)
            words = os.read(ours, 4096) if ready else b"nothing in time"
        finally:
            os.close(ours)
        if words != b"ready\n":
            self.kill()
            raise AssertionError(f"the daemon did not start: {words.decode()} {self.said()}")

    def said(self) -> str:
        """What it wrote to its standard error (a defect, if anything)."""
        return self._said.read_text()

    def kill(self) -> None:
        """SIGKILL: no farewell."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        assert self.process is not None
        self.process.terminate()
        status = self.process.wait(timeout=30)
        self.process = None
        return status

    def restart(self) -> None:
        self.stop()
        self.start()

    def reboot(self) -> None:
        """As if the host had been started anew: daemon, machines and network are gone at once, and what was in the
        run directory, which no reboot keeps."""
        self.kill()
        self._kill_machines()
        shutil.rmtree(self.run)
        self.start()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        if self.process is not None:
            self.stop()
        self._kill_machines()
        shutil.rmtree(self._own, ignore_errors=True)

    def _kill_machines(self) -> None:
        """The machines of this run directory alone, and its network: QEMU's -name holds the id, which is a folder's
        name here; netd and the others are called by the run directory."""
        folder = self.run / "machines"
        ids = [entry.name.encode() for entry in folder.iterdir()] if folder.exists() else []
        ids += [name_of(self.run).encode(), *self.network_spaces()]
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if any(word in command for word in (b"qemu", b"insula", b"pasta")) and any(
                    id in command for id in ids
                ):
                    os.kill(int(entry.name), signal.SIGKILL)

    def network_spaces(self) -> list[bytes]:
        """The path of the network's name space, by which pasta is told of it; empty before there is one."""
        file = self.run / "net" / "holder.pid"
        return [f"/proc/{file.read_text()}/ns/net".encode()] if file.exists() else []

    # -- clients

    def command(self, *words: str) -> list[str]:
        """A command as whoever the daemon runs as."""
        return [*self._as_user, *words]

    def with_tun(self, *words: str) -> list[str]:
        """A command as another user, with a tun node that this user may open, as distributions have it; seen by it
        alone."""
        if not self._as_user:
            return list(words)
        script = (
            "mkdir -p /dev/net && mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200 && "
            'chmod 666 /dev/net/tun && exec "$@"'
        )
        return ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script, "sh", *self.command(*words)]

    @property
    def client(self) -> docker.DockerClient:
        """docker-py."""
        if self._client is None:
            self._client = docker.DockerClient(base_url=f"unix://{self.socket}", version="auto", timeout=120)
        return self._client

    def docker(
        self, *args: str, timeout: float = 120, input: bytes | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """The docker command; its status is the caller's to judge."""
        return subprocess.run(
            self.command("docker", *args), env={**self.env, **(env or {})}, timeout=timeout, input=input, capture_output=True,
            check=False,
        )  # fmt: skip

    def insula(
        self, *args: str, timeout: float = 120, input: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """The insula command."""
        return subprocess.run(
            self.command(self._python, "-m", "insula", *args), env=self.env, timeout=timeout, input=input, capture_output=True,
            check=False,
        )  # fmt: skip

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One plain request. body: bytes as they are, or something that becomes JSON."""
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = dict(headers or {})
        if raw is not None:
            given.setdefault("Content-Type", "application/json")
        connection = UnixConnection(self.socket)
        try:
            connection.request(method, path, raw, given)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def wait_for_log(self, words: str, timeout: float = 60) -> None:
        """Until the daemon's log holds some words."""
        deadline = time.monotonic() + timeout
        while words not in (self.home / "daemon.log").read_text():
            if time.monotonic() > deadline:
                raise AssertionError(f"the log never said {words!r}")
            time.sleep(0.05)
