"""Standard input: offsets, credit, its end (docs/protocol.md §2.5)."""

import hashlib
import os
import random

from host_end import OUTSIDE, STDIN, HostEnd

FLAGS = OUTSIDE | STDIN
WINDOW = 65536


def test_through_cat(host: HostEnd) -> None:
    data = random.Random(9).randbytes(2_000_000)
    remote = host.spawn("cat", flags=FLAGS)
    host.feed(remote, data)
    host.finish(remote)
    assert hashlib.sha256(remote.stdout).digest() == hashlib.sha256(data).digest()


def test_an_end_without_any_input(host: HostEnd) -> None:
    remote = host.spawn("cat", flags=FLAGS)
    host.input_end(remote, 0)
    assert host.finish(remote).value == 0


def test_credit_is_what_the_program_left_room_for(host: HostEnd, tmp_path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    remote = host.spawn("sh", "-c", f"cat {fifo}; exec cat", flags=FLAGS)
    host.until(lambda: remote.credit == WINDOW)
    sent = 0
    # What a pipe holds goes through at once, and is credited; then it stops at the limit.
    while sent < 1 << 20:
        size = min(32768, remote.credit - sent)
        if size:
            host.input(remote, sent, bytes(size))
            sent += size
        host.barrier()
        if sent == remote.credit:
            break
    assert WINDOW < sent <= 4 * WINDOW
    assert host.run("echo", "others go on").stdout == b"others go on\n"
    fifo.write_bytes(b"")
    host.feed(remote, bytes(300_000), start=sent)
    host.finish(remote)
    assert len(remote.stdout) == sent + 300_000


def test_repeats_are_dropped(host: HostEnd) -> None:
    remote = host.spawn("cat", flags=FLAGS)
    host.until(lambda: remote.credit)
    host.input(remote, 0, b"abc")
    host.input(remote, 0, b"abc")
    host.input(remote, 1, b"bc")
    host.input(remote, 2, b"cdef")
    host.input(remote, 6, b"")
    host.input_end(remote, 6)
    host.finish(remote)
    assert remote.stdout == b"abcdef"


def test_a_gap_closes_the_input(host: HostEnd) -> None:
    remote = host.spawn("cat", flags=FLAGS)
    host.until(lambda: remote.credit)
    host.input(remote, 0, b"abc")
    host.input(remote, 4, b"e")
    host.input(remote, 3, b"de")
    host.finish(remote)
    assert remote.stdout == b"abc"


def test_more_than_the_limit_closes_the_input(host: HostEnd) -> None:
    remote = host.spawn("sh", "-c", "read -r line; cat", flags=FLAGS)
    host.until(lambda: remote.credit)
    host.input(remote, 2**64 - 1, b"x")
    host.finish(remote)
    assert remote.exit.value == 0


def test_an_end_in_the_wrong_place_closes_the_input(host: HostEnd) -> None:
    for offset in (2, 4, 2**64 - 1):
        remote = host.spawn("cat", flags=FLAGS)
        host.until(lambda r=remote: r.credit)
        host.input(remote, 0, b"abc")
        host.input_end(remote, offset)
        host.finish(remote)
        assert remote.exit.value == 0


def test_nothing_is_taken_after_the_end(host: HostEnd) -> None:
    remote = host.spawn("cat", flags=FLAGS)
    host.until(lambda: remote.credit)
    host.input(remote, 0, b"abc")
    host.input_end(remote, 3)
    host.input(remote, 3, b"def")
    host.input_end(remote, 3)
    host.finish(remote)
    assert remote.stdout == b"abc"


def test_a_program_that_closes_its_input_goes_on(host: HostEnd) -> None:
    remote = host.spawn("sh", "-c", "exec 0<&-; echo closed; sleep 0.1; echo on", flags=FLAGS)
    host.until(lambda: remote.credit and remote.stdout)
    for offset in range(0, 65536, 1024):
        host.input(remote, offset, bytes(1024))
    host.finish(remote)
    assert (remote.stdout, remote.exit.value) == (b"closed\non\n", 0)


def test_input_to_nobody(host: HostEnd) -> None:
    remote = host.spawn("sleep", "1000")
    host.input(remote, 0, b"not asked for")
    host.input_end(remote, 0)
    remote.number, number = 99, remote.number
    host.input(remote, 0, b"no such process")
    remote.number = number
    assert host.signal(remote).ok
    host.finish(remote)


def test_all_that_was_sent_before_the_end_arrives(host: HostEnd, tmp_path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    remote = host.spawn("sh", "-c", f"cat {fifo}; exec md5sum", flags=FLAGS)
    host.until(lambda: remote.credit == WINDOW)
    data = random.Random(2).randbytes(WINDOW)
    host.input(remote, 0, data[:32768])
    host.input(remote, 32768, data[32768:])
    host.input_end(remote, WINDOW)
    host.barrier()
    fifo.write_bytes(b"")
    host.finish(remote)
    assert remote.stdout.split()[0].decode() == hashlib.md5(data).hexdigest()
