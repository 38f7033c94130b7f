"""Connections: HELLO and epochs, rubbish, repeats, and what survives the loss of the host (docs/protocol.md §1, §2)."""

import errno
import os
import random
import signal
import socket
import subprocess

import pytest
from host_end import NUMBERS, OUTSIDE, STDIN, HostEnd, PlainAgent, wire


def test_the_first_welcome_is_of_an_idle_agent(agent: PlainAgent) -> None:
    host = agent.connect()
    assert host.welcome == {"version": 2, "state": 0, "boot_number": 0, "processes": {}}


def test_nothing_is_done_before_a_hello(agent: PlainAgent, tmp_path) -> None:
    host = agent.connect(hello=False)
    spec = host.spec("touch", str(tmp_path / "touched"))
    host.send("SPAWN", wire.u32(1) + wire.process(spec))
    host.send("SPAWN", wire.u32(1) + wire.process(spec), epoch=0)
    assert host.hello()["processes"] == {}
    host.barrier()
    assert host.replies.keys() == {1}, "only the barrier was answered"
    assert not (tmp_path / "touched").exists()


def test_a_hello_of_epoch_0_or_of_a_wrong_size_is_none(agent: PlainAgent) -> None:
    host = agent.connect(hello=False)
    host.send("HELLO", wire.u16(2), epoch=0)
    host.send("HELLO", wire.u16(2) + b"\0", epoch=77)
    host.send("HELLO", b"", epoch=78)
    host.hello()
    assert [m.epoch for m in host.seen] == [host.epoch]


def test_frames_of_another_epoch_are_void(host: HostEnd) -> None:
    host.send("SIGNAL", wire.u32(99) + wire.u32(1) + wire.u32(0), epoch=host.epoch ^ 1)
    host.barrier()
    assert 99 not in host.replies


def test_a_second_hello_starts_a_new_connection(host: HostEnd) -> None:
    remote = host.spawn("sh", "-c", "echo out; echo err >&2")
    host.finish(remote)
    old, host.epoch = host.epoch, host.epoch + 2
    rows = host.hello()["processes"]
    assert rows[remote.number]["ended"] == 1
    host.send("SIGNAL", wire.u32(99) + wire.u32(1) + wire.u32(0), epoch=old)
    host.barrier()
    assert 99 not in host.replies


def test_every_split_of_a_frame(host: HostEnd) -> None:
    whole = host.frame("SIGNAL", wire.u32(0) + wire.u32(2**32 - 1) + wire.u32(0))
    for at in range(len(whole)):
        request = 1000 + at
        frame = host.frame("SIGNAL", wire.u32(request) + wire.u32(2**32 - 1) + wire.u32(0))
        host.socket.sendall(frame[:at])
        os.sched_yield()
        host.socket.sendall(frame[at:])
        assert host.answer(request).errno == errno.ESRCH


def test_rubbish_between_frames_is_skipped(host: HostEnd) -> None:
    seeded = random.Random(7)
    for request in range(1000, 1200):
        rubbish = seeded.randbytes(seeded.randrange(100)) + b"INSL"[: seeded.randrange(4)]
        broken = bytearray(host.frame("SIGNAL", wire.u32(5) + wire.u32(1) + wire.u32(0)))
        broken[seeded.randrange(16, len(broken))] ^= 0x40
        frame = host.frame("SIGNAL", wire.u32(request) + wire.u32(2**32 - 1) + wire.u32(0))
        host.socket.sendall(rubbish + bytes(broken) + frame)
        assert host.answer(request).errno == errno.ESRCH
    assert 5 not in host.replies


@pytest.mark.parametrize("cut", [1, 19, 20, 21, 100_000])
def test_a_frame_cut_off_by_a_dead_host_does_not_swallow_the_next_hello(agent: PlainAgent, cut: int) -> None:
    host = agent.connect()
    whole = host.frame("BOOT", bytes(262_144))
    host.epoch += 2
    host.socket.sendall(whole[:cut] + bytes(262_164))
    assert host.hello()["version"] == 2


def test_unknown_types_are_ignored(host: HostEnd) -> None:
    for kind in (0, 24, 64, 65, 66, 74, 999, 65535):
        host.socket.sendall(wire.frame(host.epoch, kind, wire.u32(123)))
    host.barrier()
    assert 123 not in host.replies


REQUESTS = [
    "BOOT",
    "SPAWN",
    "SIGNAL",
    "FREEZE",
    "THAW",
    "SYNC",
    "STOP",
    "IDENTITY",
    "TREE_READ",
    "TREE_WRITE",
    "LINK",
    "UNLINK",
]


@pytest.mark.parametrize("name", REQUESTS)
def test_malformed_requests_are_answered_so(host: HostEnd, name: str) -> None:
    reply = host.ask(name, b"\xff" * 23)
    assert (reply.step, reply.errno) == (0, errno.EBADMSG)
    host.send(name, b"\1\0\0")  # too short for a request number
    host.barrier()


@pytest.mark.parametrize("name", ["INPUT", "INPUT_END", "ACK", "RESUME", "RESIZE", "RELEASE", "POWER_OFF"])
def test_malformed_messages_are_ignored(host: HostEnd, name: str) -> None:
    host.send(name, b"\1\0\0")
    if name != "INPUT":
        host.send(name, b"\1" * 99)
    host.barrier()


def test_bad_documents_are_answered_so(host: HostEnd) -> None:
    for _, kind, fields in wire.DOCUMENTS:
        whole = wire.ENCODERS[kind](fields)
        name = {"boot": "BOOT", "process": "SPAWN", "limits": "UPDATE", "link": "LINK"}[kind]
        assert host.ask(name, whole + b"\0").errno == errno.EBADMSG
        assert host.ask(name, whole[:-1]).errno == errno.EBADMSG


def test_any_frame_of_any_content_leaves_the_agent_standing(host: HostEnd) -> None:
    seeded = random.Random(11)
    harmless = [kind for name, kind in NUMBERS.items() if name not in ("HELLO", "POWER_OFF", "STOP")]
    for _ in range(2000):
        body = seeded.randbytes(seeded.randrange(64))
        if seeded.random() < 0.5:  # small numbers get further
            body = bytes(b % 3 for b in body)
        host.socket.sendall(wire.frame(host.epoch, seeded.choice(harmless), body))
    host.replies.clear()
    host.request = 1 << 20
    reply = host.begin("SIGNAL", wire.u32(2**32 - 1) + wire.u32(0))
    while reply not in host.replies:
        host.replies = {k: v for k, v in host.replies.items() if k == reply}
        host.receive()
    assert host.replies[reply].errno == errno.ESRCH


def test_a_host_that_asks_and_does_not_listen_is_made_to_wait(agent: PlainAgent) -> None:
    host = agent.connect()
    host.socket.setblocking(False)
    frames = b"".join(
        host.frame("SIGNAL", wire.u32(n) + wire.u32(2**32 - 1) + wire.u32(0)) for n in range(1, 200_001)
    )
    sent = 0
    with pytest.raises(BlockingIOError):  # it would take 6 MB of answers otherwise
        while sent < len(frames):
            sent += host.socket.send(frames[sent : sent + 65536])
            os.sched_yield()
    host.socket.settimeout(30)
    whole = sent // 32
    host.until(lambda: len(host.replies) >= whole)
    assert set(host.replies) == set(range(1, whole + 1))


def test_output_is_kept_for_the_next_host(agent: PlainAgent) -> None:
    host = agent.connect()
    host.acknowledge = False
    remote = host.spawn("sh", "-c", "seq 1 3000; echo end >&2; kill -9 $$")
    host.finish(remote)
    before = remote.stdout
    remote.exit, remote.ended, remote.output = None, set(), {1: bytearray(), 2: bytearray()}
    host = agent.reconnect(host)
    row = host.welcome["processes"][remote.number]
    assert (row["ended"], row["stdout_acknowledged"], row["stdout_end"]) == (1, 0, len(before))
    host.barrier()
    assert remote.stdout == b"" and remote.exit is None, "nothing before RESUME"
    host.resume(remote)
    assert (host.finish(remote).kind, remote.exit.value) == (1, signal.SIGKILL)
    assert (remote.stdout, remote.stderr) == (before, b"end\n")


def test_resume_goes_on_from_where_the_record_ends(agent: PlainAgent) -> None:
    """Lines without end, and the connection lost again and again, with some of what came unrecorded."""
    seeded = random.Random(3)
    host = agent.connect()
    remote = host.spawn("sh", "-c", "seq 1 60000; seq 1 30000 >&2")
    for _ in range(25):
        for _ in range(seeded.randrange(12)):
            if len(remote.ended) < 2:
                host.receive()
        recorded = {s: seeded.randrange(max(0, len(o) - 5000), len(o) + 1) for s, o in remote.output.items()}
        host = agent.reconnect(host)
        row = host.welcome["processes"][remote.number]
        for stream, name in ((1, "stdout"), (2, "stderr")):
            recorded[stream] = max(recorded[stream], row[f"{name}_acknowledged"])
            del remote.output[stream][recorded[stream] :]
        remote.ended = set()
        host.resume(remote)
    host.finish(remote)
    assert remote.stdout == b"".join(b"%d\n" % n for n in range(1, 60001))
    assert remote.stderr == b"".join(b"%d\n" % n for n in range(1, 30001))


def test_a_program_goes_on_and_waits_while_no_host_is_there(agent: PlainAgent, tmp_path) -> None:
    host = agent.connect()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    remote = host.spawn("sh", "-c", f"cat {fifo} >/dev/null; seq 1 100000; echo done >&2")
    host.close()
    fifo.write_bytes(b"go")
    host = agent.connect(host.remotes)
    host.resume(remote)
    host.finish(remote)
    assert remote.stdout == b"".join(b"%d\n" % n for n in range(1, 100_001))
    assert remote.stderr == b"done\n"


def test_input_goes_on_from_what_was_taken(agent: PlainAgent) -> None:
    host = agent.connect()
    remote = host.spawn("cat", flags=OUTSIDE | STDIN)
    host.until(lambda: remote.credit)
    host.input(remote, 0, b"0123456789")
    host.barrier()
    host = agent.reconnect(host)
    row = host.welcome["processes"][remote.number]
    assert (row["input_taken"], row["input_limit"]) == (10, 65536)
    host.resume(remote)
    host.input(remote, 5, b"56789abc")  # half of it is a repeat
    host.input_end(remote, 13)
    host.finish(remote)
    assert remote.stdout == b"0123456789abc"


def test_repeats_are_not_done_twice(agent: PlainAgent, tmp_path) -> None:
    host = agent.connect()
    spec = host.spec("sh", "-c", f"echo ran >> {tmp_path}/log")
    remote = host.expect(spec)
    assert host.ask("SPAWN", wire.process(spec)).ok
    assert host.ask("SPAWN", wire.process(spec)).ok
    host.finish(remote)
    assert host.ask("SPAWN", wire.process(spec)).ok
    host = agent.reconnect(host)
    assert host.ask("SPAWN", wire.process(spec)).ok
    host.barrier()
    assert remote.stdout == b"" and (tmp_path / "log").read_text() == "ran\n"


def test_an_exit_is_told_again_until_released(agent: PlainAgent) -> None:
    host = agent.connect()
    remote = host.run("sh", "-c", "exit 9")
    first = remote.exit
    for _ in range(3):
        remote.exit = None
        remote.ended = set()
        host = agent.reconnect(host)
        host.resume(remote)
        assert host.finish(remote) == first
    host.release(remote)
    host = agent.reconnect(host)
    assert host.welcome["processes"] == {}


def test_a_connected_socket_ends_the_agent_with_it(binary) -> None:
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([binary, "--socket", str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()
    host = HostEnd(ours)
    host.hello()
    remote = host.spawn("sleep", "1000")
    host.close()
    assert process.wait(30) == 0
    assert remote.exit is None


def test_power_off_ends_a_plain_agent(agent: PlainAgent, tmp_path) -> None:
    host = agent.connect()
    host.spawn("sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 1000")
    host.send("POWER_OFF", b"")
    with pytest.raises((EOFError, ConnectionResetError)):
        while True:
            host.receive()
    assert agent.process.wait(30) == 0


@pytest.mark.parametrize(
    "arguments", [[], ["--socket"], ["--socket", "x"], ["--socket", "999"], ["--what", "1"]]
)
def test_wrong_arguments_are_refused_in_one_line(binary, arguments: list[str]) -> None:
    done = subprocess.run([binary, *arguments], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("insula-agent: ") and done.stderr.count("\n") == 1
