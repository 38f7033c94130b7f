"""Programs of the host: bounds, failures, pidfds."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from insula import process
from insula.errors import Internal, Unavailable


async def test_output_and_status() -> None:
    done = await process.run(
        ["/bin/sh", "-c", "cat; echo err >&2; exit 3"], timeout=10, stdin=b"in", check=False
    )
    assert (done.status, done.stdout, done.stderr) == (3, b"in", b"err\n")


async def test_a_failure_carries_command_and_tail() -> None:
    with pytest.raises(Internal, match=r"echo why >&2; exit 2' ended with 2: why"):
        await process.run(["/bin/sh", "-c", "echo why >&2; exit 2"], timeout=10)


async def test_a_program_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="did not end within"):
        await process.run(["/bin/sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 1000 & wait"], timeout=0.5)
    group = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        while True:  # the orphaned sleep is reaped by init, in its own time
            os.killpg(group, 0)
            await asyncio.sleep(0.01)


async def test_output_is_bounded() -> None:
    done = await process.run([sys.executable, "-c", "print('x' * 5_000_000)"], timeout=30)
    assert len(done.stdout) == process.OUTPUT_MAX


async def test_nothing_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    assert b"SECRET" not in (await process.run(["/usr/bin/env"], timeout=10)).stdout


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(process.CLEAN_ENVIRONMENT, "PATH", "/nowhere")
    with pytest.raises(Unavailable, match=r"bwrap is not installed.*apt-get install bubblewrap"):
        process.tool("bwrap")


async def test_a_held_process_is_awaited_and_killed() -> None:
    output = os.memfd_create("out")
    pid = process.spawn_session(["/bin/sleep", "1000"], output, [])
    held = process.HeldProcess(pid)
    assert not held.gone and os.getsid(pid) == pid
    held.send(signal.SIGKILL)
    await asyncio.wait_for(held.wait(), 10)
    assert held.gone
    held.send(signal.SIGKILL)  # harmless
    held.close()
    os.close(output)


async def test_descriptors_keep_their_numbers_and_no_others_come_along() -> None:
    output, given = os.memfd_create("out"), os.memfd_create("given")
    leaking = os.memfd_create("leaking", 0)  # no close-on-exec, as a careless parent leaves it
    pid = process.spawn_session(["/bin/ls", "/proc/self/fd"], output, [given])
    held = process.HeldProcess(pid)
    await asyncio.wait_for(held.wait(), 10)
    seen = {int(number) for number in os.pread(output, 1000, 0).split()}
    assert given in seen and leaking not in seen
    assert len(seen - {0, 1, 2, given}) == 1  # the folder that ls reads
    held.close()
    os.close(output)
    os.close(given)
    os.close(leaking)
