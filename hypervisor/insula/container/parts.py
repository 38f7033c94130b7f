"""What every container of a daemon shares: the parts below and beside it, handed down once."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from insula.container.capabilities import choose_capabilities
from insula.container.log_options import LogLimits
from insula.container.record import Record
from insula.container.registry import Registry
from insula.container.seccomp import seccomp_filter
from insula.container.seccomp_own import own_filter
from insula.container.security import BUILTIN, UNCONFINED, parse_security
from insula.container.spec import ContainerSpec
from insula.container.writable import WritableDisks
from insula.database import Database
from insula.events import Event, EventBus
from insula.guest.guests import Guests
from insula.image.store import ImageStore
from insula.network.networks import Networks
from insula.paths import Paths
from insula.volume.volumes import Volumes

STARTS_AT_A_TIME = max(2, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Parts:
    """Specs go down, results come up: nothing in here knows a container. log_limits: of a log that asks for none;
    rest: what a rest of so many seconds between two runs really takes; gate: through which restart policies start."""

    paths: Paths
    database: Database
    events: EventBus
    images: ImageStore
    guests: Guests
    networks: Networks
    volumes: Volumes
    writable: WritableDisks
    registry: Registry[Any]
    log_limits: LogLimits
    rest: Callable[[float], float] = float
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(STARTS_AT_A_TIME))

    def publish(self, record: Record, action: str, attributes: dict[str, str]) -> None:
        own = {**record.settings.labels, "image": record.spec.image, "name": record.name}
        self.events.publish(Event("container", action, record.id, own | attributes))

    async def filter(self, platform: str, spec: ContainerSpec, privileged: bool = False) -> bytes:
        """The system call filter of a container's processes: what `--security-opt seccomp=` asks for, else the
        default, else (privileged: the container, or an exec of itself) none. Raises InvalidArgument, Unavailable."""
        asked, architecture = parse_security(spec.security_opt).seccomp, platform.split("/")[1]
        everything = spec.privileged or privileged
        if asked == UNCONFINED or (everything and not asked):
            return b""
        capabilities = choose_capabilities(everything, spec.cap_add, spec.cap_drop)
        if asked in ("", BUILTIN):
            return await seccomp_filter(architecture, capabilities)
        return await own_filter(asked, architecture, capabilities)
