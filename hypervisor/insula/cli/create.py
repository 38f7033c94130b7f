"""Flags of `run` and `create` → the Engine API's create request. Pure, but for the files that a flag names.

Checks only what cannot be sent: sizes, numbers, pairs. Sense is the daemon's to judge, for every client alike.
"""

import os
from collections.abc import Callable
from typing import Any

from insula.cli import create_flags as table
from insula.cli.failure import UsageFailure
from insula.cli.flags import Options
from insula.cli.health_flags import make_healthcheck
from insula.cli.limit_flags import limit_fields, security_fields
from insula.cli.mount_flags import parse_mount, volume_fields
from insula.cli.values import pairs, parse_cpus, parse_size

FILE_MAX = 4 << 20
KERNEL = "insula.kernel"
"""The annotation that carries --kernel, so that it can be said with the stock command, too."""
NETWORK_FLAGS = ("network", "net", "ip", "ip6", "mac-address", "network-alias", "link")
STREAMS = ("stdin", "stdout", "stderr")
Document = dict[str, Any]


def make_document(options: Options, detach: bool) -> Document:
    """The body of `POST /containers/create`. Raises UsageFailure."""
    image, *command = options.arguments
    attached = attached_streams(options, detach)
    stdin = options.flag("interactive")
    config: Document = {
        "Image": image,
        "Cmd": command or None,
        "Env": environment(options),
        "Labels": pairs(options.texts("label") + read_files(options.texts("label-file"))),
        "Tty": options.flag("tty"),
        "OpenStdin": stdin,
        "StdinOnce": stdin and "stdin" in attached,
        "AttachStdin": "stdin" in attached,
        "AttachStdout": "stdout" in attached,
        "AttachStderr": "stderr" in attached,
        "HostConfig": host_config(options),
    }
    if any(options.given(flag) for flag in NETWORK_FLAGS):
        from insula.cli.network_flags import network_fields  # what a plain `run` does without

        host, rest = network_fields(options)
        config["HostConfig"] |= host
        config |= rest
    if volumes := volume_fields(options)[1]:
        config["Volumes"] = volumes
    config |= {field: options.text(flag) for flag, field in table.CONFIG_TEXTS.items() if options.given(flag)}
    if options.given("entrypoint"):
        config["Entrypoint"] = [options.text("entrypoint")]
    if options.given("stop-timeout"):
        config["StopTimeout"] = options.number("stop-timeout")
    if (healthcheck := make_healthcheck(options)) is not None:
        config["Healthcheck"] = healthcheck
    if options.given("expose"):
        config["ExposedPorts"] = {with_protocol(port): {} for port in options.texts("expose")}
    return config


def attached_streams(options: Options, detach: bool) -> list[str]:
    """Raises UsageFailure."""
    named = [name.lower() for name in options.texts("attach")]
    for name in named:
        if name not in STREAMS:
            raise UsageFailure(f"invalid argument {name[:80]!r} for --attach: stdin, stdout or stderr")
    if named and detach:
        raise UsageFailure("conflicting options: cannot specify both --attach and --detach")
    if named or detach:
        return named
    return ["stdin", "stdout", "stderr"] if options.flag("interactive") else ["stdout", "stderr"]


def host_config(options: Options) -> Document:
    """Raises UsageFailure."""
    readers: tuple[tuple[dict[str, str], Callable[[str], Any]], ...] = (
        (table.HOST_LISTS, options.texts),
        (table.HOST_TEXTS, options.text),
        (table.HOST_BOOLS, options.flag),
        (table.HOST_NUMBERS, options.number),
        (table.HOST_SIZES, lambda flag: parse_size(options.text(flag), flag)),
        (table.HOST_PAIRS, lambda flag: pairs(options.texts(flag))),
    )
    host = {
        field: read(flag) for fields, read in readers for flag, field in fields.items() if options.given(flag)
    }
    return host | special_fields(options) | limit_fields(options) | security_fields(options)


def special_fields(options: Options) -> Document:
    """What needs more than a look into the table. Raises UsageFailure."""
    host: Document = {}
    if options.given("cpus"):
        host["NanoCpus"] = parse_cpus(options.text("cpus"))
    if options.given("tmpfs"):
        host["Tmpfs"] = {
            path: rest for path, _, rest in (text.partition(":") for text in options.texts("tmpfs"))
        }
    if binds := volume_fields(options)[0]:
        host["Binds"] = binds
    if options.given("mount"):
        host["Mounts"] = [parse_mount(text) for text in options.texts("mount")]
    if options.given("restart"):
        name, _, count = options.text("restart").partition(":")
        if count and not (count.isascii() and count.isdigit()):
            raise UsageFailure(f"invalid argument {options.text('restart')[:80]!r} for --restart")
        host["RestartPolicy"] = {"Name": name, "MaximumRetryCount": int(count[:9] or 0)}
    if options.given("log-driver") or options.given("log-opt"):
        host["LogConfig"] = {"Type": options.text("log-driver"), "Config": pairs(options.texts("log-opt"))}
    if options.given("publish"):
        host["PortBindings"] = port_bindings(options.texts("publish"))
    if options.given("device"):
        host["Devices"] = [device(text) for text in options.texts("device")]
    if options.given("gpus"):
        host["DeviceRequests"] = [{"Capabilities": [["gpu"]], "Options": {"gpus": options.text("gpus")}}]
    if options.given("annotation") or options.given("kernel"):
        kernel = [f"{KERNEL}={os.path.abspath(options.text('kernel'))}"] if options.given("kernel") else []
        host["Annotations"] = pairs(options.texts("annotation") + kernel)
    return host


def query(options: Options) -> Document:
    """The query of the create request. Raises UsageFailure."""
    pull = options.text("pull", "missing")
    if pull not in ("missing", "never", "always"):
        raise UsageFailure(f"invalid argument {pull[:40]!r} for --pull: always, missing or never")
    return {"name": options.text("name") or None, "platform": options.text("platform") or None}


# -- environment


def environment(options: Options) -> list[str]:
    """Files first, so that -e wins. A name without a value passes ours on, if there is one. Raises UsageFailure."""
    found = []
    for text in read_files(options.texts("env-file")) + options.texts("env"):
        name, equals, _ = text.partition("=")
        if not name:
            raise UsageFailure(f"invalid environment variable: {text[:80]!r}")
        if equals:
            found.append(text)
        elif name in os.environ:
            found.append(f"{name}={os.environ[name]}")
    return found


def read_files(names: list[str]) -> list[str]:
    """The lines of files that hold one pair a line; `#` begins a comment. Raises UsageFailure."""
    found = []
    for name in names:
        try:
            with open(name, "rb") as file:
                raw = file.read(FILE_MAX + 1)
            text = raw.decode().removeprefix("\ufeff")
        except OSError as error:
            raise UsageFailure(f"cannot read {name}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UsageFailure(f"cannot read {name}: it is not UTF-8") from error
        if len(raw) > FILE_MAX:
            raise UsageFailure(f"cannot read {name}: it has more than {FILE_MAX >> 20} MiB")
        lines = [line.lstrip() for line in text.split("\n")]
        found += [
            check_line(line.removesuffix("\r"), name) for line in lines if line.strip() and line[0] != "#"
        ]
    return found


def check_line(line: str, name: str) -> str:
    key = line.partition("=")[0]
    if any(letter.isspace() for letter in key):
        raise UsageFailure(f"{name}: the name {key[:80]!r} contains white space")
    return line


# -- ports and devices, which the daemon answers


def with_protocol(port: str) -> str:
    return port if "/" in port else f"{port}/tcp"


def port_bindings(texts: list[str]) -> Document:
    """`[address:][port:]port[/protocol]`, where ports may be ranges. Raises UsageFailure."""
    found: Document = {}
    for text in texts:
        rest, slash, protocol = text.partition("/")
        places, _, inside = rest.rpartition(":")
        address, _, outside = places.rpartition(":")
        for port, host_port in pair_ports(text, inside, outside):
            found.setdefault(f"{port}/{protocol if slash else 'tcp'}", []).append(
                {"HostIp": address.strip("[]"), "HostPort": host_port}
            )
    return found


def pair_ports(text: str, inside: str, outside: str) -> list[tuple[str, str]]:
    """Ranges of one length port by port; a range for a single port is the daemon's to choose from. Raises
    UsageFailure."""
    first, dash, last = inside.partition("-")
    if not dash or first == last:
        return [(first, outside)]
    if not all(word.isascii() and word.isdigit() and len(word) <= 5 for word in (first, last)):
        raise UsageFailure(f"invalid argument {text[:80]!r} for --publish: invalid port range {inside[:20]}")
    ports = [str(port) for port in range(int(first), int(last) + 1)]
    if not outside:
        return [(port, "") for port in ports]
    low, _, high = outside.partition("-")
    if not (low.isascii() and low.isdigit() and len(low) <= 5 and high == str(int(low) + len(ports) - 1)):
        raise UsageFailure(f"invalid argument {text[:80]!r} for --publish: the ranges differ in length")
    return [(port, str(int(low) + number)) for number, port in enumerate(ports)]


def device(text: str) -> Document:
    source, _, rest = text.partition(":")
    target, _, permissions = rest.partition(":")
    return {
        "PathOnHost": source,
        "PathInContainer": target or source,
        "CgroupPermissions": permissions or "rwm",
    }
