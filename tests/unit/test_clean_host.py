"""What a run of the tests leaves on the host fails it (tests/clean_host.py)."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = str(Path(__file__).resolve().parents[1] / "clean_host.py")
APART = ("unshare", "--user", "--map-root-user", "--net", "--mount")


def clean(script: str, *before: str) -> subprocess.CompletedProcess[str]:
    words = [*before, sys.executable, PROGRAM, "--patience", "0.3", "sh", "-c", script]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("status", (0, 3))
def test_who_leaves_nothing_ends_as_it_ends(status: int) -> None:
    done = clean(f"sleep 0 & echo said; exit {status}")
    assert (done.returncode, done.stdout, done.stderr) == (status, "said\n", "")


def test_a_killed_command_is_told_as_a_shell_does() -> None:
    assert clean("kill -9 $$").returncode == 137


def test_a_process_in_a_session_of_its_own_is_left_and_ended() -> None:
    done = clean("setsid sh -c 'sleep 4321 & echo $!' </dev/null")
    assert done.returncode == 1
    assert "sleep 4321" in done.stderr
    assert not Path(f"/proc/{done.stdout.strip()}").exists()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("mount -t tmpfs left /mnt", "mount: / on /mnt (tmpfs left)"),
        ("ip link add left type bridge", "network device: left"),
        ("nft add table ip left", "packet rule: table ip left"),
        ("ip rule add pref 77 lookup 5", "routing rule: 77:"),
    ],
)
def test_what_is_left_is_named(script: str, told: str) -> None:
    """In name spaces of the test's own."""
    apart = [*APART, "sh", "-c", 'mount -t sysfs none /sys; exec "$@"', "sh"]
    done = clean(script, *apart)
    assert (done.returncode, done.stderr.count("left on the host")) == (1, 1), done.stderr
    assert told in done.stderr
