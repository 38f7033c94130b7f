"""PostgreSQL, its distribution's own package, on a fresh volume: what it makes its own by chown and checks at its start,
a row that outlives its container.

Minutes under emulation."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest
from database_image import load_databases
from words import USERS, Words

from daemon_fixture import DaemonProcess

pytestmark = [pytest.mark.boot, pytest.mark.soak]

POSTGRES = r"""
set -e
data=/var/lib/postgresql/own bin=/usr/lib/postgresql/15/bin
as="setpriv --reuid=postgres --regid=postgres --init-groups --"
mkdir -p $data
find $data \! -user postgres -exec chown postgres:postgres {} +
chmod 700 $data
[ -s $data/PG_VERSION ] || $as $bin/initdb --no-sync -D $data --locale=C.UTF-8 --auth=trust
exec $as $bin/postgres -D $data -c listen_addresses= -k /tmp
"""
"""As its image's entry point has it. initdb refuses a folder that is another's or open to others, and so does the
server at each start."""

READY = b"database system is ready to accept connections"
SECONDS = 600.0


WHERE = "/var/lib/postgresql"


def start(docker: Words) -> str:
    """Its container, once it takes connections."""
    id = docker.start("-v", f"data:{WHERE}", "databases", "sh", "-c", POSTGRES)
    with docker.begin("logs", "-f", id, stderr=subprocess.STDOUT) as follower:
        assert follower.stdout is not None
        said = b""
        for line in follower.stdout:
            said += line
            if READY in line:
                return id
    raise AssertionError(said[-4000:].decode(errors="replace"))


def ask(docker: Words, id: str, query: str) -> str:
    argv = ("psql", "-h", "/tmp", "-U", "postgres", "-qtAc", query)
    return docker.succeed("exec", id, *argv, timeout=SECONDS).strip()


def stop(docker: Words, id: str) -> None:
    docker.succeed("stop", "-t", "300", id, timeout=SECONDS)
    assert docker.state(id)["ExitCode"] == 0, docker.succeed("logs", id)
    docker.succeed("rm", id)


@pytest.fixture(params=USERS)
def docker(request: pytest.FixtureRequest) -> Iterator[Words]:
    daemon: DaemonProcess = request.getfixturevalue("user_daemon" if request.param == "user" else "daemon")
    words = Words(daemon)
    with load_databases(words):
        yield words
        words.sweep()
        with suppress(AssertionError):
            words.succeed("volume", "rm", "data")


def test_a_row_outlives_its_container(docker: Words) -> None:
    docker.succeed("volume", "create", "data")
    first = start(docker)
    ask(docker, first, "CREATE TABLE notes (id int PRIMARY KEY, text varchar(100))")
    ask(docker, first, "INSERT INTO notes VALUES (1, 'written by the first')")
    assert docker.succeed("exec", first, "stat", "-c", "%U %G", f"{WHERE}/own") == "postgres postgres\n"
    stop(docker, first)
    second = start(docker)
    assert ask(docker, second, "SELECT text FROM notes") == "written by the first"
    ask(docker, second, "INSERT INTO notes VALUES (2, 'by the second')")
    assert ask(docker, second, "SELECT count(*) FROM notes") == "2"
    stop(docker, second)
