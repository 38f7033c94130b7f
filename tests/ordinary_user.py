"""An ordinary user for tests that run as root: an id that no account has, with nothing of the host's but what
everybody has. Where the tests run as such a user already, that one is it.

    as_user(ORDINARY)            the words before a command that is to be this user's
    give(folder, ORDINARY)       a folder and all in it become this user's
    find_checkout(ORDINARY)      an interpreter and a source tree that this user may read
"""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from insula import process

ROOT = Path(__file__).resolve().parents[1]
IS_ROOT = os.geteuid() == 0
ORDINARY = 64_732 if IS_ROOT else os.geteuid()
PYTHON = str(ROOT / ".venv" / "bin" / "python") if (ROOT / ".venv").exists() else sys.executable
SITE = Path(aiohttp.__file__).parents[1]
LARGE = ("ziglang*", "mypy*", "ruff*", "pip*", "setuptools*", "*.dist-info", "__pycache__")


@dataclass(frozen=True)
class Checkout:
    """python: the interpreter; env: what finds the source tree with it."""

    python: str
    env: dict[str, str] = field(default_factory=dict)


def as_user(user: int | None) -> list[str]:
    """None: whoever runs the tests."""
    if user is None or user == os.geteuid():
        return []
    return [process.tool("setpriv"), f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]


def give(folder: Path, user: int | None) -> None:
    """Links that lead elsewhere are given, not what they lead to."""
    if not as_user(user):
        return
    for place, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            os.chown(os.path.join(place, name), user, user, follow_symlinks=False)


@functools.cache
def find_checkout(user: int | None) -> Checkout:
    """This checkout with its interpreter; the host's interpreter, or a copy below /tmp, where the user may not have
    those."""
    if not as_user(user):
        return Checkout(PYTHON)
    host = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for make in (lambda: (ROOT, SITE), _copy):
        source, site = make()
        env = {"PYTHONPATH": f"{source / 'hypervisor'}:{site}"}
        for checkout in (Checkout(PYTHON, env), Checkout(host, env)):
            if _runs(checkout, user):
                return checkout
    raise AssertionError(f"the user {user} can run neither {os.path.realpath(PYTHON)} nor {host}")


def _runs(checkout: Checkout, user: int | None) -> bool:
    """Its own file is looked at: one that is out of reach may have been begun with capabilities left from root, and
    run with another's library."""
    code = "import os, sys, insula.daemon, insula.machine.platform as p; p.host_platform(); os.stat(sys.executable)"
    argv = [*as_user(user), os.path.realpath(checkout.python), "-B", "-c", code]
    return subprocess.run(argv, env=checkout.env, cwd="/", capture_output=True, check=False).returncode == 0


def _copy() -> tuple[Path, Path]:
    """Source and packages where everybody may read them; removed when the run ends."""
    folder = tempfile.TemporaryDirectory(prefix="insula-source-", dir="/tmp")
    atexit.register(folder.cleanup)
    place = Path(folder.name)
    for name in ("hypervisor", "images", "guest-agent/out"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(SITE, place / "site", ignore=shutil.ignore_patterns(*LARGE))
    for path in (place, *place.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    return place, place / "site"
