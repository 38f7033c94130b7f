"""A container's health checks while it runs: one probe after the other, and what is kept of each.

The record holds how the container stands, so that the next daemon goes on from there. It is written where something
has changed that matters: the status, or the count of failures on the way to unhealthy. The last results are in it
whenever it is written, and when the daemon ends in good order; one that is killed loses the latest of them at most.
Between two probes it sleeps: time itself is the point here.
"""

import asyncio
import logging
import time
from dataclasses import replace
from typing import Protocol

from insula.agent.session import Session
from insula.container.execs import Execs
from insula.container.health import (
    Health,
    HealthCheck,
    HealthStatus,
    after,
    begin,
    interval,
    rest,
    wait_adopted,
)
from insula.container.record import Record
from insula.errors import InsulaError

log = logging.getLogger(__name__)


class Checked(Protocol):
    """What has the record of a container."""

    record: Record

    def publish(self, action: str, **attributes: str) -> None: ...

    def save_soon(self, record: Record) -> None: ...

    async def save(self, record: Record) -> None: ...


class HealthWatch:
    """One container's. At most one probe at a time; none while it is not running, or paused."""

    def __init__(self, checked: Checked, execs: Execs) -> None:
        self._checked = checked
        self._execs = execs
        self._task: asyncio.Task[None] | None = None

    def begin(self, session: Session) -> None:
        """A run has begun. The caller saves the record afterwards, or has no need to."""
        record = self._checked.record
        if self._check() is not None:
            self._checked.record = replace(record, health=begin(record.health))
        self.resume(session)

    def resume(self, session: Session, *, adopted: bool = False) -> None:
        """The run goes on, after a pause or (adopted) with another daemon."""
        self.let_go()
        if (check := self._check()) is not None:
            self._task = asyncio.create_task(self._watch(check, session, adopted))

    def end(self) -> None:
        """The run has ended, or is paused. The caller saves the record afterwards."""
        record = self._checked.record
        if self._task is not None and record.health is not None:
            self._checked.record = replace(record, health=rest(record.health))
        self.let_go()

    def let_go(self) -> None:
        """The checks end here, and the container stands as it did. A probe under way is killed."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _check(self) -> HealthCheck | None:
        check = self._checked.record.settings.healthcheck
        return check if check is not None and check.is_on else None

    async def _watch(self, check: HealthCheck, session: Session, adopted: bool) -> None:
        health = self._checked.record.health or Health()
        started_ns = self._checked.record.exit.started_ns
        command = check.command(self._checked.record.settings.shell)
        find = wait_adopted if adopted else interval
        try:
            while True:
                await asyncio.sleep(find(health, check, started_ns, time.time_ns()) / 1e9)
                result = await self._execs.probe(command, self._checked.record, session, check.timeout_ns)
                before, health = health, after(health, check, result, started_ns)
                await self._keep(before, health)
                find = interval
        except Exception:
            log.exception("the health checks of container %s", self._checked.record.id[:12])

    async def _keep(self, before: Health, health: Health) -> None:
        """Nobody is told of a status that a daemon killed the next moment would have lost."""
        record = replace(self._checked.record, health=health)
        if health.status is not before.status:
            try:
                await self._checked.save(record)
            except InsulaError as error:
                log.error("container %s: its health is not recorded: %s", record.id[:12], error)
            self._checked.publish(f"health_status: {health.status}")
        elif health.failing_streak != before.failing_streak and health.status is not HealthStatus.UNHEALTHY:
            self._checked.save_soon(record)
        else:
            self._checked.record = record
