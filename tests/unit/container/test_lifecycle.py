import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from plain_daemon import SECONDS, Daemon
from plain_guests import PlainGuest

from insula.container.state import Status
from insula.errors import Conflict, InvalidArgument, NotFound, NotModified, Unavailable
from insula.guest.request import GuestRequest


async def test_a_run_gives_its_output_and_its_exit_code(daemon: Daemon) -> None:
    code, out, err = await daemon.run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (code, out, err) == (7, b"out\n", b"err\n")


async def test_a_container_that_is_kept_is_synced_and_recorded(daemon: Daemon) -> None:
    id = await daemon.create("sh", "-c", "echo one; exit 3")
    ended = daemon.containers.wait(id, "next-exit")
    await daemon.containers.start(id)
    assert (await ended).exit_code == 3
    view = daemon.containers.inspect(id)
    assert (view.state.status, view.state.exit_code, view.state.running) == ("exited", 3, False)
    assert view.state.started_ns <= view.state.finished_ns
    assert await daemon.log(id) == b"one\n"
    assert daemon.guests.last is not None and daemon.guests.last.session.stops == 1
    assert daemon.actions(id) == ["create", "start", "die"]
    await daemon.restart()
    assert daemon.containers.inspect(id).state == view.state


async def test_one_started_twice_goes_on_with_its_log(daemon: Daemon) -> None:
    id = await daemon.create("echo", "again")
    for _ in range(3):
        ended = daemon.containers.wait(id, "next-exit")
        await daemon.containers.start(id)
        await ended
    assert await daemon.log(id) == b"again\n" * 3


async def test_a_container_shows_its_machine_for_as_long_as_it_is_shown_to_run(daemon: Daemon) -> None:
    id = await daemon.create("true")
    ended = daemon.containers.wait(id, "next-exit")
    daemon.guests.may_go.clear()
    await daemon.containers.start(id)
    await daemon.guests.going.wait()
    state = daemon.containers.inspect(id).state
    assert daemon.guests.last is not None
    assert (state.status, state.running, state.pid) == ("running", True, daemon.guests.last.machine.pid)
    daemon.guests.may_go.set()
    await ended
    state = daemon.containers.inspect(id).state
    assert (state.status, state.running, state.pid) == ("exited", False, 0)


async def test_rm_leaves_nothing(daemon: Daemon) -> None:
    id = await daemon.create("sh", "-c", "exit 5", auto_remove=True, name="short")
    removed = daemon.containers.wait(id, "removed")
    await daemon.containers.start(id)
    assert (await removed).exit_code == 5
    assert not daemon.paths.container(id).exists()
    with pytest.raises(NotFound):
        daemon.containers.inspect(id)
    assert daemon.actions(id) == ["create", "start", "die", "destroy"]
    assert daemon.guests.last is not None and daemon.guests.last.session.stops == 0
    await daemon.create("true", name="short")


async def test_nobody_starts_one_again_that_goes_with_its_end(daemon: Daemon) -> None:
    id = await daemon.create("true", auto_remove=True)
    ended = daemon.containers.wait(id, "next-exit")

    async def start_again() -> None:
        await ended
        await daemon.containers.start(id)

    again = asyncio.create_task(start_again())
    removed = daemon.containers.wait(id, "removed")
    await daemon.containers.start(id)
    with pytest.raises(Conflict, match="container is marked for removal"):
        await again
    await removed
    assert not daemon.paths.container(id).exists()


async def test_a_missing_program_is_told_in_dockers_words(daemon: Daemon) -> None:
    id = await daemon.create("no-such-program")
    with pytest.raises(
        InvalidArgument, match=r'exec: "no-such-program": executable file not found in \$PATH'
    ):
        await daemon.containers.start(id)
    view = daemon.containers.inspect(id)
    assert (view.state.status, view.state.exit_code) == ("created", 127)
    await daemon.containers.remove(id)


async def test_a_program_that_is_none_is_told_too(daemon: Daemon) -> None:
    id = await daemon.create("/etc/passwd")
    with pytest.raises(InvalidArgument, match="permission denied"):
        await daemon.containers.start(id)
    assert daemon.containers.inspect(id).state.exit_code == 126


async def test_a_failed_start_with_rm_is_removed(daemon: Daemon) -> None:
    id = await daemon.create("no-such-program", auto_remove=True)
    with pytest.raises(InvalidArgument):
        await daemon.containers.start(id)
    with pytest.raises(NotFound):
        daemon.containers.inspect(id)


async def test_what_a_failed_machine_left_is_kept_and_named(daemon: Daemon) -> None:
    """Arguments, console and QEMU's words: in a file that inspect and the message name, until the next good start."""
    id = await daemon.create("true")
    opens, daemon.guests.open = daemon.guests.open, refuse_machine  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="QEMU did not start: no memory") as caught:
        await daemon.containers.start(id)
    view = daemon.containers.inspect(id)
    assert view.failed_start is not None
    assert str(view.failed_start) in caught.value.hint
    assert view.failed_start.read_text() == "QEMU did not start: no memory\n\ncommand: qemu\nconsole: nothing"
    assert view.state.error.startswith("QEMU did not start: no memory")
    daemon.guests.open = opens  # type: ignore[method-assign]
    await daemon.containers.start(id)
    await daemon.containers.wait(id)
    assert daemon.containers.inspect(id).failed_start is None


@asynccontextmanager
async def refuse_machine(request: GuestRequest) -> AsyncIterator[PlainGuest]:
    raise Unavailable("QEMU did not start: no memory", detail="command: qemu\nconsole: nothing")
    yield


async def test_a_signal_is_an_exit_of_128_and_its_number(daemon: Daemon) -> None:
    id = await daemon.start("sleep", "1000")
    ended = daemon.containers.wait(id)
    await daemon.containers.kill(id, "TERM")
    assert (await ended).exit_code == 128 + signal.SIGTERM


async def test_kill_and_its_refusals(daemon: Daemon) -> None:
    id = await daemon.start("sleep", "1000")
    with pytest.raises(InvalidArgument):
        await daemon.containers.kill(id, "NOSUCH")
    await daemon.containers.kill(id)
    assert daemon.containers.inspect(id).state.exit_code == 137
    with pytest.raises(Conflict, match="is not running"):
        await daemon.containers.kill(id)


async def test_stop_signals_then_kills(daemon: Daemon) -> None:
    id = await daemon.start("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    async for _ in daemon.containers.logs(id, log_query(follow=True)):
        break
    await daemon.containers.stop(id, timeout=0)
    assert daemon.containers.inspect(id).state.exit_code == 137
    assert daemon.actions(id) == ["create", "start", "kill", "kill", "die", "stop"]
    with pytest.raises(NotModified):
        await daemon.containers.stop(id)


def log_query(**query: object) -> object:
    from insula.container.logs import LogQuery

    return LogQuery(**query)  # type: ignore[arg-type]


async def test_start_twice_is_not_modified(daemon: Daemon) -> None:
    id = await daemon.start("sleep", "1000")
    with pytest.raises(NotModified):
        await daemon.containers.start(id)
    with pytest.raises(Conflict, match="stop the container before removing"):
        await daemon.containers.remove(id)
    await daemon.containers.remove(id, force=True)
    with pytest.raises(NotFound):
        daemon.containers.inspect(id)
    assert not daemon.paths.container(id).exists()


async def test_of_those_who_ask_at_the_same_instant_one_wins(daemon: Daemon) -> None:
    containers = daemon.containers
    id = await daemon.create("sleep", "1000")

    async def ask_thrice(ask: Callable[[], Awaitable[object]]) -> list[str]:
        answers = await asyncio.gather(*(ask() for _ in range(3)), return_exceptions=True)
        return sorted("done" if isinstance(a, (tuple, type(None))) else type(a).__name__ for a in answers)

    assert await ask_thrice(lambda: containers.start(id)) == ["NotModified", "NotModified", "done"]
    assert daemon.actions(id).count("start") == 1
    assert await ask_thrice(lambda: containers.pause(id)) == ["Conflict", "Conflict", "done"]
    assert await ask_thrice(lambda: containers.unpause(id)) == ["Conflict", "Conflict", "done"]
    stopped = await ask_thrice(lambda: containers.stop(id, timeout=0))
    assert set(stopped) <= {"done", "NotModified"} and "done" in stopped
    assert daemon.actions(id).count("die") == 1
    removed = await ask_thrice(lambda: containers.remove(id))
    assert removed.count("done") == 1 and set(removed) <= {"done", "Conflict", "NotFound"}
    assert daemon.actions(id).count("destroy") == 1


async def test_restart(daemon: Daemon) -> None:
    id = await daemon.start("sh", "-c", "echo run; exec sleep 1000")
    async for _ in daemon.containers.logs(id, log_query(follow=True)):
        break
    await daemon.containers.restart(id, timeout=0)
    assert daemon.containers.inspect(id).state.running
    await daemon.containers.remove(id, force=True)


async def test_a_dead_machine_is_an_exit_with_its_reason(daemon: Daemon) -> None:
    id = await daemon.start("sleep", "1000")
    ended = daemon.containers.wait(id)
    assert daemon.guests.last is not None
    daemon.guests.last.kill()
    result = await ended
    assert result.exit_code == 137
    assert result.error == ""  # the docker command would exit with 125
    assert "the machine is gone" in daemon.containers.inspect(id).state.error


async def test_a_machine_that_the_host_had_no_memory_for_says_so(daemon: Daemon) -> None:
    id = await daemon.start("sleep", "1000")
    ended = daemon.containers.wait(id)
    assert daemon.guests.last is not None
    daemon.guests.last.machine.out_of_memory = True
    daemon.guests.last.kill()
    assert (await ended).exit_code == 137
    state = daemon.containers.inspect(id).state
    assert state.oom_killed
    assert state.error == "the machine is gone: the host's out-of-memory killer has killed its QEMU"
    assert daemon.actions(id)[-2:] == ["oom", "die"]


async def test_names(daemon: Daemon) -> None:
    one = await daemon.create("true", name="one")
    with pytest.raises(Conflict, match="already in use"):
        await daemon.create("true", name="one")
    two = await daemon.create("true")
    with pytest.raises(Conflict):
        await daemon.containers.rename(two, "one")
    await daemon.containers.rename(one, "uno")
    assert daemon.containers.inspect("/uno").id == one == daemon.containers.inspect(one[:12]).id
    await daemon.containers.rename(two, "one")
    assert [view.name for view in daemon.containers.list()] == ["one", "uno"]


async def test_wait_refuses_what_is_no_condition(daemon: Daemon) -> None:
    id = await daemon.create("true")
    with pytest.raises(InvalidArgument):
        daemon.containers.wait(id, "sometime")
    assert (await daemon.containers.wait(id)).exit_code == 0


async def test_a_start_that_is_not_awaited_goes_on(daemon: Daemon) -> None:
    id = await daemon.create("sleep", "1000")
    asking = asyncio.create_task(daemon.containers.start(id))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    async with asyncio.timeout(SECONDS):
        await daemon.containers.kill(id)
    assert daemon.containers.inspect(id).state.status == Status.EXITED
