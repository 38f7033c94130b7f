import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from plain_daemon import Daemon
from plain_engine import PlainEngine, serve_plain
from plain_guests import kill_all

from daemon_fixture import DaemonProcess


@pytest.fixture(scope="session")
def daemon() -> Iterator[DaemonProcess]:
    """One daemon for all tests that start nothing."""
    process = DaemonProcess()
    process.start()
    try:
        yield process
    finally:
        process.close()


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[PlainEngine]:
    """The API over containers on plain agents: they run, no machine boots."""
    daemon = Daemon(tmp_path)
    await daemon.open()
    try:
        async with asyncio.timeout(120), serve_plain(daemon, tmp_path) as engine:
            yield engine
    finally:
        await daemon.close()
        kill_all(tmp_path)
