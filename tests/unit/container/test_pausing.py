"""Pause and unpause, on plain agents: a paused agent is a stopped process that answers nobody."""

import asyncio
import signal

import pytest
from plain_daemon import SECONDS, Daemon
from plain_guests import is_stopped, kill_agent

from insula.container.attach import AttachRequest
from insula.container.spec import ExecSpec
from insula.errors import Conflict


async def test_its_processors_stand_still(daemon: Daemon) -> None:
    id = await daemon.start("sleep", "1000")
    await daemon.containers.pause(id)
    state = daemon.containers.inspect(id).state
    assert (state.status, state.running) == ("paused", True)
    assert is_stopped(state.pid)
    await daemon.containers.unpause(id)
    assert daemon.containers.inspect(id).state.status == "running"
    assert not is_stopped(state.pid)
    assert daemon.guests.last is not None and daemon.guests.last.clocks == 1
    assert daemon.actions(id) == ["create", "start", "pause", "unpause"]


async def test_what_a_paused_one_refuses(daemon: Daemon) -> None:
    id = await daemon.start("sh", "-c", "echo one; sleep 1000")
    await daemon.logged(id, b"one\n")
    exec_id = await daemon.containers.exec_create(id, ExecSpec(cmd=("true",)))
    with pytest.raises(Conflict, match=f"Container {id} is not paused"):
        await daemon.containers.unpause(id)
    await daemon.containers.pause(id)
    paused = f"Container {id} is paused, unpause the container before exec"
    with pytest.raises(Conflict, match=paused):
        await daemon.containers.exec_create(id, ExecSpec(cmd=("true",)))
    with pytest.raises(Conflict, match=paused):
        daemon.containers.check_exec(id)
    with pytest.raises(Conflict, match=f"container {id} is already paused"):
        await daemon.containers.pause(id)
    with pytest.raises(Conflict, match="cannot start a paused container, try unpause instead"):
        await daemon.containers.start(id)
    with pytest.raises(Conflict, match="container is paused and must be unpaused first"):
        await daemon.containers.remove(id)
    with pytest.raises(Conflict, match="is paused, unpause the container before attach"):
        async with daemon.containers.attach(id, AttachRequest(stdout=True)):
            pass
    assert await daemon.log(id) == b"one\n"
    await daemon.containers.unpause(id)
    async with daemon.containers.exec_start(exec_id, detach=True):
        pass
    assert await daemon.exec_ended(exec_id) == 0


async def test_what_does_not_run_cannot_be_paused(daemon: Daemon) -> None:
    id = await daemon.create("true")
    with pytest.raises(Conflict, match=f"container {id} is not running"):
        await daemon.containers.pause(id)


@pytest.mark.parametrize("how", ["stop", "kill", "term", "remove", "restart"])
async def test_what_ends_a_paused_one(daemon: Daemon, how: str) -> None:
    id = await daemon.start("sleep", "1000")
    ended = daemon.containers.wait(id)
    await daemon.containers.pause(id)
    async with asyncio.timeout(SECONDS):
        match how:
            case "stop":
                await daemon.containers.stop(id)
                assert daemon.actions(id)[3:] == ["unpause", "kill", "die", "stop"]
                assert (await ended).exit_code == 128 + signal.SIGTERM
            case "kill":
                await daemon.containers.kill(id)
                assert (await ended).exit_code == 137
            case "term":
                await daemon.containers.kill(id, "TERM")
                assert (await ended).exit_code == 128 + signal.SIGTERM
            case "remove":
                await daemon.containers.remove(id, force=True)
                assert (await ended).exit_code == 137
                assert daemon.containers.list() == ()
            case "restart":
                await daemon.containers.restart(id)
                assert (await ended).exit_code == 128 + signal.SIGTERM
                assert daemon.containers.inspect(id).state.status == "running"


async def test_a_machine_that_is_killed_while_paused_is_an_exit(daemon: Daemon) -> None:
    id = await daemon.start("sleep", "1000")
    await daemon.containers.pause(id)
    ended = daemon.containers.wait(id)
    kill_agent(daemon.containers.inspect(id).state.pid)
    assert (await ended).exit_code == 137
    assert daemon.containers.inspect(id).state.status == "exited"


# -- over daemons


async def test_it_is_adopted_paused(daemon: Daemon) -> None:
    id = await daemon.start("sh", "-c", "read line; echo $line; exit 4", open_stdin=True)
    await daemon.containers.pause(id)
    before = daemon.containers.inspect(id)
    await daemon.restart()
    after = daemon.containers.inspect(id)
    assert after.state == before.state and is_stopped(after.state.pid)
    with pytest.raises(Conflict, match="unpause the container before exec"):
        await daemon.containers.exec_create(id, ExecSpec(cmd=("true",)))
    await daemon.restart()
    ended = daemon.containers.wait(id)
    await daemon.containers.unpause(id)
    assert daemon.containers.inspect(id).state.started_ns == before.state.started_ns
    assert daemon.actions(id)[-1] == "unpause"
    async with daemon.containers.attach(id, AttachRequest(stdin=True)) as attachment:
        await attachment.write(b"two\n")
    assert (await ended).exit_code == 4
    assert await daemon.log(id) == b"two\n"


@pytest.mark.parametrize("how", ["stop", "remove", "death"])
async def test_what_ends_one_that_was_adopted_paused(daemon: Daemon, how: str) -> None:
    id = await daemon.start("sleep", "1000")
    await daemon.containers.pause(id)
    await daemon.restart()
    ended = daemon.containers.wait(id)
    async with asyncio.timeout(SECONDS):
        if how == "stop":
            await daemon.containers.stop(id)
            assert (await ended).exit_code == 128 + signal.SIGTERM
        elif how == "remove":
            await daemon.containers.remove(id, force=True)
            assert (await ended).exit_code == 137
            assert daemon.containers.list() == ()
        else:
            kill_agent(daemon.containers.inspect(id).state.pid)
            assert (await ended).exit_code == 137


@pytest.mark.parametrize("recorded", ["running", "paused"])
@pytest.mark.parametrize("paused", [True, False])
async def test_the_machine_tells_the_truth_after_a_crash(daemon: Daemon, recorded: str, paused: bool) -> None:
    """A daemon may die between the act and its record."""
    id = await daemon.start("sleep", "1000")
    if paused:
        await daemon.containers.pause(id)
    before = daemon.containers.inspect(id).state
    await daemon.close()
    await daemon.edit_record(id, status=recorded)
    await daemon.open()
    assert daemon.containers.inspect(id).state == before
    await daemon.restart()
    assert daemon.containers.inspect(id).state == before
