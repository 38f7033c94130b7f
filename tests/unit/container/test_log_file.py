import json
import os
import resource
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insula.container.log_entry import ENTRY_MAX, decode_entry, format_time, parse_time
from insula.container.log_file import LogFile
from insula.container.log_options import LogLimits
from insula.container.log_reader import LogCursor
from insula.container.log_rotation import find_generations
from insula.errors import Unavailable

SMALL = LogLimits(size=2_000, files=3)


def entries(log: LogFile) -> list[tuple[int, bytes]]:
    cursor = LogCursor(log)
    found = []
    while batch := cursor.read():
        found += [(entry.stream, entry.data) for entry in batch]
    cursor.close()
    return found


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    return LogFile(tmp_path / "log.json", LogLimits())


def test_its_lines_are_dockers(log: LogFile) -> None:
    log.write([(1, b"one\n"), (2, b"err\n")])
    log.close()
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [(line["log"], line["stream"]) for line in lines] == [("one\n", "stdout"), ("err\n", "stderr")]
    assert lines[1]["offset"] == [4, 4]
    assert parse_time(lines[0]["time"]) > 0


def test_lines_that_come_at_once_have_times_of_their_own(log: LogFile) -> None:
    log.write([(1, b"".join(b"%d\n" % number for number in range(100)))])
    cursor = LogCursor(log)
    times = [entry.time_ns for entry in cursor.read()]
    cursor.close()
    log.close()
    assert len(times) == 100 and times == sorted(set(times))


def test_a_line_is_held_until_it_is_whole(log: LogFile) -> None:
    log.write([(1, b"par")])
    assert log.ends == (0, 0) and not log.path.exists()
    log.write([(1, b"tial\nrest")])
    assert log.ends == (8, 0)
    log.flush()
    assert log.ends == (12, 0)
    assert entries(log) == [(1, b"partial\n"), (1, b"rest")]


def test_a_long_line_is_split(log: LogFile) -> None:
    log.write([(1, b"x" * (ENTRY_MAX + 10) + b"\n")])
    assert [len(data) for _, data in entries(log)] == [ENTRY_MAX, 11]


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=200)), max_size=20))
def test_any_bytes_come_back(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[tuple[int, bytes]]
) -> None:
    log = LogFile(tmp_path_factory.mktemp("log") / "log.json", LogLimits())
    for chunk in chunks:
        log.write([chunk])
    log.flush()
    log.close()
    for stream in (1, 2):
        written = b"".join(data for number, data in chunks if number == stream)
        assert b"".join(data for number, data in entries(log) if number == stream) == written
        assert log.ends[stream - 1] == len(written)
    assert LogFile(log.path, LogLimits()).recover() == log.ends


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_entry_is_cut_off(log: LogFile, cut: int) -> None:
    log.write([(1, b"one\n"), (1, b"two\n")])
    log.close()
    os.truncate(log.path, log.path.stat().st_size - cut)
    again = LogFile(log.path, LogLimits())
    assert again.recover() == (4, 0)
    again.write([(1, b"two\n")])
    assert entries(again) == [(1, b"one\n"), (1, b"two\n")]
    again.close()


def test_a_held_part_is_forgotten_when_the_log_is_recovered(log: LogFile) -> None:
    log.write([(1, b"one\npart")])
    assert log.recover() == (4, 0)
    log.write([(1, b"whole\n")])
    assert entries(log) == [(1, b"one\n"), (1, b"whole\n")]


def test_it_grows_no_further_than_its_limits(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log.json", SMALL)
    for number in range(200):
        log.write([(1, f"line {number}\n".encode())])
    assert len(list(tmp_path.iterdir())) == SMALL.files
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < (SMALL.files + 1) * SMALL.size
    numbers = [int(data.split()[1]) for _, data in entries(log)]
    assert numbers == list(range(numbers[0], 200))
    again = LogFile(log.path, SMALL)
    assert again.recover() == log.ends and again.generation == log.generation
    log.close()


def test_a_reader_keeps_up_with_rotation(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log.json", SMALL)
    cursor = LogCursor(log)
    found = []
    for number in range(300):
        log.write([(1, f"line {number}\n".encode())])
        if number % 20 == 0:
            found += [entry.data for entry in cursor.read()]
    while batch := cursor.read():
        found += [entry.data for entry in batch]
    assert found == [f"line {number}\n".encode() for number in range(300)]
    cursor.close()
    log.close()


@pytest.mark.parametrize("lines", [0, 1, 5, 40, 1000])
def test_the_tail_is_the_last_lines_over_files(tmp_path: Path, lines: int) -> None:
    log = LogFile(tmp_path / "log.json", SMALL)
    for number in range(100):
        log.write([(1, f"line {number}\n".encode())])
    everything = entries(log)
    cursor = LogCursor(log)
    cursor.open_tail(lines)
    found: list[tuple[int, bytes]] = []
    while batch := cursor.read():
        found += [(entry.stream, entry.data) for entry in batch]
    assert found == (everything[-lines:] if lines else [])
    cursor.close()
    log.close()


def test_what_could_not_be_written_is_written_later(log: LogFile) -> None:
    log.write([(1, b"one\n")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.path.stat().st_size + 10, hard))
    try:
        with pytest.raises(Unavailable, match="File too large"):
            log.write([(1, b"two\npart")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert log.ends == (4, 0) and log.unwritten
    assert entries(log) == [(1, b"one\n")]
    log.write_on()
    assert log.ends == (8, 0) and not log.unwritten
    log.flush()
    assert entries(log) == [(1, b"one\n"), (1, b"two\n"), (1, b"part")]
    log.close()


def test_a_great_write_fills_one_file_at_a_time(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log.json", LogLimits(size=2_000, files=1000))
    lines = [f"line {number}\n".encode() for number in range(300)]
    log.write([(1, b"".join(lines))])
    writes = 1
    while log.unwritten:
        log.write_on()
        writes += 1
    assert writes == log.generation + 1 > 10
    assert [data for _, data in entries(log)] == lines
    assert all(2_000 <= path.stat().st_size < 2_200 for path in tmp_path.glob("log.json.*"))
    log.close()


def test_lost_bytes_are_counted(log: LogFile) -> None:
    log.write([(1, b"one\npart")])
    log.skip(1, 100)
    log.write([(1, b"two\n")])
    assert log.ends == (112, 0)
    assert entries(log) == [(1, b"one\n"), (1, b"part"), (1, b"two\n")]
    assert LogFile(log.path, LogLimits()).recover() == (112, 0)
    log.close()


def test_what_is_no_entry_is_passed_over(log: LogFile) -> None:
    log.path.write_bytes(b'not json\n[]\n{"log":1,"stream":"stdout"}\n{"log":"x","stream":"other"}\n')
    log.recover()
    log.write([(2, b"one\n")])
    assert entries(log) == [(2, b"one\n")]
    assert decode_entry(b"null") is None
    log.close()


@pytest.mark.parametrize("time_ns", [0, 1, 999_999_999, 1_700_000_000_123_456_789])
def test_times_come_back(time_ns: int) -> None:
    assert parse_time(format_time(time_ns)) == time_ns


def test_generations_are_numbers(tmp_path: Path) -> None:
    for name in ("log.json", "log.json.2", "log.json.10", "log.json.3.gz", "log.json.x", "log.json.1.new"):
        (tmp_path / name).touch()
    assert find_generations(tmp_path / "log.json") == [2, 3, 10]


@pytest.mark.parametrize("files", [1, 2, 1000])
def test_a_reader_beside_the_writer_misses_nothing_that_is_there(tmp_path: Path, files: int) -> None:
    """Rotation as fast as it can be, while a cursor follows: no entry twice, none out of order; none missing where
    nothing is dropped."""
    log = LogFile(tmp_path / "log.json", LogLimits(size=500, files=files))
    log.open({})
    done = threading.Event()

    def write() -> None:
        for number in range(4000):
            log.write([(1, b"%d\n" % number)])
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    cursor, found = LogCursor(log), []
    while True:
        last = done.is_set()
        batch = [int(entry.data) for entry in cursor.read()]
        found += batch
        if last and not batch:
            break
    thread.join()
    cursor.close()
    log.close()
    assert found == sorted(set(found)) and found[-1] == 3999
    assert files < 1000 or found == list(range(4000))
