"""Endpoints of a container's files: archives out of it and into it, what has changed, all of it. Decides nothing."""

import asyncio
import base64
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import aclosing

from aiohttp.web import Response, StreamResponse

from insula.api.call import Call
from insula.api.fields import CONFIG
from insula.api.moments import BILLION, format_ns
from insula.api.router import Route
from insula.api.typed import read_section
from insula.container.commit import Commit
from insula.container.files import Extraction
from insula.container.path_stat import FileKind, PathStat
from insula.errors import InvalidArgument

TAR = "application/x-tar"
STAT_HEADER = "X-Docker-Container-Path-Stat"
GZIP_LEVEL = 1  # over a local socket time counts for more than size
GZIP = 16 + zlib.MAX_WBITS

TIME_MIN, TIME_MAX = -30_610_224_000 * BILLION, 253_402_300_799 * BILLION  # years of four digits

GO_KINDS = {
    FileKind.DIRECTORY: 1 << 31,
    FileKind.SYMBOLIC_LINK: 1 << 27,
    FileKind.BLOCK_DEVICE: 1 << 26,
    FileKind.CHARACTER_DEVICE: 1 << 26 | 1 << 21,
    FileKind.FIFO: 1 << 25,
    FileKind.SOCKET: 1 << 24,
}
GO_BITS = {0o4000: 1 << 23, 0o2000: 1 << 22, 0o1000: 1 << 20}


def go_mode(stat: PathStat) -> int:
    """As Go's os.FileMode has it."""
    bits = sum(bit for mode, bit in GO_BITS.items() if stat.mode & mode)
    return GO_KINDS.get(stat.kind, 0) | bits | stat.mode & 0o777


def encode_stat(stat: PathStat) -> dict[str, str]:
    """The header that tells what a path is."""
    document = {
        "name": stat.name,
        "size": stat.size,
        "mode": go_mode(stat),
        "mtime": format_mtime(stat.mtime_ns),
        "linkTarget": stat.link_target,
    }
    text = json.dumps(document, ensure_ascii=False)
    return {STAT_HEADER: base64.b64encode(text.encode(errors="replace")).decode()}


def format_mtime(mtime_ns: int) -> str:
    """A file's time is whatever somebody has set it to: what no date can be is the nearest one."""
    bounded = max(TIME_MIN, min(TIME_MAX, mtime_ns))
    return format_ns(bounded) if bounded else "1970-01-01T00:00:00Z"


def path_of(call: Call) -> str:
    """Raises InvalidArgument."""
    path = call.text("path")
    if not path:
        raise InvalidArgument("missing parameter in container path: path")
    return path


async def stat(call: Call) -> StreamResponse:
    found = await call.engine.containers.files.stat(call.names["id"], path_of(call))
    return Response(headers=encode_stat(found))


async def get(call: Call) -> StreamResponse:
    async with call.engine.containers.files.archive(call.names["id"], path_of(call)) as archive:
        headers, tar = encode_stat(archive.stat), archive.tar
        if not takes_gzip(call.request.headers.get("Accept-Encoding", "")):
            return await send(call, tar, headers)
        async with aclosing(compressed(tar)) as smaller:  # type: ignore[type-var]  # a generator
            return await send(call, smaller, {**headers, "Content-Encoding": "gzip"})


async def put(call: Call) -> StreamResponse:
    wanted = Extraction(
        path_of(call),
        keep_directories=call.flag("noOverwriteDirNonDir"),
        owned=call.flag("copyUIDGID"),
    )
    await call.engine.containers.files.extract(call.names["id"], wanted, call.chunks())
    return call.empty(200)


async def export(call: Call) -> StreamResponse:
    async with call.engine.containers.files.export(call.names["id"]) as tar:
        return await send(call, tar, {}, "application/octet-stream")


async def changes(call: Call) -> StreamResponse:
    """None at all is null, as in Docker."""
    found = await call.engine.containers.files.changes(call.names["id"])
    return call.json([{"Path": change.path, "Kind": change.kind} for change in found] or None)


async def commit(call: Call) -> StreamResponse:
    repository, tag = call.text("repo"), call.text("tag")
    document = await call.document(required=False)
    warnings: list[str] = []
    config = read_section("Config", CONFIG, document, warnings)
    wanted = Commit(
        f"{repository}:{tag}" if repository and tag else repository,
        author=call.text("author"),
        message=call.text("comment"),
        pause=call.flag("pause", default=True),
        changes=tuple(line for text in call.texts("changes") for line in text.splitlines() if line.strip()),
        config=config,
    )
    return call.json({"Id": await call.engine.containers.files.commit(call.text("container"), wanted)}, 201)


async def send(
    call: Call, data: AsyncIterator[bytes], headers: dict[str, str], media: str = TAR
) -> StreamResponse:
    response = await call.stream(media, headers)
    async for piece in data:
        await response.write(piece)
    return response


def takes_gzip(accepted: str) -> bool:
    """Whether a client's Accept-Encoding names it, and not to refuse it."""
    for item in accepted.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        if name == "gzip":
            return not any(p.startswith("q=") and not p[2:].strip("0.") for p in parameters)
    return False


async def compressed(data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP)
    async for piece in data:
        if smaller := await asyncio.to_thread(packer.compress, piece):
            yield smaller
    yield packer.flush()


ROUTES = (
    Route("HEAD", "/containers/{id:path}/archive", stat),
    Route("GET", "/containers/{id:path}/archive", get, stream=True),
    Route("PUT", "/containers/{id:path}/archive", put, stream=True),
    Route("GET", "/containers/{id:path}/changes", changes, stream=True),
    Route("GET", "/containers/{id:path}/export", export, stream=True),
    Route("POST", "/commit", commit),
)
