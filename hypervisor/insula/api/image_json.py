"""Images → Docker's JSON."""

import json
from collections.abc import Sequence
from typing import Any

from insula.api.moments import BILLION
from insula.api.versions import Version
from insula.image.record import Image, Removed, moment_ns

EMPTY_CONFIG: dict[str, Any] = {
    "User": "", "Env": None, "Cmd": None, "WorkingDir": "", "Entrypoint": None, "Labels": None,
    "OnBuild": None, "Volumes": None,
}  # fmt: skip
OLD_CONFIG: dict[str, Any] = {
    "Hostname": "", "Domainname": "", "AttachStdin": False, "AttachStdout": False, "AttachStderr": False,
    "Tty": False, "OpenStdin": False, "StdinOnce": False, "Image": "",
}  # fmt: skip


def unix_time(created: str) -> int:
    """RFC 3339 as Unix seconds; 0 for what is none (the text comes from the image)."""
    return moment_ns(created) // BILLION


def image_config(image: Image) -> dict[str, Any]:
    """The config's own `config` object, as far as it is one."""
    found = json.loads(image.config.raw).get("config")
    return found if isinstance(found, dict) else {}


def encode_image(image: Image, version: Version) -> dict[str, Any]:
    """`GET /images/…/json`."""
    config = {**EMPTY_CONFIG, **image_config(image)}
    if version < (1, 50):
        config = {**OLD_CONFIG, **config}
    document: dict[str, Any] = {
        "Id": image.id,
        "RepoTags": list(image.repo_tags),
        "RepoDigests": list(image.repo_digests),
        "Parent": image.parent,
        "Comment": image.comment,
        "Created": image.created or "0001-01-01T00:00:00Z",
        "DockerVersion": "",
        "Author": image.config.author,
        "Config": config,
        "Architecture": image.platform.architecture,
        "Variant": image.platform.variant,
        "Os": image.platform.os,
        "Size": image.size,
        "GraphDriver": {"Data": None, "Name": "insula"},
        "RootFS": {"Type": "layers", "Layers": list(image.config.diff_ids)},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
    }
    if not image.platform.variant:
        del document["Variant"]
    if version < (1, 44):
        document["VirtualSize"] = image.size
    if version < (1, 45):
        document["Container"] = ""
        document["ContainerConfig"] = None
    return document


def encode_listed_image(image: Image, containers: int, version: Version) -> dict[str, Any]:
    """One entry of `GET /images/json`. containers: how many use it."""
    document: dict[str, Any] = {
        "Id": image.id,
        "ParentId": image.parent,
        "RepoTags": list(image.repo_tags) or ["<none>:<none>"],
        "RepoDigests": list(image.repo_digests) or ["<none>@<none>"],
        "Created": unix_time(image.created),
        "Size": image.size,
        "SharedSize": -1,
        "Labels": image.config.labels or None,
        "Containers": containers if version >= (1, 51) else -1,
    }
    if version >= (1, 43):
        document["RepoTags"] = list(image.repo_tags)
        document["RepoDigests"] = list(image.repo_digests)
    if version < (1, 44):
        document["VirtualSize"] = image.size
    return document


def encode_history(image: Image, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """`GET /images/…/history`: newest first. sizes: of the layers, lowest first; a step without a layer has none."""
    entries = []
    left = list(sizes)
    for number, step in enumerate(reversed(image.history)):
        size = 0 if step.get("empty_layer") is True or not left else left.pop()
        entries.append(
            {
                "Id": image.id if number == 0 else "<missing>",
                "Created": unix_time(str(step.get("created", ""))),
                "CreatedBy": str(step.get("created_by", "")),
                "Tags": list(image.repo_tags) or None if number == 0 else None,
                "Size": size,
                "Comment": str(step.get("comment", "")),
            }
        )
    return entries


def encode_removed(removed: tuple[Removed, ...]) -> list[dict[str, str]]:
    return [{"Untagged": r.untagged} if r.untagged else {"Deleted": r.deleted} for r in removed]
