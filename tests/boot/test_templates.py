"""Templates: built once, whole or not at all, found again, and evicted when they are too many."""

import asyncio
import logging
import pkgutil
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from guest_fixture import NO_POOL, boot, open_guests, request

from boot_paths import DEFAULT, fresh_home, fresh_run
from insula.config import Config
from insula.guest.guests import Guests
from insula.guest.template import template_key, write_template
from insula.machine.machine import Machine, open_machine

pytestmark = [pytest.mark.boot, pytest.mark.platform]

SMALL = 100 << 20
BUILDING = "building the template"


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "insula")
    return caplog


def built(log: pytest.LogCaptureFixture) -> int:
    return sum(BUILDING in record.getMessage() for record in log.records)


async def test_it_is_built_once_for_all_who_ask(log: pytest.LogCaptureFixture) -> None:
    with fresh_home() as home:
        async with open_guests(home) as guests:
            spec = await guests.forge.shape(DEFAULT, SMALL, 0)
            templates = await asyncio.gather(*(guests.forge.template(spec) for _ in range(8)))
            assert len({id(template) for template in templates}) == 1
            assert guests.forge.templates() == [template_key(spec)]
        assert built(log) == 1
        assert [path.name for path in (home / "templates").iterdir()] == [template_key(spec)]
        assert not list((home / "staging").iterdir())


def hold_at(moment: str, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """An event that is set once a build is at a moment; it goes on from there."""
    reached = asyncio.Event()
    place = {"booting": "insula.guest.forge.greeted", "saving": "insula.machine.qmp.Monitor.save"}[moment]
    real = pkgutil.resolve_name(place)

    async def held(*words: object) -> object:
        reached.set()
        return await real(*words)

    monkeypatch.setattr(place, held)
    return reached


async def test_whoever_gives_up_waiting_takes_it_from_nobody(
    log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    booting = hold_at("booting", monkeypatch)
    with fresh_home() as home:
        async with open_guests(home) as guests:
            spec = await guests.forge.shape(DEFAULT, SMALL, 0)
            impatient = asyncio.create_task(guests.forge.template(spec))
            patient = asyncio.create_task(guests.forge.template(spec))
            await booting.wait()
            impatient.cancel()
            assert (await patient).key == template_key(spec)
        assert impatient.cancelled()
        assert built(log) == 1


@pytest.mark.parametrize("moment", ["booting", "saving"])
async def test_a_build_that_is_broken_off_leaves_nothing(
    moment: str, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a template nor a machine; the next build is as if it had not been."""
    reached = hold_at(moment, monkeypatch)
    with fresh_home() as home, fresh_run() as run:
        async with open_guests(home, run=run) as guests:
            spec = await guests.forge.shape(DEFAULT, SMALL, 0)
            asked = asyncio.create_task(guests.forge.template(spec))
            await reached.wait()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert not list((home / "templates").iterdir())
        assert not list((run / "machines").iterdir())
        monkeypatch.undo()
        await use(home)
        assert built(log) == 2


async def test_a_build_that_is_broken_off_while_it_is_written_is_whole(
    log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a thread has begun is finished before its descriptors are closed."""
    loop, writing, go = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def held(*words: Any) -> None:
        loop.call_soon_threadsafe(writing.set)
        go.wait()
        write_template(*words)

    monkeypatch.setattr("insula.guest.forge.write_template", held)
    with fresh_home() as home:
        async with open_guests(home) as guests:
            spec = await guests.forge.shape(DEFAULT, SMALL, 0)
            asked = asyncio.create_task(guests.forge.template(spec))
            await writing.wait()
            loop.call_later(0.2, go.set)
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert [path.name for path in (home / "templates").iterdir()] == [template_key(spec)]
        await use(home)
        assert built(log) == 1


async def use(home: Path) -> None:
    """A clone of the template runs something."""
    async with open_guests(home) as guests:
        assert await clone_says(guests, 0) == ("template", ["line 0"])


async def test_the_next_daemon_finds_it(log: pytest.LogCaptureFixture) -> None:
    with fresh_home() as home:
        await use(home)
        await use(home)
        assert built(log) == 1


async def test_the_one_used_longest_ago_goes_first(log: pytest.LogCaptureFixture) -> None:
    """Down to what fits; never the one just built."""
    with fresh_home() as home:
        async with open_guests(home) as guests:
            first = await guests.forge.shape(DEFAULT, SMALL, 1)
            await guests.forge.template(first)
            size = sum(f.stat().st_blocks * 512 for f in (home / "templates" / template_key(first)).iterdir())
        async with open_guests(home, Config(pool_machines=0, templates_size=size * 3 // 2)) as guests:
            second = await guests.forge.shape(DEFAULT, SMALL, 2)
            await guests.forge.template(first)
            await guests.forge.template(second)
            assert [path.name for path in (home / "templates").iterdir()] == [template_key(second)]
            assert guests.forge.templates() == [template_key(second)]
        assert built(log) == 2


async def test_an_eviction_takes_nothing_from_a_clone_in_the_making(
    log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The template goes between a clone's decision for it and its QEMU's start."""
    with fresh_home() as home:
        async with open_guests(home, Config(pool_machines=0, templates_size=1)) as guests:
            first = await guests.forge.shape(DEFAULT, SMALL, 1)
            second = await guests.forge.shape(DEFAULT, SMALL, 2)
            await guests.forge.template(first)
            waiting, go = asyncio.Event(), asyncio.Event()

            @asynccontextmanager
            async def held(*words: Any) -> AsyncIterator[Machine]:
                if not waiting.is_set():
                    waiting.set()
                    await go.wait()
                async with open_machine(*words) as machine:
                    yield machine

            monkeypatch.setattr("insula.guest.forge.open_machine", held)
            cloning = asyncio.create_task(clone_says(guests, 1))
            await waiting.wait()
            await guests.forge.template(second)
            assert guests.forge.templates() == [template_key(second)]
            go.set()
            assert await cloning == ("template", ["line 0"])
        assert built(log) == 2


async def clone_says(guests: Guests, cpus: int) -> tuple[str, list[str]]:
    async with guests.open(request(DEFAULT, memory=SMALL, cpus=cpus)) as guest:
        return guest.origin, (await boot(guest, "count", "0", "1")).lines


async def test_what_is_not_whole_is_not_used(log: pytest.LogCaptureFixture) -> None:
    """A folder that lost its description is built anew."""
    with fresh_home() as home:
        async with open_guests(home, NO_POOL) as guests:
            spec = await guests.forge.shape(DEFAULT, SMALL, 0)
            await guests.forge.template(spec)
        (home / "templates" / template_key(spec) / "template.json").write_text("{")
        async with open_guests(home, NO_POOL) as guests:
            await guests.forge.template(spec)
        assert built(log) == 2
