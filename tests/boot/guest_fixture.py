"""Guests without a daemon, with the probe as their only program.

async with open_guests(home) as guests, guests.open(request("linux/amd64")) as guest:
    said = await boot(guest, "identity")
"""

import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boot_paths import fresh_run
from insula.agent.boot_document import BootDocument
from insula.agent.process_spec import ProcessSpec
from insula.agent.reports import ExitKind
from insula.agent.streams import Process
from insula.config import Config
from insula.container.capabilities import DEFAULT, make_capabilities
from insula.container.rehearsal import make_rehearsal
from insula.guest.guest import Guest
from insula.guest.guests import Guests
from insula.guest.request import GuestRequest
from insula.paths import Paths
from probe_program import probe_layer

NO_POOL = Config(pool_machines=0)


@dataclass(frozen=True, slots=True)
class Said:
    """What a process left behind. status: its exit status, or minus the signal."""

    output: bytes
    status: int

    @property
    def lines(self) -> list[str]:
        return self.output.decode().splitlines()

    @property
    def pairs(self) -> dict[str, str]:
        return {name: rest for name, _, rest in (line.partition(" ") for line in self.lines)}


def make_paths(home: Path, run: Path) -> Paths:
    paths = Paths(home, run)
    paths.make()
    return paths


@asynccontextmanager
async def open_guests(
    home: Path, config: Config = NO_POOL, run: Path | None = None, known: frozenset[str] = frozenset()
) -> AsyncIterator[Guests]:
    """As a daemon has them; in a run directory of their own unless one is given. A pool only if asked for."""
    with fresh_run() as own:
        guests = Guests(make_paths(home, run or own), config, make_rehearsal)
        try:
            await guests.start(set(known))
            yield guests
        finally:
            await guests.close()


def request(platform: str, **fields: Any) -> GuestRequest:
    asked: dict[str, Any] = {"memory": 0, "cpus": 0, "layers": (probe_layer(platform),), "writable": None}
    return GuestRequest(platform, **(asked | fields))


def program(number: int, *words: str) -> ProcessSpec:
    return ProcessSpec(
        number=number, arguments=("/bin/probe", *words), environment=("PATH=/bin",),
        capabilities=make_capabilities(DEFAULT),
    )  # fmt: skip


def document(guest: Guest, *words: str, **fields: Any) -> BootDocument:
    """A container of the probe's."""
    asked: dict[str, Any] = {
        "number": secrets.randbelow(2**31) + 1, "clock_ns": time.time_ns(), "entropy": os.urandom(64),
        "hostname": "probe", "layers": (0,), "main": program(guest.session.new_number(), *words),
    }  # fmt: skip
    return BootDocument(**(asked | fields))


async def read(process: Process) -> Said:
    """All that a process says, acknowledged, and how it ends."""
    output = bytearray()
    async for chunk in process:
        output += chunk.data
        process.acknowledge(chunk.stream, chunk.offset + len(chunk.data))
    exit = await process.exit()
    return Said(bytes(output), exit.value if exit.kind is ExitKind.EXITED else -exit.value)


async def boot(guest: Guest, *words: str, **fields: Any) -> Said:
    """Runs the probe as a container, to its end; the guest is idle again."""
    said = await read(await guest.session.boot(document(guest, *words, **fields)))
    await guest.session.stop()
    return said


async def start(guest: Guest, *words: str) -> Said:
    """Runs the probe beside the main process."""
    return await read(await guest.session.spawn(program(guest.session.new_number(), *words)))
