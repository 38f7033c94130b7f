"""The outermost layer: help, unknown verbs, exit statuses, addresses, what is imported when."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from insula.cli.command import parse_host
from insula.cli.failure import Failure, UsageFailure
from insula.cli.system import VERSION
from insula.cli.verbs import GROUPS, HOME, LATER, find_verb, open_verb

ROOT = Path(__file__).resolve().parents[3]


def insula(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "insula", *words], capture_output=True, text=True, timeout=60, cwd=cwd
    )


def test_the_version_is_the_packages() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
    assert insula("--version").stdout == f"Insula version {VERSION}\n"


def test_help_names_every_verb() -> None:
    text = insula("--help").stdout
    assert all(f"  {name} " in text for name in (*HOME, "daemon"))
    assert insula().stdout == text


@pytest.mark.parametrize("name", sorted(HOME))
def test_every_verb_has_help_that_needs_no_daemon(name: str) -> None:
    assert open_verb(name).describe(name).startswith(f"Usage: insula {name}")


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_groups_lead_to_verbs(group: str) -> None:
    for name, verb in GROUPS[group].items():
        assert find_verb([group, name, "x"]) == (f"{group} {name}", open_verb(verb), ["x"])


@pytest.mark.parametrize("name", sorted(LATER))
def test_what_comes_later_says_so(name: str) -> None:
    with pytest.raises(Failure, match="not there yet") as caught:
        find_verb([name, "ls"])
    assert caught.value.status == 1


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["nonsense"], 1, "unknown command 'nonsense'"),
        (["container", "nonsense"], 1, "unknown command 'container nonsense'"),
        (["container"], 125, "needs a verb"),
        (["compose", "x"], 1, "not there yet"),
        (["ps", "--nope"], 125, "unknown flag: --nope"),
        (["ps", "x"], 125, "takes no arguments"),
        (["run"], 125, "needs at least 1 argument"),
        (["tag", "one"], 125, "needs exactly 2 arguments"),
        (["exec", "bob"], 125, "needs at least 2 arguments"),
        (["-H", "nonsense", "ps"], 125, "invalid address"),
        (["-H", "unix:///does/not/exist", "ps"], 1, "cannot connect"),
        (["run", "-m", "lots", "x"], 125, "invalid size"),
    ],
)
def test_one_line_and_a_status(words: list[str], status: int, told: str) -> None:
    ran = insula(*words)
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (status, "", 1)
    assert ran.stderr.startswith("insula: ") and told in ran.stderr


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:///run/x.sock", "/run/x.sock"),
        ("/run/x.sock", "/run/x.sock"),
        ("tcp://localhost:2375", ("localhost", 2375)),
        ("tcp://[::1]:2375/", ("::1", 2375)),
    ],
)
def test_addresses(text: str, address: Any) -> None:
    assert parse_host(text) == address


@pytest.mark.parametrize(
    "text", ["unix://", "tcp://host", "tcp://:1", "tcp://host:0", "tcp://host:99999", "ssh://x", "x"]
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(UsageFailure):
        parse_host(text)


def test_docker_host_is_not_looked_at(engine: Any, answer: Callable[..., bytes]) -> None:
    engine.on("GET /containers/json", answer([]))
    assert engine.insula("ps", "-q", DOCKER_HOST="unix:///does/not/exist").status == 0
    assert len(engine.requests) == 1


def test_the_command_line_imports_no_part_and_nothing_large() -> None:
    script = (
        "import sys; sys.argv = ['insula', 'run', '--help']; import insula.__main__\n"
        "insula.__main__.main(); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = done.stdout.splitlines()[-1].split()
    parts = {name.split(".")[1] for name in modules if name.startswith("insula.")}
    assert parts <= {"cli", "run_folder", "__main__"}
    assert not {
        "asyncio",
        "aiohttp",
        "urllib.parse",
        "dataclasses",
        "http.client",
        "subprocess",
        "logging",
        "argparse",
        "tempfile",
    } & set(modules)


def test_a_closed_pipe_is_no_trace(engine: Any, answer: Callable[..., bytes]) -> None:
    engine.on("GET /containers/json", answer([{"Id": f"{n:064d}"} for n in range(20000)]))
    read_end, write_end = os.pipe()
    child = subprocess.Popen(engine.command("ps", "-q"), stdout=write_end, stderr=subprocess.PIPE)
    os.close(write_end)
    os.read(read_end, 10)
    os.close(read_end)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (141, b"")
