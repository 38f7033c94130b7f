"""The host's end and the real agent, as a plain process on a unix socket: both ends of docs/protocol.md at once."""

import asyncio
import errno
import os
import platform
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from insula.agent.boot_document import ProcessFlag, ProcessSpec
from insula.agent.messages import STDERR, STDOUT, WINDOW
from insula.agent.process_spec import NO_FLAGS
from insula.agent.reports import ExitKind, Step
from insula.agent.session import GuestFailure, Session, open_session
from insula.agent.streams import Process
from insula.agent.tar import tar_from_tree
from insula.agent.tree import END, Entry, Kind, TreeReader
from insula.errors import Unavailable

ROOT = Path(__file__).parents[2]
PLATFORM = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
BINARY = ROOT / "guest-agent" / "out" / PLATFORM / "insula-agent"
SECONDS = 60.0  # a bound against hanging, not an expectation
OUTSIDE, STDIN, TTY = ProcessFlag.OUTSIDE, ProcessFlag.STDIN, ProcessFlag.TTY
TREE_OUTSIDE = 8
ACCEPTING = 0x10000  # __SO_ACCEPTCON, in the flags of /proc/net/unix


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """The socket of an agent that outlives its connections."""
    if not BINARY.exists():
        subprocess.run(
            ["make", "-C", ROOT / "guest-agent", BINARY.relative_to(ROOT / "guest-agent")], check=True
        )
    path = tmp_path / "agent"
    with subprocess.Popen([BINARY, "--listen", path], start_new_session=True) as running:
        deadline = time.monotonic() + SECONDS
        while not listens(path) and time.monotonic() < deadline:
            time.sleep(0.005)
        yield path
        running.terminate()
        assert running.wait(SECONDS) == 0


def listens(path: Path) -> bool:
    """Its name is there a moment before it can be connected to."""
    rows = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    return any(row[-1] == str(path) and int(row[3], 16) & ACCEPTING for row in rows if len(row) == 8)


@pytest.fixture
async def session(agent: Path) -> AsyncIterator[Session]:
    async with await open_session(agent, SECONDS) as opened:
        yield opened


def shell(session: Session, script: str, flags: ProcessFlag = NO_FLAGS, **more: int) -> ProcessSpec:
    return ProcessSpec(
        number=session.new_number(), arguments=("sh", "-c", script), flags=OUTSIDE | flags,
        environment=("PATH=/usr/bin:/bin",), **more,
    )  # fmt: skip


async def read_all(process: Process) -> tuple[bytes, bytes]:
    """All that is left of the output, acknowledged as it comes."""
    got = {STDOUT: b"", STDERR: b""}
    async with asyncio.timeout(SECONDS):
        async for chunk in process:
            got[chunk.stream] += chunk.data
            process.acknowledge(chunk.stream, chunk.offset + len(chunk.data))
    return got[STDOUT], got[STDERR]


async def read_until(process: Process, text: bytes) -> bytes:
    got = b""
    async with asyncio.timeout(SECONDS):
        while text not in got:
            chunk = await anext(process)
            got += chunk.data
            process.acknowledge(chunk.stream, chunk.offset + len(chunk.data))
    return got


@asynccontextmanager
async def bounded() -> AsyncIterator[None]:
    async with asyncio.timeout(SECONDS):
        yield


async def test_a_program_runs_to_its_end(session: Session) -> None:
    process = await session.spawn(shell(session, "echo out; echo err >&2; exit 7"))
    assert await read_all(process) == (b"out\n", b"err\n")
    exit = await process.exit()
    assert (exit.kind, exit.value, exit.oom) == (ExitKind.EXITED, 7, False)
    assert abs(exit.time_ns - time.time_ns()) < 3600 * 10**9
    session.release(process.number)


async def test_what_cannot_run_says_why(session: Session) -> None:
    spec = ProcessSpec(number=1, arguments=("/no/such/program",), flags=OUTSIDE)
    with pytest.raises(GuestFailure, match="/no/such/program") as caught:
        await session.spawn(spec)
    assert (caught.value.step, caught.value.errno) == (Step.EXEC, errno.ENOENT)
    with pytest.raises(GuestFailure) as caught:
        await session.signal(99, signal.SIGTERM)
    assert caught.value.errno == errno.ESRCH


async def test_input_of_any_size_goes_through_with_credit(session: Session) -> None:
    process = await session.spawn(shell(session, "cat", STDIN))
    data = bytes(range(256)) * 4096  # sixteen windows

    async def feed() -> None:
        await process.write(data)
        await process.end_input()

    async with bounded():
        (out, _), _ = await asyncio.gather(read_all(process), feed())
    assert out == data
    assert (await process.exit()).value == 0


async def test_a_reader_that_does_not_acknowledge_blocks_only_its_own_program(session: Session) -> None:
    stuck = await session.spawn(shell(session, "yes"))
    got = 0
    async with bounded():
        while got < WINDOW:
            got += len((await anext(stuck)).data)
    other = await session.spawn(shell(session, "echo fine"))
    assert await read_all(other) == (b"fine\n", b"")
    assert not stuck._pieces
    await session.signal(stuck.number, signal.SIGKILL)
    assert (await stuck.exit()).value == signal.SIGKILL


async def test_megabytes_come_whole(session: Session) -> None:
    process = await session.spawn(shell(session, "head -c 8000000 /dev/zero; echo done >&2"))
    assert await read_all(process) == (bytes(8_000_000), b"done\n")


async def test_a_terminal(session: Session) -> None:
    process = await session.spawn(
        shell(session, "stty size; read x; stty size; cat", STDIN | TTY, rows=24, columns=80)
    )
    await read_until(process, b"24 80\r\n")
    session.resize(process.number, 30, 90)
    await process.write(b"x\n")
    assert b"30 90\r\n" in await read_until(process, b"30 90")
    await process.write(b"\x04")
    assert (await read_all(process))[1] == b""
    assert (await process.exit()).value == 0


async def test_what_was_not_acknowledged_comes_again(agent: Path) -> None:
    async with await open_session(agent, SECONDS) as first:
        process = await first.spawn(
            shell(first, "for i in 0 1 2 3 4 5 6 7 8 9; do echo $i; done; read x; echo got $x", STDIN)
        )
        await read_until(process, b"4\n")
        number, kept = process.number, process._streams[STDOUT].acknowledged
    async with await open_session(agent, SECONDS) as second:
        (state,) = second.welcome.processes
        assert (state.process, state.ended, state.stdout_acknowledged) == (number, False, kept)
        process = second.resume(number, kept, 0)
        await process.write(b"it\n")
        out = b""
        async with bounded():
            async for chunk in process:
                out += chunk.data  # not acknowledged
        assert out == b"0\n1\n2\n3\n4\n5\n6\n7\n8\n9\ngot it\n"[kept:]
        assert (await process.exit()).value == 0
    async with await open_session(agent, SECONDS) as third:
        assert third.welcome.processes[0].ended
        process = third.resume(number, kept, 0)
        assert await read_all(process) == (out, b"")
        assert (await process.exit()).value == 0
        third.release(number)
    async with await open_session(agent, SECONDS) as fourth:
        assert fourth.welcome.processes == ()


async def test_a_hundred_reconnects_lose_and_repeat_nothing(agent: Path) -> None:
    """The socket is cut at any moment, the log keeps what it has, the next session goes on from there."""
    lines = 20_000
    log, number = bytearray(), 0
    for turn in range(101):
        session = await open_session(agent, SECONDS)
        if not turn:
            process = await session.spawn(shell(session, f"seq {lines}"))
            number = process.number
        else:
            process = session.resume(number, len(log), 0)
        try:
            async with asyncio.timeout(SECONDS if turn == 100 else None):
                while turn == 100 or len(log) < turn * 1000:
                    chunk = await anext(process)
                    assert chunk.offset == len(log)
                    log += chunk.data
                    if turn % 3:
                        process.acknowledge(STDOUT, len(log))
        except StopAsyncIteration:
            assert (await process.exit()).value == 0
        transport = session._connection._transport
        assert transport is not None
        transport.abort()
    assert bytes(log) == b"".join(b"%d\n" % n for n in range(1, lines + 1))


async def test_many_processes_at_once(session: Session) -> None:
    processes = [await session.spawn(shell(session, f"echo {n}; exit {n}")) for n in range(50)]
    outputs = await asyncio.gather(*(read_all(process) for process in processes))
    exits = await asyncio.gather(*(process.exit() for process in processes))
    assert [out for out, _ in outputs] == [b"%d\n" % n for n in range(50)]
    assert [exit.value for exit in exits] == list(range(50))


async def test_the_agents_end_is_noticed(agent: Path) -> None:
    async with await open_session(agent, SECONDS) as session:
        process = await session.spawn(shell(session, "while kill -0 $PPID; do sleep 0.05; done"))
        session.power_off()
        async with bounded():
            with pytest.raises(Unavailable, match="was lost"):
                await process.exit()


async def test_a_connected_socket_serves_too() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        command = [BINARY, "--socket", str(theirs.fileno())]
        running = await asyncio.create_subprocess_exec(*command, pass_fds=[theirs.fileno()])
    async with await open_session(ours, SECONDS) as session:
        assert await read_all(await session.spawn(shell(session, "echo hello"))) == (b"hello\n", b"")
    assert await asyncio.wait_for(running.wait(), SECONDS) == 0


async def test_trees_are_read_and_written(session: Session, tmp_path: Path) -> None:
    writer = await session.tree_write(session.new_number(), str(tmp_path / "made"), 1 | TREE_OUTSIDE)
    entries = [
        Entry(Kind.DIRECTORY, mode=0o755, uid=os.getuid(), gid=os.getgid()),
        Entry(Kind.FILE, path=b"f", mode=0o640, uid=os.getuid(), gid=os.getgid(), size=1 << 30, extents=((5, 3),)),
    ]  # fmt: skip
    await writer.write(entries[0].encode() + entries[1].encode() + b"abc" + END.encode())
    await writer.end_input()
    assert await read_all(writer) == (b"", b"")
    assert (await writer.exit()).value == 0
    made = tmp_path / "made" / "f"
    assert (made.stat().st_size, made.stat().st_mode & 0o7777, made.stat().st_blocks < 100) == (
        1 << 30,
        0o640,
        True,
    )

    reader = await session.tree_read(session.new_number(), str(tmp_path / "made"), TREE_OUTSIDE)
    tree = TreeReader(acknowledged(reader))
    root, file = [entry async for entry in tree]
    assert (root.kind, root.path, file.path, file.size, file.mode) == (
        Kind.DIRECTORY,
        b"",
        b"f",
        1 << 30,
        0o640,
    )
    reader = await session.tree_read(session.new_number(), str(tmp_path / "made"), TREE_OUTSIDE)
    archive = b"".join([piece async for piece in tar_from_tree(acknowledged(reader), b"x")])
    listed = await asyncio.to_thread(
        subprocess.run, ["tar", "-tf", "-"], input=archive, capture_output=True, check=True
    )  # fmt: skip
    assert listed.stdout == b"x/\nx/f\n"


async def acknowledged(process: Process) -> AsyncIterator[bytes]:
    async for chunk in process:
        process.acknowledge(chunk.stream, chunk.offset + len(chunk.data))
        assert chunk.stream == STDOUT
        yield chunk.data
