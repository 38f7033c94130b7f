"""The way out of a container's networks, by pasta: daemons on hosts of their own, which are name spaces with nothing but
a cable to another one, `outside`, where a web server says whom it sees.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest
from words import BOTH_NEW, Words

from daemon_fixture import DaemonProcess
from ordinary_user import IS_ROOT

pytestmark = [
    pytest.mark.boot,
    pytest.mark.skipif(not IS_ROOT, reason="makes a host's network of its own"),
]

HOST, OUTSIDE, LATER = "198.51.100.2", "198.51.100.1", "198.51.100.77"
HOST_6, OUTSIDE_6 = "2001:db8:5::2", "2001:db8:5::1"
SERVE = """
import http.server, socket, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.client_address[0]}\\n".encode())
    def log_message(self, *words):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()
server = Server(("::", 80), Answer)
print("ready", flush=True)
server.serve_forever()
"""


def within(space: int, *words: str) -> list[str]:
    return ["nsenter", f"--net=/proc/{space}/ns/net", "--", *words]


@contextmanager
def running(*words: str) -> Iterator[int]:
    """A process that says `ready`, ended when the context is left."""
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process.pid
        finally:
            process.kill()


def name_space() -> AbstractContextManager[int]:
    return running("unshare", "--net", "sh", "-c", "ip link set lo up; echo ready; exec sleep infinity")


def ip(space: int, *lines: str) -> None:
    subprocess.run(within(space, "ip", "-batch", "-"), input="\n".join(lines), text=True, check=True)


@pytest.fixture
def host() -> Iterator[int]:
    """A host with one cable, and web servers at both of its ends."""
    with ExitStack() as held:
        host, outside = held.enter_context(name_space()), held.enter_context(name_space())
        ip(host, f"link add cable type veth peer name cable netns {outside}")
        for space, four, six in ((host, HOST, HOST_6), (outside, OUTSIDE, OUTSIDE_6)):
            ip(
                space,
                "link set cable up",
                f"addr add {four}/24 dev cable",
                f"addr add {six}/64 dev cable nodad",
            )
            held.enter_context(running(*within(space, sys.executable, "-c", SERVE)))
        ip(host, f"route add default via {OUTSIDE}", f"route add ::/0 via {OUTSIDE_6}")
        yield host


def fetch(docker: Words, container: str, *hosts: str) -> list[str]:
    """What the servers say, `none` for one that is not reached."""
    script = "; ".join(f"timeout 9 wget -qO- http://{host}/ || echo none" for host in hosts)
    return docker.succeed("exec", container, "sh", "-c", script).split()


@BOTH_NEW
def test_containers_reach_what_the_host_reaches_and_not_the_host(
    host: int, new_daemon: Callable[..., DaemonProcess]
) -> None:
    """Nor an address that it has not had for long."""
    docker = Words(new_daemon(before=tuple(within(host))))
    docker.succeed("network", "create", "--ipv6", "out")
    docker.succeed("network", "create", "--ipv6", "--internal", "in")
    for network in ("out", "in"):
        docker.sleeper("--name", f"c-{network}", "--privileged", "--network", network)
    there, here = (OUTSIDE, f"[{OUTSIDE_6}]"), (HOST, f"[{HOST_6}]", "127.0.0.1", "169.254.169.254")
    seen = f"::ffff:{HOST}"
    assert fetch(docker, "c-out", *there) == [seen, HOST_6]
    assert fetch(docker, "c-out", *here) == ["none"] * len(here)
    assert fetch(docker, "c-in", *there, *here) == ["none"] * (len(there) + len(here))
    ip(host, f"addr add {LATER}/32 dev lo")
    assert fetch(docker, "c-out", LATER, OUTSIDE) == ["none", seen]
    docker.sweep()


def test_without_a_way_out_containers_reach_each_other(new_daemon: Callable[..., DaemonProcess]) -> None:
    """And one line says so."""
    with name_space() as lonely:
        docker = Words(new_daemon(before=tuple(within(lonely))))
        docker.daemon.wait_for_log("containers reach each other, but nothing outside: ")
        docker.succeed("network", "create", "own")
        serve = "mkdir /w; echo hello >/w/index.html; httpd -p 80 -h /w; echo ready; sleep 1000"
        docker.start("--name", "web", "--network", "own", "busybox", "sh", "-c", serve)
        docker.until_lines("web", "ready")
        docker.sleeper("--name", "client", "--network", "own")
        assert fetch(docker, "client", "web") == ["hello"]
        assert (docker.daemon.home / "daemon.log").read_text().count("nothing outside") == 1
        docker.sweep()
