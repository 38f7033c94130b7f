"""Takes a client's upload into a file of the state root: bounded, and off the event loop's thread."""

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from insula.errors import InvalidArgument
from insula.image.blobs import full_disk
from insula.thread import in_thread

ARCHIVE_MAX = 64 << 30
BATCH = 1 << 20


async def receive(stream: AsyncIterator[bytes], path: Path, limit: int) -> int:
    """Writes everything that `stream` gives into a new file; gives its size.

    Raises InvalidArgument beyond the limit, Unavailable if the disk is full."""
    return (await receive_hashed(stream, path, limit))[0]


async def receive_hashed(stream: AsyncIterator[bytes], path: Path, limit: int) -> tuple[int, str]:
    """As `receive`; gives the digest of all of it too, as `sha256:…`."""
    size = 0
    hash_ = hashlib.sha256()
    file = await in_thread(_create, path)
    try:
        batch: list[bytes] = []
        pending = 0
        async for chunk in stream:
            size += len(chunk)
            pending += len(chunk)
            if size > limit:
                raise InvalidArgument(f"the upload has more than {limit >> 20} MiB")
            batch.append(chunk)
            if pending >= BATCH:
                await in_thread(_append, file, batch, path, hash_)
                batch, pending = [], 0
        await in_thread(_append, file, batch, path, hash_)
    finally:
        os.close(file)
    return size, "sha256:" + hash_.hexdigest()


def _create(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise full_disk(error, path.parent) from error


def _append(file: int, batch: list[bytes], path: Path, hash_: "hashlib._Hash") -> None:
    try:
        rest = memoryview(b"".join(batch))
        hash_.update(rest)
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError as error:
        raise full_disk(error, path.parent) from error
