"""Checks of containers on plain agents: the real wire and real programs; waited for by events."""

import asyncio
import os
from pathlib import Path

import pytest
from plain_daemon import SECONDS, Daemon
from plain_guests import StillImages

from insula.container.health import HealthCheck, HealthStatus, ProbeResult
from insula.container.view import ContainerView
from insula.errors import Conflict, InvalidArgument
from insula.events import Event
from insula.process import HeldProcess

MS = 1_000_000
SOON = {"interval": 10 * MS, "timeout": 10_000 * MS}


def shell(command: str, **given: int) -> HealthCheck:
    return HealthCheck(("CMD-SHELL", command), **{**SOON, **given})


async def until(daemon: Daemon, id: str, *actions: str) -> list[Event]:
    """The next events of the container's that are so called, one each, in this order; what comes meanwhile passes."""
    found = []
    async with asyncio.timeout(SECONDS):
        with daemon.events.subscribe() as events:
            for action in actions:
                async for event in events:
                    if event.actor == id and event.action == action:
                        found.append(event)
                        break
    return found


async def started(daemon: Daemon, check: HealthCheck, *actions: str, **spec: object) -> str:
    """A container with this check, once these events have come."""
    id = await daemon.create("sleep", "1000", healthcheck=check, **spec)
    waiting = asyncio.create_task(until(daemon, id, *actions))
    await asyncio.sleep(0)
    await daemon.containers.start(id)
    await waiting
    return id


def look(daemon: Daemon, id: str) -> tuple[ContainerView, tuple[ProbeResult, ...]]:
    view = daemon.containers.inspect(id)
    assert view.state.health is not None
    return view, view.state.health.log


async def test_a_good_check_makes_it_healthy_once(daemon: Daemon) -> None:
    id = await started(
        daemon, shell("echo fine; echo here >&2"), "health_status: healthy", "exec_die", "exec_die"
    )
    view, log = look(daemon, id)
    assert view.state.health is not None and view.state.health.status is HealthStatus.HEALTHY
    assert log[0].exit_code == 0 and sorted(log[0].output.split()) == ["fine", "here"]
    assert log[0].start_ns >= view.state.started_ns and log[0].end_ns >= log[0].start_ns
    actions = daemon.actions(id)
    command = "/bin/sh -c echo fine; echo here >&2"
    assert actions[:6] == [
        "create", "start", f"exec_create: {command}", f"exec_start: {command}", "exec_die", "health_status: healthy",
    ]  # fmt: skip
    assert actions.count("health_status: healthy") == 1


async def test_failures_count_up_to_unhealthy_and_one_success_heals(daemon: Daemon, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    id = await started(daemon, shell(f"test -e {flag} || exit 7", retries=2), "health_status: unhealthy")
    view, log = look(daemon, id)
    assert view.state.health is not None and view.state.health.failing_streak == 2
    assert [result.exit_code for result in log] == [7, 7]
    waiting = asyncio.create_task(until(daemon, id, "health_status: healthy"))
    await asyncio.sleep(0)
    flag.touch()
    await waiting


async def test_a_hanging_probe_is_killed_at_its_timeout(daemon: Daemon) -> None:
    id = await started(
        daemon, shell("echo asleep; exec sleep 1000", timeout=50 * MS, retries=1), "health_status: unhealthy"
    )
    _, log = look(daemon, id)
    assert (log[0].exit_code, log[0].output) == (-1, "Health check exceeded timeout (50ms): asleep\n")
    died = [event for event in daemon.events.history() if event.action == "exec_die"]
    assert died[0].attributes["exitCode"] == "137"


async def test_one_that_cannot_be_run_is_told_in_its_result(daemon: Daemon) -> None:
    check = HealthCheck(("CMD", "no-such-program"), retries=1, **SOON)
    id = await started(daemon, check, "health_status: unhealthy")
    _, log = look(daemon, id)
    assert log[0].exit_code == -1
    assert 'exec: "no-such-program": executable file not found in $PATH' in log[0].output


async def test_a_talkative_probe_is_read_to_its_end_and_kept_in_part(daemon: Daemon) -> None:
    id = await started(daemon, shell("head -c 1000000 /dev/zero | tr '\\0' x"), "health_status: healthy")
    assert look(daemon, id)[1][0].output == "x" * 4096 + "..."


async def test_a_child_left_behind_does_not_hold_the_check(daemon: Daemon) -> None:
    id = await started(daemon, shell("sleep 1000 & echo left"), "health_status: healthy")
    assert look(daemon, id)[1][0].output == "left\n"


async def test_without_a_check_there_is_no_health(daemon: Daemon) -> None:
    for check in (None, HealthCheck(("NONE",)), HealthCheck(retries=3)):
        id = await daemon.create("sleep", "1000", healthcheck=check)
        await daemon.containers.start(id)
        assert daemon.containers.inspect(id).state.health is None


async def test_the_end_of_the_run_ends_the_checks(daemon: Daemon) -> None:
    id = await started(daemon, shell("true"), "health_status: healthy")
    await daemon.containers.kill(id)
    view, log = look(daemon, id)
    assert view.state.health is not None and view.state.health.status is HealthStatus.UNHEALTHY and log
    assert daemon.actions(id)[-1] == "die"
    assert daemon.containers.inspect(id).exec_ids == ()
    waiting = asyncio.create_task(until(daemon, id, "start", "health_status: healthy"))
    await asyncio.sleep(0)
    await daemon.containers.start(id)
    state = daemon.containers.inspect(id).state
    assert (
        state.health is not None and state.health.status is HealthStatus.STARTING and state.health.log == log
    )
    await waiting


async def test_checks_rest_while_it_is_paused(daemon: Daemon) -> None:
    id = await started(daemon, shell("true"), "health_status: healthy")
    await daemon.containers.pause(id)
    before = daemon.actions(id)
    await started(daemon, shell("true"), *["exec_die"] * 5)  # another is probed so often meanwhile
    assert daemon.actions(id) == before
    view, _ = look(daemon, id)
    assert (
        view.state.health is not None and view.state.health.status is HealthStatus.UNHEALTHY
    )  # as in Docker
    waiting = asyncio.create_task(until(daemon, id, "unpause", "exec_die", "health_status: healthy"))
    await asyncio.sleep(0)
    await daemon.containers.unpause(id)
    await waiting


async def test_a_stop_in_the_middle_of_a_probe_is_not_held_up_by_it(daemon: Daemon) -> None:
    id = await started(daemon, shell("exec sleep 1000"), "exec_start: /bin/sh -c exec sleep 1000")
    async with asyncio.timeout(SECONDS):
        await daemon.containers.kill(id)
    assert "health_status: unhealthy" not in daemon.actions(id)
    assert look(daemon, id)[1] == ()


async def test_a_probe_can_be_inspected_and_not_started(daemon: Daemon) -> None:
    id = await started(daemon, shell("exec sleep 1000"), "exec_start: /bin/sh -c exec sleep 1000")
    (exec_id,) = daemon.containers.inspect(id).exec_ids
    view = daemon.containers.exec_inspect(exec_id)
    assert (view.running, view.spec.cmd, view.exit_code) == (True, ("/bin/sh", "-c", "exec sleep 1000"), None)
    with pytest.raises(Conflict):
        async with daemon.containers.exec_start(exec_id):
            pass


async def test_nothing_is_recorded_of_probes(daemon: Daemon) -> None:
    id = await started(daemon, shell("true"), "health_status: healthy", *["exec_die"] * 10)
    assert await daemon.database.run(lambda t: t.all("exec")) == {}
    await daemon.containers.remove(id, force=True)


async def test_the_next_daemon_goes_on(daemon: Daemon) -> None:
    id = await started(daemon, shell("true"), "health_status: healthy", "exec_die")
    before = look(daemon, id)[1]
    await daemon.restart()
    view, log = look(daemon, id)
    assert view.state.running
    assert view.state.health is not None and view.state.health.status is HealthStatus.HEALTHY
    assert set(before) & set(log)
    await until(daemon, id, "exec_die", "exec_die")
    assert "health_status: healthy" not in daemon.actions(id)  # it has been healthy all along


async def test_the_next_daemon_kills_a_probe_it_finds(daemon: Daemon, tmp_path: Path) -> None:
    told = tmp_path / "told"
    os.mkfifo(told)
    reading = asyncio.create_task(asyncio.to_thread(told.read_text))
    command = f"test -p {told} && echo $$ > {told}; exec sleep 1000"
    id = await started(daemon, shell(command), f"exec_start: /bin/sh -c {command}")
    probe = HeldProcess(int(await reading))
    told.unlink()
    await daemon.restart()
    async with asyncio.timeout(SECONDS):
        await probe.wait()
    probe.close()
    await until(daemon, id, f"exec_start: /bin/sh -c {command}")


async def test_an_image_s_check_and_shell(daemon: Daemon) -> None:
    daemon.images = StillImages(
        Healthcheck={"Test": ["CMD-SHELL", "echo $0"], "Interval": 10 * MS}, Shell=["/bin/sh", "-ec"]
    )
    await daemon.restart()
    id = await started(daemon, HealthCheck(), "exec_create: /bin/sh -ec echo $0", "health_status: healthy")
    await daemon.containers.remove(id, force=True)
    id = await daemon.create("true", healthcheck=HealthCheck(("NONE",)))
    settings = daemon.containers.inspect(id).settings
    assert settings.healthcheck is not None and not settings.healthcheck.is_on


@pytest.mark.parametrize(
    "healthcheck",
    [
        {"Test": ["WHAT", "true"]}, {"Test": "true"}, {"Test": [1]}, {"Test": ["CMD", "a\0b"]},
        {"Test": ["CMD", "true"], "Interval": "1s"}, {"Test": ["CMD", "true"], "Interval": -5},
        {"Test": ["CMD", "true"], "Retries": True},
    ],
)  # fmt: skip
async def test_an_image_whose_check_is_none_is_refused_unless_it_is_left_out(
    daemon: Daemon, healthcheck: dict[str, object]
) -> None:
    daemon.images = StillImages(Healthcheck=healthcheck)
    await daemon.restart()
    with pytest.raises(InvalidArgument, match="the image's health check"):
        await daemon.create("true")
    await daemon.create("true", healthcheck=HealthCheck(("NONE",)))
