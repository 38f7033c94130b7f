"""What must outlive the daemon: SQLite in WAL mode, in a thread of its own.

No database call runs on the event loop's thread: callers hand over a function, it runs in one transaction on
the database's thread, and they await its result. `synchronous=NORMAL` in WAL mode keeps every commit over the
death of the daemon; a power cut may lose the last ones, never the file's integrity
(https://www.sqlite.org/pragma.html#pragma_synchronous).

Records are JSON documents under (kind, id), so that each part keeps its own shape; a kind belongs to one part.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from insula.errors import Unavailable

T = TypeVar("T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS record (kind TEXT NOT NULL, id TEXT NOT NULL, document TEXT NOT NULL,
                                   PRIMARY KEY (kind, id)) WITHOUT ROWID;
"""


class Transaction:
    """One transaction's view. Lives on the database's thread, inside the function given to `Database.run`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def put(self, kind: str, id: str, document: dict[str, Any]) -> None:
        text = json.dumps(document, separators=(",", ":"))
        self._connection.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?)", (kind, id, text))

    def find(self, kind: str, id: str) -> dict[str, Any] | None:
        row = self._connection.execute(
            "SELECT document FROM record WHERE kind = ? AND id = ?", (kind, id)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def all(self, kind: str) -> dict[str, dict[str, Any]]:
        rows = self._connection.execute("SELECT id, document FROM record WHERE kind = ? ORDER BY id", (kind,))
        return {id: json.loads(text) for id, text in rows}

    def delete(self, kind: str, id: str) -> None:
        self._connection.execute("DELETE FROM record WHERE kind = ? AND id = ?", (kind, id))


class Database:
    """The one open database. `open` and `close` bracket its life."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "database")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Raises Unavailable if the file cannot be opened or is not a database."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    def _open(self) -> None:
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise Unavailable(f"cannot open the database {self._path}: {error}") from error
        self._connection = connection

    async def run(self, work: Callable[[Transaction], T]) -> T:
        """Runs `work` in one transaction on the database's thread: all of it is kept, or none.

        Raises Unavailable if the database cannot be written (disk full, say), and what `work` raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    def _run(self, work: Callable[[Transaction], T]) -> T:
        assert self._connection is not None, "the database is not open"
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(Transaction(self._connection))
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise Unavailable(f"the database {self._path} cannot be used: {error}") from error
        return result

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
