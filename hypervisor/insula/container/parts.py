"""What every container of a daemon shares: the parts below and beside it, handed down once."""

from dataclasses import dataclass
from typing import Any

from insula.container.record import Record
from insula.container.registry import Registry
from insula.container.seccomp import seccomp_filter
from insula.container.writable import WritableDisks
from insula.database import Database
from insula.events import Event, EventBus
from insula.guest.guests import Guests
from insula.image.store import ImageStore
from insula.paths import Paths


@dataclass(frozen=True, slots=True)
class Parts:
    """Specs go down, results come up: nothing in here knows a container."""

    paths: Paths
    database: Database
    events: EventBus
    images: ImageStore
    guests: Guests
    writable: WritableDisks
    registry: Registry[Any]

    def publish(self, record: Record, action: str, attributes: dict[str, str]) -> None:
        own = {**record.settings.labels, "image": record.spec.image, "name": record.name}
        self.events.publish(Event("container", action, record.id, own | attributes))

    async def filter(self, platform: str, capabilities: frozenset[str], privileged: bool) -> bytes:
        """The system call filter of a container's processes."""
        if privileged:
            return b""
        architecture = platform.split("/")[1]
        return await seccomp_filter(architecture, capabilities)
