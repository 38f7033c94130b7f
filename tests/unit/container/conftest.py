import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from plain_daemon import Daemon
from plain_guests import kill_all


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    running = Daemon(tmp_path)
    await running.open()
    try:
        async with asyncio.timeout(120):
            yield running
    finally:
        await running.close()
        kill_all(tmp_path)
