"""HostConfig's Binds, Mounts and VolumesFrom, Config's Volumes → mount requests; a volume's create. Docker's field
names end here. Sense (paths, names, what a machine can have) is checked by the requests themselves."""

from typing import Any

from insula import errors
from insula.api.typed import check
from insula.container.mount_request import PROPAGATIONS, MountRequest, VolumesFrom, parse_volumes_from
from insula.errors import InvalidArgument
from insula.volume.volume import VolumeSpec

CONSISTENCIES = ("", "default", "consistent", "cached", "delegated")
LABELLING = ("z", "Z")


def decode_mounts(host: dict[str, Any], warnings: list[str]) -> tuple[MountRequest, ...]:
    """Binds and Mounts. Raises InvalidArgument, NotImplemented, NotFound (driver)."""
    driver = str(host.get("VolumeDriver") or "")
    mounts = [decode_bind(bind, driver, warnings) for bind in host.get("Binds") or ()]
    for mount in host.get("Mounts") or ():
        check("HostConfig.Mounts", "object", mount)
        mounts.append(decode_mount(mount))
    return tuple(mounts)


def decode_volumes(config: dict[str, Any]) -> tuple[str, ...]:
    """Config.Volumes: targets of anonymous volumes."""
    return tuple(config.get("Volumes") or {})


def decode_volumes_from(host: dict[str, Any]) -> tuple[VolumesFrom, ...]:
    """Raises InvalidArgument."""
    return tuple(parse_volumes_from(text) for text in host.get("VolumesFrom") or ())


def decode_bind(text: str, driver: str = "", warnings: list[str] | None = None) -> MountRequest:
    """`source:target[:options]`, or `target` alone. Raises InvalidArgument, NotImplemented."""
    source, *rest = text.split(":")
    if not rest:
        return MountRequest("volume", "", text, plain=True, driver=driver)
    if len(rest) > 2 or not source or not rest[0]:
        raise InvalidArgument(f"invalid volume specification: '{text[:200]}'")
    mode = rest[1] if len(rest) == 2 else ""
    words = [word for word in mode.split(",") if word]
    kind = "bind" if source.startswith("/") else "volume"
    propagation = _check_mode(kind, words, mode)
    if warnings is not None and set(words) & set(LABELLING):
        warnings.append(
            f"The mode {mode[:80]} of {rest[0][:200]} has no effect on labels: there is no SELinux in a machine."
        )
    return MountRequest(
        kind,
        source,
        rest[0],
        read_only="ro" in words,
        plain=True,
        mode=mode,
        propagation=propagation,
        no_copy="nocopy" in words,
        driver=driver if kind == "volume" else "",
    )


def _check_mode(kind: str, words: list[str], mode: str) -> str:
    """The propagation in it. Raises InvalidArgument."""
    groups: dict[str, str] = {}
    for word in words:
        group = (
            "access" if word in ("ro", "rw")
            else "label" if word in LABELLING
            else "propagation" if word in PROPAGATIONS and kind == "bind"
            else "copy" if word == "nocopy" and kind == "volume"
            else "consistency" if word in CONSISTENCIES
            else ""
        )  # fmt: skip
        if not group or group in groups:
            raise InvalidArgument(f"invalid mode: {mode[:80]}")
        groups[group] = word
    return groups.get("propagation", "")


MOUNT_FIELDS = {
    "Type": "string", "Source": "string", "Target": "string", "ReadOnly": "bool", "Consistency": "string",
    "BindOptions": "object", "VolumeOptions": "object", "TmpfsOptions": "object", "ImageOptions": "object",
    "ClusterOptions": "object",
}  # fmt: skip
BIND_FIELDS = {
    "Propagation": "string", "NonRecursive": "bool", "CreateMountpoint": "bool", "ReadOnlyNonRecursive": "bool",
    "ReadOnlyForceRecursive": "bool",
}  # fmt: skip
VOLUME_FIELDS = {"NoCopy": "bool", "Labels": "labels", "DriverConfig": "object", "Subpath": "string"}
OPTIONS_OF = {"bind": "BindOptions", "volume": "VolumeOptions", "tmpfs": "TmpfsOptions", "image": "ImageOptions",
              "cluster": "ClusterOptions"}  # fmt: skip


def read_fields(where: str, fields: dict[str, str], found: dict[str, Any]) -> None:
    """Raises InvalidArgument for what is not known or of another type."""
    for name, value in found.items():
        if name not in fields:
            raise InvalidArgument(f"{where}.{name[:80]} is not known")
        check(f"{where}.{name}", fields[name], value)


def decode_mount(mount: dict[str, Any]) -> MountRequest:
    """One entry of Mounts. Raises InvalidArgument, NotImplemented."""
    read_fields("HostConfig.Mounts", MOUNT_FIELDS, mount)
    kind = mount.get("Type") or ""
    if kind not in ("bind", "volume", "tmpfs", "image", "cluster", "npipe"):
        raise InvalidArgument(f"mount type unknown: {kind[:80]!r}")
    if not mount.get("Target"):
        raise InvalidArgument(
            "invalid mount config: field Target must not be empty", "name a folder of the container"
        )
    for other, name in OPTIONS_OF.items():
        if other != kind and mount.get(name):
            raise InvalidArgument(
                f'invalid mount config for type "{kind}": field {name} must not be specified'
            )
    if (mount.get("Consistency") or "") not in CONSISTENCIES:
        raise InvalidArgument(f"invalid mount config: unknown consistency {str(mount['Consistency'])[:80]!r}")
    return MountRequest(kind, mount.get("Source") or "", mount["Target"], **_options(kind, mount))


def _options(kind: str, mount: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"read_only": bool(mount.get("ReadOnly"))}
    if kind == "tmpfs":
        if mount.get("Source"):
            raise InvalidArgument('invalid mount config for type "tmpfs": field Source must not be specified')
        found["options"] = decode_tmpfs(mount.get("TmpfsOptions") or {})
    if kind == "bind":
        if not mount.get("Source"):
            raise InvalidArgument('invalid mount config for type "bind": field Source must not be empty')
        found |= _bind_options(mount.get("BindOptions") or {}, read_only=found["read_only"])
    if kind == "volume":
        found |= _volume_options(mount.get("VolumeOptions") or {}, mount.get("Source") or "")
    return found


def _bind_options(options: dict[str, Any], *, read_only: bool) -> dict[str, Any]:
    read_fields("HostConfig.Mounts.BindOptions", BIND_FIELDS, options)
    shallow, force = options.get("ReadOnlyNonRecursive"), options.get("ReadOnlyForceRecursive")
    for name in ("ReadOnlyNonRecursive", "ReadOnlyForceRecursive"):
        if options.get(name) and not read_only:
            raise InvalidArgument(f'invalid mount config for type "bind": {name} needs ReadOnly')
    if shallow and force:
        raise InvalidArgument(
            'invalid mount config for type "bind": ReadOnlyForceRecursive and ReadOnlyNonRecursive exclude each other'
        )
    return {
        "propagation": options.get("Propagation") or "",
        "recursive": not options.get("NonRecursive"),
        "deep_read_only": not shallow,
        "plain": bool(options.get("CreateMountpoint")),
    }


def _volume_options(options: dict[str, Any], source: str) -> dict[str, Any]:
    read_fields("HostConfig.Mounts.VolumeOptions", VOLUME_FIELDS, options)
    driver = options.get("DriverConfig") or {}
    read_fields(
        "HostConfig.Mounts.VolumeOptions.DriverConfig", {"Name": "string", "Options": "labels"}, driver
    )
    subpath = options.get("Subpath") or ""
    if subpath and not source:
        raise InvalidArgument(
            'invalid mount config for type "volume": must not set Subpath when using anonymous volumes'
        )
    return {
        "no_copy": bool(options.get("NoCopy")),
        "subpath": subpath,
        "driver": driver.get("Name") or "",
        "driver_options": dict(driver.get("Options") or {}),
        "labels": dict(options.get("Labels") or {}),
    }


def decode_tmpfs(options: dict[str, Any]) -> str:
    """TmpfsOptions in the form of `--tmpfs`. Raises InvalidArgument, NotImplemented."""
    words = []
    for name, value in options.items():
        if name in ("SizeBytes", "Mode"):
            check(f"TmpfsOptions.{name}", "int", value)
            if value and value < 0:
                raise InvalidArgument(f"invalid mount config: TmpfsOptions.{name} is negative")
            if value:
                words.append(f"size={value}" if name == "SizeBytes" else f"mode={value:o}")
        elif value:
            raise errors.NotImplemented(f"TmpfsOptions.{name[:80]} is not supported yet", "use --tmpfs")
    return ",".join(words)


def decode_volume(document: dict[str, Any]) -> VolumeSpec:
    """The body of `POST /volumes/create`. Raises InvalidArgument, NotFound (driver), NotImplemented."""
    fields = {"name": "string", "driver": "string", "driveropts": "labels", "labels": "labels",
              "clustervolumespec": "object"}  # fmt: skip
    found = {}
    for name, value in document.items():
        if name.lower() in fields:
            check(f"VolumeCreateRequest.{name[:80]}", fields[name.lower()], value)
            found[name.lower()] = value
    if found.get("clustervolumespec"):
        raise errors.NotImplemented("cluster volumes cannot be had: there is no swarm")
    return VolumeSpec(
        found.get("name") or "",
        found.get("driver") or "",
        dict(found.get("driveropts") or {}),
        dict(found.get("labels") or {}),
    )
