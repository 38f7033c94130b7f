"""One blob into a registry: asked for first, taken over from a neighbouring repository where that is possible, else
sent whole.

A broken connection begins the blob's upload again, a bounded number of times. The blob is read from the store as it
is sent. The registry checks the digest; it is told which one it has to be.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from yarl import URL

from insula.errors import Unavailable
from insula.image.registry.client import RegistryClient
from insula.image.registry.documents import ACCEPT
from insula.image.registry.patience import Broken, Tries
from insula.image.registry.refusal import Refused
from insula.thread import in_thread

CHUNK = 256 << 10
STORING = 5  # times the silence that is borne else: a registry moves a large blob about before it answers
EXISTS, MOUNTED, PUSHED = "Layer already exists", "Mounted from", "Pushed"


class Upload:
    """One blob on its way to one repository."""

    def __init__(self, client: RegistryClient, repository: str, digest: str, file: Path) -> None:
        self._client = client
        self._repository = repository
        self._digest = digest
        self._file = file

    async def run(self, neighbour: str, told: Callable[[int], None]) -> str:
        """Returns how it came there: EXISTS, PUSHED, or MOUNTED with its name from a repository that
        has it (neighbour, or empty). told: hears of bytes sent. Raises Refused, Denied, Unavailable."""
        tries = Tries(self._client.patience, f"cannot push the layer {self._digest[7:19]}")
        while True:
            try:
                return await self._run(neighbour, told)
            except Broken as error:
                await tries.again(error, progressed=False)
            except Refused as refused:
                if refused.status not in (429, 500, 502, 503, 504):
                    raise
                await tries.again(Broken(str(refused)), progressed=False)

    async def _run(self, neighbour: str, told: Callable[[int], None]) -> str:
        if await self._is_there():
            return EXISTS
        begin = self._client.url(f"/v2/{self._repository}/blobs/uploads/")
        if neighbour:
            begin = begin.with_query({"mount": self._digest, "from": neighbour})
        place = await self._begin(begin)
        if place is None:
            return f"{MOUNTED} {neighbour}"
        await self._send(place, told)
        return PUSHED

    async def _is_there(self) -> bool:
        url = self._client.url(f"/v2/{self._repository}/blobs/{self._digest}")
        try:
            async with self._client.ask("HEAD", url):
                return True
        except Refused as refused:
            if refused.status == 404:
                return False
            raise

    async def _begin(self, url: URL) -> URL | None:
        """Where to send the blob; None if the registry has it now. Raises Unavailable if it does not say."""
        async with self._client.ask("POST", url, {"Content-Length": "0"}) as response:
            if response.status == 201 and url.query:
                return None
            place = response.headers.get("Location", "")
        if not place:
            raise Unavailable(f"{self._client.origin.authority} does not say where to send a blob")
        return self._client.url(place)

    async def _send(self, place: URL, told: Callable[[int], None]) -> None:
        size = (await in_thread(self._file.stat)).st_size
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        loop, silence = asyncio.get_running_loop(), self._client.patience.silence
        try:
            async with asyncio.timeout(silence) as limit:

                async def chunks() -> AsyncIterator[bytes]:
                    sent = 0
                    with await in_thread(self._file.open, "rb") as file:
                        while data := await in_thread(file.read, CHUNK):
                            yield data
                            sent += len(data)
                            told(sent)
                            limit.reschedule(loop.time() + silence)
                    limit.reschedule(loop.time() + STORING * silence)

                url = with_digest(place, self._digest)
                async with self._client.ask("PUT", url, headers, chunks):
                    return
        except TimeoutError as error:
            raise Broken(f"nothing went out for {silence:g} s") from error


def with_digest(place: URL, digest: str) -> URL:
    """The upload's address, whose own query is left as it came."""
    text = str(place)
    return URL(f"{text}{'&' if '?' in text else '?'}digest={digest.replace(':', '%3A')}", encoded=True)


async def put_document(client: RegistryClient, repository: str, name: str, data: bytes, kind: str) -> None:
    """A manifest or an index under a tag or its digest. Raises Refused, Denied, Unavailable."""
    url = client.url(f"/v2/{repository}/manifests/{name}")

    async def body() -> AsyncIterator[bytes]:
        yield data

    tries = Tries(client.patience, f"cannot push the manifest {name}")
    headers = {"Content-Type": kind, "Content-Length": str(len(data))}
    while True:
        try:
            async with asyncio.timeout(client.patience.document):
                async with client.ask("PUT", url, headers, body):
                    return
        except (Broken, TimeoutError) as error:
            await tries.again(Broken(str(error) or "no answer in time"), progressed=False)


async def has_document(client: RegistryClient, repository: str, digest: str) -> bool:
    """Whether a repository has a manifest. Raises Refused, Denied, Unavailable."""
    url = client.url(f"/v2/{repository}/manifests/{digest}")
    try:
        await client.read(url, 0, {"Accept": ACCEPT}, "HEAD")
    except Refused as refused:
        if refused.status == 404:
            return False
        raise
    return True
