"""Compose v2 against a daemon: an application of three services, from its build to `down -v`."""

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from words import Words

from daemon_fixture import DaemonProcess

pytestmark = pytest.mark.boot
PROGRAM = Path(sys.executable).with_name("docker-compose")  # images/setup puts it there
PROJECT = "shop"
YAML = """
services:
  store:
    image: busybox
    command: sh -c 'echo kept >> /data/log; touch /tmp/ready; exec sleep 3600'
    volumes: [data:/data]
    healthcheck: {test: test -e /tmp/ready, interval: 1s, timeout: 10s, retries: 60}
  app:
    build: {context: ., args: {WORD: built}}
    environment: {STORE: store}
    depends_on: {store: {condition: service_healthy}}
    volumes: [data:/data:ro]
  web:
    image: busybox
    command: sh -c 'echo page of web > /index.html; exec httpd -f -h / -p 80'
    ports: ["127.0.0.1:PORT:80"]
    depends_on: [app]
volumes: {data: {}}
"""
DOCKERFILE = """FROM busybox
ARG WORD
RUN echo $WORD > /word
CMD ["sh", "-c", "echo app says $(cat /word) and $(cat /data/log); exec sleep 3600"]
"""


class Compose:
    """The command in the folder of one project."""

    def __init__(self, daemon: DaemonProcess, folder: Path) -> None:
        self.daemon = daemon
        self.folder = folder

    def run(self, *words: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [PROGRAM, "-p", PROJECT, "--progress", "plain", *words], cwd=self.folder, timeout=240, text=True,
            env={**self.daemon.env, "DOCKER_BUILDKIT": "0", **(env or {})}, capture_output=True, check=False,
        )  # fmt: skip

    def succeed(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:], self.daemon.said())
        return done.stdout

    def services(self) -> list[tuple[str, str, str]]:
        """Name, state and health of each container."""
        lines = self.succeed("ps", "-a", "--format", "json").splitlines()
        found = [json.loads(line) for line in lines]
        return sorted((one["Name"], one["State"], one["Health"]) for one in found)


@pytest.fixture
def compose(new_daemon: Callable[[], DaemonProcess], place: Path) -> Iterator[Compose]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (place / "compose.yaml").write_text(YAML.replace("PORT", str(port)))
    (place / "Dockerfile").write_text(DOCKERFILE)
    yield Compose(new_daemon(), place)


def test_an_application_of_three_services(compose: Compose) -> None:
    docker = Words(compose.daemon)
    compose.succeed("up", "-d", "--build")
    assert compose.services() == [
        ("shop-app-1", "running", ""),
        ("shop-store-1", "running", "healthy"),
        ("shop-web-1", "running", ""),
    ]
    assert docker.succeed("image", "inspect", "-f", "{{.Id}}", "shop-app").startswith("sha256:")
    docker.until_lines("shop-app-1", "app says built and kept")
    assert "app-1  | app says built and kept" in compose.succeed("logs", "app")
    assert compose.succeed("exec", "-T", "app", "sh", "-c", "echo $STORE; cat /word") == "store\nbuilt\n"
    assert "store" in compose.succeed("exec", "-T", "app", "nslookup", "store.")
    assert compose.run("exec", "-T", "app", "sh", "-c", "exit 7").returncode == 7
    address = compose.succeed("port", "web", "80").strip()
    with urllib.request.urlopen(f"http://{address}/index.html", timeout=30) as answer:
        assert answer.read() == b"page of web\n"
    before = docker.containers()
    compose.succeed("up", "-d")
    assert docker.containers() == before, "nothing has changed, so nothing is made anew"
    compose.succeed("up", "-d", "--scale", "app=3", "--no-recreate")
    assert [name for name, state, _ in compose.services() if "app" in name and state == "running"] == [
        "shop-app-1",
        "shop-app-2",
        "shop-app-3",
    ]
    assert compose.succeed("run", "--rm", "-T", "app", "cat", "/data/log") == "kept\n"
    compose.succeed("restart", "store")
    compose.succeed("stop", "web")
    assert [state for name, state, _ in compose.services() if name == "shop-web-1"] == ["exited"]
    compose.succeed("down", "-v")
    assert docker.containers() == []
    assert "shop" not in docker.succeed("network", "ls") + docker.succeed("volume", "ls")
    assert docker.faults() == []


def test_a_builder_that_is_not_there_is_told(compose: Compose) -> None:
    """BuildKit's, which Compose takes unless it is told to take the classic one."""
    failed = compose.run("build", env={"DOCKER_BUILDKIT": "1"})
    assert failed.returncode != 0
    assert "DOCKER_BUILDKIT=0" in failed.stderr, failed.stderr[-3000:]
