"""Updates of containers on plain agents, which hold nobody to anything: what is recorded, refused and told. That the
limits bite is seen in machines (tests/boot/test_life.py)."""

from typing import Any

import pytest
from plain_daemon import Daemon
from plain_guests import kill_agent

from insula.container.restart_policy import RestartPolicy
from insula.container.updating import Update
from insula.errors import Conflict, InvalidArgument

MIB = 1 << 20


async def update(daemon: Daemon, id: str, **fields: Any) -> tuple[str, ...]:
    return await daemon.containers.update(id, Update(fields))


async def test_one_that_does_not_run_is_recorded(daemon: Daemon) -> None:
    id = await daemon.create("true")
    wanted = Update({"memory": 64 * MIB, "pids_limit": 7}, {"read_bps": 9}, {"Memory": 64 * MIB})
    await daemon.containers.update(id, wanted)
    await daemon.restart()
    view = daemon.containers.inspect(id)
    assert (view.spec.memory, view.spec.pids_limit, view.spec.device_limits.read_bps) == (64 * MIB, 7, 9)
    assert view.spec.raw_host_config == {"Memory": 64 * MIB}
    await daemon.containers.start(id)
    assert daemon.guests.requests[-1].memory == 64 * MIB


async def test_one_that_runs_is_held_to_it_at_once(daemon: Daemon) -> None:
    id = await daemon.start("sleep", "1000")
    await update(daemon, id, memory=64 * MIB, cpu_shares=2048)
    assert daemon.guests.last is not None
    assert [limits.memory for limits in daemon.guests.last.held] == [64 * MIB]
    assert daemon.guests.last.weights.cpu > 100
    assert daemon.containers.inspect(id).spec.memory == 64 * MIB
    assert daemon.actions(id) == ["create", "start", "update"]


async def test_what_its_machine_has_no_room_for_waits_for_the_next_start(daemon: Daemon) -> None:
    id = await daemon.start("sleep", "1000")
    words = f"Cannot update container {id}: its machine has 1024 MiB of memory.* takes effect after restart"
    with pytest.raises(Conflict, match=words):
        await update(daemon, id, memory=2048 * MIB)
    assert daemon.guests.last is not None and daemon.guests.last.held == []
    assert daemon.containers.inspect(id).spec.memory == 2048 * MIB
    await daemon.containers.restart(id, timeout=0)
    assert daemon.guests.requests[-1].memory == 2048 * MIB


@pytest.mark.parametrize("adopted", [False, True])
async def test_one_that_is_paused_is_held_to_it_before_it_goes_on(daemon: Daemon, adopted: bool) -> None:
    id = await daemon.start("sleep", "1000")
    await daemon.containers.pause(id)
    await update(daemon, id, pids_limit=5)
    if adopted:
        await daemon.restart()
    await daemon.containers.unpause(id)
    assert daemon.guests.last is not None
    assert [limits.pids for limits in daemon.guests.last.held] == [5]


async def test_a_policy_alone_asks_nothing_of_the_guest(daemon: Daemon) -> None:
    daemon.rest = lambda seconds: 10**6
    id = await daemon.start("sleep", "1000")
    await update(daemon, id, restart=RestartPolicy("always"))
    assert daemon.guests.last is not None and daemon.guests.last.held == []
    ended = daemon.containers.wait(id)
    kill_agent(daemon.containers.inspect(id).state.pid)
    await ended
    assert daemon.containers.inspect(id).state.status == "restarting"


@pytest.mark.parametrize(
    ("created", "fields", "kind", "words"),
    [
        ({}, {"memory": 1}, InvalidArgument, "^Minimum memory limit allowed is 6MB"),
        ({}, {"blkio_weight": 1}, InvalidArgument, "^Range of blkio weight is from 10 to 1000"),
        ({"cpu_period": 1000}, {"nano_cpus": 10**8}, Conflict, "Nano CPUs cannot be updated as CPU Period"),
        ({"nano_cpus": 10**8}, {"cpu_quota": 5000}, Conflict, "CPU Quota cannot be updated as NanoCPUs"),
        ({"memory": 8 * MIB, "memory_swap": 9 * MIB}, {"memory": 10 * MIB}, Conflict, "update the memoryswap at the"),
        ({"auto_remove": True}, {"restart": RestartPolicy("always")}, Conflict, "because AutoRemove is enabled"),
    ],
)  # fmt: skip
async def test_what_is_refused(
    daemon: Daemon, created: dict[str, Any], fields: dict[str, Any], kind: type[Exception], words: str
) -> None:
    id = await daemon.create("true", **created)
    before = daemon.containers.inspect(id).spec
    with pytest.raises(kind, match=words):
        await update(daemon, id, **fields)
    assert daemon.containers.inspect(id).spec == before
