"""A client's archive into a container: the tar's members, judged, as entries of a tree for the agent.

Archives are read by code that blocks, so that happens in a thread of its own, which asks the event loop for each
piece of the upload and for room in the guest: both ends wait for each other, and nothing is kept. Refused are names
and hard links that lead out of the directory, and what is no tar. Symbolic links are content: wherever they lead, the
guest resolves them inside the container's root.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from insula.agent.process_spec import PATH_MAX
from insula.agent.tree import END, EXTENTS_MAX, XATTRS_MAX, Entry, Kind
from insula.errors import InvalidArgument
from insula.image import tar_reader
from insula.image.decompress import CHUNK, Uncompressed
from insula.image.tar_reader import TarReader, shown

ENTRIES_MAX = 2_000_000
BYTES_MAX = 1 << 40  # uncompressed; the container's disk is the bound that counts
NAME_MAX = 255
BATCH = 64 << 10
WHAT = "the archive"

KINDS = {
    tar_reader.FILE: Kind.FILE,
    tar_reader.LINK: Kind.HARD_LINK,
    tar_reader.SYMLINK: Kind.SYMBOLIC_LINK,
    tar_reader.DIRECTORY: Kind.DIRECTORY,
    tar_reader.CHARACTER: Kind.CHARACTER_DEVICE,
    tar_reader.BLOCK_DEVICE: Kind.BLOCK_DEVICE,
    tar_reader.FIFO: Kind.FIFO,
}

T = TypeVar("T")
Send = Callable[[bytes], Coroutine[Any, Any, None]]


class Enough(Exception):
    """Nobody wants more of it: the guest has ended the tree, or the copy is broken off."""


class _Bridge:
    """What the thread has of the event loop: one coroutine at a time, run there and waited for here."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._under_way: concurrent.futures.Future[Any] | None = None
        self._closed = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Raises what it raises, and Enough after `close`."""
        with self._lock:
            if self._closed:
                work.close()
                raise Enough
            future = self._under_way = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            result: T = future.result()
            return result
        except (concurrent.futures.CancelledError, asyncio.CancelledError) as error:
            raise Enough from error

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._under_way is not None:
                self._under_way.cancel()


class _Upload:
    """The upload as something to read from, in the thread."""

    def __init__(self, bridge: _Bridge, chunks: AsyncIterator[bytes]) -> None:
        self._bridge = bridge
        self._chunks = chunks
        self._rest = b""

    def read(self, n: int, /) -> bytes:
        while not self._rest:
            more = self._bridge.run(self._next())
            if more is None:
                return b""
            self._rest = more
        taken, self._rest = self._rest[:n], self._rest[n:]
        return taken

    async def _next(self) -> bytes | None:
        return await anext(self._chunks, None)


async def unpack(chunks: AsyncIterator[bytes], send: Send) -> None:
    """Reads an archive, plain or compressed, to its end and sends it as a tree. `send` may raise Enough, and then the
    rest is left unread. Raises InvalidArgument for what is no archive or leads out, and what `send` and the upload
    raise."""
    bridge = _Bridge()
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def work() -> None:
        error: BaseException | None = None
        try:
            _read(_Upload(bridge, chunks), lambda data: bridge.run(send(data)))
        except Enough:
            pass
        except BaseException as raised:
            error = raised
        done.get_loop().call_soon_threadsafe(_tell, done, error)

    # not one of the loop's few: a client that sends nothing would keep it from everybody
    threading.Thread(target=work, name="unpacking", daemon=True).start()
    try:
        await asyncio.shield(done)
    finally:
        bridge.close()
        while not done.done():
            try:
                await asyncio.wait((done,))
            except asyncio.CancelledError:
                continue


def _tell(done: asyncio.Future[None], error: BaseException | None) -> None:
    if error is None:
        done.set_result(None)
        return
    done.set_exception(error)
    done.exception()  # whoever waited may have been cancelled


def _read(upload: _Upload, send: Callable[[bytes], None]) -> None:
    stream = Uncompressed(upload, WHAT, BYTES_MAX)
    batch = bytearray()
    for data in tree_of(TarReader(stream, WHAT)):
        batch += data
        if len(batch) >= BATCH:
            send(bytes(batch))
            batch.clear()
    send(bytes(batch))
    stream.drain()


def tree_of(archive: TarReader) -> Iterator[bytes]:
    """The tree's bytes, its end included. Raises InvalidArgument."""
    count = 0
    for member in archive:
        count += 1
        if count > ENTRIES_MAX:
            raise InvalidArgument(f"{WHAT} has more than {ENTRIES_MAX} members")
        entry = entry_of(member)
        if entry is None:
            continue
        yield entry.encode()
        while data := archive.read_data(CHUNK):
            yield data
    yield END.encode()


def entry_of(member: tar_reader.Entry) -> Entry | None:
    """None: it is the directory itself, which is there. Raises InvalidArgument."""
    path = _inside(member.name, "%s is outside of the directory")
    if not path:
        return None
    kind, link = KINDS[member.kind], member.link
    if kind is Kind.HARD_LINK:
        link = _inside(link, f"invalid hardlink {shown(member.name)} -> %s")
    if kind in (Kind.HARD_LINK, Kind.SYMBOLIC_LINK) and (not link or len(link) > PATH_MAX or b"\0" in link):
        raise InvalidArgument(f"{shown(member.name)} in {WHAT} is a link to {shown(link)}")
    extents = member.extents
    if extents is None:
        extents = [(0, member.size)] if kind is Kind.FILE and member.size else []
    if len(extents) > EXTENTS_MAX or len(member.xattrs) > XATTRS_MAX:
        raise InvalidArgument(f"{shown(member.name)} in {WHAT} has too many pieces or attributes")
    return Entry(
        kind,
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        mtime_seconds=member.mtime,
        mtime_nanoseconds=member.nanoseconds,
        major=member.device[0],
        minor=member.device[1],
        size=member.size if kind is Kind.FILE else 0,
        path=path,
        link=link if kind in (Kind.HARD_LINK, Kind.SYMBOLIC_LINK) else b"",
        xattrs=tuple(member.xattrs.items()),
        extents=tuple(extents),
    )


def _inside(name: bytes, refusal: str) -> bytes:
    """A name relative to the directory, its `.` and `..` taken out as they are written. Raises InvalidArgument."""
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                raise InvalidArgument(refusal % shown(name))
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    path = b"/".join(parts)
    if len(path) > PATH_MAX or b"\0" in path or any(len(part) > NAME_MAX for part in parts):
        raise InvalidArgument(f"the name {shown(name)} in {WHAT} is too long")
    return path
