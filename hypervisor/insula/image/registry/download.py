"""One blob out of a registry into the store: hashed as it arrives, gone on with after a broken connection.

Nothing is a blob before all of it is here and has the digest that it is named by. More bytes than were told are
refused as they come; a registry that cannot go on in the middle begins again. However many want a blob at a time, it
is fetched once, and a few blobs at a time.
"""

import asyncio
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import aiohttp

from insula.errors import InsulaError, Unavailable
from insula.image.blobs import BlobStore, full_disk
from insula.image.leftovers import Leftovers
from insula.image.manifest import Descriptor
from insula.image.registry.client import RegistryClient
from insula.image.registry.patience import Broken, Tries
from insula.image.registry.refusal import Refused
from insula.image.shared import SharedWork
from insula.thread import in_thread

BLOB_MAX = 64 << 30
BATCH = 1 << 20
STRIDE = 16 << 10  # so many bytes within the time of silence, or it counts as one
DOWNLOADS_MAX = 3
CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


class Sink:
    """A staged file, hashed as it is written. Blocking: for a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = 0
        self._hash = hashlib.sha256()
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise full_disk(error, path.parent) from error

    def write(self, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise full_disk(error, self._path.parent) from error
        self._hash.update(data)
        self.size += len(data)

    def restart(self) -> None:
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self.size = 0
        self._hash = hashlib.sha256()

    def finish(self) -> str:
        """Syncs; gives the digest of what was written."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise full_disk(error, self._path.parent) from error
        return "sha256:" + self._hash.hexdigest()

    def close(self) -> None:
        os.close(self._fd)


class Download:
    """One blob on its way."""

    def __init__(self, client: RegistryClient, path: str, blob: Descriptor, blobs: BlobStore) -> None:
        """path: of the blob, in the registry's API."""
        self._client = client
        self._path = path
        self._blob = blob
        self._blobs = blobs
        self.received = 0
        self.moved: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Returns when the blob is in the store. Raises Refused, Unavailable."""
        async with self._client.twin() as client, self._blobs.staging() as path:
            sink = await in_thread(Sink, path)
            try:
                tries = Tries(self._client.patience, f"cannot fetch the layer {self._blob.digest[7:19]}")
                done, most = self._blob.size == 0, 0
                while not done:
                    try:
                        await self._fetch(client, sink)
                        done = True
                    except Broken as error:
                        progressed, most = sink.size > most, max(most, sink.size)
                        await tries.again(error, progressed=progressed)
                    except Refused as refused:
                        await self._bear(refused, sink, tries)
                found = await in_thread(sink.finish)
            finally:
                sink.close()
            if found != self._blob.digest:
                raise Unavailable(
                    f"filesystem layer verification failed for digest {self._blob.digest}: it is {found}"
                )
            await in_thread(self._blobs.keep, path, self._blob.digest)

    async def _bear(self, refused: Refused, sink: Sink, tries: Tries) -> None:
        """Some refusals are of the moment, and one is of the range. Raises Refused for the others."""
        if refused.status == 416 and sink.size:
            await in_thread(sink.restart)
        elif refused.status not in (429, 500, 502, 503, 504):
            raise refused
        await tries.again(Broken(str(refused)), progressed=False)

    async def _fetch(self, client: RegistryClient, sink: Sink) -> None:
        """From where we are to the end. Raises Broken if it is not reached, Unavailable for what is a lie."""
        headers = {"Range": f"bytes={sink.size}-"} if sink.size else {}
        silence = self._client.patience.silence
        try:
            async with asyncio.timeout(silence) as limit:
                async with client.ask("GET", client.url(self._path), headers) as response:
                    await self._begin(response, sink)
                    limit.reschedule(asyncio.get_running_loop().time() + silence)
                    await self._receive(response, sink, limit)
        except TimeoutError as error:
            raise Broken(f"nothing came for {silence:g} s") from error
        if sink.size < self._blob.size:
            raise Broken("it ended early")

    async def _begin(self, response: aiohttp.ClientResponse, sink: Sink) -> None:
        """Checks what the answer says of itself. Raises Unavailable."""
        if response.status == 206:
            found = CONTENT_RANGE.fullmatch(text := response.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != sink.size or found[3] not in ("*", str(self._blob.size)):
                raise self._lie(f"asked to go on at {sink.size}, the registry sends {text[:60]!r}")
        elif sink.size:
            await in_thread(sink.restart)
        if response.content_length not in (None, self._blob.size - sink.size):
            raise self._lie(f"the registry sends {sink.size + (response.content_length or 0)}")

    async def _receive(self, response: aiohttp.ClientResponse, sink: Sink, limit: asyncio.Timeout) -> None:
        """The bytes into the sink. What has come when the connection breaks is kept."""
        loop, silence = asyncio.get_running_loop(), self._client.patience.silence
        batch: list[bytes] = []
        pending = gained = 0
        try:
            async for chunk in response.content.iter_any():
                batch.append(chunk)
                pending += len(chunk)
                gained += len(chunk)
                if sink.size + pending > self._blob.size:
                    raise self._lie("the registry sends more")
                if pending >= BATCH:
                    await self._write(sink, batch)
                    pending = 0
                if gained >= STRIDE:
                    limit.reschedule(loop.time() + silence)
                    gained = 0
        finally:
            await self._write(sink, batch)

    def _lie(self, what: str) -> Unavailable:
        return Unavailable(f"the layer {self._blob.digest[7:19]} has {self._blob.size} bytes, and {what}")

    async def _write(self, sink: Sink, batch: list[bytes]) -> None:
        data = b"".join(batch)
        batch.clear()
        if data:
            await in_thread(sink.write, data)
            self.received = sink.size
            moved, self.moved = self.moved, asyncio.get_running_loop().create_future()
            moved.set_result(None)


class Downloads:
    """All blobs on their way into one store."""

    def __init__(self, blobs: BlobStore, leftovers: Leftovers) -> None:
        self._blobs = blobs
        self._leftovers = leftovers
        self._shared: SharedWork[None] = SharedWork()
        self._active: dict[str, Download] = {}
        self._slots = asyncio.Semaphore(DOWNLOADS_MAX)

    async def close(self) -> None:
        await self._shared.close()

    async def fetch(
        self, client: RegistryClient, path: str, blob: Descriptor, told: Callable[[int], None]
    ) -> None:
        """Returns when the store has the blob. told: hears of the bytes that are here, again and again.

        If another's download of it fails, this one's registry is asked. Raises Refused, Unavailable."""
        if blob.size > BLOB_MAX:
            raise Unavailable(
                f"the layer {blob.digest[7:19]} has {blob.size >> 30} GiB ({BLOB_MAX >> 30} at most)"
            )
        while not await in_thread(self._blobs.has, blob.digest):
            ours = blob.digest not in self._active
            download = self._active.setdefault(blob.digest, Download(client, path, blob, self._blobs))
            try:
                await self._follow(download, blob.digest, told)
            except (Refused, InsulaError):
                if ours:
                    raise

    async def _follow(self, download: Download, digest: str, told: Callable[[int], None]) -> None:
        async def work() -> None:
            async with self._slots:
                await download.run()
            await self._leftovers.note(digest)

        running = asyncio.ensure_future(self._shared.run(digest, work))
        try:
            while not running.done():
                await asyncio.wait({running, download.moved}, return_when=asyncio.FIRST_COMPLETED)
                told(download.received)
            running.result()
        finally:
            running.cancel()
            await asyncio.wait([running])
            if digest not in self._shared.running:
                self._active.pop(digest, None)
