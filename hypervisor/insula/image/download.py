"""One file over HTTP, into a new file: what ADD, an import or a build's context has the address of. Bounded in size
and time; its digest is checked where one is told. Only http and https, redirects included; the environment's proxies
are used, and nobody's credentials (netrc) are sent. Git is refused.
"""

import email.utils
import posixpath
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from insula import errors
from insula.errors import InvalidArgument, Unavailable
from insula.image.intake import receive_hashed
from insula.image.registry.origin import find_proxy

if TYPE_CHECKING:
    from aiohttp import ClientResponse

BYTES_MAX = 8 << 30
SILENCE_SECONDS = 60.0
CONNECT_SECONDS = 30.0
REDIRECTS_MAX = 10
MOVED = (301, 302, 303, 307, 308)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
GIT = re.compile(
    r"git@|git://|ssh://|https?://[^/]+/.+\.git(?:#|$)|https?://github\.com/[^/]+/[^/]+/?(?:#|$)"
)


@dataclass(frozen=True, slots=True)
class Download:
    """name: by its address; mtime: 0 if the server does not tell."""

    path: Path
    name: str
    digest: str
    mtime: int


def is_address(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def check_source(source: str, what: str) -> None:
    """what: as its refusal begins. Raises NotImplemented for Git."""
    if GIT.match(source):
        raise errors.NotImplemented(
            f"{what} from a Git repository is not there yet: {source[:200]}",
            "clone it and send it as the context",
        )


async def download(
    source: str, path: Path, what: str, *, checksum: str = "", limit: int = BYTES_MAX
) -> Download:
    """what: as failures begin; checksum: `sha256:…`; limit: in bytes. Raises InvalidArgument, Unavailable."""
    from aiohttp import ClientError

    if checksum and not DIGEST.fullmatch(checksum):
        raise InvalidArgument(f"invalid checksum {checksum[:100]!r}: sha256: and 64 hexadecimal digits")
    try:
        async with _open(source, what) as answer:
            if answer.status != 200:
                raise InvalidArgument(f"{what} failed: {source[:200]} answers with status {answer.status}")
            _, digest = await receive_hashed(answer.content.iter_chunked(1 << 18), path, limit)
            moment = answer.headers.get("Last-Modified", "")
    except (ClientError, TimeoutError, OSError, ValueError) as error:
        why = error or type(error).__name__
        raise Unavailable(f"{what} failed: {source[:200]} cannot be fetched: {why}") from error
    if checksum and digest != checksum:
        raise InvalidArgument(f"{what} failed: {source[:200]} has the digest {digest}, not {checksum}")
    name = posixpath.basename(unquote(urlsplit(source).path))
    return Download(path, name, digest, _time(moment))


@asynccontextmanager
async def _open(source: str, what: str) -> "AsyncIterator[ClientResponse]":
    """The answer at the end of its redirects: each host's own proxy. Raises InvalidArgument, and aiohttp's."""
    from aiohttp import ClientSession, ClientTimeout

    timeout = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
    async with ClientSession(timeout=timeout, auto_decompress=False) as session:
        address = source
        for _ in range(REDIRECTS_MAX + 1):
            parts = urlsplit(address)
            proxy = find_proxy(parts.scheme, parts.hostname or "") or None
            async with session.get(
                address, proxy=proxy, allow_redirects=False, headers={"Accept-Encoding": "identity"}
            ) as answer:
                place = answer.headers.get("Location", "")
                if answer.status not in MOVED or not place:
                    yield answer
                    return
            address = urljoin(address, place)
            if not is_address(address):
                raise InvalidArgument(f"{what} failed: {source[:200]} leads to another kind of address")
        raise InvalidArgument(f"{what} failed: {source[:200]} leads on more than {REDIRECTS_MAX} times")


def _time(text: str) -> int:
    try:
        return max(0, int(email.utils.parsedate_to_datetime(text).timestamp())) if text else 0
    except (ValueError, OverflowError):
        return 0
