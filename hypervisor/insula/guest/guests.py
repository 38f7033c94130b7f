"""Guests: a machine with its agent answering, by the fastest way there is: pool, template, cold boot; or adopted.

`open` gives a guest with the asked disks attached and nothing mounted, booted or named: the boot document does
that. The caller owns it. What the host lacks is said here in one line (`Unavailable`), with what to install.
"""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from insula.config import Config
from insula.errors import InsulaError
from insula.guest.forge import Forge, Rehearsal, Started, TapSource
from insula.guest.guest import Guest, Origin
from insula.guest.pool import Pool
from insula.guest.request import GuestRequest
from insula.machine.machine import adopt_machine, kill_stray
from insula.machine.platform import find_platform, host_platform
from insula.machine.shares import put_share
from insula.machine.slots import keep_slot
from insula.machine.spec import NO_THROTTLE, NO_WEIGHTS, MachineSpec
from insula.paths import Paths

log = logging.getLogger(__name__)


class Guests:
    """All guests of one daemon."""

    def __init__(
        self, paths: Paths, config: Config, rehearsal: Rehearsal, taps: TapSource | None = None
    ) -> None:
        self._paths = paths
        self.forge = Forge(paths, config, rehearsal, taps)
        self.pool = Pool(self.forge, config)

    async def start(self, known: set[str]) -> None:
        """Kills machines that no record knows (`known`: machine ids of records), then starts filling the pool."""
        for id in await kill_stray(self._paths, known):
            log.info("killed the machine %s, which belongs to no container", id)
        self.pool.open()

    async def warm_up(self) -> None:
        """Asks the pool for clones of the host platform's default shape. Nothing fails if it cannot have any."""
        try:
            self.pool.want(await self.forge.shape(host_platform().name, 0, 0))
        except InsulaError as error:
            self.pool.failure = str(error)
            log.warning("no pool: %s", error)

    async def check_kernel(self, platform: str, path: Path) -> None:
        """Raises InvalidArgument for a file that is no kernel of a platform."""
        await self.forge.own_kernel(find_platform(platform), path)

    @asynccontextmanager
    async def open(self, request: GuestRequest) -> AsyncIterator[Guest]:
        """A guest for a container, its disks attached. Killed when the context is left, unless detached.

        Raises InvalidArgument for what no machine can be, Unavailable for what the host lacks."""
        spec = await self.forge.shape(
            request.platform, request.memory, request.cpus, request.kernel, len(request.blocks)
        )
        async with AsyncExitStack() as held:
            self.pool.starting()
            held.callback(began := _Once(self.pool.started))
            started, origin = await self._have(spec, request, held)
            guest = Guest(started.machine, started.session, origin, started.slot, on_taps=spec.taps)
            guest.record |= {"memory": spec.memory, "cpus": spec.cpus, "disks": disk_names(request)}
            guest.began = began
            yield guest

    async def _have(
        self, spec: MachineSpec, request: GuestRequest, held: AsyncExitStack
    ) -> tuple[Started, Origin]:
        """A guest with its disks attached."""
        if not request.fresh:
            self.pool.want(spec)
            claimed = await self._claim(spec, request, held)
            if claimed is not None:
                return claimed, "pool"
        started, origin = await self._start(spec, request, held)
        await self._attach(started, request)
        return started, origin

    async def _claim(self, spec: MachineSpec, request: GuestRequest, held: AsyncExitStack) -> Started | None:
        """A clone that waited. One that has died since, and nobody has noticed, is passed over."""
        while (idle := self.pool.claim(spec)) is not None:
            async with AsyncExitStack() as ours:
                ours.push_async_exit(idle.held)
                try:
                    await self._attach(idle.started, request)
                except InsulaError as error:
                    log.warning("the idle machine %s is of no use: %s", idle.started.machine.id, error)
                    continue
                held.push_async_exit(ours.pop_all())
                return idle.started
        return None

    async def _start(
        self, spec: MachineSpec, request: GuestRequest, held: AsyncExitStack
    ) -> tuple[Started, Origin]:
        if request.fresh:
            return await held.enter_async_context(self.forge.start(spec, fresh=True)), "cold"
        try:
            return await held.enter_async_context(self.forge.start(spec)), "template"
        except (InsulaError, TimeoutError) as error:
            log.warning("no clone could be had (%s): booting cold, and building the template anew", error)
            await self.forge.distrust(spec)
            return await held.enter_async_context(self.forge.start(spec, fresh=True)), "cold"

    async def _attach(self, started: Started, request: GuestRequest) -> None:
        for number, layer in enumerate(request.layers):
            await started.machine.attach_disk(f"layer{number}", layer, read_only=True)
        if request.writable is not None:
            await started.machine.attach_disk("writable", request.writable, read_only=False)
        for number, block in enumerate(request.blocks):
            await started.machine.attach_disk(f"block{number}", block, read_only=False)
        for share in request.shares:
            await put_share(started.machine.pid, share)
        if request.throttle != NO_THROTTLE:
            await started.machine.throttle(disk_names(request), request.throttle)
        if request.weights != NO_WEIGHTS:
            await started.machine.weigh(request.weights)

    @asynccontextmanager
    async def adopt(self, record: dict[str, Any]) -> AsyncIterator[Guest]:
        """The guest of a record, left running or paused by an earlier daemon; to be greeted. Raises NotFound if it is
        gone."""
        async with AsyncExitStack() as held:
            machine = await held.enter_async_context(adopt_machine(self._paths, str(record["machine"])))
            slot = record.get("slot")
            if slot is not None:
                held.callback(keep_slot(self._paths.slots, int(slot)).free)
            guest = Guest(machine, None, "adopted", slot, on_taps=bool(record.get("taps")))
            guest.record |= record
            held.callback(guest.close_session)
            yield guest

    async def fill(self, platform: str) -> int:
        """Returns, with their number, when the pool has its clones of a platform's default shape."""
        began = time.monotonic()
        spec = await self.forge.shape(platform, 0, 0)
        number = await self.pool.filled(spec)
        log.info("the pool has %d of %s after %.1f s", number, platform, time.monotonic() - began)
        return number

    def info(self) -> dict[str, Any]:
        """What `info` and the bench tell: idle clones, templates, and why the pool is empty if it is."""
        return {
            "Pool": self.pool.describe(), "PoolFailure": self.pool.failure, "Templates": self.forge.templates(),
        }  # fmt: skip

    async def close(self) -> None:
        """Kills the idle clones and drops the templates' memory; guests in use are their owners'."""
        await self.pool.close()
        await self.forge.close()


def disk_names(request: GuestRequest) -> list[str]:
    """The disks that a container has."""
    layers = [f"layer{number}" for number in range(len(request.layers))]
    blocks = [f"block{number}" for number in range(len(request.blocks))]
    return [*layers, *(["writable"] if request.writable is not None else []), *blocks]


class _Once:
    """Calls a function the first time it is called itself."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._done = False

    def __call__(self) -> None:
        if not self._done:
            self._done = True
            self._function()
