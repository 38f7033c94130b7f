"""ADD of an address: one file over HTTP, into a file of the state root. Bounded in size and time; its digest is
checked where the Dockerfile tells one. Only http and https, redirects included; no credentials are sent. Git is
refused.
"""

import email.utils
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from insula import errors
from insula.errors import InvalidArgument, Unavailable
from insula.image.intake import receive_hashed

BYTES_MAX = 8 << 30
SILENCE_SECONDS = 60.0
CONNECT_SECONDS = 30.0
REDIRECTS_MAX = 10
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


def check_source(source: str) -> None:
    """Raises NotImplemented for Git."""
    if GIT.match(source):
        raise errors.NotImplemented(
            f"ADD from a Git repository is not there yet: {source[:200]}",
            "clone it and send it as the context",
        )


async def download(source: str, path: Path, checksum: str) -> Download:
    """Raises InvalidArgument, Unavailable."""
    from aiohttp import ClientError, ClientSession, ClientTimeout

    if checksum and not DIGEST.fullmatch(checksum):
        raise InvalidArgument(f"invalid checksum {checksum[:100]!r}: sha256: and 64 hexadecimal digits")
    timeout = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
    try:
        async with (
            ClientSession(timeout=timeout, trust_env=True, auto_decompress=False) as session,
            session.get(
                source, max_redirects=REDIRECTS_MAX, headers={"Accept-Encoding": "identity"}
            ) as answer,
        ):
            if answer.status != 200:
                raise InvalidArgument(f"ADD failed: {source[:200]} answers with status {answer.status}")
            content = answer.content.iter_chunked(1 << 18)
            _, digest = await receive_hashed(content, path, BYTES_MAX)
            moment = answer.headers.get("Last-Modified", "")
    except (ClientError, TimeoutError, OSError, ValueError) as error:
        raise Unavailable(
            f"ADD failed: {source[:200]} cannot be fetched: {error or type(error).__name__}"
        ) from error
    if checksum and digest != checksum:
        raise InvalidArgument(f"ADD failed: {source[:200]} has the digest {digest}, not {checksum}")
    name = posixpath.basename(unquote(urlsplit(source).path))
    return Download(path, name, digest, _time(moment))


def _time(text: str) -> int:
    try:
        return max(0, int(email.utils.parsedate_to_datetime(text).timestamp())) if text else 0
    except (ValueError, OverflowError):
        return 0
