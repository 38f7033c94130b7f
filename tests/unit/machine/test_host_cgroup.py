"""Where machines' cgroups would be made, by what the kernel says of this process; making them is tests/boot's."""

from pathlib import Path

import pytest

from insula.machine.host_cgroup import find_parent, leave_cgroup, was_short_of_memory


def make_proc(folder: Path, mounts: str, cgroup: str) -> Path:
    (folder / "mountinfo").write_text(mounts)
    (folder / "cgroup").write_text(cgroup)
    return folder


def make_cgroup(folder: Path, controllers: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "cgroup.controllers").write_text(controllers)
    for name in ("cgroup.procs", "cgroup.subtree_control"):
        (folder / name).touch()
    return folder


def test_a_host_with_version_1_alone_has_none(tmp_path: Path) -> None:
    proc = make_proc(tmp_path, "31 23 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", "1:cpu:/\n")
    assert find_parent(proc).obstacle == "no hierarchy of version 2 is mounted"


def test_a_mixed_host_has_none(tmp_path: Path) -> None:
    top = make_cgroup(tmp_path / "unified", "hugetlb\n")
    proc = make_proc(tmp_path, f"41 31 0:38 / {top} rw - cgroup2 cgroup2 rw\n", "4:memory:/\n0::/\n")
    assert find_parent(proc).obstacle == "version 2 has no controller cpu (version 1 may have it)"
    assert not (top / "insula").exists()


@pytest.mark.parametrize("path", ["/", "/user.slice/shell.scope", "/../elsewhere"])
def test_it_is_the_highest_that_may_be_written(tmp_path: Path, path: str) -> None:
    top = make_cgroup(tmp_path / "top", "cpuset cpu io memory pids\n")
    make_cgroup(top / "user.slice", "cpu memory pids\n")
    make_cgroup(top / "user.slice" / "shell.scope", "cpu memory pids\n")
    (top / "insula").mkdir()
    (top / "insula" / "cgroup.subtree_control").touch()
    proc = make_proc(tmp_path, f"41 31 0:38 / {top} rw - cgroup2 cgroup2 rw\n", f"0::{path}\n")
    assert find_parent(proc).folder == top / "insula"
    assert (top / "cgroup.subtree_control").read_text() == "+cpu +memory +pids +io"


def test_a_cgroup_that_is_not_ours_is_named(tmp_path: Path) -> None:
    top = make_cgroup(tmp_path / "top", "cpu memory pids\n")
    (top / "cgroup.procs").unlink()
    proc = make_proc(tmp_path, f"41 31 0:38 / {top} rw - cgroup2 cgroup2 rw\n", "0::/\n")
    assert find_parent(proc).obstacle == f"the daemon may not make cgroups in {top}"


@pytest.mark.parametrize(
    ("events", "killed"),
    [
        ("low 0\nmax 9\noom 1\noom_kill 2\n", True),
        ("max 9\noom 1\noom_kill 0\n", False),
        ("", False),
        (None, False),
    ],
)
def test_a_cgroup_counts_who_was_killed_in_it(tmp_path: Path, events: str | None, killed: bool) -> None:
    note = tmp_path / "cgroup"
    assert was_short_of_memory(note) is False
    note.write_text(str(tmp_path))
    if events is not None:
        (tmp_path / "memory.events").write_text(events)
    assert was_short_of_memory(note) is killed


def test_a_machine_without_a_cgroup_leaves_none(tmp_path: Path) -> None:
    leave_cgroup(tmp_path / "cgroup")
