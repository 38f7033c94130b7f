"""--volume and --mount, in all their forms."""

import os
from typing import Any

import pytest

from insula.cli.failure import UsageFailure
from insula.cli.mount_flags import parse_mount


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("type=bind,src=/a,dst=/b", {"Type": "bind", "Source": "/a", "Target": "/b"}),
        ("type=bind,source=/a,target=/b,readonly", {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True}),
        ("src=v1,destination=/b,ro=false", {"Type": "volume", "Source": "v1", "Target": "/b", "ReadOnly": False}),
        ('type=bind,"src=/a,b",dst=/b', {"Type": "bind", "Source": "/a,b", "Target": "/b"}),
        (
            "dst=/b,volume-nocopy,volume-subpath=x,volume-label=k=v,volume-driver=local,volume-opt=o=bind",
            {"Type": "volume", "Target": "/b", "VolumeOptions": {
                "NoCopy": True, "Subpath": "x", "Labels": {"k": "v"},
                "DriverConfig": {"Name": "local", "Options": {"o": "bind"}},
            }},
        ),
        (
            "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1777",
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o1777}},
        ),
        (
            "type=bind,src=/a,dst=/b,bind-recursive=writable,bind-propagation=rprivate",
            {"Type": "bind", "Source": "/a", "Target": "/b",
             "BindOptions": {"ReadOnlyNonRecursive": True, "Propagation": "rprivate"}},
        ),
    ],
)  # fmt: skip
def test_mounts(text: str, document: dict[str, Any]) -> None:
    assert parse_mount(text) == document


def test_a_relative_source_is_the_clients() -> None:
    assert parse_mount("type=bind,src=./x,dst=/b")["Source"] == os.path.abspath("x")


@pytest.mark.parametrize(
    "text",
    [
        "", "type=odd,dst=/b", "type=bind,src=/a", "odd=x,dst=/b", "dst=/b,tmpfs-size=1m", "type=bind,src,dst=/b",
        "type=tmpfs,dst=/t,tmpfs-mode=9", "type=tmpfs,dst=/t,tmpfs-size=x", "dst=/b,readonly=maybe",
        'type=bind,"src=/a', "type=bind,src=/a,dst=/b,bind-recursive=odd",
    ],
)  # fmt: skip
def test_what_is_no_mount(text: str) -> None:
    with pytest.raises(UsageFailure):
        parse_mount(text)
