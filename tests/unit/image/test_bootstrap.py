"""busybox's layer: the applets that the binary names, and the same bytes each time."""

import io
import tarfile

import pytest

from insula.errors import Internal
from insula.image.bootstrap import find_applets, make_busybox_layer

APPLETS = ["[", "[[", "acpid", "cat", "ls", "mount", "sh", "sleep", "true", "uname"]
BINARY = (
    b"\x7fELF" + bytes(100) + b"text\0" + b"\0".join(name.encode() for name in APPLETS) + b"\0\0more\0aaa\0"
)


@pytest.mark.parametrize("before", [b"text\0", b"text"])
def test_applets_are_read_from_the_binary(before: bytes) -> None:
    assert find_applets(BINARY.replace(b"text\0", before)) == APPLETS


@pytest.mark.parametrize("binary", [b"", b"\0[\0[[\0", BINARY[:130], BINARY.replace(b"\0sh\0", b"\0sg\0")])
def test_binary_without_them_is_refused(binary: bytes) -> None:
    with pytest.raises(Internal, match="list of applets"):
        find_applets(binary)


def test_layer() -> None:
    layer = make_busybox_layer(BINARY, 1_700_000_000)
    assert layer == make_busybox_layer(BINARY, 1_700_000_000)
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        members = {member.name: member for member in archive}
    assert {member.mtime for member in members.values()} == {1_700_000_000}
    assert members["bin/sh"].linkname == members["bin/["].linkname == "bin/busybox"
    assert members["tmp"].mode == 0o1777 and members["bin/busybox"].mode == 0o755
    assert {"etc/passwd", "etc/group", "etc/os-release", "proc", "sys", "dev", "root", "usr/bin/env"} <= set(
        members
    )
