"""Containers on networks, through the docker command: names, isolation, published ports, and netd's and the daemon's
death in the middle of it."""

import contextlib
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from words import BOTH, BOTH_NEW, Words

from daemon_fixture import DaemonProcess

pytestmark = pytest.mark.boot

SERVER = "mkdir /w; echo $0 > /w/index.html; exec httpd -f -p 80 -h /w"
PATIENCE = 30.0
NOBODY = "192.0.2.1"
"""An address that nobody has (RFC 5737)."""


@pytest.fixture
def pair(docker: Words) -> Iterator[Words]:
    """Two networks, `left` and `right`, with a web server `web` on left and `far` on right."""
    with contextlib.ExitStack() as held:
        for network in ("left", "right"):
            docker.succeed("network", "create", "--ipv6", network)
            held.callback(docker.succeed, "network", "rm", network)
        for name, network in (("web", "left"), ("far", "right")):
            held.callback(docker.succeed, "rm", "-f", name)
            docker.start(
                "--name",
                name,
                "--network",
                network,
                "--network-alias",
                "www",
                "busybox",
                "sh",
                "-c",
                SERVER,
                name,
            )
        yield docker


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def fetch(port: int, host: str = "127.0.0.1", tries: int = 100) -> str:
    """A server in a container that has just started may not listen yet: its connection is cut short then."""
    last: OSError | None = None
    for _ in range(tries):
        try:
            with urllib.request.urlopen(f"http://{host}:{port}/", timeout=10) as answer:
                return str(answer.read().decode().strip())
        except OSError as error:
            last = error
            time.sleep(0.1)
    assert last is not None
    raise last


def ask(docker: Words, container: str, url: str) -> str:
    """What a container fetches."""
    return docker.succeed("exec", container, "wget", "-qO-", url).strip()


@BOTH
def test_containers_of_one_network_find_each_other_across_architectures(pair: Words) -> None:
    script = "uname -m; wget -qO- http://web/; wget -qO- http://www/; ping -c1 -w9 web >&2 && echo pinged"
    said = pair.run("--network", "left", "--platform", "linux/arm64", "busybox", "sh", "-c", script)
    assert said.split() == ["aarch64", "web", "web", "pinged"]


@BOTH
def test_networks_do_not_reach_each_other(pair: Words) -> None:
    """By name, by address, by the other network's gateway, by an address of the host; privileged or not."""
    far = pair.inspect("far")["NetworkSettings"]["Networks"]["right"]
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        targets = [
            ("far", 80), (far["IPAddress"], 80), (far["Gateway"], 53), (own_address(), port), ("169.254.169.254", 80),
            (f"[{far['GlobalIPv6Address']}]", 80),
        ]  # fmt: skip
        tries = "; ".join(
            f"timeout 2 nc -w 2 {host.strip('[]')} {number} </dev/null && echo REACHED {host}"
            for host, number in targets
        )
        said = pair.run("--privileged", "--network", "left", "busybox", "sh", "-c", f"{tries}; echo done")
        assert said.split() == ["done"]
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def own_address() -> str:
    """An address of the host that is not its loopback's; none: one that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((NOBODY, 9))
        except OSError:
            return NOBODY
        return str(probe.getsockname()[0])


@BOTH
def test_a_forged_address_reaches_nobody(pair: Words) -> None:
    web = pair.inspect("web")["NetworkSettings"]["Networks"]["left"]["IPAddress"]
    forge = (
        f"ip a; a=$(ip -4 -o addr show eth0 | awk '{{print $4}}'); ping -c1 -w5 {web} >/dev/null && echo before; "
        f"ip addr flush dev eth0; ip addr add 203.0.113.9/8 dev eth0; ip route add {web} dev eth0; "
        f"ping -c1 -w2 {web} >/dev/null && echo FORGED; "
        "ip addr flush dev eth0; ip addr add $a dev eth0; ip link set eth0 down; "
        "ip link set eth0 address 02:00:00:00:00:09; ip link set eth0 up; "
        f"ping -c1 -w2 {web} >/dev/null && echo FORGED; echo done"
    )
    said = pair.run("--privileged", "--network", "left", "busybox", "sh", "-c", forge)
    assert [line for line in said.splitlines() if line in ("before", "FORGED", "done")] == ["before", "done"]


def test_none_has_nothing_but_lo(docker: Words) -> None:
    said = docker.run(
        "--privileged", "--network", "none", "busybox", "sh", "-c", "ls /sys/class/net; ip route"
    )
    assert said.split() == ["lo"]


@BOTH
def test_the_default_network(docker: Words) -> None:
    """An address, a route, a name server, its own name in hosts; and what inspect says of it."""
    script = (
        "ip -4 -o addr show eth0 | awk '{print $4}'; ip route | grep default; cat /etc/resolv.conf /etc/hosts"
    )
    said = docker.run("--hostname", "me", "--add-host", "other:192.0.2.7", "busybox", "sh", "-c", script)
    address = said.splitlines()[0].partition("/")[0]
    assert f"{address}\tme" in said
    assert "192.0.2.7\tother" in said
    assert "nameserver" in said


@BOTH_NEW
def test_a_published_port_outlives_netd_and_the_daemon(new_daemon: Callable[..., DaemonProcess]) -> None:
    daemon = new_daemon()
    docker = Words(daemon)
    docker.succeed("network", "create", "own")
    published = ("-p", "80", "-p", "127.0.0.1::81/udp")
    docker.start("--name", "web", "--network", "own", *published, "busybox", "sh", "-c", SERVER, "hello")
    docker.sleeper("--name", "client", "--network", "own")
    port = int(docker.succeed("port", "web", "80/tcp").splitlines()[0].rpartition(":")[2])
    assert fetch(port) == "hello"
    netd = Path(daemon.run / "net" / "netd.pid")
    first = int(netd.read_text())
    os.kill(first, signal.SIGKILL)
    daemon.wait_for_log("netd has ended; starting another")
    until(lambda: int(netd.read_text() or 0) != first)
    assert fetch(port) == "hello"
    assert ask(docker, "client", "http://web/") == "hello", "names come back too"
    daemon.kill()
    assert fetch(port) == "hello"
    daemon.start()
    assert fetch(port) == "hello"
    assert ask(docker, "client", "http://web/") == "hello"
    assert docker.inspect("web")["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"] == str(port)
    docker.succeed("rm", "-f", "web", "client")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), 5)
    docker.succeed("network", "rm", "own")
    daemon.stop()
    until(lambda: not (daemon.run / "net" / "holder.pid").exists())


def test_a_port_in_use_fails_the_start_and_leaves_nothing(docker: Words) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = docker.fail(125, "run", "--name", "late", "-p", f"127.0.0.1:{port}:80", "busybox", "true")
    assert "address already in use" in said
    assert not docker.inspect("late")["State"]["Running"]
    docker.succeed("rm", "late")


@BOTH
def test_networks_are_managed_as_with_docker(docker: Words) -> None:
    id = docker.succeed(
        "network", "create", "--subnet", "10.77.0.0/16", "--gateway", "10.77.0.1", "--label", "a=b", "own"
    ).strip()  # fmt: skip
    assert docker.succeed("network", "ls", "-q", "--filter", "name=own", "--no-trunc").strip() == id
    assert "already exists" in docker.fail(1, "network", "create", "own")
    assert "overlaps" in docker.fail(1, "network", "create", "--subnet", "10.77.1.0/24", "other")
    docker.start("--name", "fixed", "--network", "own", "--ip", "10.77.5.6", "busybox", "sleep", "1000")
    assert docker.inspect("fixed")["NetworkSettings"]["Networks"]["own"]["IPAddress"] == "10.77.5.6"
    assert "active endpoints" in docker.fail(1, "network", "rm", "own")
    assert "10.77.5.6/16" in docker.succeed("network", "inspect", "own")
    assert "in use" in docker.fail(
        125, "run", "--rm", "--network", "own", "--ip", "10.77.5.6", "busybox", "true"
    )
    docker.succeed("rm", "-f", "fixed")
    docker.succeed("network", "rm", "own")
    assert "not found" in docker.fail(125, "run", "--rm", "--network", "own", "busybox", "true")
    assert "pre-defined" in docker.fail(1, "network", "rm", "bridge")


@BOTH
def test_host_gateway_is_the_one_way_to_the_host(docker: Words) -> None:
    """To what listens on all of its addresses, and not to what listens on its loopback alone."""
    own = own_address()
    with (
        socket.create_server(("0.0.0.0", 0)) as open_to_all,
        socket.create_server(("127.0.0.1", 0)) as closed,
    ):
        ports = [end.getsockname()[1] for end in (open_to_all, closed)]
        tries = "; ".join(f"timeout 9 nc -w 5 host.docker.internal {port} </dev/null" for port in ports)
        with docker.begin(
            "run",
            "--rm",
            "--add-host",
            "host.docker.internal:host-gateway",
            "busybox",
            "sh",
            "-c",
            f"{tries}; echo done",
        ) as client:
            said = b"from the host\n" if own != NOBODY else b""
            if said:  # a host with its loopback alone cannot be reached at all
                open_to_all.settimeout(PATIENCE * 4)
                connection, peer = open_to_all.accept()
                with connection:
                    connection.sendall(said)
                assert peer[0] == own
            assert client.stdout is not None
            assert client.stdout.read() == said + b"done\n"
        closed.setblocking(False)
        with pytest.raises(BlockingIOError):
            closed.accept()
    docker.succeed("network", "create", "--internal", "inner")
    words = ("--network", "inner", "--add-host", "h:host-gateway", "busybox", "true")
    assert "not internal" in docker.fail(125, "run", "--rm", *words)
    docker.succeed("network", "rm", "inner")


def test_networks_that_a_machine_cannot_have_are_refused_with_what_to_use(docker: Words) -> None:
    said = docker.fail(125, "run", "--rm", "--network", "host", "busybox", "true")
    assert "network=host cannot be had" in said and "publish ports instead" in said
    said = docker.fail(125, "run", "--rm", "--network", "container:web", "busybox", "true")
    assert "a machine of its own" in said and "put both containers on one network" in said


@BOTH
def test_what_a_container_is_told_of_names(pair: Words) -> None:
    """--dns-search, --dns-option, --add-host; what is answered is tests/unit/network/test_names.py's."""
    docker = pair
    said = docker.run(
        "--network", "left", "--dns-search", "example.org", "--dns-option", "timeout:9", "--add-host", "six:fd00::9",
        "busybox", "cat", "/etc/resolv.conf", "/etc/hosts",
    )  # fmt: skip
    gateway = docker.inspect("web")["NetworkSettings"]["Networks"]["left"]["Gateway"]
    assert f"nameserver {gateway}\n" in said
    assert "search example.org\n" in said and "options timeout:9\n" in said
    assert "fd00::9\tsix\n" in said
