"""Lent files, by the lender itself, as an ordinary user's daemon has it (root's needs none)."""

import errno
import os
import signal
from pathlib import Path

import pytest

from insula.lent import _Lenders, open_lent


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "layer"
    path.write_bytes(b"layer")
    return path


def refusal(work: object, *words: object) -> int | None:
    try:
        work(*words)  # type: ignore[operator]
    except OSError as error:
        return error.errno
    return None


def test_what_is_lent_is_read_and_in_no_way_written(file: Path) -> None:
    lent = _Lenders().open(file)
    again = f"/proc/self/fd/{lent}"
    assert os.pread(lent, 10, 0) == b"layer"
    assert not os.get_inheritable(lent) and os.get_blocking(lent)
    assert refusal(os.open, again, os.O_RDWR) == errno.EROFS
    assert refusal(os.fchmod, lent, 0o777) == errno.EROFS
    assert refusal(os.chmod, again, 0o777) == errno.EROFS
    assert refusal(os.utime, lent) == errno.EROFS
    assert refusal(os.setxattr, lent, "user.x", b"") == errno.EROFS
    os.close(os.open(again, os.O_RDONLY))
    os.close(lent)


def test_it_outlives_the_lender(file: Path) -> None:
    lenders = _Lenders()
    lent = lenders.open(file)
    lenders._end()
    assert refusal(os.open, f"/proc/self/fd/{lent}", os.O_RDWR) == errno.EROFS
    os.close(lent)


def test_what_is_not_there_is_told_and_the_lender_goes_on(file: Path) -> None:
    lenders = _Lenders()
    with pytest.raises(FileNotFoundError, match="missing"):
        lenders.open(file.with_name("missing"))
    with pytest.raises(NotADirectoryError):
        lenders.open(file / "below")
    os.close(lenders.open(file))


def test_a_lender_that_was_killed_is_replaced(file: Path) -> None:
    lenders = _Lenders()
    os.close(lenders.open(file))
    child = lenders._child
    assert child is not None
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    os.close(lenders.open(file))
    assert lenders._child is not child


async def test_whoever_asks_gets_the_file(file: Path) -> None:
    lent = await open_lent(file)
    assert os.pread(lent, 10, 0) == b"layer"
    os.close(lent)
