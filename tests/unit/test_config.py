"""The configuration file."""

from pathlib import Path

import pytest

from insula.config import Config, read_config
from insula.errors import InvalidArgument


def test_no_file_is_the_defaults(tmp_path: Path) -> None:
    assert read_config(tmp_path / "none") == Config()


def test_every_setting(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        'mirror = "https://m/debian"\nsecurity_mirror = "https://m/security"\n[pool]\nmachines = 2\nmemory = "1G"\n[templates]\nsize = 5\n'
        '[logs]\nsize = "10M"\nfiles = 3\n[registry]\nmirror = "http://m:5000"\ninsecure = ["a:5000", "10.0.0.0/8"]\n'
    )
    assert read_config(file) == Config(
        "https://m/debian",
        "https://m/security",
        2,
        1 << 30,
        5,
        10 << 20,
        3,
        "http://m:5000",
        ("a:5000", "10.0.0.0/8"),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mirror", "is not TOML"),
        ("mirrors = 1", "no setting mirrors"),
        ("[pool]\nsize = 1", "no setting pool.size"),
        ("[pool]\nmachines = -1", "machines = -1 is not understood"),
        ("[pool]\nmachines = true", "machines = True is not understood"),
        ('[pool]\nmemory = "1X"', "memory = '1X' is not understood"),
        ('[logs]\nsize = "0"', "size = 0 is not understood"),
        ("[logs]\nfiles = 0", "files = 0 is not understood"),
        ('[logs]\nfiles = "3"', "files = '3' is not understood"),
        ("security_mirror = 5", "security_mirror = 5 is not understood"),
        ("[registry]\nmirror = 5", "mirror = 5 is not understood"),
        ('[registry]\ninsecure = "a"', "insecure = 'a' is not understood"),
        ("[registry]\ninsecure = [1]", r"insecure = \[1\] is not understood"),
        ("mirror = 5", "mirror = 5 is not understood"),
    ],
)
def test_what_is_not_a_setting_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(InvalidArgument, match=said):
        read_config(file)
