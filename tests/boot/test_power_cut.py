"""A machine whose QEMU is killed while a program writes: whatever had been synced by then is there afterwards.

The program (tests/probe/files.c) says a record's number only once its fsync has returned. In the container's writable
layer, a volume, a bind mount and a block volume, ROUNDS times each."""

import os
import secrets
import shutil
import signal
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from words import Words

from boot_paths import DEFAULT, make_folder
from daemon_fixture import DaemonProcess
from probe_program import files

pytestmark = [pytest.mark.boot]

RECORD, WORDS = 4096, 512
STEP = 0x9E3779B97F4A7C15
ROUNDS = 5


@pytest.fixture
def program(new_daemon: Callable[[], DaemonProcess]) -> Iterator[Callable[[DaemonProcess], Path]]:
    folder = make_folder()

    def place(daemon: DaemonProcess) -> Path:
        shutil.copy(files(DEFAULT), folder / "files")
        (folder / "bound").mkdir()
        for path in (folder / "files", folder / "bound"):
            os.chown(path, owner := daemon.home.stat().st_uid, owner)
        return folder / "files"

    yield place
    shutil.rmtree(folder)


def cut(docker: Words, words: tuple[str, ...], path: str, records: int) -> tuple[str, int]:
    """Starts a container that writes, kills its machine once so many records are said to be on the disk, and gives its
    id and the number of the last one that was said."""
    id = docker.succeed("create", *words, "busybox", "/files", "append", path).strip()
    said = b""
    with docker.begin("start", "-a", id) as client:
        assert client.stdout is not None
        while said.count(b"\n") < records:
            piece = os.read(client.stdout.fileno(), 1 << 16)
            assert piece, docker.inspect(id)["State"]
            said += piece
        os.kill(docker.state(id)["Pid"], signal.SIGKILL)
        said += client.stdout.read()
    assert docker.succeed("wait", id).strip() == "137"
    return id, int(said.split(b"\n")[-2])


def check(data: bytes, last: int, where: str) -> None:
    """Every record up to the last one that was said, whole."""
    assert len(data) >= (last + 1) * RECORD, (where, len(data), last)
    for number in range(last + 1):
        record = struct.unpack_from(f"<{WORDS}Q", data, number * RECORD)
        wanted = tuple((number + at * STEP) % (1 << 64) for at in range(WORDS))
        assert record == wanted, (where, number)


BLOCK = ("--opt", "type=block", "--opt", "size=64m")


def cut_often(docker: Words, program: Path, rounds: int, platform: str) -> None:
    words = ("--platform", platform, "-v", f"{program}:/files:ro")
    folder = program.parent / "bound"
    for number in range(rounds):
        records = 3 + 7 * number % 40
        id, last = cut(docker, words, "/written", records)
        check(tar_member(docker, id, "/written"), last, "writable layer")
        docker.succeed("rm", id)
        name = f"{number}-{secrets.token_hex(4)}"
        id, last = cut(docker, (*words, "-v", f"{folder}:/v"), f"/v/{name}", records)
        check((folder / name).read_bytes(), last, "bind mount")
        docker.succeed("rm", id)
        for kind, options in (("volume", ()), ("block volume", BLOCK)):
            docker.succeed("volume", "create", *options, "cut")
            id, last = cut(docker, (*words, "-v", "cut:/v"), "/v/written", records)
            check(tar_member(docker, id, "/v/written"), last, kind)
            docker.succeed("rm", id)
            docker.succeed("volume", "rm", "cut")


def tar_member(docker: Words, id: str, path: str) -> bytes:
    archive = docker.daemon.docker("cp", f"{id}:{path}", "-")
    assert archive.returncode == 0, archive.stderr
    return subprocess.run(["tar", "-xO"], input=archive.stdout, capture_output=True, check=True).stdout


def test_what_was_synced_outlives_its_machine(
    new_daemon: Callable[[], DaemonProcess], program: Callable[[DaemonProcess], Path]
) -> None:
    daemon = new_daemon()
    cut_often(Words(daemon), program(daemon), ROUNDS, DEFAULT)
