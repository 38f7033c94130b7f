import pytest

from insula.container.log_options import DEFAULT, LOCAL, LogLimits, parse_size, read_log_options
from insula.errors import InvalidArgument


@pytest.mark.parametrize(
    ("driver", "options", "limits"),
    [
        ("json-file", {}, DEFAULT),
        ("json-file", {"max-size": "10k"}, LogLimits(10_000, 1)),
        ("json-file", {"max-file": "3"}, LogLimits(DEFAULT.size, 3)),
        (
            "json-file",
            {"max-size": "2MB", "max-file": "3", "compress": "T"},
            LogLimits(2_000_000, 3, compress=True),
        ),
        ("json-file", {"mode": "blocking", "labels": "a", "env-regex": "b", "tag": "x"}, DEFAULT),
        ("json-file", {"mode": "non-blocking"}, LogLimits(buffer=1_000_000)),
        ("json-file", {"mode": "non-blocking", "max-buffer-size": "4k"}, LogLimits(buffer=4096)),
        ("local", {}, LOCAL),
        ("local", {"max-size": "1m", "max-file": "1", "compress": "false"}, LogLimits(1_000_000, 1)),
        ("none", {}, None),
    ],
)
def test_what_they_ask_for(driver: str, options: dict[str, str], limits: LogLimits | None) -> None:
    assert read_log_options(driver, options, DEFAULT) == limits


def test_the_default_is_the_daemons() -> None:
    assert read_log_options("json-file", {}, LogLimits(5, 6)) == LogLimits(5, 6)
    assert read_log_options("json-file", {"max-file": "2"}, LogLimits(5, 6)) == LogLimits(5, 2)
    assert read_log_options("local", {}, LogLimits(5, 6)) == LOCAL


@pytest.mark.parametrize(
    ("driver", "options", "words"),
    [
        ("asdf", {}, "logger: no log driver named 'asdf' is registered"),
        ("none", {"max-size": "1m"}, "invalid logging opts for driver none"),
        ("json-file", {"max-sizes": "1m"}, "unknown log opt 'max-sizes' for json-file log driver"),
        ("local", {"cache-disabled": "1"}, "unknown log opt 'cache-disabled' for log driver local"),
        ("json-file", {"max-size": "x"}, "invalid size: 'x'"),
        ("json-file", {"max-size": ""}, "invalid size: ''"),
        ("json-file", {"max-size": "1x"}, "invalid suffix: 'x'"),
        ("json-file", {"max-size": "-1m"}, "invalid size: '-1m'"),
        ("json-file", {"max-size": "0"}, "max-size must be a positive number"),
        ("json-file", {"max-file": "0"}, "max-file cannot be less than 1"),
        ("local", {"max-file": "-1"}, "max-file cannot be less than 1"),
        ("json-file", {"max-file": "1001"}, "max-file cannot be more than 1000"),
        (
            "json-file",
            {"max-file": "²"},
            'invalid log opt max-file: strconv.Atoi: parsing "²": invalid syntax',
        ),
        (
            "json-file",
            {"compress": "yes"},
            'invalid log opt compress: strconv.ParseBool: parsing "yes": invalid syntax',
        ),
        (
            "json-file",
            {"compress": "true", "max-file": "3"},
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ),
        (
            "json-file",
            {"compress": "true", "max-size": "1m"},
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ),
        ("local", {"max-file": "1"}, "compression cannot be enabled when max file count is 1"),
        ("local", {"mode": "fast"}, "logger: logging mode not supported: fast"),
        (
            "json-file",
            {"max-buffer-size": "1m"},
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ),
        (
            "json-file",
            {"mode": "non-blocking", "max-buffer-size": "x"},
            "error parsing option max-buffer-size: invalid size: 'x'",
        ),
    ],
)
def test_what_is_refused(driver: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_log_options(driver, options, DEFAULT)
    assert refused.value.message == words


def test_one_of_dockers_other_drivers_is_told_what_there_is() -> None:
    with pytest.raises(InvalidArgument, match="json-file, local and none"):
        read_log_options("syslog", {}, DEFAULT)


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("5", 5), ("5b", 5), ("1k", 1000), ("1.5 KB", 1500), ("2MiB", 2_000_000), ("1g", 10**9), ("1.", 1)],
)
def test_sizes(text: str, bytes_: int) -> None:
    assert parse_size(text, 1000) == bytes_


@pytest.mark.parametrize("text", ["k", "1 2", "1kk", "1kib b", "1e5", "0x10", "1_0", "9" * 400, "\n1"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"invalid (size|suffix)"):
        parse_size(text, 1000)
