"""What files in a mount can do, tried in a guest by a program of the project's own (tests/probe/files.c), and held
against the table of docs/compatibility.md: its cells are what is expected."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from words import BOTH, Words

from boot_paths import DEFAULT, make_folder
from probe_program import files

pytestmark = [pytest.mark.boot]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"
COLUMNS = ("root's daemon", "user's, bind mount", "user's, volume", "no mount")


def expected(column: str) -> dict[str, str]:
    """A column of the page's table: row → `works`, or the errno."""
    text = PAGE.read_text().split("### What files in a mount can do")[1].split("\n## ")[0].split("\n### ")[0]
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == len(COLUMNS) + 1 and not re.fullmatch("-+", cells[1]) and cells[1:] != list(COLUMNS):
            found[cells[0]] = cells[1 + COLUMNS.index(column)]
    return found


@contextmanager
def shared(docker: Words) -> Iterator[Path]:
    """A folder of the daemon's user, with the program beside a folder for files."""
    folder, owner = make_folder(), docker.daemon.home.stat().st_uid
    try:
        (folder / "place").mkdir()
        shutil.copy(files(DEFAULT), folder / "files")
        for path in (folder, folder / "place", folder / "files"):
            os.chown(path, owner, owner)
        yield folder
    finally:
        shutil.rmtree(folder)


def said(docker: Words, folder: Path, *mount: str) -> dict[str, str]:
    program = ("--platform", DEFAULT, "-v", f"{folder / 'files'}:/files:ro")
    lines = docker.run(*program, *mount, "busybox", "sh", "-c", "mkdir -p /m && /files table /m").splitlines()
    return dict(line.rsplit(": ", 1) for line in lines)


@BOTH
def test_what_files_in_a_mount_can_do(docker: Words) -> None:
    roots = docker.daemon.home.stat().st_uid == 0
    with shared(docker) as folder:
        bound = said(docker, folder, "-v", f"{folder / 'place'}:/m")
        volume = said(docker, folder, "-v", "tried:/m")
        bare = said(docker, folder)
    docker.succeed("volume", "rm", "tried")
    found = {"no mount": bare}
    found |= {"root's daemon": bound} if roots else {"user's, bind mount": bound, "user's, volume": volume}
    others = [
        f"{column}, {row}: {lines.get(row)}, not {wanted}"
        for column, lines in found.items()
        for row, wanted in expected(column).items()
        if lines.get(row) != wanted
    ]
    assert not others, "\n".join(others)
    assert not roots or volume == bound


def test_the_host_can_do_all_of_it(tmp_path: Path) -> None:
    """Or the program is wrong."""
    program = files(DEFAULT)
    done = subprocess.run([program, "table", tmp_path], capture_output=True, text=True, check=True)
    lines = dict(line.rsplit(": ", 1) for line in done.stdout.splitlines())
    assert set(lines.values()) == {"works"} and set(lines) == set(expected("no mount"))


@BOTH
def test_two_containers_and_the_host_at_one_file(docker: Words) -> None:
    """What one writes the other reads at once; a lock is each machine's own; inotify tells of one's own changes."""
    with shared(docker) as folder:
        mounts = ("-v", f"{folder / 'files'}:/files:ro", "-v", f"{folder / 'place'}:/m")
        one, two = docker.sleeper(*mounts), docker.sleeper(*mounts)
        docker.succeed("exec", one, "sh", "-c", "echo first >/m/f")
        assert docker.succeed("exec", two, "cat", "/m/f") == "first\n"
        (folder / "place" / "f").write_text("of the host\n")
        assert docker.succeed("exec", one, "cat", "/m/f") == "of the host\n"
        with docker.begin("exec", "-i", one, "/files", "lock", "/m/f") as holder:
            assert holder.stdout is not None and holder.stdout.readline() == b"locked\n"
            own = docker.daemon.docker("exec", one, "/files", "lock", "/m/f")
            assert (own.returncode, own.stdout) == (1, b"EAGAIN\n")
            assert docker.succeed("exec", two, "/files", "lock", "/m/f") == "locked\n"
        for id in (one, two):
            docker.succeed("rm", "-f", id)
