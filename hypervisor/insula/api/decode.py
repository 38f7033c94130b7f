"""Docker's JSON → ContainerSpec and ExecSpec: the only place with Docker's field names on the way in.

Every type is checked, every option answered (api/fields.py): what has no effect is named in the warnings, what is
not there is refused. Sense (minimums, names, conflicts) is checked by the spec itself.
"""

from typing import Any

from insula import errors
from insula.api.call import read_integer
from insula.api.decode_limits import decode_guards, decode_limits
from insula.api.decode_mounts import decode_mounts, decode_volumes, decode_volumes_from
from insula.api.decode_network import decode_endpoints, decode_names, decode_networking, decode_ports
from insula.api.fields import CONFIG, HOST_CONFIG
from insula.api.health_json import decode_healthcheck
from insula.api.typed import check, read_section
from insula.api.versions import Version
from insula.container.restart_policy import RestartPolicy
from insula.container.spec import ContainerSpec, ExecSpec
from insula.errors import InvalidArgument

CONSOLE_MAX = 65535
SINCE = {"AutoRemove": (1, 25), "Annotations": (1, 43)}


def decode_container(
    document: dict[str, Any], name: str, platform: str, version: Version
) -> tuple[ContainerSpec, list[str]]:
    """What `POST /containers/create` asks for, and warnings. Raises InvalidArgument, NotImplemented."""
    warnings: list[str] = []
    parts = {key.lower(): value for key, value in document.items()}
    raw_host = parts.pop("hostconfig", None)
    raw_networking = parts.pop("networkingconfig", None)
    check("ContainerConfigWrapper.HostConfig", "object", raw_host)
    check("ContainerConfigWrapper.NetworkingConfig", "object", raw_networking)
    config = read_section("Config", CONFIG, parts, warnings)
    host = read_section("HostConfig", HOST_CONFIG, raw_host or {}, warnings)
    for field, since in SINCE.items():
        if version < since:
            host.pop(field, None)  # as Docker: an older version does not have it
    networking = decode_networking(raw_networking or {}, warnings)
    check_namespaces(host)
    if host.get("UTSMode") == "host" and config.get("Hostname"):
        raise InvalidArgument("conflicting options: hostname and the UTS mode")
    check_swappiness(host.get("MemorySwappiness"))
    rows, columns = decode_console(host.get("ConsoleSize"))
    mode = "none" if config.get("NetworkDisabled") else str(host.get("NetworkMode") or "")
    endpoints, mac = networking.get("EndpointsConfig") or {}, str(config.get("MacAddress") or "")
    spec = ContainerSpec(
        **decode_process(config),
        healthcheck=decode_healthcheck(config.get("Healthcheck"), version, warnings),
        shell=tuple(config.get("Shell") or ()),
        **decode_limits(host),
        **decode_guards(host),
        **decode_log(host.get("LogConfig") or {}),
        platform=platform or None,
        name=name.removeprefix("/"),
        privileged=bool(host.get("Privileged")),
        read_only=bool(host.get("ReadonlyRootfs")),
        init=bool(host.get("Init")),
        tmpfs=dict(host.get("Tmpfs") or {}),
        mounts=decode_mounts(host, warnings),
        volumes=decode_volumes(config),
        volumes_from=decode_volumes_from(host),
        volume_driver=str(host.get("VolumeDriver") or ""),
        published=decode_ports(host.get("PortBindings") or {}),
        publish_all=bool(host.get("PublishAllPorts")),
        exposed=tuple(config.get("ExposedPorts") or {}),
        **decode_names(host),
        endpoints=decode_endpoints(endpoints, mac, mode),
        auto_remove=bool(host.get("AutoRemove")),
        restart=decode_restart(host.get("RestartPolicy") or {}),
        network_mode=mode,
        links=tuple(host.get("Links") or ()),
        isolation=str(host.get("Isolation") or ""),
        console_rows=rows,
        console_columns=columns,
        raw_config=config,
        raw_host_config=host,
        raw_networking_config=networking,
    )
    return spec, warnings


def decode_process(config: dict[str, Any]) -> dict[str, Any]:
    """Config, as ContainerSpec names it."""
    return {
        "image": str(config.get("Image") or ""),
        "entrypoint": decode_words(config.get("Entrypoint")),
        "cmd": decode_words(config.get("Cmd")),
        "env": tuple(config.get("Env") or ()),
        "working_dir": str(config.get("WorkingDir") or ""),
        "user": str(config.get("User") or ""),
        "tty": bool(config.get("Tty")),
        "open_stdin": bool(config.get("OpenStdin")),
        "stdin_once": bool(config.get("StdinOnce")),
        "attach_stdin": bool(config.get("AttachStdin")),
        "attach_stdout": bool(config.get("AttachStdout")),
        "attach_stderr": bool(config.get("AttachStderr")),
        "labels": dict(config.get("Labels") or {}),
        "hostname": str(config.get("Hostname") or ""),
        "domainname": str(config.get("Domainname") or ""),
        "stop_signal": str(config.get("StopSignal") or ""),
        "stop_timeout": config.get("StopTimeout"),
    }


def decode_restart(policy: dict[str, Any]) -> RestartPolicy:
    """HostConfig.RestartPolicy. Without a name it is none, whatever else it says, as in Docker. Raises
    InvalidArgument."""
    check("HostConfig.RestartPolicy.Name", "string", policy.get("Name"))
    check("HostConfig.RestartPolicy.MaximumRetryCount", "int", policy.get("MaximumRetryCount"))
    name = policy.get("Name") or ""
    return RestartPolicy(name, policy.get("MaximumRetryCount") or 0) if name else RestartPolicy()


def decode_log(log: dict[str, Any]) -> dict[str, Any]:
    """HostConfig.LogConfig. Raises InvalidArgument."""
    check("HostConfig.LogConfig.Type", "string", log.get("Type"))
    check("HostConfig.LogConfig.Config", "labels", log.get("Config"))
    return {"log_driver": log.get("Type") or "json-file", "log_options": dict(log.get("Config") or {})}


def decode_words(value: Any) -> tuple[str, ...] | None:
    """A command: a list, or one word. An empty list counts as not given, as in Docker."""
    if value is None or value == []:
        return None
    return (value,) if isinstance(value, str) else tuple(value)


def decode_console(value: Any) -> tuple[int, int]:
    """(rows, columns). Raises InvalidArgument."""
    if not value:
        return 0, 0
    if len(value) != 2:
        raise InvalidArgument("HostConfig.ConsoleSize needs two numbers: height and width")
    for number in value:
        check("HostConfig.ConsoleSize", "int", number)
        if not 0 <= number <= CONSOLE_MAX:
            raise InvalidArgument(f"the console size {number} is out of range")
    return value[0], value[1]


def check_namespaces(host: dict[str, Any]) -> None:
    """Sharing with another container cannot be had. Raises InvalidArgument, NotImplemented."""
    for field, others in (
        ("PidMode", ("host",)),
        ("IpcMode", ("host", "private", "shareable", "none")),
        ("UTSMode", ("host",)),
        ("UsernsMode", ("host",)),
        ("CgroupnsMode", ("host", "private")),
    ):
        value = str(host.get(field) or "")
        if value.startswith("container:"):
            raise InvalidArgument(
                f"HostConfig.{field}={value[:80]} cannot be had: each container has a machine of its own",
                "use docker exec to run a further program in that container",
            )
        if value and value not in others:
            raise InvalidArgument(f"invalid {field}: {value[:80]}")
    if host.get("IpcMode") == "none":
        raise errors.NotImplemented(
            "HostConfig.IpcMode=none is not supported yet", "the default is a private /dev/shm"
        )
    runtime = str(host.get("Runtime") or "")
    if runtime not in ("", "insula", "runc", "io.containerd.runc.v2"):
        raise InvalidArgument(f"unknown or invalid runtime name: {runtime[:80]}")


def check_swappiness(value: int | None) -> None:
    """It means nothing without swap, but has a range. Raises InvalidArgument."""
    if value is not None and not -1 <= value <= 100:
        raise InvalidArgument(f"Invalid value: {value}, valid memory swappiness range is 0-100")


# -- exec

EXEC_FIELDS = {
    "AttachStdin": "bool", "AttachStdout": "bool", "AttachStderr": "bool", "DetachKeys": "string", "Tty": "bool",
    "Env": "strings", "Cmd": "words", "Privileged": "bool", "User": "string", "WorkingDir": "string",
    "ConsoleSize": "list", "Detach": "bool", "Container": "string",
}  # fmt: skip


def read_exec_fields(document: dict[str, Any]) -> dict[str, Any]:
    """The known fields of an exec's create or start, by proper name. Raises InvalidArgument."""
    proper = {name.lower(): name for name in EXEC_FIELDS}
    found = {}
    for name, value in document.items():
        if known := proper.get(name.lower()):
            check(f"ExecConfig.{known}", EXEC_FIELDS[known], value)
            found[known] = value
    return found


def decode_exec(document: dict[str, Any]) -> ExecSpec:
    """What `POST /containers/…/exec` asks for. Raises InvalidArgument."""
    found = read_exec_fields(document)
    return ExecSpec(
        cmd=decode_words(found.get("Cmd")) or (),
        env=tuple(found.get("Env") or ()),
        working_dir=found.get("WorkingDir") or "",
        user=found.get("User") or "",
        tty=bool(found.get("Tty")),
        attach_stdin=bool(found.get("AttachStdin")),
        attach_stdout=bool(found.get("AttachStdout")),
        attach_stderr=bool(found.get("AttachStderr")),
        privileged=bool(found.get("Privileged")),
        detach_keys=found.get("DetachKeys") or "",
    )


# -- numbers and times


def decode_size(call_value: str, what: str) -> int:
    """A terminal's height or width. Raises InvalidArgument."""
    number = read_integer(call_value)
    if not 0 <= number <= CONSOLE_MAX:
        raise InvalidArgument(f"invalid {what}: {number} is out of range")
    return number
