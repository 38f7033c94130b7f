"""The one container's life in a plain agent: no mounts and no name spaces, but the same requests and rules."""

import errno
import signal

import pytest
from host_end import HostEnd, PlainAgent, wire


def test_boot_runs_the_main_process(host: HostEnd) -> None:
    main = host.boot("sh", "-c", "echo main; exit 6")
    host.finish(main)
    assert (main.stdout, main.exit.value) == (b"main\n", 6)
    host.epoch += 2
    assert (host.hello()["state"], host.welcome["boot_number"]) == (1, 1)


def test_the_same_boot_is_not_done_twice_and_another_is_refused(agent: PlainAgent, tmp_path) -> None:
    host = agent.connect()
    spec = host.spec("sh", "-c", f"echo ran | tee -a {tmp_path}/log; exec sleep 1000", flags=0)
    main = host.expect(spec)
    document = wire.boot(wire.plain_boot(7, spec))
    assert host.ask("BOOT", document).ok
    host.until(lambda: main.stdout == b"ran\n")
    assert host.ask("BOOT", document).ok
    host = agent.reconnect(host)
    assert (host.welcome["state"], host.welcome["boot_number"]) == (1, 7)
    assert host.ask("BOOT", document).ok
    assert host.ask("BOOT", wire.boot(wire.plain_boot(8, spec | {"process": 99}))).errno == errno.EBUSY
    host.resume(main)
    assert host.ask("STOP").ok
    assert host.finish(main).value == signal.SIGKILL
    assert (tmp_path / "log").read_text() == "ran\n"


def test_a_boot_that_fails_leaves_the_agent_idle(host: HostEnd) -> None:
    spec = host.spec("no-such-program", flags=0)
    reply = host.ask("BOOT", wire.boot(wire.plain_boot(1, spec)))
    assert (reply.step, reply.errno, reply.detail) == (15, errno.ENOENT, "no-such-program")
    assert host.ask("SPAWN", wire.process(host.spec("true", flags=0))).errno == errno.ENOTCONN
    assert host.boot("true").exit is None


def test_a_plain_agent_mounts_nothing(host: HostEnd) -> None:
    spec = host.spec("true", flags=0)
    assert host.ask("BOOT", wire.boot(wire.plain_boot(1, spec, root=1, layers=[0]))).errno == errno.EINVAL
    host.epoch += 2
    assert host.hello()["state"] == 0


def test_the_main_process_needs_a_number_of_its_own(host: HostEnd) -> None:
    taken = host.run("true")
    spec = host.spec("true", flags=0, process=taken.number)
    assert host.ask("BOOT", wire.boot(wire.plain_boot(1, spec))).errno == errno.EEXIST


def test_a_signal_to_all_spares_what_is_outside(host: HostEnd) -> None:
    outside = host.spawn("sleep", "1000")
    inside = [host.boot("sleep", "1000"), *(host.spawn("sleep", "1000", flags=0) for _ in range(5))]
    assert host.signal(None, signal.SIGTERM).ok
    for remote in inside:
        assert host.finish(remote).value == signal.SIGTERM
    host.barrier()
    assert outside.exit is None
    assert host.signal(outside).ok


def test_stop_and_boot_again(host: HostEnd) -> None:
    for number in range(1, 6):
        main = host.boot("sleep", "1000", number=number)
        other = host.spawn("sleep", "1000", flags=0)
        assert host.ask("STOP").ok
        assert host.finish(main).value == host.finish(other).value == signal.SIGKILL
        assert host.ask("STOP").ok, "a repeat"
        host.release(main)
        host.release(other)
    host.epoch += 2
    assert host.hello() == {"version": 2, "state": 0, "boot_number": 0, "processes": {}}


@pytest.mark.parametrize("name", ["FREEZE", "THAW", "SYNC"])
def test_without_a_container_there_is_nothing_to_hold(host: HostEnd, name: str) -> None:
    assert host.ask(name).errno == errno.ENOTCONN


def test_identity_is_accepted_and_changes_nothing_of_a_plain_agent(host: HostEnd) -> None:
    assert host.ask("IDENTITY", wire.u64(1) + wire.string(bytes(512))).ok
    assert host.ask("IDENTITY", wire.u64(1) + wire.string(bytes(513))).errno == errno.EBADMSG
    assert host.run("true").exit.clock > 10**18


def test_an_output_of_a_released_number_is_not_the_next_ones(host: HostEnd) -> None:
    host.boot("sleep", "1000")
    for text in ("first", "second"):
        remote = host.run("echo", text, process=50, flags=0)
        assert remote.stdout.decode() == f"{text}\n"
        host.release(remote)
