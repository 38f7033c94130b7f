"""Frames, and one exchange over a real socket pair: both halves, big echoes, detach keys."""

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insula.cli.client import Connection
from insula.cli.failure import Disconnected
from insula.cli.stream import Frames, Output, Stream
from insula.cli.terminal import DetachWatch, Signals, caught

SECONDS = 30


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxI", stream, len(data)) + data


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50)), max_size=8), st.integers(1, 30))
def test_frames_however_they_are_cut(sent: list[tuple[int, bytes]], size: int) -> None:
    raw = b"".join(frame(*one) for one in sent)
    frames = Frames()
    seen = [got for start in range(0, len(raw), size) for got in frames.feed(raw[start : start + size])]
    for stream in (1, 2):
        assert b"".join(d for s, d in seen if s == stream) == b"".join(d for s, d in sent if s == stream)


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(Disconnected):
        list(Frames().feed(b"HTTP/1.1 500 oops\r\n"))


class Exchange:
    """Our end of a stream, with pipes for our stdin and stdout; theirs is a socket that the test holds."""

    def __init__(self, framed: bool = False, keys: str = "") -> None:
        ours, self.theirs = socket.socketpair()
        self.theirs.settimeout(SECONDS)
        self.input_read, self.input_write = os.pipe()
        self.output_read, output_write = os.pipe()
        self.result: list[bool] = []
        self.signalled: list[int] = []
        self._output_write = output_write
        self._connection = Connection(ours)
        self._output = Output(framed, output_write, output_write)
        self._watch = DetachWatch(keys) if keys else None

    def run(self, signals: Signals) -> None:
        stream = Stream(
            self._connection, self._output, self.input_read, self._watch, signals, self.signalled.append
        )
        try:
            self.result.append(stream.run())
        finally:
            self._connection.close()
            os.close(self._output_write)

    def close(self) -> None:
        self.theirs.close()
        for fd in (self.input_read, self.input_write, self.output_read):
            with suppress(OSError):
                os.close(fd)


@contextmanager
def running(exchange: Exchange) -> Iterator[threading.Thread]:
    with caught(()) as signals:
        thread = threading.Thread(target=exchange.run, args=(signals,))
        thread.start()
        try:
            yield thread
            thread.join(SECONDS)
            assert not thread.is_alive()
        finally:
            exchange.close()


def read_all(fd: int) -> bytes:
    found = b""
    while data := os.read(fd, 65536):
        found += data
    return found


def test_the_end_of_input_closes_our_half_and_output_goes_on() -> None:
    exchange = Exchange()
    with running(exchange):
        os.write(exchange.input_write, b"typed")
        os.close(exchange.input_write)
        received = b""
        while data := exchange.theirs.recv(100):
            received += data
        exchange.theirs.sendall(b"late answer")
        exchange.theirs.close()
        assert read_all(exchange.output_read) == b"late answer"
    assert received == b"typed"
    assert exchange.result == [False]


def test_a_program_that_echoes_more_than_all_buffers_hold() -> None:
    exchange = Exchange()
    size = 4 << 20
    written = threading.Thread(
        target=lambda: (write(exchange.input_write, size), os.close(exchange.input_write))
    )

    def echo() -> None:
        while data := exchange.theirs.recv(65536):
            exchange.theirs.sendall(data)
        exchange.theirs.close()

    with running(exchange):
        written.start()
        threading.Thread(target=echo, daemon=True).start()
        assert len(read_all(exchange.output_read)) == size
        written.join(SECONDS)


def write(fd: int, size: int) -> None:
    left = size
    while left:
        left -= os.write(fd, b"x" * min(left, 65536))


def test_the_program_may_end_while_we_type() -> None:
    exchange = Exchange()
    with running(exchange):
        exchange.theirs.sendall(b"bye")
        exchange.theirs.close()
        assert read_all(exchange.output_read) == b"bye"
    assert exchange.result == [False]


def test_detach_keys_end_it_after_they_were_sent() -> None:
    exchange = Exchange(keys="ctrl-p,ctrl-q")
    with running(exchange):
        os.write(exchange.input_write, b"abc\x10")
        assert exchange.theirs.recv(4) == b"abc\x10"
        os.write(exchange.input_write, b"\x11never sent")
        received = b""
        while data := exchange.theirs.recv(100):
            received += data
    assert received == b"\x11"
    assert exchange.result == [True]


def test_what_was_read_with_the_head_is_shown_first() -> None:
    exchange = Exchange(framed=True)
    exchange._connection.buffer += frame(1, b"first ")[:10]
    exchange.theirs.sendall(frame(1, b"first ")[10:] + frame(2, b"second"))
    exchange.theirs.close()
    with running(exchange):
        assert read_all(exchange.output_read) == b"first second"
