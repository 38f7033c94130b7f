"""What a commit makes of a container: layer and config."""

import io
import json
import struct
import tarfile
from collections.abc import AsyncIterator
from typing import Any

import pytest

from insula.agent.tree import END, LOWER, Entry, Kind
from insula.container.commit import Commit, image_config, layer_from
from insula.container.health import HealthCheck
from insula.container.record import Record
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec
from insula.errors import InvalidArgument
from insula.image.manifest import parse_config

OPAQUE = (b"trusted.overlay.opaque", b"y")
BELOW = (LOWER, struct.pack("<BIIIqIQ", Kind.DIRECTORY, 0o755, 0, 0, 1, 0, 0))
DIGEST = "sha256:" + "a" * 64


async def layer(*entries: Entry, contents: bytes = b"") -> dict[str, tarfile.TarInfo]:
    async def stream() -> AsyncIterator[bytes]:
        for entry in entries:
            yield entry.encode()
            yield contents[: entry.stored]
        yield END.encode()

    data = b"".join([piece async for piece in layer_from(stream())])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive}


async def test_the_layer_has_whiteouts_as_images_do() -> None:
    found = await layer(
        Entry(Kind.DIRECTORY),
        Entry(
            Kind.DIRECTORY,
            path=b"d",
            xattrs=(BELOW, OPAQUE, (b"trusted.overlay.origin", b"x"), (b"user.a", b"b")),
        ),
        Entry(Kind.FILE, path=b"d/f", size=3, extents=((0, 3),)),
        Entry(Kind.DIRECTORY, path=b"new", xattrs=(OPAQUE,)),
        Entry(Kind.CHARACTER_DEVICE, path=b"bin/gone", xattrs=(BELOW,)),
        Entry(Kind.CHARACTER_DEVICE, path=b"never"),
        Entry(Kind.CHARACTER_DEVICE, path=b"null", major=1, minor=3),
        contents=b"abc",
    )
    assert list(found) == ["d", "d/.wh..wh..opq", "d/f", "new", "bin/.wh.gone", "null"]
    assert found["d"].pax_headers == {"SCHILY.xattr.user.a": "b"}
    assert found["bin/.wh.gone"].isreg() and found["null"].ischr() and found["d/f"].size == 3


async def test_what_the_agent_mounts_upon_is_in_no_layer() -> None:
    ours = [Entry(Kind.DIRECTORY, path=name) for name in (b"dev", b"proc", b"sys")]
    found = await layer(
        *ours, Entry(Kind.DIRECTORY, path=b"etc", xattrs=(BELOW,)), Entry(Kind.FILE, path=b"etc/hosts")
    )
    assert list(found) == ["etc"]
    assert list(await layer(Entry(Kind.FILE, path=b"etc/hosts", xattrs=(BELOW,)))) == ["etc/hosts"]


def committed(wanted: Commit, **settings: Any) -> dict[str, Any]:
    parent = {
        "architecture": "amd64", "os": "linux", "author": "before", "container": "abc",
        "config": {"Env": ["PATH=/bin"], "OnBuild": ["RUN x"], "Cmd": ["old"]},
        "rootfs": {"type": "layers", "diff_ids": [DIGEST]}, "history": [{"created_by": "first"}],
    }  # fmt: skip
    record = Record(
        id="i", name="n", created_ns=0, spec=ContainerSpec(image="x"), image_id=DIGEST, platform="linux/amd64",
        settings=Settings(**{"cmd": ("sh", "-c", "x"), "env": ("PATH=/bin", "A=1")} | settings),
    )  # fmt: skip
    config = parse_config(json.dumps(parent).encode())
    document: dict[str, Any] = json.loads(image_config(record, config, wanted, "sha256:" + "b" * 64))
    return document


def test_the_config_is_the_containers() -> None:
    check = HealthCheck(("CMD", "true"), interval=10**9)
    made = committed(
        Commit(author="me", message="why", changes=('CMD ["y"]', "ENV B=2")), labels={"l": "1"}, healthcheck=check,
        exposed_ports=("80/tcp",), user="5",
    )  # fmt: skip
    assert made["config"] == {
        "Env": ["PATH=/bin", "A=1", "B=2"], "OnBuild": ["RUN x"], "Cmd": ["y"], "Entrypoint": None, "WorkingDir": "",
        "User": "5", "Labels": {"l": "1"}, "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 10**9},
    }  # fmt: skip
    assert made["rootfs"]["diff_ids"] == [DIGEST, "sha256:" + "b" * 64]
    assert (made["author"], "container" in made) == ("me", False)
    assert made["history"][0] == {"created_by": "first"}
    step = made["history"][1]
    assert (step["created_by"], step["author"], step["comment"]) == ("sh -c x", "me", "why")


def test_a_body_says_what_is_to_be_otherwise() -> None:
    made = committed(
        Commit(config={"Cmd": ["z"], "Env": ["A=9"], "Labels": {"k": "v"}, "User": ""}), user="7"
    )
    assert made["config"]["Cmd"] == ["z"] and made["config"]["Env"] == ["PATH=/bin", "A=9"]
    assert made["config"]["Labels"] == {"k": "v"} and made["config"]["User"] == "7"


def test_what_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        committed(Commit(changes=("RUN x",)))
    with pytest.raises(InvalidArgument):
        Commit(message="x" * 5000)
