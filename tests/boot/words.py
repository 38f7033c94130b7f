"""The docker command in a test's words.

docker.succeed("run", "--rm", "busybox", "true")        its standard output; a failure shows everything
docker.fail(127, "run", "--rm", "busybox", "nothing")   its standard error
docker.inspect(name)["State"]                           one container, as the API tells it
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from daemon_fixture import DaemonProcess
from ordinary_user import IS_ROOT

USERS = (
    (("root", "user") if "INSULA_TEST_PLATFORMS" not in os.environ else ("root",)) if IS_ROOT else ("user",)
)
BOTH = pytest.mark.parametrize("docker", USERS, indirect=True)
"""Before a test of the `docker` fixture: once against root's daemon, once against an ordinary user's."""
BOTH_NEW = pytest.mark.parametrize("new_daemon", USERS, indirect=True)
"""The same before a test of the `new_daemon` fixture."""


class Words:
    def __init__(self, daemon: DaemonProcess) -> None:
        self.daemon = daemon

    def succeed(self, *args: str, input: bytes | None = None, timeout: float = 120) -> str:
        done = self.daemon.docker(*args, input=input, timeout=timeout)
        assert done.returncode == 0, (
            args,
            done.returncode,
            done.stdout[-2000:],
            done.stderr[-2000:],
            self.health(),
        )
        return done.stdout.decode()

    def fail(self, code: int, *args: str, input: bytes | None = None) -> str:
        done = self.daemon.docker(*args, input=input)
        assert done.returncode == code, (args, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done.stderr.decode()

    def health(self) -> str:
        """What a failure may have come from: the daemon's own end, or words it should not have said."""
        process = self.daemon.process
        return f"the daemon: {'killed' if process is None else process.poll()} {self.daemon.said()[-2000:]}"

    def faults(self) -> list[str]:
        """What the daemon's log tells of its own defects (what is no HTTP is its sender's)."""
        lines = (self.daemon.home / "daemon.log").read_text().splitlines()
        return [line[:2000] for line in lines if " ERROR " in line and " aiohttp.server: " not in line]

    def run(self, *args: str, input: bytes | None = None) -> str:
        """A container of busybox that is gone afterwards: what it printed."""
        return self.succeed("run", "--rm", *args, input=input)

    def start(self, *args: str) -> str:
        """A container in the background: its id."""
        return self.succeed("run", "-d", *args).strip()

    def sleeper(self, *args: str) -> str:
        """A container that does nothing until it is killed: its id."""
        return self.start(
            *args, "busybox", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"
        )

    @contextmanager
    def begin(self, *args: str, **given: Any) -> Iterator[subprocess.Popen[bytes]]:
        """A command that goes on meanwhile, its input and output on pipes; ended when the context is left."""
        with subprocess.Popen(
            self.daemon.command("docker", *args), env={**self.daemon.env, **given.pop("env", {})},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, **given,
        ) as client:  # fmt: skip
            assert client.stdin is not None and client.stdout is not None
            try:
                yield client
            finally:
                client.kill()

    def until_lines(self, name: str, word: str, count: int = 1) -> None:
        """Follows a container's log until a line has come so many times."""
        with self.begin("logs", "-f", name) as follower:
            assert follower.stdout is not None
            for line in follower.stdout:
                count -= line.rstrip() == word.encode()
                if count == 0:
                    return
        raise AssertionError(f"{name} has ended without {word!r}")

    def until_healthy(self, name: str) -> None:
        """Returns once its health check says so; fails if it ends before."""
        with self.begin(
            "events", "--since", "1h", "--filter", f"container={name}", "--filter", "event=health_status",
            "--filter", "event=die", "--format", "{{.Action}}",
        ) as events:  # fmt: skip
            assert events.stdout is not None
            for line in events.stdout:
                if line.strip() == b"health_status: healthy":
                    return
                assert line.strip() != b"die", self.succeed("logs", name)

    def until_running(self, count: int) -> None:
        """Returns when so many containers run, with events to tell it."""
        with self.begin("events", "--filter", "event=start", "--format", "{{.ID}}") as events:
            while len(self.succeed("ps", "-q").split()) < count:
                assert events.stdout is not None
                events.stdout.readline()

    def inspect(self, reference: str) -> dict[str, Any]:
        found = json.loads(self.succeed("inspect", "--type", "container", reference))
        assert len(found) == 1
        return dict(found[0])

    def state(self, reference: str) -> dict[str, Any]:
        return dict(self.inspect(reference)["State"])

    def containers(self) -> list[str]:
        return self.succeed("ps", "-aq", "--no-trunc").split()

    def sweep(self) -> None:
        """Removes every container."""
        for id in self.containers():
            self.succeed("rm", "-f", id)
