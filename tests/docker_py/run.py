"""`make test-docker-py`: docker-py 7.0.0's own tests of containers, execs, images, builds, networks, volumes, here.

    run.py                     the files of FILES, but for LEFT_OUT
    run.py -k exec …           further words go to pytest
    run.py api_exec_test.py    these files alone

The suite is its source distribution from PyPI, in a virtual environment of its own (build-out/docker-py). Its images
are made here: Alpine's genuine userland with the user it wants, busybox, and a hello-world of one small file. What it
removes it pulls again, from a registry on the loopback that is the daemon's mirror. LEFT_OUT names each test that
cannot pass, with its reason; docs/compatibility.md shows the reasons.
"""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "hypervisor"))

from boot_paths import fresh_home  # noqa: E402 - the tests' folder is not a package
from daemon_fixture import DaemonProcess  # noqa: E402
from registry_process import open_registry  # noqa: E402

KEPT = ROOT / "build-out" / "docker-py"
SUITE = KEPT / "docker-7.0.0"
WHEELS = ROOT / "build-out" / "flashvm"
# requests from 2.32 on knows docker-py 7.0.0's URLs no more
REQUIREMENTS = ("requests<2.32", "urllib3<3", "packaging", "paramiko", "websocket-client", "pytest==7.4.2",
                "pytest-timeout==2.1.0")  # fmt: skip
FILES = ("api_container_test.py", "models_containers_test.py", "models_resources_test.py", "api_exec_test.py",
         "api_healthcheck_test.py", "api_client_test.py", "client_test.py", "regression_test.py", "errors_test.py",
         "context_api_test.py", "api_build_test.py", "api_image_test.py", "models_images_test.py",
         "api_network_test.py", "models_networks_test.py", "api_volume_test.py", "models_volumes_test.py")  # fmt: skip
IMAGES = ("alpine:3.10", "alpine:latest", "busybox:latest", "hello-world:latest")
AT_ONCE = "reads a log right after the start and waits for nothing: the program's words come a moment later"
REFUSED = "refused on purpose: a machine has no device of the host"
SWARM = "needs a swarm"
OLDER = "looks at fields of an image that the API has no more since 1.45"

LEFT_OUT: dict[str, str] = {
    "CreateContainerTest::test_create_with_device_cgroup_rules": REFUSED,
    "VolumeBindTest::test_create_with_binds_rw_rshared": "refused on purpose: a machine's mounts are not the host's",
    "ContainerCPUTest::test_create_with_runtime": "expects runc as the daemon's default: its client sends no runtime",
    "AttachContainerTest::test_run_container_reading_socket_ws": "its client cannot open a websocket on a unix socket",
    "ConnectionTimeoutTest": "needs a network that swallows packets",
    "BuildTest::test_build_in_context_abs_dockerfile": AT_ONCE,
    "BuildTest::test_build_in_context_dockerfile": AT_ONCE,
    "BuildTest::test_build_in_context_nested_dockerfile": AT_ONCE,
    "BuildTest::test_build_out_of_context_dockerfile": AT_ONCE,
    "BuildTest::test_build_streaming": "adds a file of an address in the internet that is no longer there",
    "CommitTest::test_commit": OLDER,
    "TestNetworks::test_create_network_attachable": SWARM,
    "TestNetworks::test_create_network_ingress": SWARM,
    "TestNetworks::test_create_inspect_network_with_scope": SWARM,
    "TestNetworks::test_create_with_linklocal_ips": "refused: a container has the addresses of its networks alone",
    "ImageCollectionTest::test_pull_with_sha": "pulls an image of Docker's Hub by its digest",
}
"""The beginning of a test's name (class::test), and why it is left out."""


def prepare() -> Path:
    """The suite and its interpreter, made once."""
    python = KEPT / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", KEPT / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *REQUIREMENTS], check=True)
    if not SUITE.exists():
        fetch = ["download", "-q", "--no-deps", "--no-binary", ":all:", "-d", KEPT, "docker==7.0.0"]
        subprocess.run([python, "-m", "pip", *fetch], check=True)
        with tarfile.open(KEPT / "docker-7.0.0.tar.gz") as archive:
            archive.extractall(KEPT, filter="data")
    if not list(WHEELS.glob("flashvm-0.1.3-*.whl")):
        fetch = ["download", "-q", "--no-deps", "--platform", "manylinux_2_39_x86_64", "--only-binary=:all:"]
        subprocess.run([python, "-m", "pip", *fetch, "-d", WHEELS, "flashvm==0.1.3"], check=True)
    return python


def make_images(daemon: DaemonProcess) -> None:
    """IMAGES; Alpine is out of a wheel that carries a genuine one."""
    answer = daemon.request("POST", "/insula/bootstrap", {"what": "busybox", "platforms": ["linux/amd64"]})
    assert answer.status == 200, answer.body
    with zipfile.ZipFile(next(WHEELS.glob("flashvm-0.1.3-*.whl"))) as wheel:
        layout = io.BytesIO()
        with tarfile.open(fileobj=layout, mode="w") as archive:
            for info in wheel.infolist():
                name = info.filename.removeprefix("flashvm/data/oci/")
                if name != info.filename and not info.is_dir():
                    member = tarfile.TarInfo(name)
                    member.size = info.file_size
                    archive.addfile(member, io.BytesIO(wheel.read(info)))
    loaded = daemon.docker("load", "-q", input=layout.getvalue())
    assert loaded.returncode == 0, loaded.stderr
    image = loaded.stdout.decode().rpartition(": ")[2].strip()
    # the container's own shell makes the changed tar: nothing is unpacked here
    change = (
        "echo postgres:x:70:70::/var/lib/postgresql:/bin/sh >>/etc/passwd; echo postgres:x:70: >>/etc/group;"
        "mkdir -p /var/opt; tar -c -f - -C / bin etc home lib media opt root run sbin srv tmp usr/bin usr/sbin var"
    )
    packed = daemon.docker(
        "run", "--rm", "--network", "none", "--user", "0", "--entrypoint", "sh", image, "-c", change
    )
    assert packed.returncode == 0, packed.stderr
    succeed(daemon, "import", "-c", 'CMD ["/bin/sh"]', "-", "alpine:3.10", input=packed.stdout)
    succeed(daemon, "tag", "alpine:3.10", "alpine:latest")
    hello = io.BytesIO()
    with tarfile.open(fileobj=hello, mode="w") as archive:
        member = tarfile.TarInfo("hello")
        member.size = 13
        archive.addfile(member, io.BytesIO(b"Hello world!\n"))
    succeed(daemon, "import", "-c", 'CMD ["/hello"]', "-", "hello-world:latest", input=hello.getvalue())


def succeed(daemon: DaemonProcess, *words: str, input: bytes | None = None) -> None:
    done = daemon.docker(*words, input=input)
    assert done.returncode == 0, done.stderr


def fill_registry(daemon: DaemonProcess, address: str) -> None:
    """IMAGES under the names by which a mirror of the Hub is asked for them; the daemon keeps none of these names."""
    for image in IMAGES:
        name = f"{address}/library/{image}"
        succeed(daemon, "tag", image, name)
        succeed(daemon, "push", "-q", name)
        succeed(daemon, "rmi", name)


def main(words: list[str]) -> int:
    python = prepare()
    left_out = [f"--deselect=tests/integration/{file}::{name}" for file in FILES for name in LEFT_OUT]
    named = [word for word in words if word.endswith(".py")]
    words = [word for word in words if word not in named]
    with fresh_home() as home, tempfile.TemporaryDirectory() as own, open_registry() as registry:
        daemon = DaemonProcess(home)
        try:
            daemon.start()
            make_images(daemon)
            fill_registry(daemon, registry.address)
            daemon.stop()
            daemon.mirror = f"http://{registry.address}"
            daemon.start()
            # contexts are kept beside the client's configuration: without one, in the suite, for the next run to trip over
            (Path(own) / ".docker").mkdir()
            (Path(own) / ".docker" / "config.json").write_text("{}")
            env = {"PATH": os.environ["PATH"], "HOME": own, "PYTHONPATH": str(SUITE),
                   "DOCKER_HOST": f"unix://{daemon.socket}"}  # fmt: skip
            files = [f"tests/integration/{name}" for name in named or FILES]
            argv = [
                python,
                "-m",
                "pytest",
                "-p",
                "no:cacheprovider",
                "-q",
                "-rfEX",
                "--timeout=60",
                *left_out,
                *words,
                *files,
            ]
            return subprocess.run(argv, cwd=SUITE, env=env, check=False).returncode
        finally:
            daemon.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
