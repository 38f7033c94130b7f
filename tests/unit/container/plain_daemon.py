"""A daemon's containers on plain agents; `Daemon.restart` is what a killed daemon and the next one are."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plain_guests import PlainGuests, StillImages

from insula.container.attach import AttachRequest
from insula.container.containers import Containers
from insula.container.logs import LogQuery
from insula.container.record import CONTAINER
from insula.container.spec import ContainerSpec
from insula.database import Database, Transaction
from insula.events import EventBus
from insula.network.networks import Networks
from insula.paths import Paths
from insula.volume.volumes import Volumes

SECONDS = 30.0


class Daemon:
    """Containers and what they stand on."""

    def __init__(self, folder: Path) -> None:
        self.paths = Paths(folder / "home", folder / "run")
        self.paths.make()
        self.folder = folder
        self.images = StillImages()
        self.rest: Callable[[float], float] = lambda seconds: 0.0
        """What a rest of a restart policy really takes."""

    async def open(self) -> None:
        self.database = Database(self.paths.database)
        await self.database.open()
        self.events = EventBus()
        self.guests = PlainGuests(self.folder)
        self.networks = Networks(self.paths, self.database, self.events)  # never opened: nobody joins one
        self.volumes = Volumes(self.paths, self.database, self.events)
        await self.volumes.open()
        self.containers = Containers(
            self.paths,
            self.database,
            self.events,
            self.images,
            self.guests,
            self.networks,
            self.volumes,
            rest=lambda seconds: self.rest(seconds),  # type: ignore[arg-type]
        )
        self.guests.known = await self.containers.load()
        await self.containers.open()

    async def close(self) -> None:
        await self.containers.close()
        await self.database.close()

    async def restart(self) -> None:
        await self.close()
        await self.open()

    async def edit_record(self, id: str, **changes: Any) -> None:
        """While no daemon is there."""
        database = Database(self.paths.database)
        await database.open()

        def edit(transaction: Transaction) -> None:
            record = transaction.find(CONTAINER, id)
            assert record is not None
            transaction.put(CONTAINER, id, record | changes)

        await database.run(edit)
        await database.close()

    async def create(self, *cmd: str, **spec: Any) -> str:
        spec = {"network_mode": "none", "cmd": cmd} | spec
        return (await self.containers.create(ContainerSpec(image="test", **spec))).id

    async def start(self, *cmd: str, **spec: Any) -> str:
        id = await self.create(*cmd, **spec)
        await self.containers.start(id)
        return id

    async def run(self, *cmd: str, **spec: Any) -> tuple[int, bytes, bytes]:
        """Its exit code and output, through an attachment."""
        id = await self.create(*cmd, **spec)
        out = {1: b"", 2: b""}
        async with self.containers.attach(id, AttachRequest(stdout=True, stderr=True)) as attachment:
            ended = self.containers.wait(id, "next-exit")
            await self.containers.start(id)
            async for stream, data in attachment.output():
                out[stream] += data
        return (await ended).exit_code, out[1], out[2]

    async def log(self, id: str, **query: Any) -> bytes:
        return b"".join([entry.data async for entry in self.containers.logs(id, LogQuery(**query))])

    async def logged(self, id: str, wanted: bytes) -> None:
        """Returns when the log holds just this."""
        log = b""
        async with asyncio.timeout(SECONDS):
            async for entry in self.containers.logs(id, LogQuery(follow=True)):
                log += entry.data
                if log == wanted:
                    return
        raise AssertionError(log)

    async def exec_ended(self, exec_id: str) -> int | None:
        """Its exit code, once it has one."""
        async with asyncio.timeout(SECONDS):
            with self.events.subscribe() as events:
                while self.containers.exec_inspect(exec_id).exit_code is None:
                    await anext(events)
        return self.containers.exec_inspect(exec_id).exit_code

    def actions(self, id: str) -> list[str]:
        return [event.action for event in self.events.history() if event.actor == id]
