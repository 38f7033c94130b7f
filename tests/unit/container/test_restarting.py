"""Restart policies at work: the real life of a container on plain agents. No test waits for a rest: each says how
long one takes, no time at all or for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from plain_daemon import SECONDS, Daemon
from plain_guests import kill_agent

from insula.container.attach import AttachRequest
from insula.container.logs import LogQuery
from insula.container.restart_policy import RestartPolicy
from insula.container.spec import ContainerSpec, ExecSpec
from insula.errors import Conflict, InvalidArgument, NotModified
from insula.events import Subscription

FOR_EVER = 10**6


@asynccontextmanager
async def listening(daemon: Daemon) -> AsyncIterator[Subscription]:
    async with asyncio.timeout(SECONDS):
        with daemon.events.subscribe() as events:
            yield events


async def until(events: Subscription, *actions: str) -> None:
    """Until these have come, in this order."""
    wanted = list(actions)
    async for event in events:
        if wanted and event.action == wanted[0]:
            wanted.pop(0)
        if not wanted:
            return


def rest_for_ever(daemon: Daemon) -> None:
    daemon.rest = lambda seconds: FOR_EVER


async def test_on_failure_tries_so_often(daemon: Daemon) -> None:
    rests: list[float] = []
    daemon.rest = lambda seconds: rests.append(seconds) or 0.0
    id = await daemon.create("sh", "-c", "echo run; exit 3", restart=RestartPolicy("on-failure", 3))
    async with listening(daemon) as events:
        await daemon.containers.start(id)
        await until(events, *["start", "die"] * 4)
    view = daemon.containers.inspect(id)
    assert (view.state.status, view.state.exit_code, view.restart_count) == ("exited", 3, 3)
    assert rests == [0.1, 0.2, 0.4]
    assert await daemon.log(id) == b"run\n" * 4
    await daemon.containers.start(id)  # by hand: it all begins anew
    assert daemon.containers.inspect(id).restart_count == 0


async def test_on_failure_is_content_with_a_good_end(daemon: Daemon) -> None:
    id = await daemon.create("true", restart=RestartPolicy("on-failure"))
    ended = daemon.containers.wait(id, "next-exit")
    await daemon.containers.start(id)
    assert (await ended).exit_code == 0
    assert daemon.containers.inspect(id).state.status == "exited"


async def test_while_it_rests(daemon: Daemon) -> None:
    rest_for_ever(daemon)
    id = await daemon.create("sh", "-c", "exit 4", restart=RestartPolicy("always"))
    exited = daemon.containers.wait(id, "next-exit")
    await daemon.containers.start(id)
    assert (await exited).exit_code == 4  # a wait ends at each exit
    view = daemon.containers.inspect(id)
    assert (view.state.status, view.state.running, view.state.pid) == ("restarting", True, 0)
    assert (view.state.exit_code, view.restart_count) == (4, 1)
    with pytest.raises(NotModified):
        await daemon.containers.start(id)
    for refused in (daemon.containers.exec_create(id, ExecSpec(cmd=("true",))), daemon.containers.pause(id)):
        with pytest.raises(
            Conflict, match=f"Container {id} is restarting, wait until the container is running"
        ):
            await refused
    with pytest.raises(Conflict, match="is restarting, wait until"):
        async with daemon.containers.attach(id, AttachRequest(stdout=True)):
            pass
    with pytest.raises(Conflict, match="container is restarting: stop the container before removing"):
        await daemon.containers.remove(id)
    stopping = daemon.containers.wait(id)
    await daemon.containers.stop(id)
    assert (await stopping).exit_code == 4
    assert daemon.containers.inspect(id).state.status == "exited"
    assert daemon.actions(id) == ["create", "start", "die", "stop"]


@pytest.mark.parametrize("how", ["kill", "remove", "restart"])
async def test_what_else_ends_the_rest(daemon: Daemon, how: str) -> None:
    rest_for_ever(daemon)
    id = await daemon.create("sh", "-c", "exit 1", restart=RestartPolicy("always"))
    exited = daemon.containers.wait(id, "next-exit")
    await daemon.containers.start(id)
    await exited
    if how == "kill":
        await daemon.containers.kill(id)
        assert daemon.containers.inspect(id).state.status == "exited"
    elif how == "remove":
        await daemon.containers.remove(id, force=True)
        assert daemon.containers.list() == ()
    else:
        async with listening(daemon) as events:
            await daemon.containers.restart(id)
            await until(events, "start", "die")
        assert daemon.containers.inspect(id).restart_count == 1


async def test_stop_ends_the_restarting(daemon: Daemon) -> None:
    id = await daemon.start("sleep", "1000", restart=RestartPolicy("always"))
    await daemon.containers.stop(id, timeout=0)
    assert daemon.containers.inspect(id).state.status == "exited"


async def test_a_signal_that_is_not_the_stop_signal_ends_nothing(daemon: Daemon) -> None:
    """Docker's rule: with a stop signal of its own, only that and KILL say that it is to stay ended."""
    id = await daemon.start("sleep", "1000", restart=RestartPolicy("always"), stop_signal="SIGINT")
    async with listening(daemon) as events:
        await daemon.containers.kill(id, "TERM")
        await until(events, "die", "start")
    await daemon.containers.kill(id, "INT")
    await daemon.containers.wait(id)
    assert daemon.containers.inspect(id).state.status == "exited"


async def test_logs_are_followed_to_the_end_of_a_run(daemon: Daemon) -> None:
    rest_for_ever(daemon)
    id = await daemon.create("sh", "-c", "echo one; exit 1", restart=RestartPolicy("always"))
    await daemon.containers.start(id)
    async with asyncio.timeout(SECONDS):
        log = [entry.data async for entry in daemon.containers.logs(id, LogQuery(follow=True))]
    assert log == [b"one\n"]


async def test_a_program_that_is_gone_is_not_tried_again(daemon: Daemon, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    gone = asyncio.Event()

    def rest(seconds: float) -> float:
        program.unlink()
        gone.set()
        return 0.0

    daemon.rest = rest
    id = await daemon.create(str(program), restart=RestartPolicy("always"))
    await daemon.containers.start(id)
    async with asyncio.timeout(SECONDS):
        await gone.wait()
        await daemon.containers.wait(id)
    state = daemon.containers.inspect(id).state
    assert (state.status, state.exit_code) == ("exited", 127)
    assert "no such file or directory" in state.error


async def test_with_rm_there_is_no_policy(daemon: Daemon) -> None:
    with pytest.raises(InvalidArgument, match="can't create 'AutoRemove' container with restart policy"):
        ContainerSpec(image="test", auto_remove=True, restart=RestartPolicy("always"))


# -- over daemons


async def test_a_rest_goes_on_under_the_next_daemon(daemon: Daemon) -> None:
    rest_for_ever(daemon)
    id = await daemon.create("sh", "-c", "sleep 0.1; exit 5", restart=RestartPolicy("on-failure"))
    exited = daemon.containers.wait(id, "next-exit")
    await daemon.containers.start(id)
    await exited
    await daemon.restart()
    assert daemon.containers.inspect(id).state.status == "restarting"
    daemon.rest = lambda seconds: 0.0
    await daemon.close()
    await daemon.open()
    async with listening(daemon) as events:
        await until(events, "start", "die", "start")
    assert daemon.containers.inspect(id).restart_count >= 2


@pytest.mark.parametrize(
    ("policy", "stopped", "runs"),
    [("always", True, True), ("unless-stopped", True, False), ("unless-stopped", False, True), ("no", False, False),
     ("on-failure", False, True)],
)  # fmt: skip
async def test_after_a_reboot_of_the_host(daemon: Daemon, policy: str, stopped: bool, runs: bool) -> None:
    id = await daemon.start("sleep", "1000", restart=RestartPolicy(policy))
    if stopped:
        await daemon.containers.stop(id, timeout=0)
    pid = daemon.containers.inspect(id).state.pid
    await daemon.close()
    if pid:
        kill_agent(pid)
    await daemon.open()
    async with listening(daemon) as events:
        if runs:
            while not daemon.containers.inspect(id).state.pid:
                await anext(events)
    state = daemon.containers.inspect(id).state
    assert state.status == ("running" if runs else "exited")
    assert runs or stopped or "machine is gone" in state.error


async def test_what_never_ran_is_not_started(daemon: Daemon) -> None:
    id = await daemon.create("sleep", "1000", restart=RestartPolicy("always"))
    await daemon.restart()
    assert daemon.containers.inspect(id).state.status == "created"


async def test_a_policys_start_that_was_cut_off_is_done_again(daemon: Daemon) -> None:
    id = await daemon.start("sleep", "1000", restart=RestartPolicy("on-failure"))
    pid = daemon.containers.inspect(id).state.pid
    await daemon.close()
    kill_agent(pid)
    await daemon.edit_record(id, status="starting", restart_count=1)
    await daemon.open()
    async with listening(daemon) as events:
        while not daemon.containers.inspect(id).state.pid:
            await anext(events)
    assert daemon.containers.inspect(id).state.status == "running"


# -- restart


async def test_restart_keeps_what_is_to_be_removed(daemon: Daemon) -> None:
    id = await daemon.start("sleep", "1000", auto_remove=True)
    first = daemon.guests.last
    await daemon.containers.restart(id, timeout=0)
    assert daemon.containers.inspect(id).state.running
    assert first is not None and first.session.stops == 1  # its files were kept
    assert daemon.actions(id) == ["create", "start", "kill", "kill", "die", "stop", "start", "restart"] or (
        daemon.actions(id) == ["create", "start", "kill", "die", "stop", "start", "restart"]
    )
    removed = daemon.containers.wait(id, "removed")
    await daemon.containers.stop(id, timeout=0)
    await removed
    assert daemon.containers.list() == ()


async def test_a_restart_that_was_cut_off_removes_what_was_to_be(daemon: Daemon) -> None:
    id = await daemon.create("true", auto_remove=True)
    await daemon.close()
    await daemon.edit_record(id, status="exited")
    await daemon.open()
    assert daemon.containers.list() == ()


async def test_restart_takes_a_signal_and_says_what_failed(daemon: Daemon) -> None:
    script = "trap 'echo usr1; exit 0' USR1; echo ready; while :; do sleep 0.05; done"
    id = await daemon.start("sh", "-c", script)
    await daemon.logged(id, b"ready\n")
    await daemon.containers.restart(id, timeout=-1, signal="USR1")
    await daemon.logged(id, b"ready\nusr1\nready\n")
    with pytest.raises(InvalidArgument, match=f"Cannot restart container {id[:12]}: Invalid signal: NO"):
        await daemon.containers.restart(id, signal="NO")
    never = await daemon.create("no-such-program")
    with pytest.raises(InvalidArgument, match=r"Cannot restart container .*executable file not found"):
        await daemon.containers.restart(never)
