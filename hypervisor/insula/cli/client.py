"""HTTP/1.1 to the daemon, as far as the Engine API needs it: requests, streams, and connections taken out of HTTP.

Written out because a hijacked connection needs the bytes that were read too far, and because the standard library's
client takes longer to import than a whole `insula ps` to run; so does its quoting of addresses, which brings
the parsers of all of them. A connection is used again once its answer has been
read. Refuses answers whose head or framing is not HTTP, and a JSON answer over a limit.
"""

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from insula.cli.failure import ApiFailure, Disconnected, Failure
from insula.cli.patience import wait_readable

HEAD_MAX = 64 << 10
JSON_MAX = 256 << 20
LINE_MAX = 4 << 20
READ_SIZE = 64 << 10
CONNECT_SECONDS = 30.0
UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
Query = dict[str, Any]
UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}


def broken(error: OSError) -> Disconnected:
    return Disconnected(f"the connection to the daemon broke: {error.strerror or error}")


class Connection:
    """One socket and what was read from it but not used yet."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self.buffer = bytearray()

    def send(self, data: bytes) -> None:
        """Raises Disconnected."""
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise broken(error) from error

    def fill(self) -> bool:
        """Reads some more; False at the end. Raises Disconnected."""
        try:
            data = self.socket.recv(READ_SIZE)
        except OSError as error:
            raise broken(error) from error
        self.buffer += data
        return bool(data)

    def take(self, size: int) -> bytes:
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def read_line(self, limit: int = HEAD_MAX) -> bytes:
        """Up to the next newline, without it. Raises Disconnected."""
        start = 0
        while (end := self.buffer.find(b"\n", start)) < 0:
            start = len(self.buffer)
            if start > limit:
                raise Disconnected("the daemon's answer is not HTTP: a line has no end")
            if not self.fill():
                raise Disconnected("the daemon closed the connection")
        return self.take(end + 1).rstrip(b"\r\n")

    def close(self) -> None:
        self.socket.close()


class Answer:
    """A response whose head has been read. The body is read once."""

    def __init__(self, connection: Connection, method: str) -> None:
        self._connection = connection
        self.status = self._read_status()
        self.headers = self._read_headers()
        self.done = (
            method == "HEAD" or self.status in (101, 204, 304) or self.headers.get("content-length") == "0"
        )

    @property
    def end(self) -> socket.socket:
        return self._connection.socket

    def limit(self, seconds: float) -> None:
        """From now on a silence of so long is an OSError."""
        self._connection.socket.settimeout(seconds)

    def _read_status(self) -> int:
        words = self._connection.read_line().split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise Disconnected("what answers is not HTTP")
        return int(words[1])

    def _read_headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        size = 0
        while line := self._connection.read_line():
            size += len(line)
            if size > HEAD_MAX:
                raise Disconnected("the daemon's answer has an endless head")
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return headers

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives. Raises Disconnected if it ends early."""
        if self.done:
            return
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            yield from self._read_chunked()
        elif "content-length" in self.headers:
            yield from self._read_exactly(int(self.headers["content-length"]))
        else:
            yield from self._read_to_end()
        self.done = True

    def _read_chunked(self) -> Iterator[bytes]:
        while True:
            word = self._connection.read_line().partition(b";")[0].strip()
            try:
                size = int(word, 16)
            except ValueError as error:
                raise Disconnected("the daemon's answer is not framed as HTTP") from error
            if size == 0:
                while self._connection.read_line():
                    pass
                return
            yield from self._read_exactly(size)
            self._connection.read_line()

    def _read_exactly(self, size: int) -> Iterator[bytes]:
        while size > 0:
            if not self._connection.buffer and not self._connection.fill():
                raise Disconnected("the daemon closed the connection in the middle of its answer")
            data = self._connection.take(size)
            size -= len(data)
            yield data

    def _read_to_end(self) -> Iterator[bytes]:
        while self._connection.buffer or self._connection.fill():
            yield self._connection.take(READ_SIZE)
        self.headers["connection"] = "close"

    def read(self) -> bytes:
        """The whole body."""
        body = bytearray()
        for data in self.chunks():
            body += data
            if len(body) > JSON_MAX:
                raise Failure("the daemon's answer is too large")
        return bytes(body)

    def document(self) -> Any:
        """The whole body as JSON. Raises Failure."""
        return read_json(self.read())

    def objects(self) -> Iterator[dict[str, Any]]:
        """A stream of JSON objects, one a line."""
        rest = b""
        for data in self.chunks():
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > LINE_MAX:
                raise Failure("the daemon's answer has a line without an end")
            yield from (read_json(line) for line in lines if line.strip())
        if rest.strip():
            yield read_json(rest)

    def check(self) -> "Answer":
        """Itself, unless it is a refusal. Raises ApiFailure."""
        if self.status < 400:
            return self
        raw = self.read()
        try:
            message = str(json.loads(raw)["message"])
        except (ValueError, KeyError, TypeError):
            message = raw.decode(errors="replace").strip() or f"the daemon answered with status {self.status}"
        raise ApiFailure(message, self.status)


def read_json(raw: bytes) -> Any:
    """Raises Failure."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Failure("the daemon's answer is not JSON") from error


class Client:
    """Speaks to one daemon. address: of a unix socket (`/path`), or (host, port)."""

    def __init__(self, address: str | tuple[str, int], first: socket.socket | None = None) -> None:
        self.address = address
        self._idle: Connection | None = Connection(first) if first is not None else None
        self._opened: list[Connection] = [self._idle] if self._idle is not None else []

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *problem: object) -> None:
        """Ends every connection, streams and hijacked ones included."""
        for connection in self._opened:
            connection.close()

    def _connect(self, fresh: bool = False) -> Connection:
        if self._idle is not None and not fresh:
            connection, self._idle = self._idle, None
            return connection
        try:
            connection = Connection(connect(self.address))
            self._opened.append(connection)
            return connection
        except OSError as error:
            raise Disconnected(
                f"cannot connect to the daemon at {self.address}: {error.strerror or error}"
            ) from error

    def again(self) -> "Client":
        """A client of the same daemon with nothing under way."""
        return Client(self.address)

    def open(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Any = None,
        notice: str = "",
    ) -> Answer:
        """Sends a request and reads the head of its answer; the body is the caller's to read.

        notice: what to tell someone at the terminal while there is no answer."""
        connection = self._connect()
        send_request(connection, method, target(path, query), encode_body(body))
        wait_readable(connection.socket, notice)
        answer = Answer(connection, method)
        return answer.check()

    def call(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Any = None,
        notice: str = "",
    ) -> Any:
        """A whole exchange: the answer's JSON, or None if it has no body. Raises ApiFailure, Disconnected."""
        connection = self._connect()
        send_request(connection, method, target(path, query), encode_body(body))
        wait_readable(connection.socket, notice)
        answer = Answer(connection, method)
        answer.check()
        raw = answer.read()
        if self._idle is None and answer.headers.get("connection", "").lower() != "close":
            self._idle = connection
        else:
            connection.close()
        return read_json(raw) if raw.strip() else None

    @contextmanager
    def begin(
        self, path: str, query: Query, headers: dict[str, str], notice: str = "", method: str = "POST"
    ) -> Iterator[Answer]:
        """A request with headers of its own, whose answer is read within; then its connection is closed, which
        ends what the daemon still does for it. Raises ApiFailure, Disconnected."""
        connection = self._connect(fresh=True)
        try:
            send_request(connection, method, target(path, query), None, headers)
            wait_readable(connection.socket, notice)
            yield Answer(connection, method).check()
        finally:
            connection.close()

    def upload(
        self,
        path: str,
        query: Query,
        chunks: Iterable[bytes],
        method: str = "POST",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Sends a stream; its answer comes while it is sent, so the sender is a thread of its own. A Failure of the
        stream ends the connection."""
        import threading

        connection = self._connect(fresh=True)
        connection.send(
            head(
                method,
                target(path, query),
                {"Transfer-Encoding": "chunked", "Content-Type": "application/x-tar", **(headers or {})},
            )
        )
        threading.Thread(target=send_chunks, args=(connection, chunks), daemon=True).start()
        return Answer(connection, method).check()

    def hijack(self, path: str, query: Query | None = None, body: Any = None) -> Connection:
        """A POST whose connection leaves HTTP. Raises ApiFailure."""
        connection = self._connect(fresh=True)
        send_request(connection, "POST", target(path, query), encode_body(body), UPGRADE)
        Answer(connection, "POST").check()
        return connection


def connect(address: str | tuple[str, int]) -> socket.socket:
    """Raises OSError."""
    if isinstance(address, tuple):
        end = socket.create_connection(address, CONNECT_SECONDS)
        end.settimeout(None)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return end
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        end.connect(address)
    except OSError:
        end.close()
        raise
    return end


# -- what goes out


def quote(text: str, safe: str = "") -> str:
    """Percent-encoded UTF-8 (RFC 3986), but for unreserved characters and those in `safe` (ASCII)."""
    kept = UNRESERVED + safe
    return "".join(
        c if c in kept else "".join(f"%{byte:02X}" for byte in c.encode(errors="surrogateescape"))
        for c in text
    )


def path(*parts: str) -> str:
    """`/containers/NAME/json`, whatever is in the name. Raises Failure for an empty one."""
    if not all(part.strip() for part in parts):
        raise Failure("invalid name: it is empty")
    return "/" + "/".join(quote(part, safe="/:@") for part in parts)


def target(where: str, query: Query | None) -> str:
    """Path and query; values that are None or False are left out."""
    pairs: list[tuple[str, str]] = []
    for name, value in (query or {}).items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None and one is not False:
                pairs.append((name, "1" if one is True else str(one)))
    return where + "?" + "&".join(f"{name}={quote(value)}" for name, value in pairs) if pairs else where


def encode_body(body: Any) -> bytes | None:
    return None if body is None else json.dumps(body).encode()


def head(method: str, where: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {where} HTTP/1.1", "Host: insula", "User-Agent: insula"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def send_request(
    connection: Connection, method: str, where: str, body: bytes | None, headers: dict[str, str] | None = None
) -> None:
    found = dict(headers or {})
    if body is not None:
        found["Content-Type"] = "application/json"
    if body is not None or method != "GET":
        found["Content-Length"] = str(len(body or b""))
    connection.send(head(method, where, found) + (body or b""))


def send_chunks(connection: Connection, chunks: Iterable[bytes]) -> None:
    """A body of unknown size. A daemon that stops listening has its reasons: its answer tells them."""
    try:
        for data in chunks:
            if data:
                connection.send(b"%x\r\n%b\r\n" % (len(data), data))
        connection.send(b"0\r\n\r\n")
    except Disconnected:
        return
    except Failure:
        connection.socket.shutdown(socket.SHUT_RDWR)  # it is never whole: nobody is to wait for the rest
