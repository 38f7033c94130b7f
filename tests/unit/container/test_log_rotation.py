import asyncio
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from killed_log import OUTPUT

from insula.container.log_file import LogFile
from insula.container.log_options import LogLimits
from insula.container.log_reader import LogCursor
from insula.container.log_rotation import find_generations

HERE = Path(__file__).parent
SMALL = LogLimits(size=2_000, files=4, compress=True)


def write_lines(log: LogFile, first: int, last: int) -> None:
    generation = log.generation
    for number in range(first, last):
        log.write([(1, f"line {number}\n".encode())])
        if log.generation != generation:
            generation = log.generation
            log.compress()


def read(log: LogFile, tail: int | None = None) -> list[bytes]:
    cursor, found = LogCursor(log), []
    if tail is not None:
        cursor.open_tail(tail)
    while batch := cursor.read():
        found += [entry.data for entry in batch]
    cursor.close()
    return found


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    return LogFile(tmp_path / "log.json", SMALL)


def test_full_files_are_compressed_and_still_read(log: LogFile) -> None:
    write_lines(log, 0, 150)
    names = sorted(path.name for path in log.path.parent.iterdir())
    youngest = log.generation - 1
    assert names == ["log.json", *(f"log.json.{n}.gz" for n in range(youngest - 2, youngest + 1))]
    found = read(log)
    assert found == [f"line {n}\n".encode() for n in range(150 - len(found), 150)]
    assert len(found) > 60
    packed = gzip.decompress((log.path.parent / f"log.json.{youngest}.gz").read_bytes())
    assert json.loads(packed.splitlines()[0])["stream"] == "stdout"
    mode = (log.path.parent / f"log.json.{youngest}.gz").stat().st_mode
    assert mode == log.path.stat().st_mode
    log.close()


@pytest.mark.parametrize("tail", [0, 1, 10, 30, 50, 75, 1000])
def test_a_tail_reaches_into_compressed_files(log: LogFile, tail: int) -> None:
    write_lines(log, 0, 150)
    everything = read(log)
    assert read(log, tail) == (everything[-tail:] if tail else [])
    log.close()


def test_a_log_that_nobody_has_opened_is_read_to_its_oldest_file(log: LogFile) -> None:
    write_lines(log, 0, 150)
    everything = read(log)
    log.close()
    assert read(LogFile(log.path, SMALL)) == everything
    assert read(LogFile(log.path, SMALL), 50) == everything[-50:]


def test_a_reader_in_a_file_that_is_compressed_under_it_goes_on(log: LogFile) -> None:
    for number in range(15):
        log.write([(1, f"line {number}\n".encode())])
    cursor = LogCursor(log)
    found = [entry.data for entry in cursor.read()]
    write_lines(log, 15, 70)
    while batch := cursor.read():
        found += [entry.data for entry in batch]
    assert found == [f"line {n}\n".encode() for n in range(70)]
    cursor.close()
    log.close()


def test_the_end_is_found_in_a_compressed_file(log: LogFile) -> None:
    write_lines(log, 0, 40)
    log.close()
    kept = sum(len(f"line {n}\n") for n in range(40)) - log.path.read_bytes().count(b"\n") * len("line 39\n")
    log.path.unlink()
    assert LogFile(log.path, SMALL).open({}) == (kept, 0)


def test_a_damaged_compressed_file_is_read_as_far_as_it_goes(
    log: LogFile, caplog: pytest.LogCaptureFixture
) -> None:
    write_lines(log, 0, 60)
    log.close()
    oldest = log.path.parent / f"log.json.{find_generations(log.path)[0]}.gz"
    oldest.write_bytes(oldest.read_bytes()[:-20])
    again = LogFile(log.path, SMALL)
    assert read(again)[-1] == b"line 59\n"
    assert "is damaged" in caplog.text
    assert again.open({}) == log.ends
    again.close()


def test_halves_are_undone(log: LogFile) -> None:
    write_lines(log, 0, 60)
    log.close()
    folder = log.path.parent
    before = read(log)
    generation = find_generations(log.path)[-1]
    whole = folder / f"log.json.{generation}.gz"
    (folder / f"log.json.{generation}").write_bytes(gzip.decompress(whole.read_bytes()))
    (folder / f"log.json.{generation - 1}.new").write_bytes(b"half")
    assert read(LogFile(log.path, SMALL)) == before
    again = LogFile(log.path, SMALL)
    again.open({})
    again.close()
    assert not (folder / f"log.json.{generation}").exists() and whole.exists()
    assert not list(folder.glob("*.new"))
    assert read(again) == before


def test_compression_ends_when_it_is_told_to_and_is_made_up_for(log: LogFile) -> None:
    log.open({})
    for number in range(60):
        log.write([(1, f"line {number}\n".encode())])
    log.stop_compressing()
    log.compress()
    assert not list(log.path.parent.glob("*.gz"))
    log.open({})
    log.compress()
    assert len(list(log.path.parent.glob("*.gz"))) == log.generation
    log.close()


@pytest.mark.parametrize(
    ("seed", "files"),
    [(1, 1000), (2, 1000), (3, 3), *(pytest.param(n, 1000 if n % 2 else 3, marks=pytest.mark.soak) for n in range(10, 40))],
)  # fmt: skip
async def test_writers_killed_at_any_instant_lose_nothing(tmp_path: Path, seed: int, files: int) -> None:
    """What was acknowledged is there, once, in order, whatever a writer was killed in."""
    argv = [sys.executable, str(HERE / "killed_log.py"), str(tmp_path), str(seed), "60", str(files)]
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, check=True)
    found = json.loads(done.stdout)
    lives = found["lives"]
    assert [life["status"] for life in lives].count(9) > 10
    before = 0
    for life in lives:
        assert life["found"] >= max(life["acknowledged"], before), life
        before = life["found"]
        assert len(life["names"]) <= files and not any(name.endswith(".new") for name in life["names"])
    assert before == found["length"] == len(OUTPUT)
    held = found["held"].encode()
    assert OUTPUT.endswith(held)
    assert held == OUTPUT or files == 3
    assert len(held) > 2000
