"""What the agent says of the container that runs (docs/protocol.md §9, §10). A plain agent has no cgroup: its
container's processes are those that it was told to start there."""

import errno
import os
import time

import pytest
from host_end import HostEnd, wire

PAGE_BYTES = 32_768
EVERY = wire.limits(wire.full_limits())


def test_the_containers_processes_and_no_others(host: HostEnd) -> None:
    main = host.boot("sleep", "1000")
    host.spawn("sleep", "1000")
    host.spawn("nice", "-n", "5", "sleep", "1000", flags=0)
    inside = host.spawn("sh", "-c", "echo up; read x", flags=2)
    host.until(lambda: inside.stdout == b"up\n")
    page = host.processes()
    while page.rows[1]["name"] != b"sleep":  # nice has still to become it
        page = host.processes()
    assert page.after == 0
    assert [row["command"] for row in page.rows] == [b"sleep\x001000\0"] * 2 + [b"sh\0-c\0echo up; read x\0"]
    assert [row["nice"] - page.rows[0]["nice"] for row in page.rows] == [0, 5, 0]
    first = page.rows[0]
    assert (first["uid"], first["gid"]) == (os.geteuid(), os.getegid())
    assert first["id"] == first["pid"] == first["group"] == first["session"]
    assert (first["state"], first["flags"], first["terminal"], first["threads"]) == (ord("S"), 0, 0, 1)
    assert 0 < first["resident"] < first["virtual"]
    assert 0 < first["start"] <= page.uptime
    assert abs(page.clock - time.time_ns()) < 3600 * 10**9
    host.signal(main)
    host.finish(main)
    assert [row["name"] for row in host.processes().rows] == [b"sleep", b"sh"]


def test_a_terminals_foreground(host: HostEnd) -> None:
    main = host.boot("sh", "-c", "echo up; read x", flags=1)
    host.until(lambda: b"up" in main.stdout)
    (row,) = host.processes().rows
    assert row["flags"] == 1
    assert row["terminal"] >> 8 & 0xFFF == 136, "a pseudo terminal"


def test_a_long_command_is_cut_and_a_strange_name_is_kept(host: HostEnd, tmp_path) -> None:
    """A program's name is its own to choose, and stands in the middle of the line that the kernel tells."""
    (tmp_path / "x) R 1 1").symlink_to("/bin/sleep")
    path = f"PATH={tmp_path}:/usr/bin:/bin"
    host.boot("x) R 1 1", "1000", *["0" * 500] * 9, environment=[path])
    (row,) = host.processes().rows
    assert row["name"] == b"x) R 1 1"
    assert row["flags"] == 2
    assert len(row["command"]) == 4096
    assert row["command"].startswith(b"x) R 1 1\x001000\x00000")


def test_pages_go_on_where_the_last_ended(host: HostEnd) -> None:
    host.boot("sleep", "1000")
    others = [host.spawn("sleep", "1000", *["0" * 1000] * 4, flags=0) for _ in range(20)]
    pages = [host.processes()]
    while pages[-1].after:
        pages.append(host.processes(pages[-1].after))
    assert len(pages) > 2
    ids = [row["id"] for page in pages for row in page.rows]
    assert ids == sorted(set(ids))
    assert len(ids) == 1 + len(others)
    assert all(page.after > page.rows[-1]["id"] for page in pages[:-1])
    assert [len(row["command"]) for page in pages for row in page.rows] == [11] + [4015] * 20
    assert all(sum(len(row["command"]) for row in page.rows) < PAGE_BYTES + 4096 for page in pages)
    assert host.processes(2**32 - 1).rows == []


@pytest.mark.parametrize(
    "name, payload", [("USAGE", b""), ("PROCESSES", wire.u32(1)), ("UPDATE", EVERY), ("UNLINK", b"\0")]
)
def test_without_a_container_there_is_nothing_to_tell(host: HostEnd, name: str, payload: bytes) -> None:
    assert host.ask(name, payload).errno == errno.ENOTCONN


@pytest.mark.parametrize("name, payload", [("USAGE", b""), ("UPDATE", EVERY), ("UNLINK", b"\0")])
def test_a_plain_agent_has_no_cgroup(host: HostEnd, name: str, payload: bytes) -> None:
    host.boot("sleep", "1000")
    assert host.ask(name, payload).errno == errno.EOPNOTSUPP


@pytest.mark.parametrize("name, payload", [
    ("USAGE", b"x"), ("PROCESSES", b""), ("PROCESSES", bytes(5)), ("UPDATE", b""), ("UPDATE", EVERY[:-1]),
    ("UPDATE", EVERY + b"x"), ("UPDATE", wire.limits(wire.plain_limits(cpuset_cpus="1" * 257))),
])  # fmt: skip
def test_malformed_questions(host: HostEnd, name: str, payload: bytes) -> None:
    host.boot("sleep", "1000")
    assert host.ask(name, payload).errno == errno.EBADMSG
