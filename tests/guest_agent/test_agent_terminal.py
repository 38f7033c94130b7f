"""Processes with a terminal."""

import hashlib
import signal
import sys

from host_end import OUTSIDE, STDIN, TTY, HostEnd, PlainAgent, wire

FLAGS = OUTSIDE | TTY | STDIN


def resize(host: HostEnd, remote, rows: int, columns: int) -> None:
    host.send("RESIZE", wire.u32(remote.number) + wire.u16(rows) + wire.u16(columns))


def test_size_and_name(host: HostEnd) -> None:
    remote = host.run("sh", "-c", "test -t 0 && test -t 1 && test -t 2 && stty size; echo err >&2",
                      flags=OUTSIDE | TTY, rows=30, columns=90)  # fmt: skip
    assert remote.stdout == b"30 90\r\nerr\r\n"
    assert (remote.ended, remote.stderr) == ({1}, b"")


def test_it_is_the_controlling_terminal(host: HostEnd) -> None:
    remote = host.run("sh", "-c", "echo through > /dev/tty; ps -o tpgid=,pgid= -p $$", flags=OUTSIDE | TTY)
    lines = remote.stdout.split(b"\r\n")
    assert lines[0] == b"through"
    foreground, group = lines[1].split()
    assert foreground == group


def test_resize(host: HostEnd) -> None:
    remote = host.spawn(
        "sh", "-c", "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done", flags=FLAGS
    )
    host.until(lambda: remote.stdout == b"ready\r\n")
    resize(host, remote, 50, 132)
    host.finish(remote)
    assert remote.stdout == b"ready\r\n50 132\r\n"
    resize(host, remote, 1, 1)
    host.barrier()


def test_resize_of_what_has_no_terminal_is_ignored(host: HostEnd) -> None:
    remote = host.spawn("sleep", "1000")
    resize(host, remote, 1, 1)
    assert host.signal(remote).ok


def test_input_is_echoed_and_read(host: HostEnd) -> None:
    remote = host.spawn("sh", "-c", "echo ready; read -r line; echo got $line", flags=FLAGS)
    host.until(lambda: remote.stdout == b"ready\r\n")
    host.input(remote, 0, b"hello\n")
    host.finish(remote)
    assert remote.stdout == b"ready\r\nhello\r\ngot hello\r\n"


PIECEMEAL = """
import os, time
for _ in range(100):
    for text in b"hel", b"lo\\n":
        os.write(1, text)
        until = time.monotonic() + 0.0001
        while time.monotonic() < until:
            pass
    time.sleep(0.005)
"""


def test_what_comes_piece_by_piece_is_sent_together(host: HostEnd) -> None:
    """As a line does: the kernel hands its text on before its end."""
    remote = host.spawn(sys.executable, "-c", PIECEMEAL, flags=FLAGS)
    pieces = []
    while remote.exit is None or not remote.ended:
        message = host.receive()
        if message.name == "OUTPUT":
            pieces.append(message.payload[13:])
    assert b"".join(pieces) == b"hello\r\n" * 100
    assert len(pieces) < 150, pieces  # 200 writes; a busy host puts more of them together, never fewer


def test_control_c(host: HostEnd) -> None:
    remote = host.spawn("sh", "-c", "echo ready; exec sleep 1000", flags=FLAGS)
    host.until(lambda: remote.stdout == b"ready\r\n")
    host.input(remote, 0, b"\x03")
    host.finish(remote)
    assert (remote.exit.kind, remote.exit.value) == (1, signal.SIGINT)


def test_the_end_of_input_where_a_line_begins(host: HostEnd) -> None:
    remote = host.spawn("sh", "-c", "stty -echo; echo ready; cat; echo end", flags=FLAGS)
    host.until(lambda: remote.stdout == b"ready\r\n")
    host.input(remote, 0, b"line\n")
    host.input_end(remote, 5)
    host.finish(remote)
    assert remote.stdout == b"ready\r\nline\r\nend\r\n"


def test_the_end_of_input_within_a_line(host: HostEnd) -> None:
    remote = host.spawn("sh", "-c", "stty -echo; echo ready; cat; echo end", flags=FLAGS)
    host.until(lambda: remote.stdout == b"ready\r\n")
    host.input(remote, 0, b"no newline")
    host.input_end(remote, 10)
    host.finish(remote)
    assert remote.stdout == b"ready\r\nno newlineend\r\n"


def test_much_input_through_a_raw_terminal(host: HostEnd) -> None:
    remote = host.spawn("sh", "-c", "stty raw -echo; echo ready; head -c 300000 | md5sum", flags=FLAGS)
    host.until(lambda: remote.stdout == b"ready\n")
    host.feed(remote, b"0123456789" * 30_000, end=False)
    host.finish(remote)
    assert remote.stdout.split()[1].decode() == hashlib.md5(b"0123456789" * 30_000).hexdigest()


def test_much_output(host: HostEnd) -> None:
    remote = host.run("seq", "1", "100000", flags=OUTSIDE | TTY)
    assert remote.stdout == b"".join(b"%d\r\n" % n for n in range(1, 100_001))


def test_the_last_words_before_an_exit_are_kept(host: HostEnd) -> None:
    for _ in range(30):
        remote = host.run("sh", "-c", "echo last words; exit 7", flags=OUTSIDE | TTY)
        assert (remote.stdout, remote.exit.value) == (b"last words\r\n", 7)
        host.release(remote)


def test_a_terminal_outlives_its_host(agent: PlainAgent) -> None:
    host = agent.connect()
    remote = host.spawn(
        "sh", "-c", "echo ready; read -r a; echo $a; stty size", flags=FLAGS, rows=10, columns=20
    )
    host.until(lambda: remote.stdout == b"ready\r\n")
    host = agent.reconnect(host)
    assert host.welcome["processes"][remote.number]["flags"] == 1
    host.resume(remote)
    resize(host, remote, 11, 21)
    host.input(remote, 0, b"x\n")
    host.finish(remote)
    assert remote.stdout == b"ready\r\nx\r\nx\r\n11 21\r\n"
