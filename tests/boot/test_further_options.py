"""Options whose effect is not in the container's own files of the kernel: its log, its networks, its terminal's first
size, the shell of its checks. Through the docker command, or the API where that has no word for them."""

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from words import BOTH, Words

pytestmark = pytest.mark.boot


def create(docker: Words, **config: Any) -> str:
    """By the API alone, with busybox: its id."""
    answer = docker.daemon.request("POST", "/containers/create", {"Image": "busybox", **config})
    assert answer.status == 201, answer.body
    return str(answer.json()["Id"])


def say(docker: Words, id: str) -> str:
    """Runs it to its end: what it has said."""
    docker.succeed("start", id)
    docker.succeed("wait", id)
    return docker.succeed("logs", id)


# -- logs


@BOTH
def test_a_log_is_bounded_compressed_and_says_what_it_was_asked_to(docker: Words) -> None:
    options = ("max-size=10k", "max-file=3", "compress=true", "labels=first", "env=A", "tag={{.Name}}")
    words = [word for option in options for word in ("--log-opt", option)]
    script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i + 1)); done; echo the end"
    docker.start("--name", "talks", "-l", "first=1", "-l", "other=2", "-e", "A=b", "--log-driver", "json-file", *words,
                 "busybox", "sh", "-c", script)  # fmt: skip
    docker.succeed("wait", "talks")
    *lines, last = docker.succeed("logs", "talks").splitlines()
    assert (
        last == "the end"
        and lines == [f"line {n}" for n in range(2000 - len(lines), 2000)]
        and len(lines) < 1999
    )
    shown = docker.succeed("logs", "--details", "-n", "1", "talks")
    assert shown == "A=b,first=1,tag=talks the end\n"
    path = Path(docker.inspect("talks")["LogPath"])
    files = sorted(path.parent.glob(f"{path.name}*"))
    assert [re.sub(r"\.\d+", ".N", file.name) for file in files] == [path.name, *[f"{path.name}.N.gz"] * 2]
    kept = [path.read_bytes(), *(gzip.decompress(file.read_bytes()) for file in files[1:])]
    assert all(len(text) < 11_000 for text in kept)
    entry = json.loads(kept[0].splitlines()[-1])
    assert (entry["log"], entry["stream"]) == ("the end\n", "stdout")
    assert entry["attrs"] == {"A": "b", "first": "1", "tag": "talks"}


@BOTH
def test_other_log_drivers(docker: Words) -> None:
    docker.start(
        "--name", "local", "--log-driver", "local", "--log-opt", "max-size=1m", "busybox", "echo", "kept"
    )
    docker.start("--name", "none", "--log-driver", "none", "busybox", "echo", "lost")
    docker.succeed("wait", "local", "none")
    assert docker.succeed("logs", "local") == "kept\n"
    assert "configured logging driver does not support reading" in docker.fail(1, "logs", "none")
    assert [docker.inspect(name)["LogPath"] for name in ("local", "none")] == ["", ""]
    assert docker.run("--log-driver", "none", "busybox", "echo", "said") == "said\n"
    said = docker.daemon.docker("create", "--log-driver", "syslog", "busybox")
    assert b"logger: no log driver named 'syslog' is registered" in said.stderr and said.returncode == 1


# -- networks


@pytest.fixture
def pair(docker: Words) -> Iterator[Words]:
    """Two networks, `near` and `far`."""
    with ExitStack() as held:
        for network, subnet in (("near", "10.91.0.0/24"), ("far", "10.91.1.0/24")):
            docker.succeed("network", "create", "--subnet", subnet, network)
            held.callback(docker.succeed, "network", "rm", network)
        held.callback(docker.sweep)
        yield docker


@BOTH
def test_an_address_of_the_link_and_the_gateway_that_is_preferred(pair: Words) -> None:
    docker = pair
    show = "cat /sys/class/net/eth0/address; ip route show default"
    one = docker.run("--network", "near", "--mac-address", "02:42:0a:5b:00:09", "busybox", "sh", "-c", show)
    assert one.splitlines()[0] == "02:42:0a:5b:00:09" and " via 10.91.0.1 " in one
    for preferred, gateway in (("near", "10.91.0.1"), ("far", "10.91.1.1")):
        ends: dict[str, dict[str, Any]] = {
            "near": {},
            "far": {"MacAddress": "02:42:0a:5b:01:09", "DriverOpts": {"a.b": "c"}},
        }
        ends[preferred]["GwPriority"] = 7
        id = create(docker, Cmd=["sh", "-c", "cat /sys/class/net/*/address; ip route show default"],
                    HostConfig={"NetworkMode": "near"}, NetworkingConfig={"EndpointsConfig": ends})  # fmt: skip
        said = say(docker, id)
        assert f"default via {gateway} " in said and "02:42:0a:5b:01:09" in said
        assert docker.inspect(id)["NetworkSettings"]["Networks"]["far"]["DriverOpts"] == {"a.b": "c"}
        docker.succeed("rm", id)


@BOTH
def test_no_network_at_all(docker: Words) -> None:
    id = create(docker, Cmd=["ls", "/sys/class/net"], NetworkDisabled=True)
    assert say(docker, id) == "lo\n"


# -- the rest


@BOTH
def test_a_terminal_has_its_size_from_the_start(docker: Words) -> None:
    id = create(docker, Cmd=["stty", "size"], Tty=True, HostConfig={"ConsoleSize": [31, 107]})
    assert say(docker, id) == "31 107\r\n"


@BOTH
def test_a_check_goes_by_the_shell_that_is_asked_for(docker: Words) -> None:
    check = {"Test": ["CMD-SHELL", "echo looked"], "Interval": 10**8}
    id = create(docker, Cmd=["sleep", "600"], Shell=["/bin/sh", "-xc"], Healthcheck=check)
    docker.succeed("start", id)
    with docker.begin(
        "events", "--since", "1", "--filter", f"container={id}", "--format", "{{.Action}}"
    ) as events:
        assert events.stdout is not None
        assert any(line.startswith(b"health_status: healthy") for line in events.stdout)
    assert docker.state(id)["Health"]["Log"][0]["Output"] == "+ echo looked\nlooked\n"


@BOTH
def test_an_id_in_a_file_and_a_driver_of_volumes(docker: Words, place: Path) -> None:
    place.chmod(0o777)
    docker.succeed("create", "--name", "filed", "--cidfile", str(place / "id"), "--volume-driver", "local",
                   "-v", "driven:/v", "busybox", "grep", "-c", " /v ", "/proc/mounts")  # fmt: skip
    assert docker.inspect("filed")["Id"] == (place / "id").read_text()
    assert say(docker, "filed") == "1\n"
    docker.succeed("rm", "filed")
    docker.succeed("volume", "rm", "driven")
    asked = {"Image": "busybox", "HostConfig": {"VolumeDriver": "nfs", "Binds": ["other:/v"]}}
    answer = docker.daemon.request("POST", "/containers/create", asked)
    assert answer.status == 404 and '"nfs"' in answer.message
