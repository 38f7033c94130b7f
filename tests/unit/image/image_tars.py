"""Tars by hand for the image tests, and disks read by unsquashfs."""

import hashlib
import io
import json
import re
import subprocess
import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path


def make_tar(*entries: tuple[str, dict], format: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of (name, fields of TarInfo and `data`)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, fields in entries:
            info = tarfile.TarInfo(name)
            data = fields.get("data", b"")
            info.size = len(data)
            info.mode = 0o644
            for key, value in fields.items():
                if key != "data":
                    setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def file(data: bytes = b"", **fields: object) -> dict:
    return {"data": data, **fields}


def folder(**fields: object) -> dict:
    return {"type": tarfile.DIRTYPE, "mode": 0o755, **fields}


def link(target: str) -> dict:
    return {"type": tarfile.LNKTYPE, "linkname": target}


def symlink(target: str) -> dict:
    return {"type": tarfile.SYMTYPE, "linkname": target}


@dataclass(frozen=True)
class Listed:
    mode: str
    owner: str
    size: str
    target: str


def list_disk(disk: Path) -> dict[str, Listed]:
    """What unsquashfs, a reader that is not ours, sees in a disk."""
    out = subprocess.run(["unsquashfs", "-lln", disk], check=True, capture_output=True).stdout
    listed = {}
    for line in out.decode("utf-8", "surrogateescape").splitlines():
        match = re.match(r"(\S{10}) (\S+)\s+(\d+, *\d+|\d+) \S+ \S+ squashfs-root(.*)", line)
        if match:
            name, _, target = match[4].partition(" -> ")
            listed[name.lstrip("/") or "."] = Listed(match[1], match[2], match[3].replace(" ", ""), target)
    return listed


def read_file(disk: Path, name: str) -> bytes:
    return subprocess.run(["unsquashfs", "-cat", disk, name], check=True, capture_output=True).stdout


async def as_stream(data: bytes, step: int = 65536) -> AsyncIterator[bytes]:
    for at in range(0, len(data), step):
        yield data[at : at + step]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def docker_archive(
    layers: list[bytes],
    tags: list[str] | None = None,
    config: dict | None = None,
    diff_ids: list[bytes] | None = None,
    platforms: list[str] | None = None,
) -> bytes:
    """A docker-archive with manifest.json. diff_ids: what the layers are uncompressed."""
    members: dict[str, bytes] = {}
    manifest = []
    for architecture in platforms or ["amd64"]:
        document = {
            "architecture": architecture,
            "os": "linux",
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha256(d) for d in diff_ids or layers]},
        }
        raw = json.dumps(document).encode()
        names = [f"{sha256(layer)}/layer.tar" for layer in layers]
        members.update(zip(names, layers, strict=True))
        members[f"{sha256(raw)}.json"] = raw
        manifest.append({"Config": f"{sha256(raw)}.json", "RepoTags": tags, "Layers": names})
    members["manifest.json"] = json.dumps(manifest).encode()
    return make_tar(*((name, file(data)) for name, data in members.items()))
