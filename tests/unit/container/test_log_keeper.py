import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from insula.container.log_file import LogFile
from insula.container.log_keeper import LogKeeper
from insula.container.log_options import LogLimits
from insula.container.log_reader import LogCursor
from insula.container.output import Output

SECONDS = 30.0


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process grows beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def make(folder: Path, **limits: int | bool | None) -> tuple[Output, LogFile]:
    log = LogFile(folder / "log.json", LogLimits(**limits))  # type: ignore[arg-type]
    output = Output(log)
    output.begin(log.open({}), (0, 0))
    return output, log


def read(log: LogFile) -> bytes:
    cursor, held = LogCursor(log), b""
    while entries := cursor.read():
        held += b"".join(entry.data for entry in entries)
    cursor.close()
    return held


async def keep(keeper: LogKeeper, output: Output, data: bytes) -> int:
    output.publish(1, data)
    return await keeper.keep(1, data)


async def test_what_is_kept_is_in_the_log(tmp_path: Path) -> None:
    output, log = make(tmp_path)
    async with LogKeeper(output, log) as keeper:
        assert await keep(keeper, output, b"one\ntw") == 4
        assert read(log) == b"one\n"
        assert await keep(keeper, output, b"o\nrest") == 8
    assert read(log) == b"one\ntwo\nrest"
    assert output.unlogged() == []


async def test_a_program_waits_for_a_full_disk(tmp_path: Path) -> None:
    output, log = make(tmp_path)
    async with LogKeeper(output, log) as keeper:
        with full_disk(120):
            assert await keep(keeper, output, b"one\n") == 4
            waiting = asyncio.create_task(keep(keeper, output, b"two\n"))
            done, _ = await asyncio.wait((waiting,), timeout=1.2)  # it has tried twice
            assert not done
        async with asyncio.timeout(SECONDS):
            assert await waiting == 8
    assert read(log) == b"one\ntwo\n"


async def test_non_blocking_drops_what_is_over_the_buffer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output, log = make(tmp_path, buffer=100)
    lines = [b"line %05d of it\n" % n for n in range(1000)]
    follower = output.follow(replay=False, live=True)
    async with LogKeeper(output, log) as keeper:
        with full_disk(330):
            for number, line in enumerate(lines):
                assert await keep(keeper, output, line) == (number + 1) * len(line)
                if number < 3:
                    await asyncio.wait_for(_logged(output, log, (number + 1) * len(line)), SECONDS)
                await asyncio.sleep(0)  # the writer tries, and cannot
            assert len(output.unlogged()) < 10, "what is dropped is held nowhere"
        await asyncio.wait_for(_logged(output, log, 4 * len(lines[0])), SECONDS)
        await keep(keeper, output, b"later\n")
    held = read(log)
    assert held.startswith(b"".join(lines[:3])) and held.endswith(b"later\n")
    assert 3 < held.count(b"\n") < 20
    assert log.ends == (sum(map(len, lines)) + 6, 0), "the gap is counted"
    assert caplog.text.count("ERROR") == 1 and str(log.path) in caplog.text
    output.end()
    assert b"".join([data async for _, data in follower]) == b"".join(lines) + b"later\n"


async def _logged(output: Output, log: LogFile, end: int) -> None:
    changed = output.logged.register()
    while log.ends[0] < end:
        changed.clear()
        await changed.wait()
    output.logged.forget(changed)


async def test_non_blocking_writes_the_rest_at_the_end(tmp_path: Path) -> None:
    output, log = make(tmp_path, buffer=1000)
    async with LogKeeper(output, log) as keeper:
        for number in range(20):
            await keep(keeper, output, b"line %d\n" % number)
        await keep(keeper, output, b"rest")
    assert read(log) == b"".join(b"line %d\n" % n for n in range(20)) + b"rest"


async def test_non_blocking_gives_up_at_the_end_of_a_full_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output, log = make(tmp_path, buffer=1000)
    async with asyncio.timeout(SECONDS):
        with full_disk(0):
            async with LogKeeper(output, log) as keeper:
                await keep(keeper, output, b"line\n")
    assert read(log) == b"" and "the end of its output is dropped" in caplog.text


async def test_full_files_are_compressed_beside_the_writing(tmp_path: Path) -> None:
    output, log = make(tmp_path, size=1000, files=50, compress=True)
    async with LogKeeper(output, log) as keeper:
        for number in range(200):
            await keep(keeper, output, b"line %d\n" % number)
    assert len(list(tmp_path.glob("log.json.*.gz"))) == log.generation > 5
    assert len(list(tmp_path.iterdir())) == log.generation + 1
    assert read(log) == b"".join(b"line %d\n" % n for n in range(200))


async def test_a_cancelled_keeper_leaves_the_log_whole(tmp_path: Path) -> None:
    """As a daemon that ends does it: nothing more is written, and what was held is said again by the guest."""
    output, log = make(tmp_path, size=1000, files=50, compress=True)

    async def work() -> None:
        async with LogKeeper(output, log) as keeper:
            for number in range(100_000):
                await keep(keeper, output, b"line %d\n" % number)

    task = asyncio.create_task(work())
    await asyncio.wait_for(_logged(output, log, 500), SECONDS)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    kept = log.ends
    assert log.open({}) == kept
    log.close()
    held = read(log)
    assert len(held) == kept[0]
    assert held == b"".join(b"line %d\n" % n for n in range(held.count(b"\n")))
