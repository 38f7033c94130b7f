"""At the daemon's start: what the records say, and what has become of it.

A container that was running is adopted with its machine, or has exited, unseen; one whose start was under way is
taken up if its machine says that it booted, else it is back where it was; an interrupted removal is finished.
Then the restart policies have their way: what rested goes on, and what always runs (unless the user stopped it) is
started, one after the other behind the daemon's start.
A record that cannot be read is told of and left alone: it may be a later version's.
"""

import asyncio
import logging

from insula.container.lifecycle import Container
from insula.container.parts import Parts
from insula.container.record import CONTAINER, EXEC, exec_from_document, record_from_document
from insula.container.registry import Registry
from insula.container.restart_policy import starts_with_daemon
from insula.container.state import Status
from insula.errors import InsulaError

AT_A_TIME = 16

log = logging.getLogger(__name__)


async def load_containers(parts: Parts) -> None:
    """Fills the registry out of the database."""
    records, execs = await parts.database.run(lambda t: (t.all(CONTAINER), t.all(EXEC)))
    for id, document in records.items():
        try:
            record = record_from_document(document)
        except (InsulaError, KeyError, TypeError, ValueError) as error:
            log.error("the record of container %s cannot be read: %s", id[:12], error)
            continue
        parts.registry.reserve(record.name, record.id)
        parts.registry.add(Container(parts, record))
    known = {container.id: container for container in parts.registry}
    for document in execs.values():
        record_of_exec = exec_from_document(document)
        container = known.get(record_of_exec.container_id)
        if container is not None:
            container.execs.add(record_of_exec)


async def recover(registry: Registry[Container]) -> None:
    """Brings every container to where it really is."""
    gate = asyncio.Semaphore(AT_A_TIME)

    async def one(container: Container) -> None:
        async with gate:
            if container.status in (Status.RUNNING, Status.PAUSED, Status.STARTING, Status.STOPPING):
                await container.adopt()
            elif container.status is Status.REMOVING:
                await container.finish_removal()
            elif container.status is Status.EXITED and container.record.spec.auto_remove:
                await container.remove(discard=True)  # it was kept for a restart that nobody does any more

    await asyncio.gather(*(one(container) for container in registry))
    for container in registry:
        if _is_to_start(container):
            container.start_again()


def _is_to_start(container: Container) -> bool:
    """Whether it is a restart policy's turn, and nobody has it in hand."""
    record = container.record
    if container.status is Status.RESTARTING:
        return not container.is_owned
    if container.status is not Status.EXITED or not record.exit.started_ns:
        return False
    return starts_with_daemon(record.spec.restart, stopped=record.stopped)
