import pytest

from insula.container.tmpfs import check_target, parse_tmpfs
from insula.errors import InvalidArgument


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("relative", "invalid mount path: 'relative' mount path must be absolute"),
        ("", "invalid mount path: '' mount path must be absolute"),
        ("/", "invalid specification: destination can't be '/'"),
        ("//", "invalid specification: destination can't be '/'"),
        ("/a/..", "invalid specification: destination can't be '/'"),
        ("/proc", '"/proc" cannot be mounted because it is not of type proc'),
        ("//x/../proc/.", '"/proc" cannot be mounted because it is not of type proc'),
        ("/proc/sys", '"/proc/sys" cannot be mounted because it is inside /proc'),
        ("/dev", '"/dev" cannot be mounted over (the container\'s devices and terminals are there)'),
    ],
)
def test_targets_that_cannot_be(target: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_target(target)
    assert str(caught.value) == words


@pytest.mark.parametrize("target", ["/run", "/dev/shm", "/procs", "/sys/fs/cgroup", "//a"])
def test_targets_that_can(target: str) -> None:
    check_target(target)
    assert parse_tmpfs(target, "").target == "/" + target.lstrip("/")


@pytest.mark.parametrize("options", ["size", "size=x", "mode=9", "odd", "uid=-1", "rw=1"])
def test_options_that_are_none(options: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid tmpfs option"):
        parse_tmpfs("/run", options)
