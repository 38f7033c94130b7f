"""`--log-driver` and `--log-opt`: what they ask for, in Docker's words and by Docker's rules. Pure.

json-file and local are one file in the same form (log_file.py); local is compressed and 20 MB in five files by
default, and no path to it is told, as with Docker. none keeps nothing. Where Docker sets no bound the daemon's
configuration does. The daemon's own options for other drivers (cache-…) have no meaning here and are unknown.
"""

import re
from dataclasses import dataclass, replace

from insula.errors import InvalidArgument

FILE_DRIVERS = ("json-file", "local")
DRIVERS = (*FILE_DRIVERS, "none")
DOCKERS_OTHERS = ("syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "gcplogs", "etwlogs")
ATTRIBUTE_OPTIONS = ("labels", "labels-regex", "env", "env-regex", "tag")
FILE_OPTIONS = ("max-size", "max-file", "compress", *ATTRIBUTE_OPTIONS)
MODES = ("", "blocking", "non-blocking")
FILES_MAX = 1000
BUFFER_DEFAULT = 1_000_000
TRUE, FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
SIZE = re.compile(r"(.*[0-9. ])?(.*)", re.ASCII | re.DOTALL)
NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{0,9})?", re.ASCII)
POWERS = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How far a log grows: bytes a file, how many files, whether full ones are compressed. buffer: None if the
    program waits for its log; else what is over so many bytes not yet written is dropped."""

    size: int = 64 << 20
    files: int = 2
    compress: bool = False
    buffer: int | None = None


DEFAULT = LogLimits()
LOCAL = LogLimits(20_000_000, 5, True)


def read_log_options(driver: str, options: dict[str, str], default: LogLimits) -> LogLimits | None:
    """default: of json-file. None for a driver that keeps nothing. Raises InvalidArgument."""
    if driver not in DRIVERS:
        hint = "insula has json-file, local and none" if driver in DOCKERS_OTHERS else ""
        raise InvalidArgument(f"logger: no log driver named '{driver[:80]}' is registered", hint)
    if driver == "none":
        if options:
            raise InvalidArgument("invalid logging opts for driver none")
        return None
    buffer = _read_mode(options)
    for name in options:
        if name not in FILE_OPTIONS and name not in ("mode", "max-buffer-size"):
            which = "json-file log driver" if driver == "json-file" else "log driver local"
            raise InvalidArgument(f"unknown log opt '{name[:80]}' for {which}")
    limits = _read_json_file(options, default) if driver == "json-file" else _read_local(options)
    return replace(limits, buffer=buffer)


def _read_mode(options: dict[str, str]) -> int | None:
    mode, size = options.get("mode", ""), options.get("max-buffer-size")
    if mode not in MODES:
        raise InvalidArgument(f"logger: logging mode not supported: {mode[:80]}")
    if size is None:
        return BUFFER_DEFAULT if mode == "non-blocking" else None
    if mode != "non-blocking":
        raise InvalidArgument("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
    try:
        return parse_size(size, 1024)
    except InvalidArgument as error:
        raise InvalidArgument(f"error parsing option max-buffer-size: {error.message}") from error


def _read_json_file(options: dict[str, str], default: LogLimits) -> LogLimits:
    """Docker's one file where only a size is given; the default's size where only a number of files is."""
    size, files = options.get("max-size"), options.get("max-file")
    limits = default if size is None else LogLimits(_read_size(size), 1)
    if files is not None:
        limits = replace(limits, files=_read_files(files))
    limits = replace(limits, compress=_read_bool(options.get("compress", "false")))
    if limits.compress and (size is None or limits.files < 2):
        raise InvalidArgument("compress cannot be true when max-file is less than 2 or max-size is not set")
    return limits


def _read_local(options: dict[str, str]) -> LogLimits:
    limits = LOCAL
    if "max-size" in options:
        limits = replace(limits, size=_read_size(options["max-size"]))
    if "max-file" in options:
        limits = replace(limits, files=_read_files(options["max-file"]))
    if "compress" in options:
        limits = replace(limits, compress=_read_bool(options["compress"]))
    if limits.compress and limits.files < 2:
        raise InvalidArgument("compression cannot be enabled when max file count is 1", "compress=false")
    return limits


def _read_size(text: str) -> int:
    size = parse_size(text, 1000)
    if size <= 0:
        raise InvalidArgument("max-size must be a positive number")
    return size


def _read_files(text: str) -> int:
    digits = text.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise InvalidArgument(
            f'invalid log opt max-file: strconv.Atoi: parsing "{text[:40]}": invalid syntax'
        )
    if int(text) < 1:
        raise InvalidArgument("max-file cannot be less than 1")
    if int(text) > FILES_MAX:
        raise InvalidArgument(f"max-file cannot be more than {FILES_MAX}")
    return int(text)


def _read_bool(text: str) -> bool:
    if text not in TRUE and text not in FALSE:
        raise InvalidArgument(
            f'invalid log opt compress: strconv.ParseBool: parsing "{text[:40]}": invalid syntax'
        )
    return text in TRUE


def parse_size(text: str, unit: int) -> int:
    """Bytes of `10m`, `1.5 GB`, `64KiB`; unit: of a k, 1000 or 1024. Raises InvalidArgument."""
    match = SIZE.fullmatch(text)
    assert match is not None
    number, suffix = (match[1] or "").removesuffix(" "), match[2].lower()
    if not NUMBER.fullmatch(number):
        raise InvalidArgument(f"invalid size: '{text[:40]}'")
    if suffix in ("", "b"):
        return int(float(number))
    if suffix[0] not in POWERS or suffix[1:] not in ("", "b", "ib"):
        raise InvalidArgument(f"invalid suffix: '{suffix[:40]}'")
    return int(float(number) * unit ** POWERS[suffix[0]])
