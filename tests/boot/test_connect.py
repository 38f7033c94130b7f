"""Networks that come to a running container and go from it, several at a time, and links; through the docker command."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from test_networks import fetch
from words import BOTH, BOTH_NEW, Words

from daemon_fixture import DaemonProcess

pytestmark = pytest.mark.boot

SERVER = "mkdir /w; echo $0 > /w/index.html; httpd -p 80 -h /w; echo ready; trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"


@pytest.fixture
def networks(docker: Words) -> Iterator[Words]:
    """`left` and `right`, with a web server `web` on right, which listens."""
    with ExitStack() as held:
        for number, network in enumerate(("left", "right")):
            words = ("--ipv6", "--subnet", f"10.88.{number}.0/24", "--subnet", f"fd00:88:{number}::/64")
            docker.succeed("network", "create", *words, network)
            held.callback(docker.succeed, "network", "rm", network)
        held.callback(docker.sweep)
        serve(docker, "web", "--network", "right")
        yield docker


def serve(docker: Words, name: str, *words: str) -> None:
    docker.start("--name", name, *words, "busybox", "sh", "-c", SERVER, name)
    docker.until_lines(name, "ready")


def devices(docker: Words, name: str) -> set[str]:
    return set(docker.succeed("exec", name, "ls", "/sys/class/net").split())


def on(docker: Words, name: str) -> dict[str, Any]:
    return dict(docker.inspect(name)["NetworkSettings"]["Networks"])


def reaches(docker: Words, name: str, host: str) -> bool:
    """By a name or an address, its web server's port."""
    words = f"timeout 3 nc -w 2 {host} 80 </dev/null && echo REACHED; echo done"
    said = docker.succeed("exec", name, "sh", "-c", words).split()
    assert said[-1] == "done"
    return "REACHED" in said


def default_route(docker: Words, name: str) -> list[str]:
    """Gateway and device."""
    words = docker.succeed("exec", name, "ip", "route", "show", "default").split()
    return [words[2], words[4]] if words else []


@BOTH
def test_networks_come_to_a_running_container_and_go(networks: Words) -> None:
    docker = networks
    docker.sleeper("--name", "roamer", "--network", "left")
    assert devices(docker, "roamer") == {"lo", "eth0"}
    assert not reaches(docker, "roamer", "10.88.1.2")
    docker.succeed(
        "network",
        "connect",
        "--alias",
        "rover",
        "--ip",
        "10.88.1.77",
        "--ip6",
        "fd00:88:1::77",
        "right",
        "roamer",
    )
    assert devices(docker, "roamer") == {"lo", "eth0", "eth1"}
    assert docker.succeed("exec", "roamer", "wget", "-qO-", "http://web/").strip() == "web"
    assert "bytes from" in docker.succeed("exec", "web", "ping", "-c1", "-w9", "rover")
    assert "bytes from" in docker.succeed("exec", "web", "ping", "-6", "-c1", "-w9", "fd00:88:1::77")
    right = on(docker, "roamer")["right"]
    assert (right["IPAddress"], right["GlobalIPv6Address"]) == ("10.88.1.77", "fd00:88:1::77")
    assert "rover" in right["Aliases"] and "rover" in right["DNSNames"]
    assert "10.88.1.77\t" in docker.succeed("exec", "roamer", "cat", "/etc/hosts")
    assert "already exists in network" in docker.fail(1, "network", "connect", "right", "roamer")
    assert default_route(docker, "roamer") == ["10.88.0.1", "eth0"], "left comes first by name"

    docker.succeed("network", "disconnect", "left", "roamer")
    assert devices(docker, "roamer") == {"lo", "eth1"}
    assert default_route(docker, "roamer") == ["10.88.1.1", "eth1"]
    assert "nameserver 10.88.1.1\n" in docker.succeed("exec", "roamer", "cat", "/etc/resolv.conf")
    assert docker.succeed("exec", "roamer", "wget", "-qO-", "http://web/").strip() == "web"
    assert set(on(docker, "roamer")) == {"right"}
    assert "is not connected to network left" in docker.fail(1, "network", "disconnect", "left", "roamer")

    docker.succeed("network", "disconnect", "right", "roamer")
    assert devices(docker, "roamer") == {"lo"}
    assert on(docker, "roamer") == {}
    docker.succeed("network", "connect", "left", "roamer")
    assert devices(docker, "roamer") == {"lo", "eth0"}
    assert default_route(docker, "roamer") == ["10.88.0.1", "eth0"]
    id = docker.inspect("roamer")["Id"]
    query = f'since=0&until={time.time():.9f}&filters={{"type":["network"]}}'
    told = [json.loads(line) for line in docker.daemon.request("GET", f"/events?{query}").body.splitlines()]
    mine = [
        (event["Action"], event["Actor"]["Attributes"]["name"])
        for event in told
        if event["Actor"]["Attributes"].get("container") == id
    ]
    assert mine == [
        ("connect", "left"), ("connect", "right"), ("disconnect", "left"), ("disconnect", "right"), ("connect", "left"),
    ]  # fmt: skip
    docker.succeed("restart", "-t", "0", "roamer")
    assert set(on(docker, "roamer")) == {"left"}


def test_what_a_container_has_left_it_cannot_reach_by_force(networks: Words) -> None:
    """It has every capability, gives its device another name, and keeps it: the host's end has gone."""
    docker = networks
    docker.sleeper("--name", "roamer", "--privileged", "--network", "right")
    assert "bytes from" in docker.succeed("exec", "roamer", "ping", "-c1", "-w9", "10.88.1.2")
    docker.succeed(
        "exec", "roamer", "sh", "-c", "ip link set eth0 down; ip link set eth0 name mine; ip link set mine up"
    )
    assert "bytes from" in docker.succeed("exec", "roamer", "ping", "-c1", "-w9", "10.88.1.2")
    docker.succeed("network", "disconnect", "right", "roamer")
    docker.fail(1, "exec", "roamer", "ping", "-c1", "-w2", "10.88.1.2")


def test_a_machine_can_be_on_four_networks(networks: Words) -> None:
    docker = networks
    docker.sleeper("--name", "roamer")
    for network in ("c", "d", "e"):
        docker.succeed("network", "create", network)
    for network in ("c", "d", "left"):
        docker.succeed("network", "connect", network, "roamer")
    assert "no machine can be on more" in docker.fail(1, "network", "connect", "e", "roamer")
    assert devices(docker, "roamer") == {"lo", "eth0", "eth1", "eth2", "eth3"}
    assert set(on(docker, "roamer")) == {"bridge", "c", "d", "left"}
    docker.succeed("rm", "-f", "roamer")
    docker.succeed("network", "rm", "c", "d", "e")


def test_several_networks_from_the_start(networks: Words) -> None:
    """Each device has its network's address, whatever order the machine's kernel found them in."""
    docker = networks
    for platform in ("linux/amd64", "linux/arm64"):
        docker.succeed("create", "--name", "many", "--platform", platform, "--network", "right", "busybox",
                       "sh", "-c", "ip -4 -o addr | awk '{print $2,$4}'; wget -qO- http://web/; sleep 1000")  # fmt: skip
        docker.succeed("network", "connect", "--ip", "10.88.0.9", "left", "many")
        docker.succeed("network", "connect", "bridge", "many")
        docker.succeed("start", "many")
        docker.until_lines("many", "web")
        said = dict(line.split() for line in docker.succeed("logs", "many").splitlines() if " " in line)
        networks_of = on(docker, "many")
        assert said["eth1"] == "10.88.0.9/24"
        assert said["eth0"].startswith(networks_of["right"]["IPAddress"] + "/")
        assert said["eth2"].startswith(networks_of["bridge"]["IPAddress"] + "/")
        assert default_route(docker, "many") == [networks_of["bridge"]["Gateway"], "eth2"]
        docker.succeed("rm", "-f", "many")


@BOTH
def test_none_is_a_network_that_can_be_left(networks: Words) -> None:
    docker = networks
    docker.sleeper("--name", "hermit", "--network", "none")
    assert devices(docker, "hermit") == {"lo"} and set(on(docker, "hermit")) == {"none"}
    assert "private (none) mode" in docker.fail(1, "network", "connect", "right", "hermit")
    assert "already exists in network none" in docker.fail(1, "network", "connect", "none", "hermit")
    docker.succeed("network", "disconnect", "none", "hermit")
    assert on(docker, "hermit") == {}
    assert "is not connected to network none" in docker.fail(1, "network", "disconnect", "none", "hermit")
    docker.succeed("network", "connect", "right", "hermit")
    assert reaches(docker, "hermit", "web") and set(on(docker, "hermit")) == {"right"}
    assert "private (none) mode" in docker.fail(1, "network", "connect", "none", "hermit")
    docker.succeed("network", "disconnect", "right", "hermit")
    docker.succeed("network", "connect", "none", "hermit")
    assert devices(docker, "hermit") == {"lo"} and set(on(docker, "hermit")) == {"none"}
    docker.succeed("restart", "-t", "0", "hermit")
    assert devices(docker, "hermit") == {"lo"}


def test_a_paused_container_has_the_networks_that_it_has(networks: Words) -> None:
    docker = networks
    docker.succeed("pause", "web")
    assert "is paused" in docker.fail(1, "network", "connect", "left", "web")
    assert "is paused" in docker.fail(1, "network", "disconnect", "right", "web")
    docker.succeed("unpause", "web")
    docker.succeed("network", "connect", "left", "web")


def test_a_published_port_follows(networks: Words) -> None:
    docker = networks
    serve(docker, "site", "--network", "left", "-p", "127.0.0.1::80")
    port = int(docker.succeed("port", "site", "80/tcp").rpartition(":")[2])
    assert fetch(port) == "site"
    docker.succeed("network", "connect", "right", "site")
    docker.succeed("network", "disconnect", "left", "site")
    assert fetch(port) == "site"
    docker.succeed("network", "disconnect", "right", "site")
    with pytest.raises(OSError):
        fetch(port, tries=1)
    docker.succeed("network", "connect", "left", "site")
    assert fetch(port) == "site"


def test_a_renamed_container_is_found_by_its_new_name(networks: Words) -> None:
    docker = networks
    docker.sleeper("--name", "roamer", "--network", "right")
    docker.succeed("rename", "web", "site")
    assert docker.succeed("exec", "roamer", "wget", "-qO-", "http://site/").strip() == "web"
    assert not reaches(docker, "roamer", "web")


@BOTH_NEW
def test_a_later_daemon_knows_what_was_connected(new_daemon: Callable[..., DaemonProcess]) -> None:
    daemon = new_daemon()
    docker = Words(daemon)
    docker.succeed("network", "create", "left")
    docker.succeed("network", "create", "right")
    serve(docker, "web", "--network", "right")
    docker.sleeper("--name", "roamer", "--network", "left")
    docker.succeed("network", "connect", "right", "roamer")
    daemon.kill()
    daemon.start()
    assert set(on(docker, "roamer")) == {"left", "right"}
    assert docker.succeed("exec", "roamer", "wget", "-qO-", "http://web/").strip() == "web"
    docker.succeed("network", "disconnect", "left", "roamer")
    assert devices(docker, "roamer") == {"lo", "eth1"}
    assert docker.succeed("exec", "roamer", "wget", "-qO-", "http://web/").strip() == "web"
    docker.succeed("rm", "-f", "roamer", "web")
    docker.succeed("network", "rm", "left", "right")


@BOTH
def test_links_of_the_default_network(docker: Words) -> None:
    serve(docker, "db", "--expose", "80", "-e", "SECRET=x")
    script = "env; cat /etc/hosts; wget -qO- http://d/; wget -qO- http://db/"
    said = docker.run("--name", "client", "--link", "db:d", "busybox", "sh", "-c", script).splitlines()
    address = on(docker, "db")["bridge"]["IPAddress"]
    assert f"D_PORT_80_TCP=tcp://{address}:80" in said
    assert "D_NAME=/client/d" in said
    assert "D_ENV_SECRET=x" in said
    assert f"{address}\td {docker.inspect('db')['Config']['Hostname']} db" in said
    assert said[-2:] == ["db", "db"]
    docker.succeed("create", "--name", "later", "--link", "db", "busybox", "true")
    assert docker.inspect("later")["HostConfig"]["Links"] == ["/db:/later/db"]
    docker.succeed("stop", "-t", "0", "db")
    assert "Cannot link to a non running container: /db AS /later/db" in docker.fail(1, "start", "later")
    docker.succeed("rm", "--link", "/later/db")
    docker.succeed("start", "later")
    assert "could not get container for nobody" in docker.fail(
        125, "run", "--rm", "--link", "nobody", "busybox", "true"
    )


def test_a_link_of_a_users_network_is_a_name_for_one(networks: Words) -> None:
    docker = networks
    said = docker.run("--network", "right", "--link", "web:other", "busybox", "wget", "-qO-", "http://other/")
    assert said.strip() == "web"
    docker.sleeper("--name", "another", "--network", "right")
    assert reaches(docker, "another", "web")
    assert not reaches(docker, "another", "other")


def record_of(daemon: DaemonProcess, id: str) -> dict[str, Any]:
    with closing(sqlite3.connect(daemon.home / "insula.db")) as database:
        (text,) = database.execute(
            "SELECT document FROM record WHERE kind = 'container' AND id = ?", (id,)
        ).fetchone()
    return dict(json.loads(text))


def write_record(daemon: DaemonProcess, record: dict[str, Any]) -> None:
    """While no daemon is there."""
    with closing(sqlite3.connect(daemon.home / "insula.db")) as database, database:
        words = (json.dumps(record), record["id"])
        database.execute("UPDATE record SET document = ? WHERE kind = 'container' AND id = ?", words)


def test_what_a_daemon_died_in_the_next_one_finishes(new_daemon: Callable[..., DaemonProcess]) -> None:
    """The record has it, and the guest does not know yet: of a network that came, and of one that went."""
    daemon = new_daemon()
    docker = Words(daemon)
    docker.succeed("network", "create", "left")
    docker.succeed("network", "create", "right")
    serve(docker, "web", "--network", "right")
    id = docker.sleeper("--name", "roamer", "--network", "left")
    alone = record_of(daemon, id)
    docker.succeed("network", "connect", "right", "roamer")
    both = record_of(daemon, id)
    docker.succeed("network", "disconnect", "right", "roamer")
    assert devices(docker, "roamer") == {"lo", "eth0"}

    daemon.kill()
    write_record(daemon, both | {"leases": both["leases"] | {"unsettled": [1]}})
    daemon.start()
    assert devices(docker, "roamer") == {"lo", "eth0", "eth1"}
    assert docker.succeed("exec", "roamer", "wget", "-qO-", "http://web/").strip() == "web"
    assert record_of(daemon, id)["leases"]["unsettled"] == []

    daemon.kill()
    write_record(daemon, alone | {"leases": alone["leases"] | {"unsettled": [1]}})
    daemon.start()
    assert devices(docker, "roamer") == {"lo", "eth0"}
    assert not reaches(docker, "roamer", on(docker, "web")["right"]["IPAddress"])
    docker.succeed("rm", "-f", "roamer", "web")
    docker.succeed("network", "rm", "left", "right")
