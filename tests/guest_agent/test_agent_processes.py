"""Processes: how they start and end, many at a time, signals, release (docs/protocol.md §3, §6)."""

import errno
import os
import select
import signal
import time

import pytest
from host_end import OUTSIDE, PATIENCE, HostEnd, PlainAgent, wire


def test_output_and_exit(host: HostEnd) -> None:
    before = time.time_ns()
    remote = host.run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (remote.stdout, remote.stderr) == (b"out\n", b"err\n")
    assert (remote.exit.kind, remote.exit.value, remote.exit.flags) == (0, 3, 0)
    assert before <= remote.exit.clock <= time.time_ns()


@pytest.mark.parametrize("status", [0, 1, 127, 255])
def test_exit_status(host: HostEnd, status: int) -> None:
    remote = host.run("sh", "-c", f"exit {status}")
    assert (remote.exit.kind, remote.exit.value) == (0, status)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1, signal.SIGRTMAX])
def test_death_by_signal(host: HostEnd, number: int) -> None:
    remote = host.spawn("sleep", "1000")
    assert host.signal(remote, number).ok
    host.finish(remote)
    assert (remote.exit.kind, remote.exit.value) == (1, number)


def test_a_signal_can_be_caught(host: HostEnd) -> None:
    remote = host.spawn(
        "sh", "-c", "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    )
    host.until(lambda: remote.stdout == b"ready\n")
    assert host.signal(remote, signal.SIGTERM).ok
    host.finish(remote)
    assert (remote.stdout, remote.exit.value) == (b"ready\ncaught\n", 5)


def test_signals_that_cannot_be_sent(host: HostEnd) -> None:
    remote = host.run("true")
    assert host.signal(remote).errno == errno.ESRCH
    running = host.spawn("sleep", "1000")
    assert host.signal(running, 65).errno == errno.EINVAL
    assert host.signal(running, 2**32 - 1).errno == errno.EINVAL
    assert host.signal(running, 0).ok
    assert host.signal(None).errno == errno.ENOTCONN


def test_what_is_not_there_is_named(host: HostEnd) -> None:
    spec = host.spec("no-such-program")
    reply = host.ask("SPAWN", wire.process(spec))
    assert (reply.step, reply.errno, reply.detail) == (15, errno.ENOENT, "no-such-program")
    assert host.ask("SPAWN", wire.process(host.spec("/etc/passwd"))).errno == errno.EACCES
    assert host.ask("SPAWN", wire.process(host.spec())).errno == errno.EINVAL
    host.barrier()
    assert host.welcome["processes"] == {}


def test_a_number_that_failed_to_start_may_be_used_again(host: HostEnd) -> None:
    spec = host.spec("no-such-program")
    assert host.ask("SPAWN", wire.process(spec)).errno == errno.ENOENT
    remote = host.expect(spec)
    assert host.ask("SPAWN", wire.process(spec | {"arguments": ["true"]})).ok
    assert host.finish(remote).value == 0


def test_arguments_and_environment_are_passed_as_they_are(host: HostEnd) -> None:
    odd = ["", " ", "ü", "a\nb", '"', "$HOME", "x" * 100_000]
    remote = host.run("sh", "-c", 'for a; do printf "%s|" "$a"; done; printf "%s" "$ODD"', "sh", *odd,
                      environment=["PATH=/bin:/usr/bin", "ODD= a=b\tü"])  # fmt: skip
    assert remote.stdout.decode() == "".join(f"{a}|" for a in odd) + " a=b\tü"


def test_the_working_directory_and_mask(host: HostEnd, tmp_path) -> None:
    remote = host.run("sh", "-c", "pwd; umask", directory=str(tmp_path), umask=0o027)
    assert remote.stdout.decode() == f"{tmp_path}\n0027\n"


def test_without_input_it_reads_nothing(host: HostEnd) -> None:
    remote = host.run("sh", "-c", "cat; readlink /proc/self/fd/0")
    assert remote.stdout == b"/dev/null\n"
    assert remote.credit == 0


def test_signals_are_as_a_program_expects_them(host: HostEnd) -> None:
    remote = host.run("grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status")
    assert remote.stdout == b"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"


def test_nothing_of_the_agent_is_inherited(host: HostEnd) -> None:
    others = [host.spawn("cat", flags=OUTSIDE | 2) for _ in range(3)]
    remote = host.run("sh", "-c", "ls /proc/self/fd")
    assert remote.stdout.split() == [b"0", b"1", b"2", b"3"]  # the last is of ls itself
    for other in others:
        host.input_end(other, 0)
        assert host.finish(other).value == 0


def test_two_hundred_at_a_time(host: HostEnd) -> None:
    remotes = [
        host.spawn("sh", "-c", f"echo {n}; read -r line; echo $line; exit {n}", flags=18) for n in range(200)
    ]
    for n, remote in enumerate(remotes):
        host.until(lambda r=remote: r.credit)
        host.input(remote, 0, f"line {n}\n".encode())
    for n, remote in enumerate(remotes):
        host.finish(remote)
        assert (remote.exit.value, remote.stdout.decode()) == (n, f"{n}\nline {n}\n")


def test_no_more_than_256_and_release_makes_room(agent: PlainAgent) -> None:
    host = agent.connect()
    remotes = [host.spawn("sleep", "1000") for _ in range(256)]
    before = agent.descriptors()
    refused = host.ask("SPAWN", wire.process(host.spec("true")))
    assert refused.errno == errno.EAGAIN
    assert agent.descriptors() == before
    for remote in remotes:
        assert host.signal(remote).ok
        host.finish(remote)
        host.release(remote)
    assert host.run("true").exit.value == 0


def test_release_of_what_runs_is_ignored(agent: PlainAgent) -> None:
    host = agent.connect()
    remote = host.spawn("sleep", "1000")
    host.send("RELEASE", wire.u32(remote.number))
    assert host.signal(remote).ok
    assert host.finish(remote).kind == 1


def test_nothing_is_left_of_what_was_released(agent: PlainAgent) -> None:
    host = agent.connect()
    # the timer of all terminals stays
    host.release(host.run("sh", "-c", "echo; sleep 0.1", flags=OUTSIDE | 1))
    host.barrier()
    before = agent.descriptors()
    for flags in (OUTSIDE, OUTSIDE | 1, OUTSIDE | 2, OUTSIDE | 3) * 5:
        remote = host.spawn("sh", "-c", "echo hello; exit 0", flags=flags)
        host.finish(remote)
        host.release(remote)
    for number in range(5):
        assert (
            host.ask("SPAWN", wire.process(host.spec("no-such", flags=OUTSIDE | number % 4))).errno
            == errno.ENOENT
        )
    host.barrier()
    assert agent.descriptors() == before


def test_a_background_child_keeps_the_stream_open(host: HostEnd, tmp_path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    remote = host.spawn("sh", "-c", f"(cat {fifo}; echo late) & echo early; exit 4")
    host.until(lambda: remote.exit)
    assert remote.exit.value == 4
    assert not remote.ended & {1, 2}
    fifo.write_bytes(b"")
    host.finish(remote)
    assert remote.stdout == b"early\nlate\n"


def test_the_agent_ends_its_processes_with_itself(agent: PlainAgent) -> None:
    host = agent.connect()
    remote = host.spawn("sh", "-c", "echo $$; exec sleep 1000")
    host.until(lambda: remote.stdout.endswith(b"\n"))
    held = os.pidfd_open(int(remote.stdout))
    agent.process.terminate()
    assert agent.process.wait(PATIENCE) == 0
    ended, _, _ = select.select([held], [], [], PATIENCE)
    assert ended
    os.close(held)
