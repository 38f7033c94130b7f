"""Output: exact, in order, each stream with a credit of its own (docs/protocol.md §2)."""

import hashlib
import random
from pathlib import Path

from host_end import OUTSIDE, HostEnd, PlainAgent, wire

WINDOW = 65536


def test_many_bytes_of_any_value(host: HostEnd, tmp_path) -> None:
    data = random.Random(5).randbytes(3_000_000)
    (tmp_path / "data").write_bytes(data)
    remote = host.run("sh", "-c", f"cat {tmp_path}/data; cat {tmp_path}/data >&2")
    assert hashlib.sha256(remote.stdout).digest() == hashlib.sha256(data).digest()
    assert hashlib.sha256(remote.stderr).digest() == hashlib.sha256(data).digest()


def test_unacknowledged_output_stops_at_the_window(host: HostEnd, tmp_path) -> None:
    host.acknowledge = False
    remote = host.spawn("sh", "-c", f"seq 1 1000000; touch {tmp_path}/past")
    host.until(lambda: len(remote.stdout) == WINDOW)
    other = host.run("echo", "others go on")
    assert other.stdout == b"others go on\n"
    host.barrier()
    assert len(remote.stdout) == WINDOW and remote.exit is None
    assert not (tmp_path / "past").exists()
    host.ack(remote.number, 1, 1000)
    host.until(lambda: len(remote.stdout) == WINDOW + 1000)
    host.acknowledge = True
    host.ack(remote.number, 1)
    host.finish(remote)
    assert remote.stdout == b"".join(b"%d\n" % n for n in range(1, 1_000_001))


def test_a_full_stdout_does_not_block_stderr(host: HostEnd) -> None:
    host.acknowledge = False
    remote = host.spawn("sh", "-c", "yes & echo err >&2; wait")
    host.until(lambda: len(remote.stdout) == WINDOW and remote.stderr == b"err\n")
    assert host.signal(remote).ok
    host.until(lambda: remote.exit)


def test_a_slow_reader_does_not_make_the_agent_spin(agent: PlainAgent) -> None:
    host = agent.connect()
    host.acknowledge = False
    remote = host.spawn("yes")
    host.until(lambda: len(remote.stdout) == WINDOW)
    host.barrier()

    def ticks() -> int:
        fields = Path(f"/proc/{agent.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    host.run("sleep", "1")
    assert ticks() - before < 50, "half a second of work in a second of nothing"


def test_acks_beyond_what_there_is_and_of_the_past_change_nothing(host: HostEnd) -> None:
    host.acknowledge = False
    remote = host.run("seq", "1", "1000")
    size = len(remote.stdout)
    for offset in (2**64 - 1, size + 1, 100, 50, 0):
        host.ack(remote.number, 1, offset)
    host.send("ACK", wire.u32(remote.number) + wire.u8(3) + wire.u64(1))
    host.send("ACK", wire.u32(12345) + wire.u8(1) + wire.u64(1))
    host.epoch += 2
    row = host.hello()["processes"][remote.number]
    assert (row["stdout_acknowledged"], row["stdout_end"]) == (100, size)


def test_resume_outside_what_is_kept_sends_what_is_kept(host: HostEnd) -> None:
    host.acknowledge = False
    remote = host.run("seq", "1", "1000")
    whole = remote.stdout
    host.ack(remote.number, 1, 100)
    host.epoch += 2
    host.hello()
    remote.ended, remote.exit = set(), None
    remote.output[1] = bytearray(whole[:100])
    host.resume(remote, stdout=0, stderr=2**63)
    host.finish(remote)
    assert remote.stdout == whole


def test_streams_take_turns_by_frames(host: HostEnd) -> None:
    host.acknowledge = False
    floods = [host.spawn("yes") for _ in range(3)]
    host.until(lambda: all(len(f.stdout) == WINDOW for f in floods))
    host.epoch += 2
    host.hello()
    host.seen.clear()
    for flood in floods:
        flood.output[1].clear()
    frames = [host.frame("RESUME", wire.u32(f.number) + wire.u64(0) + wire.u64(0)) for f in floods]
    host.socket.sendall(b"".join(frames))
    host.until(lambda: all(len(f.stdout) == WINDOW for f in floods))
    order = [m.unpack("I")[0] for m in host.seen if m.name == "OUTPUT"]
    assert order[:6] == [f.number for f in floods] * 2
    for flood in floods:
        assert host.signal(flood).ok


def test_a_stream_can_be_closed_early(host: HostEnd) -> None:
    remote = host.spawn("sh", "-c", "exec 1>&-; read -r line; echo $line >&2", flags=OUTSIDE | 2)
    host.until(lambda: remote.ended == {1})
    assert remote.exit is None
    host.input(remote, 0, b"on\n")
    host.finish(remote)
    assert (remote.stdout, remote.stderr) == (b"", b"on\n")
