"""Paths as clients write them, and what is told of them."""

import pytest

from insula.agent.tree import Entry, Kind
from insula.container.path_stat import absolute, base_of, below_root, stat_of
from insula.errors import InvalidArgument


@pytest.mark.parametrize(
    ("asked", "path", "base", "below"),
    [
        ("/", "/", "/", ""), ("", "/", "/", ""), (".", "/", "/", ""), ("//", "/", "/", ""), ("/..", "/", "/", ""),
        ("etc", "/etc", "etc", "etc"), ("/etc/", "/etc/", "etc", "etc/"), ("/etc/.", "/etc/.", ".", "etc/."),
        ("../../etc/./passwd", "/etc/passwd", "passwd", "etc/passwd"), ("//a//b", "/a/b", "b", "a/b"),
        ("/a/../b/", "/b/", "b", "b/"), ("/.hidden", "/.hidden", ".hidden", ".hidden"), ("/a/..", "/", "/", ""),
        ("/./", "/", "/", ""),
    ],
)  # fmt: skip
def test_paths(asked: str, path: str, base: str, below: str) -> None:
    assert (absolute(asked), base_of(path), below_root(path)) == (path, base, below)


@pytest.mark.parametrize("path", ["a\0b", "/" + "a" * 4096, "/" + "ü" * 3000])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(InvalidArgument):
        absolute(path)


def test_what_is_told_of_a_path() -> None:
    link = stat_of(
        "/l", Entry(Kind.SYMBOLIC_LINK, mode=0o777, link=b"/etc/x", mtime_seconds=1, mtime_nanoseconds=2)
    )
    assert (link.name, link.size, link.link_target, link.mtime_ns) == ("l", 6, "/etc/x", 1_000_000_002)
    assert stat_of("/d/", Entry(Kind.DIRECTORY)).size == 4096
    assert stat_of("/f", Entry(Kind.FILE, size=7)).size == 7
