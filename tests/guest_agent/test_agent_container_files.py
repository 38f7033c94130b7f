"""What the files of a container need of the agent's trees, on the agent's own root: links resolved, content left out,
what the kernel shows of itself, everything for one owner, a boot of files alone. The layers below are tried in real
machines (tests/boot/test_files.py)."""

import errno
import os
import socket
from pathlib import Path

from host_end import HostEnd, wire
from test_agent_trees import DIRECTORY, END_ENTRY, FILE, ITSELF, OUTSIDE, SOCKET, entry, read

BARE, LOWER, RESOLVE, OWNED, FILES = 64, 128, 256, 4, 16


def bare(host: HostEnd, path: Path | str, flags: int) -> dict:
    (entry,) = read(host, path, flags | ITSELF).values()
    return entry


def test_a_link_is_resolved_if_asked(host: HostEnd, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").touch()
    (tmp_path / "abs").symlink_to(tmp_path / "rel")
    (tmp_path / "rel").symlink_to("d/../d/./f")
    (tmp_path / "none").symlink_to("d/f/no/../where")
    (tmp_path / "up").symlink_to("../" * 60)
    for name, target in (
        ("abs", f"{tmp_path}/d/f"),
        ("rel", f"{tmp_path}/d/f"),
        ("none", f"{tmp_path}/d/f/where"),
        ("up", "/"),
    ):
        assert bare(host, tmp_path / name, RESOLVE)["link"] == target
        assert bare(host, tmp_path / name, 0)["link"] == os.readlink(tmp_path / name)


def test_a_link_that_leads_to_itself_is_resolved_by_nobody(host: HostEnd, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "long").symlink_to("x/" * 2000)
    (tmp_path / "x").symlink_to("y/" * 2000)
    (tmp_path / "y").symlink_to(".")
    for name, number in (("a", errno.ELOOP), ("long", errno.ELOOP)):
        remote = host.tree("TREE_READ", str(tmp_path / name), OUTSIDE | ITSELF | RESOLVE)
        assert host.finish(remote).value in (number, errno.ENAMETOOLONG)


def test_content_is_left_out_if_asked(host: HostEnd, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100_000)
    found = read(host, tmp_path, BARE)
    assert (found["f"]["size"], found["f"]["content"]) == (100_000, [])


def test_what_the_kernel_shows_of_itself_is_no_file(host: HostEnd) -> None:
    assert set(read(host, "/proc")) == {""}
    assert bare(host, "/proc/self/fd", 0)["kind"] == DIRECTORY
    for path in ("/proc/version", "/proc/kmsg", "/proc/self/exe"):
        assert host.finish(host.tree("TREE_READ", path, OUTSIDE)).value == errno.ENOENT


def test_names_of_a_socket_are_sockets(host: HostEnd, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(tmp_path / "s"))
        os.link(tmp_path / "s", tmp_path / "t")
        assert [read(host, tmp_path)[name]["kind"] for name in "st"] == [SOCKET, SOCKET]


def test_layers_are_a_containers_on_disks(host: HostEnd, tmp_path: Path) -> None:
    remote = host.tree("TREE_READ", str(tmp_path), OUTSIDE | LOWER)
    assert host.finish(remote).value != 0  # the agent's own root has nothing below it


def owned(host: HostEnd, path: Path, owner: str) -> tuple[int, bytes]:
    remote = host.tree("TREE_WRITE", str(path), OUTSIDE | OWNED, owner)
    stream = entry(FILE, "f", b"x", uid=1234, gid=1234) + END_ENTRY
    host.input(remote, 0, stream)
    host.input_end(remote, len(stream))
    return host.finish(remote).value, remote.stderr


def test_everything_is_an_owners_if_asked(host: HostEnd, tmp_path: Path) -> None:
    own = (os.getuid(), os.getgid())
    assert owned(host, tmp_path, f"{own[0]}:{own[1]}") == (0, b"")
    status = (tmp_path / "f").stat()
    assert (status.st_uid, status.st_gid) == own
    (tmp_path / "f").unlink()
    for nobody in ("no-such-user", "0:no-such-group"):
        assert owned(host, tmp_path, nobody) == (errno.ENOENT, nobody.encode())
        assert not (tmp_path / "f").exists()


def test_an_owner_belongs_to_a_write_that_asks_for_one(host: HostEnd) -> None:
    path = wire.u32(7) + wire.string("/") + wire.u32(OUTSIDE | OWNED)
    for name, payload in (
        ("TREE_WRITE", path),
        ("TREE_WRITE", path + wire.string("a\0b")),
        ("TREE_READ", path + wire.string("0")),
    ):
        assert host.ask(name, payload).errno == errno.EBADMSG


def test_a_boot_of_files_has_no_main_process(host: HostEnd, tmp_path: Path) -> None:
    document = wire.boot(wire.plain_boot(9, wire.plain_process(1, "nothing-that-is-there"), flags=FILES))
    for _ in range(2):  # a repeat is not done twice
        assert host.ask("BOOT", document).ok
    remote = host.tree("TREE_READ", str(tmp_path), ITSELF)
    assert host.finish(remote).value == 0
    other = wire.boot(wire.plain_boot(10, wire.plain_process(1, "true")))
    assert host.ask("BOOT", other).errno == errno.EBUSY
    assert host.ask("STOP", b"").ok
    assert host.ask("TREE_READ", wire.u32(77) + wire.string("/") + wire.u32(0)).errno == errno.ENOTCONN
