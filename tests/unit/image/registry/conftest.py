"""Real registries, plain and behind a password, and what speaks to them for one store."""

from collections.abc import AsyncIterator, Iterator

import pytest
from hand_made import QUICK

from insula.image.registry.registries import Registries
from insula.image.store import ImageStore
from registry_process import Registry, open_registry


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    with open_registry() as opened:
        yield opened


@pytest.fixture(scope="session")
def guarded() -> Iterator[Registry]:
    with open_registry(login=True) as opened:
        yield opened


@pytest.fixture
async def registries(store: ImageStore) -> AsyncIterator[Registries]:
    made = Registries(store, patience=QUICK)
    yield made
    await made.close()
