"""File trees: read and written by the agent, with a reader and writer of the stream made for these tests.

In temporary directories (flag 8: the agent's root), where the agent is whoever runs the tests. What only root may
make (devices, others' files, trusted xattrs) is in the trees when that is root.
"""

import errno
import os
import socket
import stat
import struct
import tempfile
from pathlib import Path

import pytest
from host_end import HostEnd, Remote, wire

IS_ROOT = os.geteuid() == 0
ONE_FILE_SYSTEM, ITSELF, FOLLOW, OUTSIDE = 1, 2, 4, 8
MAKE, KEEP_DIRECTORIES, REMOVE = 1, 2, 16
END, DIRECTORY, FILE, SYMLINK, HARD_LINK, CHARACTER, BLOCK, FIFO, SOCKET = range(9)


class Cursor:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, form: str):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def bytes(self, size: int) -> bytes:
        self.at += size
        assert self.at <= len(self.data)
        return self.data[self.at - size : self.at]

    def string(self) -> bytes:
        return self.bytes(self.take("I"))


def parse(stream: bytes) -> dict[str, dict]:
    """Path → entry with its content; the whole stream, in order, to its end."""
    cursor, entries = Cursor(stream), {}
    while True:
        size = cursor.take("I")
        start = cursor.at
        keys = ["kind", "mode", "uid", "gid", "seconds", "nanoseconds", "major", "minor", "size"]
        entry = dict(zip(keys, cursor.take("BIIIqIIIQ"), strict=True))
        path, entry["link"] = os.fsdecode(cursor.string()), os.fsdecode(cursor.string())
        entry["xattrs"] = {cursor.string().decode(): cursor.string() for _ in range(cursor.take("I"))}
        entry["extents"] = [cursor.take("QQ") for _ in range(cursor.take("I"))]
        assert cursor.at - start == size
        entry["content"] = [cursor.bytes(length) for _, length in entry["extents"]]
        if entry["kind"] == END:
            assert cursor.at == len(stream)
            return entries
        assert path not in entries
        entries[path] = entry


def read(host: HostEnd, path: Path | str, flags: int = 0) -> dict[str, dict]:
    remote = host.tree("TREE_READ", str(path), flags | OUTSIDE)
    assert host.finish(remote).value == 0, remote.stderr
    assert remote.stderr == b""
    return parse(remote.stdout)


def write(host: HostEnd, path: Path | str, stream: bytes, flags: int = 0) -> Remote:
    remote = host.tree("TREE_WRITE", str(path), flags | OUTSIDE)
    offset = 0
    while offset < len(stream) and not remote.exit:
        size = min(32768, remote.credit - offset, len(stream) - offset)
        if size <= 0:
            host.receive()
            continue
        host.input(remote, offset, stream[offset : offset + size])
        offset += size
    host.input_end(remote, offset)
    host.finish(remote)
    return remote


def entry(kind: int, path: str, content: bytes = b"", **changes) -> bytes:
    changes = {"uid": os.getuid(), "gid": os.getgid()} | changes
    if kind == FILE and "size" not in changes:
        changes |= {
            "size": len(content),
            "extents": [{"offset": 0, "length": len(content)}] if content else [],
        }
    return wire.entry(wire.plain_entry(kind, path, **changes)) + content


def raw_entry(**changes) -> bytes:
    return wire.entry(wire.plain_entry(FILE, "f") | changes)


END_ENTRY = entry(END, "", mode=0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "d" / "deep" / "er").mkdir(parents=True)
    (root / "empty").touch()
    (root / "d" / "file").write_bytes(b"hello\n" * 20_000)
    os.link(root / "d" / "file", root / "another name")
    os.symlink("../away", root / "d" / "link")
    os.link(root / "d" / "link", root / "same link", follow_symlinks=False)
    os.mkfifo(root / "fifo", 0o640)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(root / "socket"))
    with (root / "sparse").open("wb") as sparse:
        for offset in (0, 1 << 20, 5 << 30):
            sparse.seek(offset)
            sparse.write(b"data")
        sparse.truncate(6 << 30)
    (root / "odd ü \n name").write_text("odd")
    (Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe"))).touch()
    (root / "empty").chmod(0o6751)
    (root / "d").chmod(0o1777)
    if IS_ROOT:
        add_what_only_root_may_make(root)
    os.setxattr(root / "empty", "user.small", b"\x00\xff")
    os.setxattr(root / "d", "user.of a directory", b"x" * 1000)
    os.utime(root / "d" / "link", ns=(1, 2_000_000_003), follow_symlinks=False)
    os.utime(root / "empty", ns=(1, -1_000_000_001))
    for directory in ("d/deep/er", "d/deep", "d", "."):
        os.utime(root / directory, ns=(1, 3_000_000_004))
    return root


def add_what_only_root_may_make(root: Path) -> None:
    os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(root / "disk", 0o660 | stat.S_IFBLK, os.makedev(8, 1000))
    os.chown(root / "empty", 1234, 2**32 - 2)
    (root / "empty").chmod(0o6751)
    os.chown(root / "d" / "link", 5, 6, follow_symlinks=False)
    os.setxattr(root / "d", "trusted.of a directory", b"x" * 1000)
    os.setxattr(root / "d" / "link", "trusted.of a link", b"y", follow_symlinks=False)


def test_everything_there_and_back(host: HostEnd, source: Path, tmp_path: Path) -> None:
    remote = host.tree("TREE_READ", str(source), OUTSIDE)
    host.finish(remote)
    assert (remote.exit.value, remote.stderr) == (0, b"")
    there = parse(remote.stdout)
    written = write(host, tmp_path / "a" / "b", remote.stdout, MAKE)
    assert (written.exit.value, written.stderr) == (0, b"")
    back = read(host, tmp_path / "a" / "b")
    assert back == there
    assert (tmp_path / "a" / "b" / "sparse").stat().st_blocks < 1000


def test_what_is_read_is_what_is_there(host: HostEnd, source: Path) -> None:
    entries = read(host, source)
    names = {str(p.relative_to(source)) for p in source.rglob("*")} | {""}
    assert set(entries) == names
    for path, found in entries.items():
        status = (source / path).lstat()
        if found["kind"] == HARD_LINK:
            assert (source / found["link"]).lstat().st_ino == status.st_ino
            continue
        expected = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns)
        assert (found["mode"], found["uid"], found["gid"]) == expected[:3]
        assert found["seconds"] * 10**9 + found["nanoseconds"] == expected[3]
        assert 0 <= found["nanoseconds"] < 10**9
    assert sum(e["kind"] == HARD_LINK for e in entries.values()) == 2
    [link] = [e for e in entries.values() if e["kind"] == SYMLINK]
    assert link["xattrs"] == ({"trusted.of a link": b"y"} if IS_ROOT else {})
    assert entries["empty"]["xattrs"] == {"user.small": b"\x00\xff"}
    if IS_ROOT:
        assert (entries["disk"]["major"], entries["disk"]["minor"]) == (8, 1000)
    assert [o for o, _ in entries["sparse"]["extents"]] == [0, 1 << 20, 5 << 30]
    assert entries["sparse"]["size"] == 6 << 30
    parents = [p.rpartition("/")[0] for p in entries if "/" in p]
    assert all(list(entries).index(parent) >= 0 for parent in parents)


def test_one_thing_by_itself(host: HostEnd, source: Path) -> None:
    assert list(read(host, source, ITSELF)) == [""]
    stated = read(host, source / "d" / "file", ITSELF)[""]
    assert (stated["kind"], stated["size"], stated["content"]) == (FILE, 120_000, [])
    whole = read(host, source / "d" / "file")[""]
    assert whole["content"] == [b"hello\n" * 20_000]
    link = read(host, source / "d" / "link")[""]
    assert (link["kind"], link["link"]) == (SYMLINK, "../away")
    assert read(host, source / "fifo")[""]["kind"] == FIFO


def test_a_final_link_is_followed_if_asked(host: HostEnd, source: Path) -> None:
    (source / "to").symlink_to("d/file")
    assert read(host, source / "to")[""]["kind"] == SYMLINK
    assert read(host, source / "to", FOLLOW)[""]["content"] == [b"hello\n" * 20_000]
    remote = host.tree("TREE_READ", str(source / "d" / "link"), OUTSIDE | FOLLOW)
    assert host.finish(remote).value == errno.ENOENT


def test_other_file_systems_are_left_out_if_asked(host: HostEnd) -> None:
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        name = f"shm/{Path(file.name).name}"
        entries = read(host, "/dev", ONE_FILE_SYSTEM)
        assert entries["shm"]["kind"] == DIRECTORY
        assert name not in entries
        assert name in read(host, "/dev")


@pytest.mark.parametrize("path", ["no/such/thing", "file/below"])
def test_what_cannot_be_read_is_named(host: HostEnd, tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    remote = host.tree("TREE_READ", str(tmp_path / path), OUTSIDE)
    number = errno.ENOENT if path.startswith("no") else errno.ENOTDIR
    assert host.finish(remote).value == number
    assert remote.stderr.decode() == str(tmp_path / path)


def test_a_wide_directory(host: HostEnd, tmp_path: Path) -> None:
    wide = tmp_path / "wide"
    wide.mkdir()
    for n in range(20_000):
        (wide / f"{n}").touch()
    assert len(read(host, wide)) == 20_001


def test_directories_too_deep_to_name_are_an_error_and_not_the_end(host: HostEnd, tmp_path: Path) -> None:
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(900):
        os.mkdir("deeper", dir_fd=at)
        below = os.open("deeper", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    remote = host.tree("TREE_READ", str(tmp_path), OUTSIDE)
    assert host.finish(remote).value == errno.ENAMETOOLONG
    written = write(host, tmp_path, entry(FILE, "deeper", b"x") + END_ENTRY)
    assert written.exit.value == 0, written.stderr
    assert (tmp_path / "deeper").read_bytes() == b"x"


def test_a_reader_that_lags_holds_only_its_own_tree(host: HostEnd, source: Path) -> None:
    host.acknowledge = False
    remote = host.tree("TREE_READ", str(source), OUTSIDE)
    host.until(lambda: len(remote.stdout) == 65536)
    assert host.run("echo", "others").stdout == b"others\n"
    assert host.signal(remote, 15).ok
    host.until(lambda: remote.exit)
    assert (remote.exit.kind, remote.exit.value) == (1, 15)


def test_what_is_in_the_way_is_replaced(host: HostEnd, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "was a directory" / "with" / "things").mkdir(parents=True)
    (root / "was a directory" / "with" / "file").touch()
    (root / "was a file").touch()
    (root / "was a link").symlink_to(tmp_path / "outside")
    (tmp_path / "outside").write_text("untouched")
    stream = entry(FILE, "was a directory", b"new") + entry(DIRECTORY, "was a file")
    stream += entry(FILE, "was a link", b"new") + END_ENTRY
    assert write(host, root, stream).exit.value == 0
    assert (root / "was a directory").read_bytes() == b"new"
    assert (root / "was a file").is_dir()
    assert not (root / "was a link").is_symlink()
    assert (tmp_path / "outside").read_text() == "untouched"


def test_directories_are_kept_if_asked(host: HostEnd, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").touch()
    remote = write(host, tmp_path, entry(FILE, "d", b"x") + END_ENTRY, KEEP_DIRECTORIES)
    assert (remote.exit.value, remote.stderr) == (errno.EISDIR, b"d")
    remote = write(host, tmp_path, entry(DIRECTORY, "f") + END_ENTRY, KEEP_DIRECTORIES)
    assert (remote.exit.value, remote.stderr) == (errno.ENOTDIR, b"f")
    assert write(host, tmp_path, entry(FILE, "f", b"x") + END_ENTRY, KEEP_DIRECTORIES).exit.value == 0


def test_what_is_empty_is_removed_if_asked(host: HostEnd, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    for name in ("full", "a/empty", "a/kept/in"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x" if name == "full" else b"")
    (root / "link").symlink_to("a")
    names = ("a/kept", "a/b", "a/empty", "a", "full", "link", "missing", "missing/too", "link/empty")
    stream = b"".join(entry(FILE, name) for name in names) + END_ENTRY
    assert write(host, root, stream, REMOVE).exit.value == 0
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    assert found == ["a", "a/kept", "a/kept/in", "full", "link"]


def test_a_directory_that_is_there_is_merged_into(host: HostEnd, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "old").touch()
    stream = entry(DIRECTORY, "d", mode=0o700, mtime_seconds=99) + entry(FILE, "d/new", b"x") + END_ENTRY
    assert write(host, tmp_path, stream).exit.value == 0
    assert sorted(os.listdir(tmp_path / "d")) == ["new", "old"]
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o700
    assert (tmp_path / "d").stat().st_mtime == 99


def test_missing_parents_and_target(host: HostEnd, tmp_path: Path) -> None:
    stream = entry(FILE, "a/b/c", b"x") + END_ENTRY
    remote = write(host, tmp_path / "t", stream)
    assert (remote.exit.value, remote.stderr.decode()) == (errno.ENOENT, str(tmp_path / "t"))
    assert write(host, tmp_path / "t", stream, MAKE).exit.value == 0
    assert (tmp_path / "t" / "a" / "b" / "c").read_bytes() == b"x"


def test_links_on_the_way_lead_within_the_root(host: HostEnd, tmp_path: Path) -> None:
    """The agent's root is /, so an absolute link on the way is followed, as tar would in a container."""
    (tmp_path / "real").mkdir()
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "by link").symlink_to(tmp_path / "real")
    assert write(host, tmp_path / "t", entry(FILE, "by link/f", b"x") + END_ENTRY).exit.value == 0
    assert (tmp_path / "real" / "f").read_bytes() == b"x"


@pytest.mark.parametrize(
    "path",
    [
        "..",
        ".",
        "../x",
        "a/../../x",
        "/etc/x",
        "a//b",
        "a/",
        "a/.",
        "./a",
        "a\0b",
        "n" * 256,
        "p/" * 2048 + "p",
    ],
)
def test_paths_that_are_no_plain_names_are_refused(host: HostEnd, tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    remote = write(host, root, entry(FILE, path, b"x") + END_ENTRY)
    assert remote.exit.value == errno.EBADMSG
    assert os.listdir(root) == [] and set(os.listdir(tmp_path)) == {"root", "agent", "errors"}
    remote = write(host, root, entry(HARD_LINK, "l", link=path) + END_ENTRY)
    assert remote.exit.value == errno.EBADMSG


@pytest.mark.parametrize(
    "bad",
    [
        raw_entry(kind=9),
        raw_entry(mode=0o10000),
        raw_entry(mtime_nanoseconds=10**9),
        raw_entry(size=2**63),
        raw_entry(path=""),
        raw_entry(size=4, extents=[{"offset": 0, "length": 5}]),
        raw_entry(size=4, extents=[{"offset": 2**64 - 1, "length": 2}]),
        raw_entry(size=9, extents=[{"offset": 4, "length": 4}, {"offset": 7, "length": 1}]),
        raw_entry(kind=DIRECTORY, size=4, extents=[{"offset": 0, "length": 4}]),
        raw_entry(kind=SYMLINK),
        raw_entry(kind=HARD_LINK),
        raw_entry(link="a link of a file"),
        raw_entry(xattrs=[{"name": "n" * 256, "value": ""}]),
        raw_entry(xattrs=[{"name": "user.a", "value": "00" * 65537}]),
        raw_entry(xattrs=[{"name": "user.a", "value": ""}] * 257),
        wire.u32(2**32 - 1) + bytes(100),
        wire.u32(0),
        raw_entry()[:-1],
        b"",
    ],
    ids=lambda b: b[:60].hex(),
)
def test_bad_entries_are_refused(host: HostEnd, tmp_path: Path, bad: bytes) -> None:
    root = tmp_path / "root"
    root.mkdir()
    assert write(host, root, bad).exit.value == errno.EBADMSG
    assert os.listdir(root) == []


def test_content_that_is_cut_off_is_an_error(host: HostEnd, tmp_path: Path) -> None:
    remote = write(host, tmp_path, entry(FILE, "f", b"x" * 1000)[:-1])
    assert (remote.exit.value, remote.stderr) == (errno.EBADMSG, b"f")


def test_a_hard_link_to_nothing_is_named(host: HostEnd, tmp_path: Path) -> None:
    remote = write(host, tmp_path, entry(HARD_LINK, "l", link="nothing") + END_ENTRY)
    assert (remote.exit.value, remote.stderr) == (errno.ENOENT, b"l")


def test_a_tree_that_changes_while_it_is_read(host: HostEnd, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    churn = host.spawn("sh", "-c", f"cd {root}; echo go; i=0; while :; do i=$((i+1)); echo $i > d/$i; mkdir e$i; "
                       "ln -s d s$i; rm -rf d/$((i-20)) e$((i-20)) s$((i-20)); done")  # fmt: skip
    host.until(lambda: churn.stdout)
    for _ in range(20):
        assert "d" in read(host, root)
    assert host.signal(churn).ok


def test_without_a_container_only_the_agents_own_root(host: HostEnd) -> None:
    for name in ("TREE_READ", "TREE_WRITE"):
        reply = host.ask(name, wire.u32(7) + wire.string("/") + wire.u32(0))
        assert reply.errno == errno.ENOTCONN
