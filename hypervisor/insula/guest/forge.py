"""Makes guests: boots cold, freezes templates, clones them; and finds out what accelerates a platform.

The order of ways is fixed: a clone of a template where one can be had, else a cold boot, which is always there
(and is asked for by `fresh`). Whether KVM works is proved by the first machine that boots with it (or does not).
"""

import asyncio
import logging
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from insula.agent.boot_document import BootDocument
from insula.agent.session import Session, open_session
from insula.config import Config
from insula.errors import InsulaError, Unavailable
from insula.guest.guest import evidence, tap_names
from insula.guest.rehearsal import Stage, open_stage, rehearse
from insula.guest.template import (
    Template,
    evict_templates,
    make_ram,
    read_template,
    template_key,
    touch_template,
    write_template,
)
from insula.machine.accelerator import PROOF_TIMEOUT, Verdict, obstacle, read_verdict, write_verdict
from insula.machine.host_cgroup import CgroupParent, find_parent
from insula.machine.jail import FIRST_ID, ID_RANGE, Jail, JailRoot, open_jail_root
from insula.machine.kernel import open_kernel
from insula.machine.machine import Machine, Memory, open_machine
from insula.machine.own_kernel import keep_own_kernel
from insula.machine.platform import Accelerator, Platform, find_platform
from insula.machine.shares import make_ids
from insula.machine.slots import take_slot
from insula.machine.spec import BLOCK_DISKS, Kernel, MachineSpec, cpu_class, memory_class
from insula.paths import Paths
from insula.thread import in_thread

BOOT_TIMEOUT = 90.0
"""Seconds for a cold boot under emulation on a busy host."""
CLONE_TIMEOUT = 30.0
ENTROPY_BYTES = 64
CONSOLE_LINES = 30

log = logging.getLogger(__name__)

Rehearsal = Callable[[str], Awaitable[BootDocument]]
"""Platform name → the container to rehearse; decided by container/plan.py, handed in by the daemon."""


@dataclass(slots=True)
class Started:
    """A machine whose agent answers and which belongs to nobody yet."""

    machine: Machine
    session: Session
    slot: int | None


class TapSource(Protocol):
    """Who has the network name space. Handed in by the daemon, for networks are none of a guest's business."""

    @property
    def stands(self) -> bool:
        """Whether taps can be had at all."""

    async def taps(self, names: list[str]) -> list[int]:
        """New taps, outside any network; the caller closes the descriptors. Raises Unavailable."""


class NoTaps:
    """Machines without a network."""

    stands = False

    async def taps(self, names: list[str]) -> list[int]:
        raise Unavailable(f"there is no network to put {names[0]} into")


class Forge:
    """Everything that starts a QEMU goes through here."""

    def __init__(
        self, paths: Paths, config: Config, rehearsal: Rehearsal, taps: TapSource | None = None
    ) -> None:
        self._paths = paths
        self._taps: TapSource = taps or NoTaps()
        self._config = config
        self._rehearsal = rehearsal
        self._templates: dict[str, Template] = {}
        self._building: dict[str, asyncio.Task[Template]] = {}
        self._verdicts: dict[str, asyncio.Task[Verdict]] = {}
        self._kernels: dict[str, MachineSpec] = {}
        self._roots: dict[str, JailRoot] = {}
        self._cgroups: CgroupParent | None = None

    # -- shapes

    async def shape(
        self, platform_name: str, memory: int, cpus: float, kernel: Path | None = None, blocks: int = 0
    ) -> MachineSpec:
        """The machine for a container with these limits (bytes, processors; 0: none). kernel: an image that boots
        instead of the platform's; blocks: how many block volumes it has at least room for.

        Raises InvalidArgument for limits no machine has, Unavailable for what the host lacks."""
        platform = find_platform(platform_name)
        accelerator = await self.accelerator(platform)
        base = await self._base(platform, accelerator)
        return MachineSpec(
            platform=platform,
            accelerator=accelerator,
            memory=memory_class(memory, platform.memory_limit),
            cpus=cpu_class(cpus, accelerator, os.cpu_count() or 1),
            kernel=base.kernel if kernel is None else await self.own_kernel(platform, kernel),
            qemu_build=base.qemu_build,
            taps=self._taps.stands,
            own_ids=os.geteuid() == 0,
            blocks=BLOCK_DISKS if blocks else 0,  # two shapes, and so two templates, are enough
        )

    async def own_kernel(self, platform: Platform, path: Path) -> Kernel:
        """A user's own kernel, as it is now. Raises InvalidArgument for what is none."""
        kept = await asyncio.to_thread(keep_own_kernel, self._paths, platform, path)
        return await open_kernel(self._paths, platform, kept)

    async def _base(self, platform: Platform, accelerator: Accelerator) -> MachineSpec:
        """The smallest shape; looked up once while the daemon runs, for it does not change under it."""
        known = self._kernels.get(platform.name)
        if known is None or known.accelerator != accelerator:
            root = await self._root(platform)
            kernel = await open_kernel(self._paths, platform)
            own_ids = os.geteuid() == 0
            smallest = (memory_class(0), 1, kernel, root.build)
            known = MachineSpec(platform, accelerator, *smallest, own_ids=own_ids)
            self._kernels[platform.name] = known
        return known

    async def _root(self, platform: Platform) -> JailRoot:
        """QEMU's files, looked up once too: asking for its libraries takes 25 ms, a third of a clone's start. Should
        QEMU be renewed on the host, machines go on with the copy that their templates were made with."""
        if platform.name not in self._roots:
            self._roots[platform.name] = await open_jail_root(self._paths, platform)
        return self._roots[platform.name]

    async def cgroups(self) -> CgroupParent:
        """Where machines' cgroups on the host are made; looked for once."""
        if self._cgroups is None:
            self._cgroups = await in_thread(find_parent)
        return self._cgroups

    async def accelerator(self, platform: Platform) -> Accelerator:
        """`kvm` if a machine has really booted with it, else `tcg`."""
        return "kvm" if (await self.verdict(platform)).works else "tcg"

    async def verdict(self, platform: Platform) -> Verdict:
        """Whether KVM serves a platform, tried by a real boot if that is not known yet."""
        task = self._verdicts.get(platform.name)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.create_task(self._find_verdict(platform))
            self._verdicts[platform.name] = task
        return await asyncio.shield(task)

    async def _find_verdict(self, platform: Platform) -> Verdict:
        reason = obstacle(platform)
        if reason is not None:
            return Verdict(False, reason)
        root = await self._root(platform)
        known = read_verdict(self._paths, platform, root.build)
        if known is None:
            known = await self._prove(platform)
            await asyncio.to_thread(write_verdict, self._paths, platform, root.build, known)
        log.info("%s: %s", platform.name, known.reason)
        return known

    async def _prove(self, platform: Platform) -> Verdict:
        spec = await self._base(platform, "kvm")
        began = time.monotonic()
        try:
            async with self._boot(spec, PROOF_TIMEOUT):
                return Verdict(True, f"a machine booted with KVM in {time.monotonic() - began:.1f} s")
        except (InsulaError, TimeoutError) as error:
            what = str(error).splitlines()[0] if isinstance(error, InsulaError) else ""
            return Verdict(
                False,
                f"/dev/kvm opens, but no machine boots with it within {PROOF_TIMEOUT:g} s {what}".strip(),
            )

    # -- machines

    @asynccontextmanager
    async def start(
        self, spec: MachineSpec, *, fresh: bool = False, warm: bool = False
    ) -> AsyncIterator[Started]:
        """A guest of this shape: a clone, or (fresh) a boot of its own. warm: rehearsed before it is given."""
        opened = self._boot(spec, BOOT_TIMEOUT) if fresh else self._clone(spec, await self.template(spec))
        async with opened as started:
            await started.session.identity(time.time_ns(), secrets.token_bytes(ENTROPY_BYTES))
            if warm:
                await self._rehearse(spec, started)
            yield started

    async def _rehearse(self, spec: MachineSpec, started: Started) -> None:
        stage: Stage = await open_stage(self._paths, spec.platform)
        document = await self._rehearsal(spec.platform.name)
        await rehearse(self._paths, started.machine, started.session, stage, document)

    @asynccontextmanager
    async def _boot(self, spec: MachineSpec, timeout: float) -> AsyncIterator[Started]:
        ram = make_ram("ram", spec.memory)
        try:
            async with self._open(spec, Memory(ram, False, None)) as (machine, slot):
                session = await greeted(machine, timeout)
                try:
                    yield Started(machine, session, slot)
                finally:
                    session.close()
        finally:
            os.close(ram)

    @asynccontextmanager
    async def _clone(self, spec: MachineSpec, template: Template) -> AsyncIterator[Started]:
        state = template.open_state()
        try:
            async with self._open(spec, Memory(template.ram, True, state)) as (machine, slot):
                await machine.monitor.restore(state)
                session = await greeted(machine, CLONE_TIMEOUT)
                try:
                    yield Started(machine, session, slot)
                finally:
                    session.close()
        finally:
            os.close(state)

    @asynccontextmanager
    async def _open(self, spec: MachineSpec, memory: Memory) -> AsyncIterator[tuple[Machine, int | None]]:
        root = await self._root(spec.platform)
        async with AsyncExitStack() as held:
            cgroups = (await self.cgroups()).folder
            jail = Jail(root, None, spec.accelerator, cgroups=cgroups)
            if os.geteuid() == 0:  # an ordinary user's daemon has one id to give: its own
                slot = take_slot(self._paths.slots)
                held.callback(slot.free)
                ids = await make_ids(FIRST_ID + slot.number * ID_RANGE, ID_RANGE)
                jail = Jail(root, slot.number, spec.accelerator, slot.lent, ids, cgroups)
            id = secrets.token_hex(8)
            taps: tuple[int, ...] = ()
            try:
                taps = await self._open_taps(id, spec)
                opened = open_machine(self._paths, id, spec, jail, memory, taps)
                machine = await held.enter_async_context(opened)
            finally:
                for given in (*taps, *((jail.ids,) if jail.ids is not None else ())):
                    os.close(given)
            if jail.lock is not None:
                slot.inherited()
            yield machine, jail.slot

    async def _open_taps(self, id: str, spec: MachineSpec) -> tuple[int, ...]:
        return tuple(await self._taps.taps(list(tap_names(id)))) if spec.taps else ()

    # -- templates

    async def template(self, spec: MachineSpec) -> Template:
        """The template of a shape: at hand, on disk, or built now, once for all who ask."""
        key = template_key(spec)
        if key in self._templates:
            touch_template(self._paths, key)
            return self._templates[key]
        task = self._building.get(key)
        if task is None:
            task = asyncio.create_task(self._make_template(spec, key))
            self._building[key] = task
            task.add_done_callback(lambda _: self._building.pop(key, None))
        return await asyncio.shield(task)

    async def _make_template(self, spec: MachineSpec, key: str) -> Template:
        template = await asyncio.to_thread(read_template, self._paths, key)
        if template is None:
            template = await self._freeze(spec, key)
        self._templates[key] = template
        gone = await asyncio.to_thread(
            evict_templates, self._paths, self._config.templates_size, {key, *self._building}
        )
        for evicted in gone:
            self._templates.pop(evicted, None)
        return template

    async def _freeze(self, spec: MachineSpec, key: str) -> Template:
        """Boots a machine, rehearses in it (what it learns is in its RAM, for all clones), saves it."""
        log.info("building the template of %s, %d MiB, %d CPU", spec.platform.name, spec.memory, spec.cpus)
        template = Template(key, spec.memory)
        try:
            async with self._open(spec, Memory(template.ram, False, None)) as (machine, slot):
                session = await greeted(machine, BOOT_TIMEOUT)
                await self._rehearse(spec, Started(machine, session, slot))
                session.close()
                await machine.settle()
                await machine.monitor.save(template.state)
            await in_thread(write_template, self._paths, template, spec.memory)
        except BaseException:
            template.close()
            raise
        return template

    async def distrust(self, spec: MachineSpec) -> None:
        """Drops a template of which no clone could be had: the next start builds it anew."""
        key = template_key(spec)
        self._templates.pop(key, None)
        await asyncio.to_thread(shutil.rmtree, self._paths.templates / key, True)

    def templates(self) -> list[str]:
        """The keys of the templates in memory."""
        return list(self._templates)

    async def close(self) -> None:
        """Ends what is being built and drops the memory of templates."""
        for task in (*self._building.values(), *self._verdicts.values()):
            task.cancel()
        await asyncio.gather(*self._building.values(), *self._verdicts.values(), return_exceptions=True)
        self._templates.clear()


async def greeted(machine: Machine, timeout: float) -> Session:
    """The session with a guest that is coming up.

    Raises Unavailable, with the end of the guest's console, if it stops instead or says nothing in time."""
    asked = asyncio.create_task(open_session(machine.agent_socket, timeout))
    gone = asyncio.create_task(machine.gone())
    try:
        await asyncio.wait((asked, gone), return_when=asyncio.FIRST_COMPLETED)
        if asked.done() and asked.exception() is None:
            return asked.result()
        reason = gone.result() if gone.done() else str(asked.exception())
    finally:
        for task in (asked, gone):
            task.cancel()
        await asyncio.gather(asked, gone, return_exceptions=True)
    console = await machine.console()
    shown = "".join(c if c.isprintable() or c == "\n" else " " for c in console)
    tail = "\n".join(shown.strip().splitlines()[-CONSOLE_LINES:])
    error = Unavailable(f"the machine {machine.id} did not come up: {reason}\nconsole: {tail or 'empty'}")
    error.detail = evidence(machine, console)
    raise error
