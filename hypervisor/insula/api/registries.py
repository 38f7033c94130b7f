"""Endpoints that speak to registries: pull, push, log-in, what a registry has, search."""

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from aiohttp.web import StreamResponse

from insula.api.call import Call, read_object
from insula.api.images import import_, read_platform, send_lines
from insula.api.router import Route
from insula.errors import InsulaError, InvalidArgument
from insula.image.reference import DEFAULT_DOMAIN, Reference, is_domain, parse_platform, parse_reference
from insula.image.registry.challenge import Credentials
from insula.image.registry.origin import HUB, HUB_INDEX
from insula.image.registry.progress import Line
from insula.image.registry.pull import Wanted
from insula.image.registry.refusal import Denied

AUTH = "X-Registry-Auth"
FIELDS = ("username", "password", "identitytoken", "registrytoken")
PLATFORMS_MAX = 64
SEARCH_DEFAULT, SEARCH_MOST = 25, 100
BAR = 50
BUILDKIT_IMAGE = "moby/buildkit"
BUILDKIT = (
    "set DOCKER_BUILDKIT=0: the client then speaks to the classic builder, which is the one that there is"
)
UNITS = ("B", "kB", "MB", "GB", "TB")


# -- credentials


def read_auth(text: str) -> Credentials:
    """An X-Registry-Auth header, in either alphabet of base64, padded or not; nobody for an empty one.

    Raises InvalidArgument."""
    try:
        raw = text.strip().rstrip("=").replace("-", "+").replace("_", "/").encode("ascii")
        document = json.loads(base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True) or b"{}")
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"invalid {AUTH} header: it is not JSON in base64url") from error
    return read_credentials({} if document is None else document)


def read_credentials(document: Any) -> Credentials:
    """Docker's AuthConfig. Raises InvalidArgument."""
    if not isinstance(document, dict):
        raise InvalidArgument("invalid credentials: they are not an object")
    fields = [document.get(name) or "" for name in FIELDS]
    if not all(isinstance(field, str) for field in fields):
        raise InvalidArgument(f"invalid credentials: {', '.join(FIELDS)} are strings")
    if any("\r" in field or "\n" in field or "\0" in field for field in fields[2:]):
        raise InvalidArgument("invalid credentials: a token has a line's end")
    return Credentials(*fields)


def caller(call: Call) -> Credentials:
    """Who asks, to the registry."""
    return read_auth(call.request.headers.get(AUTH, ""))


# -- lines


def encode_line(line: Line) -> dict[str, Any]:
    """Docker's form of a line of progress."""
    if line.aux:
        return {"progressDetail": {}, "aux": line.aux}
    document: dict[str, Any] = {"status": line.status}
    if line.total:
        document["progressDetail"] = {"current": line.current, "total": line.total}
        document["progress"] = draw_bar(line.current, line.total)
    elif line.subject and not line.status.startswith("Pulling from"):
        document["progressDetail"] = {}
    if line.subject:
        document["id"] = line.subject
    return document


def draw_bar(current: int, total: int) -> str:
    """The bar that old clients show as it is: `[====>      ]  1.2MB/3.4MB`."""
    done = min(BAR, BAR * current // total)
    return f"[{'=' * done + '>':<{BAR + 1}}] {human(current):>8}/{human(total)}"


def human(size: float) -> str:
    unit = 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size /= 1000
        unit += 1
    return f"{size:.4g}{UNITS[unit]}"


async def send(call: Call, lines: AsyncGenerator[Line, None]) -> StreamResponse:
    async def documents() -> AsyncGenerator[dict[str, Any], None]:
        async with aclosing(lines) as followed:
            async for line in followed:
                yield encode_line(line)

    return await send_lines(call, documents())


# -- endpoints


async def create(call: Call) -> StreamResponse:
    """Pull (`fromImage`), or import (`fromSrc`)."""
    image, tag = call.text("fromImage"), call.text("tag")
    if not image:
        return await import_(call)
    bare = parse_reference(image)
    named = bool(bare.digest) or ":" in image.rpartition("/")[2]
    reference = join(bare, tag) if tag else bare
    texts = [text for text in call.texts("platform") if text]
    if len(texts) > PLATFORMS_MAX:
        raise InvalidArgument(f"more than {PLATFORMS_MAX} platforms are asked for")
    platforms = tuple(parse_platform(read_platform(text) or "") for text in texts)
    wanted = Wanted(platforms, call.flag("all-platforms"))
    every = not tag and not named
    lines = call.engine.registries.pull(reference, wanted, caller(call), all_tags=every)
    return await send(call, for_buildkit(lines) if reference.path == BUILDKIT_IMAGE else lines)


async def for_buildkit(lines: AsyncGenerator[Line, None]) -> AsyncGenerator[Line, None]:
    """What a client pulls once it has found that this engine is no BuildKit, to run that in a container: if it cannot
    be had, whoever wanted to build is told what to set."""
    try:
        async with aclosing(lines) as followed:
            async for line in followed:
                yield line
    except InsulaError as error:
        raise type(error)(error.message, BUILDKIT) from error


def join(name: Reference, tag: str) -> Reference:
    """A name with a tag, or a digest, of its own. Raises InvalidArgument."""
    if tag.startswith("sha256:"):
        return parse_reference(f"{name.name}@{tag}")
    return parse_reference(f"{name.name}:{tag}")


async def push(call: Call) -> StreamResponse:
    name, tag = parse_reference(call.names["name"]), call.text("tag")
    if name.digest:
        raise InvalidArgument("cannot push a digest reference")
    named = ":" in call.names["name"].rpartition("/")[2]
    platform = read_platform(call.text("platform")) if call.version >= (1, 46) else None
    wanted = parse_platform(platform) if platform else None
    reference = join(name, tag) if tag else name
    every = not tag and not named
    return await send(call, call.engine.registries.push(reference, caller(call), wanted, all_tags=every))


async def log_in(call: Call) -> StreamResponse:
    document = read_object(await call.body())
    credentials = read_credentials(document)
    address = document.get("serveraddress") or ""
    if not isinstance(address, str):
        raise InvalidArgument("invalid credentials: serveraddress is a string")
    try:
        await call.engine.registries.log_in(registry_of(address), credentials)
    except Denied as denied:
        return call.json({"message": str(denied)}, 401)
    return call.json({"Status": "Login Succeeded", "IdentityToken": ""})


def registry_of(address: str) -> str:
    """The domain that an address means, as references have it: `https://index.docker.io/v1/`, `https://host/v2/`,
    `host:5000`. Raises InvalidArgument."""
    host = (address.partition("://")[2] if "://" in address else address).partition("/")[0]
    if host in ("", DEFAULT_DOMAIN, HUB_INDEX, HUB):
        return DEFAULT_DOMAIN
    if not is_domain(host):
        raise InvalidArgument(f"{address[:80]!r} is no registry's address", "use HOST[:PORT]")
    return host


async def describe(call: Call) -> StreamResponse:
    described = await call.engine.registries.describe(parse_reference(call.names["name"]), caller(call))
    descriptor = described.descriptor
    platforms = [
        {"architecture": p.architecture, "os": p.os} | ({"variant": p.variant} if p.variant else {})
        for p in described.platforms
    ]
    return call.json(
        {
            "Descriptor": {
                "mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size,
            },
            "Platforms": platforms,
        }
    )  # fmt: skip


async def search(call: Call) -> StreamResponse:
    most = call.integer("limit", SEARCH_DEFAULT) or SEARCH_DEFAULT
    if not 1 <= most <= SEARCH_MOST:
        raise InvalidArgument(f"limit {most} is outside the range of [1, {SEARCH_MOST}]")
    term, filters = call.text("term"), call.filters()
    if not term or len(term) > 255:
        raise InvalidArgument("the search needs a term of at most 255 letters")
    for name in filters:
        if name not in ("is-official", "is-automated", "stars"):
            raise InvalidArgument(f"invalid filter '{name[:80]}'", "use is-official, is-automated or stars")
    found = await call.engine.registries.search(term, most, caller(call))
    return call.json([result for result in found if passes(result, filters)])


def passes(result: dict[str, Any], filters: dict[str, list[str]]) -> bool:
    """Raises InvalidArgument for values that are none."""
    for name, field in (("is-official", "is_official"), ("is-automated", "is_automated")):
        for value in filters.get(name, ()):
            if value.lower() not in ("true", "false", "1", "0"):
                raise InvalidArgument(f"invalid filter '{name}={value[:40]}'", "use true or false")
            if result[field] != (value.lower() in ("true", "1")):
                return False
    for value in filters.get("stars", ()):
        if not (value.isascii() and value.isdigit() and len(value) < 10):
            raise InvalidArgument(f"invalid filter 'stars={value[:40]}'", "use a number")
        if result["star_count"] < int(value):
            return False
    return True


ROUTES = (
    Route("GET", "/images/search", search),
    Route("POST", "/images/create", create, stream=True),
    Route("POST", "/images/{name:path}/push", push, stream=True),
    Route("POST", "/auth", log_in),
    Route("GET", "/distribution/{name:path}/json", describe),
)
