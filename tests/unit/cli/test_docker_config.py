"""Docker's configuration file and its credential helpers, as `docker` keeps them; and the look of progress."""

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from insula.cli.docker_config import HUB, encode_auth, erase_auth, find_auth, keep_auth, key_of
from insula.cli.failure import ApiFailure, Failure
from insula.cli.layers import Layers
from insula.cli.registry import Name, parse_name

HELPER = """#!/bin/sh
# keeps what it is told in a file each
host() { tr -d '\\n' | tr '/:' '__'; }
case $1 in
store) read -r all; echo "$all" >"$STORE/last"; echo stored ;;
get) cat "$STORE/$(host)" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
erase) host >"$STORE/erased" ;;
esac
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker" / "config.json"


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """docker-credential-tested; the folder of what it keeps."""
    program, store = tmp_path / "bin" / "docker-credential-tested", tmp_path / "store"
    program.parent.mkdir()
    store.mkdir()
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("STORE", str(store))
    return store


def write(config: Path, document: Any) -> None:
    config.parent.mkdir(exist_ok=True)
    config.write_text(document if isinstance(document, str) else json.dumps(document))


def test_what_a_registry_is_called() -> None:
    for server in ("", "docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"):
        assert key_of(server) == HUB
    assert key_of("https://here:5000/v2/") == key_of("here:5000") == "here:5000"


def test_it_is_kept_and_erased_as_docker_does(config: Path) -> None:
    assert find_auth("here:5000") == {} and not erase_auth("here:5000")
    assert keep_auth("here:5000", {"username": "alice", "password": "a:b"}) == str(config)
    assert config.stat().st_mode & 0o777 == 0o600
    kept = base64.b64encode(b"alice:a:b").decode()
    assert json.loads(config.read_text()) == {"auths": {"here:5000": {"auth": kept}}}
    assert find_auth("here:5000") == {"username": "alice", "password": "a:b", "serveraddress": "here:5000"}
    assert find_auth("here") == {}
    assert erase_auth("here:5000") and find_auth("here:5000") == {}


def test_a_file_that_is_a_link_stays_one(config: Path, tmp_path: Path) -> None:
    write(config, {"psFormat": "x"})
    config.rename(tmp_path / "elsewhere.json")
    config.symlink_to(tmp_path / "elsewhere.json")
    keep_auth("", {"username": "alice", "password": "p"})
    assert config.is_symlink()
    kept = json.loads((tmp_path / "elsewhere.json").read_text())
    assert kept["psFormat"] == "x" and list(kept["auths"]) == [HUB]


def test_other_forms_of_an_entry(config: Path) -> None:
    write(
        config,
        {
            "auths": {
                "https://here:1/v1/": {"auth": base64.b64encode(b"u:p").decode()},
                "b": {"identitytoken": "t"},
            }
        },
    )
    assert find_auth("here:1")["username"] == "u"
    assert find_auth("b") == {"identitytoken": "t", "serveraddress": "b"}


@pytest.mark.parametrize(
    "wrong",
    ["{", "[]", '{"credsStore": "../evil"}', '{"auths": {"here": {"auth": "%"}}}', '{"credsStore": 5}'],
)
def test_a_wrong_file_is_told(config: Path, wrong: str) -> None:
    write(config, wrong)
    with pytest.raises(Failure, match=r"config\.json"):
        find_auth("here")


def test_a_helper_has_the_last_word(config: Path, helper: Path) -> None:
    write(config, {"credHelpers": {"here:5000": "tested"}, "auths": {"here:5000": {"auth": "eDp5"}}})
    assert find_auth("here:5000") == {}
    (helper / "here_5000").write_text('{"ServerURL": "here:5000", "Username": "u", "Secret": "s"}')
    assert find_auth("here:5000") == {"username": "u", "password": "s", "serveraddress": "here:5000"}
    (helper / "here_5000").write_text('{"Username": "<token>", "Secret": "s"}')
    assert find_auth("here:5000") == {"identitytoken": "s", "serveraddress": "here:5000"}
    (helper / "here_5000").write_text("odd")
    with pytest.raises(Failure, match="gave no usable answer"):
        find_auth("here:5000")


def test_a_helper_keeps_for_all(config: Path, helper: Path) -> None:
    write(config, {"credsStore": "tested"})
    assert keep_auth("", {"username": "alice", "password": "p"}) == ""
    assert json.loads((helper / "last").read_text()) == {"ServerURL": HUB, "Username": "alice", "Secret": "p"}
    assert json.loads(config.read_text())["auths"] == {HUB: {}}
    assert erase_auth("") and (helper / "erased").read_text() == "https___index.docker.io_v1_"


def test_a_helper_that_is_not_there(config: Path) -> None:
    write(config, {"credsStore": "nowhere"})
    with pytest.raises(Failure, match="cannot run docker-credential-nowhere"):
        find_auth("here")


def test_the_header() -> None:
    assert encode_auth({}) == "e30="
    assert set(encode_auth({"password": "\xff\xfe?>"})) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("busybox", Name("docker.io", "library/busybox", "")),
        ("a/b:1", Name("docker.io", "a/b", "1")),
        ("localhost/a", Name("localhost", "a", "")),
        ("here:5000/a/b", Name("here:5000", "a/b", "")),
        ("here:5000/a:2@sha256:00", Name("here:5000", "a", "sha256:00")),
    ],
)
def test_names(text: str, name: Name) -> None:
    assert parse_name(text) == name


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


LINES = [
    {"status": "Pulling from x", "id": "1"},
    {"status": "Downloading", "id": "aa", "progressDetail": {"current": 5, "total": 10}},
    {"status": "Pull complete", "id": "aa", "progressDetail": {}},
    {"progressDetail": {}, "aux": {"Tag": "1"}},
    {"status": "Digest: \x1b[31m"},
]


def test_progress_line_by_line() -> None:
    out = io.StringIO()
    layers = Layers(out)
    for line in LINES:
        layers.show(line)
    assert out.getvalue() == "1: Pulling from x\naa: Pull complete\nDigest:  [31m\n"
    with pytest.raises(ApiFailure, match="no more"):
        layers.show({"error": "no more"})


def test_progress_on_a_terminal() -> None:
    out = Terminal()
    layers = Layers(out)
    for line in LINES:
        layers.show(line)
    drawn = out.getvalue()
    assert (
        f"aa: Downloading [{'=' * 15}{' ' * 15}] 5B/10B" in drawn
        and "\x1b[1A\r\x1b[2Kaa: Pull complete" in drawn
    )
    assert "\x1b[31m" not in drawn
    quiet = io.StringIO()
    Layers(quiet, quiet=True).show(LINES[0])
    assert quiet.getvalue() == ""
