"""Fixtures of the image tests."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from insula.database import Database
from insula.events import EventBus
from insula.image.store import ImageStore
from insula.paths import Paths

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path / "home", tmp_path / "run")
    for folder in (made.blobs, made.layer_disks, made.staging, made.packages):
        folder.mkdir(parents=True)
    return made


@pytest.fixture
async def store(paths: Paths) -> AsyncIterator[ImageStore]:
    database = Database(paths.database)
    await database.open()
    store = ImageStore(paths, database, EventBus())
    await store.open()
    yield store
    await store.close()
    await database.close()
