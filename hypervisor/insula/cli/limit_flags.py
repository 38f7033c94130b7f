"""Flags of limits and security options that need more than a look into the table → HostConfig.

A seccomp profile is read here and its JSON sent, as the docker command does it: the daemon reads no file of its
client's. (A kernel is another matter: it is the daemon's host that boots it.)
"""

import json
from typing import Any

from insula.cli.failure import UsageFailure
from insula.cli.flags import Options
from insula.cli.values import pairs, parse_size

PROFILE_MAX = 1 << 20
NAMED_PROFILES = ("builtin", "unconfined")
SYSTEM_PATHS = "systempaths=unconfined"
RATES = {
    "device-read-bps": "BlkioDeviceReadBps", "device-write-bps": "BlkioDeviceWriteBps",
    "device-read-iops": "BlkioDeviceReadIOps", "device-write-iops": "BlkioDeviceWriteIOps",
}  # fmt: skip
Document = dict[str, Any]


def limit_fields(options: Options) -> Document:
    """Raises UsageFailure."""
    host: Document = {}
    for flag, field in RATES.items():
        if options.given(flag):
            host[field] = [device_rate(text, flag) for text in options.texts(flag)]
    if options.given("blkio-weight-device"):
        host["BlkioWeightDevice"] = [device_weight(text) for text in options.texts("blkio-weight-device")]
    if options.given("ulimit"):
        host["Ulimits"] = [ulimit(text) for text in options.texts("ulimit")]
    if options.given("storage-opt"):
        for text in options.texts("storage-opt"):
            if "=" not in text:
                raise UsageFailure(f"invalid storage option {text[:80]!r}: NAME=VALUE is wanted")
        host["StorageOpt"] = pairs(options.texts("storage-opt"))
    return host


def device_of(text: str, flag: str) -> tuple[str, str]:
    """`/dev/…:value`. Raises UsageFailure."""
    path, colon, value = text.partition(":")
    if not colon or not path.startswith("/dev/"):
        raise UsageFailure(f"invalid argument {text[:80]!r} for --{flag}: /dev/NAME:VALUE is wanted")
    return path, value


def device_rate(text: str, flag: str) -> Document:
    path, value = device_of(text, flag)
    if flag.endswith("bps"):
        return {"Path": path, "Rate": parse_size(value, flag)}
    return {"Path": path, "Rate": whole(value, flag)}


def device_weight(text: str) -> Document:
    path, value = device_of(text, "blkio-weight-device")
    return {"Path": path, "Weight": whole(value, "blkio-weight-device")}


def ulimit(text: str) -> Document:
    """`name=soft[:hard]`. Raises UsageFailure."""
    name, equals, values = text.partition("=")
    if not equals or not name:
        raise UsageFailure(f"invalid ulimit argument: {text[:80]}")
    soft, colon, hard = values.partition(":")
    first = whole(soft, "ulimit")
    return {"Name": name, "Soft": first, "Hard": whole(hard, "ulimit") if colon else first}


def whole(text: str, flag: str) -> int:
    """A whole number. Raises UsageFailure."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        raise UsageFailure(f"invalid argument {text[:80]!r} for --{flag}: not a whole number")
    return int(text)


def security_fields(options: Options) -> Document:
    """Raises UsageFailure."""
    given = options.texts("security-opt")
    if not given:
        return {}
    host: Document = {}
    if SYSTEM_PATHS in given:
        host |= {"MaskedPaths": [], "ReadonlyPaths": []}
    return host | {"SecurityOpt": [security_option(text) for text in given if text != SYSTEM_PATHS]}


def security_option(text: str) -> str:
    """As it is sent: a profile's file becomes its JSON. Raises UsageFailure."""
    name, _, value = text.partition("=" if "=" in text else ":")
    if not value and name != "no-new-privileges":
        raise UsageFailure(f"invalid --security-opt: {text[:80]!r}")
    if name != "seccomp" or value in NAMED_PROFILES:
        return text
    try:
        with open(value, "rb") as file:
            raw = file.read(PROFILE_MAX + 1)
        if len(raw) > PROFILE_MAX:
            raise UsageFailure(f"the seccomp profile {value} has more than {PROFILE_MAX >> 20} MiB")
        return "seccomp=" + json.dumps(json.loads(raw), separators=(",", ":"))
    except OSError as error:
        raise UsageFailure(f"opening seccomp profile ({value}) failed: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageFailure(f"the seccomp profile {value} is no JSON: {error}") from error
