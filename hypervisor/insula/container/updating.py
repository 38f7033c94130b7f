"""`docker update`: a container's limits and restart policy, changed in place.

What fits its machine is done at once, in the guest and on QEMU; what does not is recorded for the next start and told
so (Conflict), for a machine cannot grow. A container that does not run is only recorded; one that is paused is held
to its new limits before it goes on. Checked as at create, by the spec itself.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from insula.agent.session import GuestFailure
from insula.container.holding import differ, hold_to, what_lacks
from insula.container.lifecycle import Container
from insula.container.restart_policy import NO
from insula.container.spec import ContainerSpec
from insula.container.state import Move, Status
from insula.container.warnings import warnings_of
from insula.errors import Conflict, InsulaError
from insula.guest.guest import Guest


@dataclass(frozen=True, slots=True)
class Update:
    """fields: of ContainerSpec, by name; rates: of its device_limits; raw: of HostConfig as sent, for the echo."""

    fields: Mapping[str, Any]
    rates: Mapping[str, int] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)


async def update(container: Container, wanted: Update) -> tuple[str, ...]:
    """The warnings. Raises InvalidArgument as create does, and Conflict for what cannot be changed, or not now."""
    await container.settled()
    container.check(Move.UPDATE)
    old = container.record.spec
    new = changed(old, wanted, container.id)
    guest = container.guest if container.status in (Status.RUNNING, Status.PAUSED) else None
    if guest is not None and not differ(old, new):
        guest = None  # its policy alone has changed
    lacking = "" if guest is None else what_lacks(guest, new)
    if guest is not None and not lacking and container.status is Status.RUNNING:
        await _apply(container, guest, old, new)
    else:
        await container.change(spec=new)
    container.publish("update")
    if lacking:
        raise Conflict(
            f"Cannot update container {container.id}: {lacking}: it is recorded, and takes effect after restart"
        )
    return tuple(word for word in warnings_of(new) if word not in warnings_of(old))


def changed(old: ContainerSpec, wanted: Update, id: str) -> ContainerSpec:
    """The spec with what is wanted. Raises InvalidArgument, Conflict."""
    if conflict := _find_conflict(old, wanted.fields):
        raise Conflict(f"Cannot update container {id}: {conflict}")
    limits = replace(old.device_limits, **wanted.rates)
    raw = {**old.raw_host_config, **wanted.raw}
    return replace(old, **wanted.fields, device_limits=limits, raw_host_config=raw)


def _find_conflict(old: ContainerSpec, new: Mapping[str, Any]) -> str:
    """What Docker does not change over another setting, in its words; empty if there is none."""
    nano, period, quota = (new.get(name, 0) for name in ("nano_cpus", "cpu_period", "cpu_quota"))
    restart = new.get("restart")
    if nano > 0 and old.cpu_period > 0:
        return "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set"
    if nano > 0 and old.cpu_quota > 0:
        return "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set"
    if period > 0 and old.nano_cpus > 0:
        return "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set"
    if quota > 0 and old.nano_cpus > 0:
        return "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"
    if new.get("memory", 0) > old.memory_swap > 0 and not new.get("memory_swap"):
        return (
            "Memory limit should be smaller than already set memoryswap limit, "
            "update the memoryswap at the same time"
        )
    if restart is not None and restart.name != NO and old.auto_remove:
        return "Restart policy cannot be updated because AutoRemove is enabled for the container"
    return ""


async def _apply(container: Container, guest: Guest, old: ContainerSpec, new: ContainerSpec) -> None:
    """Live, then in the record; what cannot be recorded is taken back."""
    try:
        await hold_to(guest, new)
    except GuestFailure as error:
        raise Conflict(f"Cannot update container {container.id}: {error.message}") from error
    try:
        await container.change(spec=new)
    except InsulaError:
        container.record = replace(container.record, spec=old)
        with suppress(InsulaError):
            await hold_to(guest, old)
        raise
