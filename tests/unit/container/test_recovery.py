import asyncio
import random
import sys
from pathlib import Path

import pytest
from plain_daemon import Daemon
from plain_guests import kill_agent

from insula.container.attach import AttachRequest
from insula.container.spec import ExecSpec
from insula.errors import NotFound

HERE = Path(__file__).parent
LINES = 20_000
PRINT = f"i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; echo error $i >&2; done; exit 9"


async def test_a_running_container_goes_on_under_the_next_daemon(daemon: Daemon) -> None:
    id = await daemon.start("sh", "-c", "echo one; read line; echo $line; exit 4", open_stdin=True)
    await daemon.logged(id, b"one\n")
    before = daemon.containers.inspect(id)
    await daemon.restart()
    after = daemon.containers.inspect(id)
    assert after.state.running and after.state.pid == before.state.pid and after.origin == "adopted"
    assert after.state.started_ns == before.state.started_ns
    ended = daemon.containers.wait(id)
    async with daemon.containers.attach(id, AttachRequest(stdin=True, stdout=True)) as attachment:
        await attachment.write(b"two\n")
        assert [data async for _, data in attachment.output()] == [b"two\n"]
    assert (await ended).exit_code == 4
    assert await daemon.log(id) == b"one\ntwo\n"


async def test_an_exit_while_no_daemon_was_there_is_not_lost(daemon: Daemon) -> None:
    id = await daemon.start("sh", "-c", "sleep 0.3; echo late; exit 6")
    await daemon.close()
    await asyncio.sleep(0.6)  # the container's own time
    await daemon.open()
    assert (await daemon.containers.wait(id)).exit_code == 6
    assert await daemon.log(id) == b"late\n"


async def test_a_machine_that_died_meanwhile_is_an_exit(daemon: Daemon) -> None:
    id = await daemon.start("sleep", "1000")
    kept = await daemon.start("sleep", "1000", auto_remove=True)
    pids = [daemon.containers.inspect(each).state.pid for each in (id, kept)]
    await daemon.close()
    for pid in pids:
        kill_agent(pid)
    await daemon.open()
    state = daemon.containers.inspect(id).state
    assert (state.status, state.exit_code) == ("exited", 137)
    assert "machine is gone" in state.error
    with pytest.raises(NotFound):
        daemon.containers.inspect(kept)


async def test_a_start_that_never_booted_is_undone(daemon: Daemon) -> None:
    id = await daemon.start("sleep", "1000")
    await daemon.close()
    await daemon.edit_record(id, status="starting", boot=7, main=77, exit={})
    await daemon.open()
    assert daemon.containers.inspect(id).state.status == "created"
    await daemon.containers.start(id)
    await daemon.containers.remove(id, force=True)


async def test_a_removal_that_was_cut_off_is_finished(daemon: Daemon) -> None:
    id = await daemon.create("true")
    await daemon.close()
    await daemon.edit_record(id, status="removing")
    await daemon.open()
    with pytest.raises(NotFound):
        daemon.containers.inspect(id)


async def test_a_torn_entry_is_cut_off_and_said_again(daemon: Daemon) -> None:
    id = await daemon.start("sh", "-c", "echo one; read line; echo two", open_stdin=True)
    await daemon.logged(id, b"one\n")
    await daemon.close()
    with daemon.paths.container_log(id).open("ab") as log:
        log.write(b'{"log":"tw')
    await daemon.open()
    async with daemon.containers.attach(id, AttachRequest(stdin=True)) as attachment:
        await attachment.write(b"\n")
    await daemon.containers.wait(id)
    assert await daemon.log(id) == b"one\ntwo\n"


async def test_an_execs_exit_outlives_the_daemon(daemon: Daemon) -> None:
    id = await daemon.start("sleep", "1000")
    exec_id = await daemon.containers.exec_create(id, ExecSpec(cmd=("sh", "-c", "sleep 0.5; exit 8")))
    async with daemon.containers.exec_start(exec_id, detach=True):
        pass
    await daemon.restart()
    assert await daemon.exec_ended(exec_id) == 8
    await daemon.containers.remove(id, force=True)


@pytest.mark.parametrize("tty", ["tty", "pipes"])
@pytest.mark.parametrize("seed", range(3))
async def test_killed_daemons_lose_no_line_and_no_exit(
    daemon: Daemon, tmp_path: Path, seed: int, tty: str
) -> None:
    """Daemons in a row are killed or end while the container prints far more than its credit."""
    draw = random.Random(seed)
    await daemon.close()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "killed_daemon.py"),
        str(tmp_path),
        PRINT,
        tty,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    id = (await child.stdout.readline()).decode().strip()
    await asyncio.sleep(draw.random() * 0.1)
    child.kill()
    await child.wait()
    await daemon.open()
    for _ in range(2):
        await asyncio.sleep(draw.random() * 0.1)
        await daemon.restart()
    result = await daemon.containers.wait(id)
    log = await daemon.log(id)
    await daemon.containers.remove(id)
    assert result.exit_code == 9
    lines = log.replace(b"\r\n", b"\n").decode().splitlines()
    assert [line for line in lines if line.startswith("line")] == [f"line {i}" for i in range(1, LINES + 1)]
    assert [line for line in lines if line.startswith("error")] == [f"error {i}" for i in range(1, LINES + 1)]
