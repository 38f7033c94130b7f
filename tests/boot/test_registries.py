"""An image goes to a registry and comes back, for each platform, by what `run` does of itself; then it runs."""

from collections.abc import Callable

import pytest
from words import Words

from boot_paths import MACHINES, PLATFORMS
from daemon_fixture import DaemonProcess
from registry_process import open_registry

pytestmark = pytest.mark.boot


def test_what_was_pushed_is_pulled_and_runs(new_daemon: Callable[[], DaemonProcess]) -> None:
    docker = Words(daemon := new_daemon())
    with open_registry() as registry:
        name = f"{registry.address}/library/busybox:latest"
        docker.succeed("tag", "busybox", name)
        digest = docker.succeed("push", name).split("digest: ")[1].split()[0]
        docker.succeed("rmi", "busybox", name)
        assert name not in docker.succeed("images", "--format", "{{.Repository}}:{{.Tag}}")
        for platform in PLATFORMS:
            run = ("run", "--rm", "--network", "none", "--platform", platform, name, "uname", "-m")
            ran = daemon.insula(*run, timeout=300)
            assert (ran.returncode, ran.stdout.decode()) == (0, f"{MACHINES[platform]}\n"), ran.stderr
            assert b"Unable to find image" in ran.stderr and b"Downloaded newer image" in ran.stderr
            assert docker.succeed(*run, timeout=300) == f"{MACHINES[platform]}\n"
        assert (
            docker.succeed("image", "inspect", "-f", "{{index .RepoDigests 0}}", name)
            .strip()
            .endswith(digest)
        )
        docker.succeed("rmi", name)
        daemon.stop()
        daemon.mirror = f"http://{registry.address}"
        daemon.start()
        assert (
            docker.succeed("run", "--rm", "--network", "none", "busybox", "echo", "by mirror")
            == "by mirror\n"
        )
    assert docker.faults() == []
