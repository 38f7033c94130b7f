import asyncio

import pytest
from plain_daemon import Daemon

from insula.container.spec import ExecSpec
from insula.errors import Conflict, InvalidArgument, NotFound

ALL = {"attach_stdout": True, "attach_stderr": True}


async def run(
    daemon: Daemon, id: str, *cmd: str, input: bytes | None = None, **spec: object
) -> tuple[int | None, bytes, bytes]:
    wanted = ExecSpec(cmd=cmd, attach_stdin=input is not None, **{**ALL, **spec})  # type: ignore[arg-type]
    exec_id = await daemon.containers.exec_create(id, wanted)
    out = {1: b"", 2: b""}
    async with daemon.containers.exec_start(exec_id) as attachment:
        if input is not None:
            await attachment.write(input)
            await attachment.end_input()
        async for stream, data in attachment.output():
            out[stream] += data
    return daemon.containers.exec_inspect(exec_id).exit_code, out[1], out[2]


@pytest.fixture
async def id(daemon: Daemon) -> str:
    return await daemon.start("sleep", "1000")


async def test_output_and_exit_code(daemon: Daemon, id: str) -> None:
    assert await run(daemon, id, "sh", "-c", "echo out; echo err >&2; exit 3") == (3, b"out\n", b"err\n")
    assert await run(daemon, id, "sh", "-c", "kill -9 $$") == (137, b"", b"")
    actions = daemon.actions(id)
    assert "exec_create: sh -c echo out; echo err >&2; exit 3" in actions
    assert actions.count("exec_die") == 2


async def test_input_and_environment(daemon: Daemon, id: str) -> None:
    assert await run(daemon, id, "cat", input=b"x" * 300_000) == (0, b"x" * 300_000, b"")
    assert await run(daemon, id, "sh", "-c", "echo $A", env=("A=b",)) == (0, b"b\n", b"")


async def test_a_terminal(daemon: Daemon, id: str) -> None:
    exec_id = await daemon.containers.exec_create(
        id, ExecSpec(cmd=("sh", "-c", "read x; stty size"), tty=True, attach_stdin=True, attach_stdout=True)
    )
    async with daemon.containers.exec_start(exec_id) as attachment:
        await daemon.containers.exec_resize(exec_id, 20, 50)
        await attachment.write(b"\n")
        output = b"".join([data async for _, data in attachment.output()])
    assert output.endswith(b"20 50\r\n")


async def test_many_at_a_time(daemon: Daemon, id: str) -> None:
    results = await asyncio.gather(*(run(daemon, id, "sh", "-c", f"echo {n}; exit {n}") for n in range(20)))
    assert results == [(n, f"{n}\n".encode(), b"") for n in range(20)]


async def test_a_client_that_leaves_does_not_end_it(daemon: Daemon, id: str) -> None:
    command = "head -c 3000000 /dev/zero; exit 5"
    exec_id = await daemon.containers.exec_create(id, ExecSpec(cmd=("sh", "-c", command), **ALL))
    async with daemon.containers.exec_start(exec_id) as attachment:
        await anext(attachment.output())
    assert await daemon.exec_ended(exec_id) == 5


async def test_refusals(daemon: Daemon, id: str) -> None:
    with pytest.raises(InvalidArgument, match="executable file not found"):
        await run(daemon, id, "no-such-program")
    exec_id = await daemon.containers.exec_create(id, ExecSpec(cmd=("true",)))
    async with daemon.containers.exec_start(exec_id, detach=True):
        pass
    with pytest.raises(Conflict):
        async with daemon.containers.exec_start(exec_id, detach=True):
            pass
    with pytest.raises(NotFound):
        daemon.containers.exec_inspect("nothing")
    await daemon.containers.kill(id)
    with pytest.raises(Conflict, match="is not running"):
        await daemon.containers.exec_create(id, ExecSpec(cmd=("true",)))


async def test_a_missing_program_ends_with_126(daemon: Daemon, id: str) -> None:
    exec_id = await daemon.containers.exec_create(id, ExecSpec(cmd=("no-such-program",)))
    with pytest.raises(InvalidArgument):
        async with daemon.containers.exec_start(exec_id):
            pass
    assert daemon.containers.exec_inspect(exec_id).exit_code == 126


async def test_the_containers_end_ends_its_execs(daemon: Daemon, id: str) -> None:
    exec_id = await daemon.containers.exec_create(id, ExecSpec(cmd=("sleep", "1000"), **ALL))
    async with daemon.containers.exec_start(exec_id) as attachment:
        assert daemon.containers.inspect(id).exec_ids == (exec_id,)
        await daemon.containers.kill(id)
        assert [piece async for piece in attachment.output()] == []
    assert daemon.containers.exec_inspect(exec_id).exit_code == 137
    assert daemon.containers.inspect(id).exec_ids == ()
