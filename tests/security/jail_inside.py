"""Runs the probe in the machines' jail in QEMU's place: what it can do there, an escaped guest could do.

    inside = Inside("machine", folder)
    inside.attempts("gain")        → {"mount": 1, …}: errno of each attempt, 0 if it was let

Kinds: `machine` has an id of its own (a root daemon's jail), `user` the daemon's (an ordinary user's; where the tests
run as root, that user is `nobody`).
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from boot_paths import make_folder, provisioned_home
from insula import process
from insula.machine.jail import FIRST_ID, ID_RANGE, Jail, JailRoot, jail_argv, open_jail_root
from insula.machine.platform import host_platform
from insula.machine.shares import make_ids
from insula.paths import Paths
from ordinary_user import find_checkout
from probe_program import probe

LEND = Path(__file__).with_name("lend.py")

SLOT = 7
NOBODY = 65534
SOME_GROUP = 4242
"""One that a root daemon happens to be in."""
IS_ROOT = os.geteuid() == 0
KINDS = ("machine", "user") if IS_ROOT else ("user",)


def make_root() -> Path:
    """A jail's root as machines have it, and the probe in it."""
    folder = make_folder()
    paths = Paths(provisioned_home(), folder / "run")
    real = asyncio.run(open_jail_root(paths, host_platform()))
    shutil.copytree(real.folder, folder / "root", copy_function=_link)
    shutil.copy(probe(host_platform().name), folder / "root" / "usr" / "bin" / "probe")
    if IS_ROOT:  # as an ordinary user's daemon has made it: its files are the very user's whose id QEMU has
        for place, _, _ in os.walk(folder / "root"):
            os.chown(place, NOBODY, NOBODY)
        os.chown(folder / "root" / "usr" / "bin" / "probe", NOBODY, NOBODY)
    return folder / "root"


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


class Inside:
    """A jail of one kind."""

    def __init__(self, kind: str, root: Path) -> None:
        self.kind = kind
        self.root = root
        self.slot = SLOT if kind == "machine" else None
        self.ids: int | None = None
        """The descriptor of its user name space, of the last run."""

    @property
    def id(self) -> int:
        """Whom the host takes it for."""
        if self.slot is not None:
            return FIRST_ID + self.slot * ID_RANGE
        return NOBODY if IS_ROOT else os.geteuid()

    def lines(
        self, verb: str, *words: str, pass_fds: Sequence[int] = (), lend: Sequence[Path] = ()
    ) -> list[str]:
        """What the probe printed. lend: files that are opened as the daemon lends them; `{0}` in words: their number."""
        read, write = os.pipe()
        self.ids = ids = None if self.slot is None else asyncio.run(make_ids(self.id, ID_RANGE))
        jail = Jail(JailRoot(self.root, ""), self.slot, "tcg", ids=ids)
        argv = jail_argv(jail, write, ["/usr/bin/probe", verb, *words])
        user = NOBODY if self.kind == "user" and IS_ROOT else None
        env = None
        if lend:
            checkout = find_checkout(user)
            argv = [checkout.python, str(LEND), *map(str, lend), "--", *argv]
            env = checkout.env
        if user is not None:
            argv = [*as_id(user), *argv]
        try:
            return run(
                argv,
                env=env,
                pass_fds=[write, *pass_fds, *((ids,) if ids is not None else ())],
                extra_groups=[SOME_GROUP] if IS_ROOT else None,
            )
        finally:
            os.close(read)
            if ids is not None:
                os.close(ids)
            os.close(write)

    def attempts(
        self, verb: str, *words: str, pass_fds: Sequence[int] = (), lend: Sequence[Path] = ()
    ) -> dict[str, int]:
        return attempts(self.lines(verb, *words, pass_fds=pass_fds, lend=lend))


def as_id(number: int) -> list[str]:
    """What makes a command another user's, with nothing of the jail around it."""
    return [process.tool("setpriv"), f"--reuid={number}", f"--regid={number}", "--clear-groups"]


def run(
    argv: Sequence[str],
    pass_fds: Sequence[int] = (),
    extra_groups: Sequence[int] | None = None,
    env: Mapping[str, str] | None = None,
) -> list[str]:
    done = subprocess.run(
        argv, capture_output=True, text=True, pass_fds=pass_fds, extra_groups=extra_groups, timeout=60, check=False,
        env=env,
    )  # fmt: skip
    assert done.returncode == 0, (argv, done.stderr)
    return done.stdout.splitlines()


def attempts(lines: Sequence[str]) -> dict[str, int]:
    """Name → errno, 0 for `ok`."""
    pairs = (line.rsplit(" ", 1) for line in lines)
    return {name: 0 if result == "ok" else int(result) for name, result in pairs}
