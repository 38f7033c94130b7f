"""Records: whole transactions or none, kept over the daemon's death."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from insula.database import Database, Transaction
from insula.errors import Unavailable


async def opened(path: Path) -> Database:
    database = Database(path)
    await database.open()
    return database


async def test_records_are_kept(tmp_path: Path) -> None:
    database = await opened(tmp_path / "d")
    await database.run(lambda t: t.put("a", "1", {"x": 1}))
    await database.close()
    database = await opened(tmp_path / "d")
    assert await database.run(lambda t: (t.find("a", "1"), t.find("a", "2"), t.all("a"))) == (
        {"x": 1},
        None,
        {"1": {"x": 1}},
    )
    await database.run(lambda t: t.delete("a", "1"))
    assert await database.run(lambda t: t.all("a")) == {}
    await database.close()


async def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = await opened(tmp_path / "d")

    def work(t: Transaction) -> None:
        t.put("a", "1", {})
        raise KeyError

    with pytest.raises(KeyError):
        await database.run(work)
    assert await database.run(lambda t: t.all("a")) == {}
    await database.close()


async def test_it_has_a_thread_of_its_own(tmp_path: Path) -> None:
    database = await opened(tmp_path / "d")
    assert await database.run(lambda t: threading.current_thread()) is not threading.main_thread()
    await database.close()


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(b"not a database, and long enough to be looked at" * 100)
    with pytest.raises(Unavailable, match="cannot open the database"):
        await opened(tmp_path / "d")


async def test_a_commit_outlives_a_kill(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, signal, sys; from pathlib import Path; from insula.database import Database\n"
        "async def main():\n d = Database(Path(sys.argv[1])); await d.open()\n"
        " await d.run(lambda t: t.put('a', '1', {'x': 2}))\n os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())"
    )
    argv = [sys.executable, "-c", script, str(tmp_path / "d")]
    done = await asyncio.to_thread(subprocess.run, argv, check=False)
    assert done.returncode == -9
    database = await opened(tmp_path / "d")
    assert await database.run(lambda t: t.find("a", "1")) == {"x": 2}
    await database.close()
