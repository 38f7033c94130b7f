"""The second wall, from inside: what somebody who has taken over QEMU finds in the jail, and what is let.

Where a refusal could also mean that the test asks wrongly, the same is asked outside, where it must be let.
"""

import errno
import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from jail_inside import IS_ROOT, KINDS, Inside, as_id, attempts, make_root, run

from boot_paths import make_folder, provisioned_home
from insula.guest.template import SEALS, make_ram
from insula.machine.jail import ID_RANGE, OPEN_FILES, THREADS
from insula.machine.platform import host_platform
from probe_program import ROOT, probe

pytestmark = pytest.mark.boot

DEVICES = {"null", "zero", "full", "random", "urandom", "tty", "console", "pts", "ptmx", "shm", "fd", "stdin",
           "stdout", "stderr", "core"}  # fmt: skip

OWNERS_CAPABILITIES = sum(1 << number for number in (0, 1, 3, 4, 27))
"""chown, dac_override, fowner, fsetid, mknod: over the files of a machine's own ids, which only its shares have."""


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    folder = make_root()
    yield folder
    shutil.rmtree(folder.parent)


@pytest.fixture(params=KINDS)
def inside(request: pytest.FixtureRequest, root: Path) -> Inside:
    return Inside(request.param, root)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Searchable by everybody: what is refused below is not refused for its place."""
    made = make_folder()
    yield made
    shutil.rmtree(made)


def probe_outside(*words: str) -> list[str]:
    return run([str(probe(host_platform().name)), *words])


# -- files


def test_it_sees_the_files_of_its_root_and_no_other(inside: Inside) -> None:
    seen = {line[2:] for line in inside.lines("walk", "/") if line.startswith("f ")}
    there = {f"/{path.relative_to(inside.root)}" for path in inside.root.rglob("*") if path.is_file()}
    assert "/usr/bin/probe" in seen
    assert seen == there


def test_its_root_holds_qemu_and_what_qemu_needs() -> None:
    home = provisioned_home()
    for real in (home / "jails").iterdir():
        places = [path for path in real.glob("share/*") if path.is_file()]
        assert not any(path.stat().st_size for path in places), "what is mounted on is empty"
        files = [path for path in real.rglob("*") if path.is_file() and path not in places]
        programs = {path.name for path in files if path.parent.name in ("bin", "sbin")}
        assert len(programs) == 1 and programs.pop().startswith("qemu-system-")
        assert not [path for path in files if path.stat().st_mode & 0o7022]
        assert all(".so" in path.name or path.parent.name in ("bin", "qemu") for path in files)


def test_no_path_of_the_host_leads_anywhere(inside: Inside, folder: Path) -> None:
    (folder / "secret").write_text("")
    paths = ["/etc/passwd", "/etc", "/home", "/root", "/var", "/run", "/sys", "/boot", "/usr/bin/sh", "/bin/sh",
             "/dev/kvm", "/dev/mem", "/dev/vda", "/dev/sda", "/dev/net/tun", str(folder / "secret"), str(ROOT),
             str(provisioned_home())]  # fmt: skip
    assert set(inside.attempts("look", *paths).values()) == {errno.ENOENT}
    assert attempts(probe_outside("look", "/etc/passwd", str(folder / "secret"))) == {
        "/etc/passwd": 0,
        str(folder / "secret"): 0,
    }


def test_it_has_harmless_devices_only(inside: Inside) -> None:
    names = set(inside.lines("list", "/dev"))
    assert "null" in names
    assert names <= DEVICES
    assert inside.lines("list", "/dev/shm") == []


def test_it_can_write_no_file(inside: Inside) -> None:
    paths = ["/x", "/usr/bin/x", "/usr/bin/probe", "/tmp/x", "/dev/x", "/dev/shm/x", "/proc/x",
             "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/kernel/hostname"]  # fmt: skip
    tried = inside.attempts("make", *paths)
    assert set(tried) == set(paths)
    assert not [path for path, result in tried.items() if result == 0]


# -- network


def test_it_has_no_network(inside: Inside, folder: Path) -> None:
    """Not even the host's loopback or its abstract sockets; nor another machine's sockets, by path."""
    tcp, abstract, named = socket.socket(), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    with tcp, abstract, named:
        tcp.bind(("127.0.0.1", 0))
        abstract.bind(f"\0{folder.name}")
        named.bind(str(folder / "qmp"))
        (folder / "qmp").chmod(0o666)
        for listening in (tcp, abstract, named):
            listening.listen(8)
        words = (str(tcp.getsockname()[1]), folder.name, str(folder / "qmp"))
        outside = probe_outside("network", *words)
        lines = inside.lines("network", *words)
    assert [line for line in outside if line.endswith(" ok")] == ["tcp ok", "abstract ok", "path ok"]
    assert [line for line in lines if line.startswith("link ")] == ["link lo"]
    tried = attempts([line for line in lines if not line.startswith("link ")])
    assert tried["tcp"] in (errno.ENETUNREACH, errno.ECONNREFUSED)
    assert tried["abstract"] == errno.ECONNREFUSED
    assert tried["path"] == errno.ENOENT


# -- processes


def test_it_is_alone(inside: Inside) -> None:
    assert [name for name in inside.lines("list", "/proc") if name.isdigit()] == ["1"]


def test_it_reaches_no_process_even_of_its_own_id(inside: Inside) -> None:
    argv = [str(probe(host_platform().name)), "wait"]
    argv = [*as_id(inside.id), *argv] if IS_ROOT else argv
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"waiting\n"
        tried = inside.attempts("attack", str(victim.pid))
        survived = victim.poll() is None
        victim.kill()
    assert survived
    assert set(tried.values()) <= {errno.ESRCH, errno.ENOENT}
    assert len(tried) == 9


# -- privilege


def test_it_is_nobody_and_has_no_capability(inside: Inside) -> None:
    status = dict(line.split(":\t", 1) for line in inside.lines("show", "/proc/self/status") if ":\t" in line)
    assert inside.id != 0
    machine = inside.kind == "machine"  # root of its own range of ids, and of nothing else
    assert status["Uid"].split() == ["0" if machine else str(inside.id)] * 4
    assert status["Gid"].split() == ["0" if machine else str(inside.id)] * 4
    if machine:
        assert inside.lines("show", "/proc/self/uid_map")[0].split() == ["0", str(inside.id), str(ID_RANGE)]
    assert int(status["CapEff"], 16) & ~OWNERS_CAPABILITIES == 0
    assert {status[name] for name in ("CapEff", "CapPrm")} == {
        f"{OWNERS_CAPABILITIES if machine else 0:016x}"
    }
    assert machine or int(status["CapBnd"], 16) == 0
    assert (
        int(status["CapInh"], 16) & ~OWNERS_CAPABILITIES
        == int(status["CapAmb"], 16) & ~OWNERS_CAPABILITIES
        == 0
    )
    assert status["NoNewPrivs"] == "1"
    if inside.kind == "machine":
        assert status["Groups"].strip() == ""


def test_it_can_gain_nothing(inside: Inside) -> None:
    tried = inside.attempts("gain")
    assert len(tried) == 17
    own = {"root"} if inside.kind == "machine" else set()  # of its own ids, as it is already
    assert {name for name, result in tried.items() if result == 0} == own


def test_its_use_of_the_host_is_bounded(inside: Inside) -> None:
    limits = {line.split()[0]: line.split()[1:] for line in inside.lines("limits")}
    assert limits["core"] == ["0", "0"]
    assert limits["nofile"] == [str(OPEN_FILES)] * 2
    if inside.kind == "machine":  # an ordinary user's would count all that the user runs
        assert limits["nproc"] == [str(THREADS)] * 2


def test_it_inherits_what_it_is_given_and_no_more(inside: Inside) -> None:
    given = os.open("/dev/null", os.O_RDONLY)
    try:
        lines = inside.lines("descriptors", pass_fds=[given])
    finally:
        os.close(given)
    held = {int(line.split()[1]) for line in lines if line.startswith("held ")}
    more = int(next(line.split()[1] for line in lines if line.startswith("more ")))
    assert held - {0, 1, 2, given} == ({inside.ids} if inside.kind == "machine" else set())
    assert len(held) + more <= OPEN_FILES


# -- what it is given


def test_it_cannot_write_a_template(inside: Inside) -> None:
    """All clones map one file in memory: sealed, it is what it was, whoever holds it."""
    ram = make_ram("template", 1)
    try:
        os.pwrite(ram, b"template", 0)
        fcntl.fcntl(ram, fcntl.F_ADD_SEALS, SEALS)
        tried = inside.attempts("change", str(ram), pass_fds=[ram])
        private = inside.attempts("map-private", str(ram), pass_fds=[ram])
        content, size = os.pread(ram, 16, 0), os.fstat(ram).st_size
    finally:
        os.close(ram)
    changes = {"write", "shrink", "grow", "punch", "map", "protect", "unseal", "reopened-write", "reopened-map",
               "truncate"}  # fmt: skip
    assert changes <= set(tried)
    assert not [name for name in changes if tried[name] == 0]
    assert private == {"map": 0, "written": 0}
    assert content == b"template".ljust(16, b"\0") and size == 1 << 20


def test_an_unsealed_file_could_be_changed_in_those_ways(inside: Inside) -> None:
    """The attempts above are real ones."""
    ram = make_ram("own", 1)
    try:
        tried = inside.attempts("change", str(ram), pass_fds=[ram])
    finally:
        os.close(ram)
    assert {
        tried[name] for name in ("write", "map", "protect", "reopened-write", "reopened-map", "truncate")
    } == {0}


@pytest.fixture
def owned(inside: Inside, folder: Path) -> Path:
    """A file of the daemon's, as a layer, a kernel or an initramfs is."""
    path = folder / "layer"
    path.write_bytes(b"layer" * 1000)
    path.chmod(0o644)
    if inside.kind == "user" and IS_ROOT:
        os.chown(path, inside.id, inside.id)
    return path


def test_what_it_may_read_it_cannot_change(inside: Inside, owned: Path) -> None:
    """Not even where it has the id that owns the file: an ordinary user's machine."""
    before = owned.stat()
    tried = inside.attempts("change", "{0}", lend=[owned])
    assert len(tried) >= 16
    refused = set(tried) - {"unseal"}
    assert not [name for name in refused if tried[name] == 0]
    if inside.kind == "user":
        by_path = {"chmod", "chmod-path", "attribute", "times", "reopen", "truncate"}
        assert {tried[name] for name in by_path} == {errno.EROFS}
    assert owned.read_bytes() == b"layer" * 1000
    assert (owned.stat().st_mode, owned.stat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


def test_an_owner_could_change_what_is_not_lent(inside: Inside, owned: Path) -> None:
    """The attempts above are real ones: a plain descriptor gives an owner everything."""
    given = os.open(owned, os.O_RDONLY)
    try:
        tried = inside.attempts("change", str(given), pass_fds=[given])
    finally:
        os.close(given)
    can = {"chmod", "chmod-path", "times", "reopen", "reopened-write", "reopened-map", "truncate"}
    assert {tried[name] == 0 for name in can} == {inside.kind == "user"}


def test_a_file_that_is_not_there_is_not_lent(inside: Inside, folder: Path) -> None:
    with pytest.raises(AssertionError, match="No such file"):
        inside.lines("show", "{0}", lend=[folder / "missing"])
