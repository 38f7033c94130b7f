"""One daemon however many want it; what a daemon says when it cannot start. The daemon here is a few lines that
keep the promise of the real one: a socket, then a word on the descriptor."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from insula.cli.daemon_find import open_client, try_connect
from insula.cli.daemon_start import start_lock
from insula.cli.failure import Disconnected, Failure
from insula.paths import Paths

PYTHON = sys.executable
DAEMON = """#!{python}
import os, socket, sys, time
assert sys.argv[1:5] == ["-m", "insula", "daemon", "--ready-fd"], sys.argv
fd, folder = int(sys.argv[5]), {folder!r}
with open(folder + "/starts", "a") as starts:
    starts.write(f"{{os.getpid()}} {{os.getsid(0)}} {{os.getcwd()}}\\n")
{body}
"""
SERVES = """
listener = socket.socket(socket.AF_UNIX)
listener.bind({socket!r})
listener.listen(100)
os.write(fd, b"ready\\n")
os.close(fd)
while True:
    end, _ = listener.accept()
    end.close()
"""


class Program:
    """Stands in for the interpreter that runs the daemon."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = Paths(folder / "home", folder / "run")
        self.file = folder / "program"

    def write(self, body: str) -> None:
        filled = body.format(socket=str(self.paths.socket))
        self.file.write_text(DAEMON.format(python=PYTHON, folder=str(self.folder), body=filled))
        self.file.chmod(0o700)

    @property
    def starts(self) -> list[list[str]]:
        file = self.folder / "starts"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    made = Program(tmp_path)
    monkeypatch.setattr(sys, "executable", str(made.file))
    yield made
    for pid, *_ in made.starts:
        try:
            os.kill(int(pid), signal.SIGKILL)
            os.waitpid(int(pid), 0)
        except (ProcessLookupError, ChildProcessError):
            continue


def test_one_is_started_in_a_session_of_its_own(program: Program) -> None:
    program.write(SERVES)
    with open_client(str(program.paths.run), lambda: program.paths):
        pass
    with open_client(str(program.paths.run), lambda: program.paths):
        pass
    ((pid, session, folder),) = program.starts
    assert (session, folder) == (pid, "/")
    assert int(session) != os.getsid(0)


def test_many_at_the_same_time_start_one(program: Program) -> None:
    program.write(SERVES)
    failures: list[Failure] = []

    def want() -> None:
        try:
            with open_client(str(program.paths.run), lambda: program.paths):
                pass
        except Failure as failure:
            failures.append(failure)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (failures, len(program.starts)) == ([], 1)


def test_its_own_words_are_told(program: Program) -> None:
    program.write('os.write(fd, b"config.toml is not TOML\\n")')
    with pytest.raises(Disconnected, match=r"did not start: config.toml is not TOML$"):
        open_client(str(program.paths.run), lambda: program.paths)


def test_the_trace_of_one_that_fell_is_told(program: Program) -> None:
    program.write("import nothing_that_is_there")
    with pytest.raises(Disconnected, match="No module named 'nothing_that_is_there'"):
        open_client(str(program.paths.run), lambda: program.paths)


def test_one_without_a_word_shows_the_log(program: Program) -> None:
    program.write("")
    program.paths.home.mkdir()
    program.paths.daemon_log.write_text("one\ntwo\n")
    with pytest.raises(Disconnected, match=r"without a word\nthe end of .*daemon.log:\none\ntwo"):
        open_client(str(program.paths.run), lambda: program.paths)


def test_one_that_is_just_ending_is_waited_for(program: Program) -> None:
    """The lock is still held by the last daemon when the first new one looks."""
    program.write(
        'if open(folder + "/starts").read().count("\\n") < 3:\n'
        '    os.write(fd, b"a daemon is running already for x (pid 1)\\n"); sys.exit(1)\n' + SERVES
    )
    with open_client(str(program.paths.run), lambda: program.paths):
        pass
    assert len(program.starts) == 3


def test_a_socket_that_nobody_serves_any_more_is_no_daemon(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "s"))
    left.close()
    assert try_connect(str(tmp_path / "s")) is None
    assert try_connect(str(tmp_path / "none")) is None


def test_what_a_new_daemon_would_not_mend_starts_none(program: Program) -> None:
    program.write(SERVES)
    program.paths.run.write_text("a file where a folder should be")
    with pytest.raises(Disconnected, match="cannot connect"):
        open_client(str(program.paths.run), lambda: program.paths)
    assert program.starts == []


def test_the_lock_is_private_and_let_go(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "home", tmp_path / "run")
    for _ in range(2):
        with start_lock(paths, deadline=0.0):
            assert stat.S_IMODE(paths.start_lock.stat().st_mode) == 0o600
        assert stat.S_IMODE(paths.run.stat().st_mode) == 0o700


def test_a_run_directory_that_cannot_be_is_named() -> None:
    paths = Paths(Path("/proc/nothing"), Path("/proc/nothing"))
    with pytest.raises(Disconnected, match="cannot use the run directory /proc/nothing"):
        open_client(str(paths.run), lambda: paths)


def test_too_long_a_run_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="too long"):
        open_client(f"{tmp_path}/{'x' * 120}", lambda: Paths(tmp_path, tmp_path))


def test_an_address_that_is_named_starts_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "INSULA_RUN": str(tmp_path / "run"), "INSULA_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-m", "insula", "-H", f"unix://{tmp_path}/run/docker.sock", "ps"],
        env=environment, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []
