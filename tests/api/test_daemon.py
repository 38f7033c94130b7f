"""The daemon's own life: one a run directory, killed and started again, and the words of one that cannot start."""

import os
import signal
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon_fixture import PYTHON, DaemonProcess


@pytest.fixture
def alone() -> Iterator[DaemonProcess]:
    process = DaemonProcess()
    try:
        yield process
    finally:
        process.close()


def add_image(daemon: DaemonProcess, folder: Path) -> None:
    with tarfile.open(folder / "root.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("file"))
    assert daemon.docker("import", str(folder / "root.tar"), "tiny:1").returncode == 0


def test_what_was_made_is_there_after_a_kill(alone: DaemonProcess, tmp_path: Path) -> None:
    alone.start()
    add_image(alone, tmp_path)
    made = alone.docker("create", "--name", "kept", "tiny:1", "x").stdout
    engine = alone.request("GET", "/info").json()["ID"]
    alone.kill()
    assert alone.socket.exists()  # nobody's: the next one takes its place
    alone.start()
    assert alone.docker("ps", "-aq", "--no-trunc").stdout == made
    assert alone.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout == b"tiny:1\n"
    assert alone.request("GET", "/info").json()["ID"] == engine
    assert alone.said() == ""


def test_an_ordered_end_leaves_nothing_in_the_run_directory(alone: DaemonProcess) -> None:
    alone.start()
    listener = socket.socket(socket.AF_UNIX)
    listener.connect(str(alone.socket))
    listener.sendall(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
    assert listener.recv(100).startswith(b"HTTP/1.1 200")
    assert alone.stop() == 0
    listener.close()
    assert not alone.socket.exists()
    assert not (alone.run / "daemon.pid").exists()
    assert "ending: machines go on" in (alone.home / "daemon.log").read_text()
    assert alone.said() == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_both_signals_end_it(alone: DaemonProcess, number: signal.Signals) -> None:
    alone.start()
    assert alone.process is not None
    os.kill(alone.pid, number)
    assert alone.process.wait(20) == 0
    alone.process = None


def test_a_run_directory_that_is_too_long_is_refused_by_name(alone: DaemonProcess) -> None:
    alone.env["INSULA_RUN"] = "/tmp/" + "x" * 100
    with pytest.raises(AssertionError, match=r"too long for socket paths.*set INSULA_RUN"):
        alone.start()


def test_a_database_that_is_none_is_refused_by_name(alone: DaemonProcess) -> None:
    alone.home.mkdir()
    (alone.home / "insula.db").write_text("this is not a database, however long it may be" * 100)
    with pytest.raises(AssertionError, match="cannot open the database"):
        alone.start()


def test_a_config_that_is_not_understood_is_refused_by_name(alone: DaemonProcess) -> None:
    alone.home.mkdir()
    (alone.home / "config.toml").write_text("[pool]\nodd = 3\n")
    with pytest.raises(AssertionError, match=r"there is no setting pool\.odd"):
        alone.start()


def test_doctor_needs_no_daemon(alone: DaemonProcess) -> None:
    ran = subprocess.run(
        [PYTHON, "-m", "insula", "daemon", "--doctor"],
        env=alone.env,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert b'"Subject": "accelerator linux/amd64"' in ran.stdout


def test_the_same_doctor_answers_on_the_socket(alone: DaemonProcess) -> None:
    alone.start()
    rows = alone.request("GET", "/insula/doctor").json()
    assert {"Subject", "State", "Text", "Hint"} == set(rows[0])
    assert {row["State"] for row in rows} <= {"ok", "warning", "missing"}
