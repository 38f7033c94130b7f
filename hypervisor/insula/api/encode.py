"""Containers → Docker's JSON: inspect, list, exec. The only place with Docker's field names on the way out.

What the request said is echoed; what was decided is told from the view. Fields come and go with the API version
that was asked for (docs/compatibility.md).
"""

from typing import Any

from insula.api.encode_network import encode_endpoints, encode_network_settings, list_ports
from insula.api.health_json import encode_health, encode_healthcheck, health_text
from insula.api.moments import BILLION, format_ns
from insula.api.versions import Version
from insula.container.settings import Settings
from insula.container.view import ContainerView, ExecView, MountPoint, StateView

EMPTY_ENDPOINT: dict[str, Any] = {
    "IPAMConfig": None, "Links": None, "Aliases": None, "MacAddress": "", "DriverOpts": None, "GwPriority": 0,
    "NetworkID": "", "EndpointID": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "",
    "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "DNSNames": None,
}  # fmt: skip
HOST_DEFAULTS: dict[str, Any] = {
    "Binds": None, "ContainerIDFile": "", "PortBindings": {}, "AutoRemove": False, "VolumeDriver": "",
    "VolumesFrom": None, "ConsoleSize": [0, 0], "CapAdd": None, "CapDrop": None, "CgroupnsMode": "private",
    "Dns": [], "DnsOptions": [], "DnsSearch": [], "ExtraHosts": None, "GroupAdd": None, "IpcMode": "private",
    "Cgroup": "", "Links": None, "OomScoreAdj": 0, "PidMode": "", "Privileged": False, "PublishAllPorts": False,
    "ReadonlyRootfs": False, "SecurityOpt": None, "UTSMode": "", "UsernsMode": "", "ShmSize": 64 << 20,
    "Runtime": "insula", "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0, "CgroupParent": "",
    "BlkioWeight": 0, "BlkioWeightDevice": [], "BlkioDeviceReadBps": [], "BlkioDeviceWriteBps": [],
    "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [], "CpuPeriod": 0, "CpuQuota": 0, "CpuRealtimePeriod": 0,
    "CpuRealtimeRuntime": 0, "CpusetCpus": "", "CpusetMems": "", "Devices": [], "DeviceCgroupRules": None,
    "DeviceRequests": None, "MemoryReservation": 0, "MemorySwap": 0, "MemorySwappiness": None,
    "OomKillDisable": None, "PidsLimit": None, "Ulimits": [], "CpuCount": 0, "CpuPercent": 0,
    "IOMaximumIOps": 0, "IOMaximumBandwidth": 0, "MaskedPaths": None, "ReadonlyPaths": None,
}  # fmt: skip


def encode_inspect(view: ContainerView, version: Version) -> dict[str, Any]:
    """`GET /containers/…/json`."""
    arguments = view.settings.arguments
    parts = view.platform.split("/")
    document: dict[str, Any] = {
        "Id": view.id,
        "Created": format_ns(view.created_ns),
        "Path": arguments[0] if arguments else "",
        "Args": list(arguments[1:]),
        "State": encode_state(view.state, view),
        "Image": view.image_id,
        "ResolvConfPath": "",
        "HostnamePath": "",
        "HostsPath": "",
        "LogPath": str(view.log_path or ""),
        "Name": f"/{view.name}",
        "RestartCount": view.restart_count,
        "Driver": "insula",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": list(view.exec_ids) or None,
        "HostConfig": encode_host_config(view),
        "GraphDriver": {"Data": None, "Name": "insula"},
        "Mounts": encode_mounts(view),
        "Config": encode_config(view, version),
        "NetworkSettings": encode_network_settings(view),
        "Insula": {
            "Platform": view.platform,
            "Architecture": parts[1] if len(parts) > 1 else "",
            "Origin": view.origin,
            "FailedStart": str(view.failed_start or ""),
            "MachineEnd": str(view.machine_end or ""),
        },
    }
    if version >= (1, 48):
        document["ImageManifestDescriptor"] = None
    return document


def encode_state(state: StateView, view: ContainerView) -> dict[str, Any]:
    return {
        "Status": state.status,
        "Running": state.running,
        "Paused": state.status == "paused",
        "Restarting": state.status == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": state.status == "dead",
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": format_ns(state.started_ns),
        "FinishedAt": format_ns(state.finished_ns),
        **({} if state.health is None else {"Health": encode_health(state.health)}),
    }


def encode_host_config(view: ContainerView) -> dict[str, Any]:
    """The request's own, completed with Docker's defaults."""
    spec = view.spec
    raw = {name: value for name, value in spec.raw_host_config.items() if value is not None}
    document = {**HOST_DEFAULTS, **raw}
    document["NetworkMode"] = spec.network_mode or "default"
    document["ShmSize"] = spec.shm_size or 64 << 20
    document["LogConfig"] = {"Type": spec.log_driver, "Config": dict(spec.log_options)}
    document["RestartPolicy"] = {
        "Name": spec.restart.name, "MaximumRetryCount": spec.restart.max_retries,
    }  # fmt: skip
    if view.links:
        document["Links"] = list(view.links)
    for name in ("IpcMode", "CgroupnsMode", "Runtime"):
        document[name] = document[name] or HOST_DEFAULTS[name]
    return document


def encode_config(view: ContainerView, version: Version) -> dict[str, Any]:
    """The image's config and the request, merged."""
    spec, settings = view.spec, view.settings
    raw = spec.raw_config
    document: dict[str, Any] = {
        "Hostname": settings.hostname,
        "Domainname": spec.domainname,
        "User": settings.user,
        "AttachStdin": spec.attach_stdin,
        "AttachStdout": spec.attach_stdout,
        "AttachStderr": spec.attach_stderr,
        "Tty": spec.tty,
        "OpenStdin": spec.open_stdin,
        "StdinOnce": spec.stdin_once,
        "Env": list(settings.env),
        "Cmd": listed(settings.cmd),
        "Image": view.image,
        "Volumes": {path: {} for path in settings.volumes} or None,
        "WorkingDir": settings.working_dir,
        "Entrypoint": listed(settings.entrypoint),
        "OnBuild": raw.get("OnBuild") or None,
        "Labels": settings.labels,
    }
    if ports := exposed_ports(view):
        document["ExposedPorts"] = ports
    if settings.stop_signal:
        document["StopSignal"] = settings.stop_signal
    if spec.stop_timeout is not None:
        document["StopTimeout"] = spec.stop_timeout
    if settings.healthcheck is not None:
        document["Healthcheck"] = encode_healthcheck(settings.healthcheck, version)
    if settings.shell:
        document["Shell"] = list(settings.shell)
    if raw.get("NetworkDisabled"):
        document["NetworkDisabled"] = True
    return document


def listed(words: tuple[str, ...] | None) -> list[str] | None:
    return None if words is None else list(words)


def encode_mounts(view: ContainerView) -> list[dict[str, Any]]:
    """Mount points. tmpfs given by --tmpfs is not listed, as in Docker."""
    return [encode_mount(point) for point in view.mounts]


def encode_mount(point: MountPoint) -> dict[str, Any]:
    document: dict[str, Any] = {"Type": point.kind}
    if point.kind == "volume":
        document |= {"Name": point.name, "Driver": "local"}
    return document | {
        "Source": point.source,
        "Destination": point.target,
        "Mode": point.mode or ("z" if point.kind == "volume" and not point.anonymous else ""),
        "RW": not point.read_only,
        "Propagation": "rprivate" if point.kind == "bind" else "",
    }


# -- list


def encode_listed(view: ContainerView, image: str, version: Version) -> dict[str, Any]:
    """One entry of `GET /containers/json`, but for its Status, which changes by the clock. image: its image's name as
    it is now."""
    document: dict[str, Any] = {
        "Id": view.id,
        "Names": [f"/{view.name}"],
        "Image": image,
        "ImageID": view.image_id,
        "Command": command_line(view.settings),
        "Created": view.created_ns // BILLION,
        "Ports": list_ports(view),
        "Labels": view.settings.labels,
        "State": view.state.status,
        "HostConfig": {"NetworkMode": view.spec.network_mode or "default"},
        "NetworkSettings": {"Networks": encode_endpoints(view)},
        "Mounts": encode_mounts(view),
    }
    if version >= (1, 46) and (annotations := view.spec.raw_host_config.get("Annotations")):
        document["HostConfig"]["Annotations"] = annotations
    if version >= (1, 48):
        document["ImageManifestDescriptor"] = None
    document["Insula"] = {"Platform": view.platform}
    return document


def exposed_ports(view: ContainerView) -> dict[str, Any]:
    """The image's ports and the request's."""
    return {
        **{port: {} for port in view.settings.exposed_ports},
        **(view.spec.raw_config.get("ExposedPorts") or {}),
    }


def command_line(settings: Settings) -> str:
    """The command as the list shows it: words with spaces quoted."""
    return " ".join(f"'{word}'" if " " in word else word for word in settings.arguments)


def status_text(state: StateView, now_ns: int) -> str:
    """`Up 5 minutes`, `Exited (0) 2 hours ago`: Docker's words."""
    if state.status == "restarting":
        return f"Restarting ({state.exit_code}) {age_text(now_ns - state.finished_ns)} ago"
    if state.running:
        paused = state.status == "paused"
        return (
            f"Up {age_text(now_ns - state.started_ns)}{' (Paused)' if paused else health_text(state.health)}"
        )
    if state.status == "removing":
        return "Removal In Progress"
    if state.status == "dead":
        return "Dead"
    if not state.finished_ns:
        return "Created"
    return f"Exited ({state.exit_code}) {age_text(now_ns - state.finished_ns)} ago"


AGES = ((60, 1, "second"), (3600, 60, "minute"), (48 * 3600, 3600, "hour"), (14 * 86400, 86400, "day"),
        (60 * 86400, 7 * 86400, "week"), (730 * 86400, 30 * 86400, "month"))  # fmt: skip


def age_text(nanoseconds: int) -> str:
    """A duration in one word and a number, as Docker shows it."""
    seconds = max(0, nanoseconds) // BILLION
    if seconds < 1:
        return "Less than a second"
    if 60 <= seconds < 120:
        return "About a minute"
    if 3600 <= seconds < 5400:
        return "About an hour"
    for bound, unit, word in AGES:
        if seconds < bound:
            number = (seconds + (unit // 2 if word == "hour" else 0)) // unit
            return f"{number} {word}{'' if number == 1 else 's'}"
    return f"{seconds // (365 * 86400)} years"


# -- exec


def encode_exec(view: ExecView) -> dict[str, Any]:
    """`GET /exec/…/json`."""
    spec = view.spec
    return {
        "ID": view.id,
        "Running": view.running,
        "ExitCode": view.exit_code,
        "ProcessConfig": {
            "tty": spec.tty,
            "entrypoint": spec.cmd[0],
            "arguments": list(spec.cmd[1:]),
            "privileged": spec.privileged,
            **({"user": spec.user} if spec.user else {}),
        },
        "OpenStdin": spec.attach_stdin,
        "OpenStderr": spec.attach_stderr,
        "OpenStdout": spec.attach_stdout,
        "CanRemove": view.can_remove,
        "ContainerID": view.container_id,
        "DetachKeys": spec.detach_keys,
        "Pid": view.pid,
    }
