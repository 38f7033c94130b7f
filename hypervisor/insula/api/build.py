"""`POST /build`: the classic builder's query and stream; `POST /build/prune`, `POST /build/cancel`; and what a
client of BuildKit is told. Decides nothing.

The stream begins with the first thing that there is to say: what is wrong before it is a status, after it a line.
Each parameter that Docker has is read, or refused by name; none is passed over.
"""

import base64
import json
from typing import Any

from aiohttp.web import StreamResponse

from insula import errors
from insula.api.call import JSON_TYPE, Call, kind_of, read_object
from insula.api.filters import check_known, read_flag
from insula.api.images import read_platform
from insula.api.moments import parse_moment
from insula.api.registries import BUILDKIT, read_credentials, registry_of
from insula.api.router import Route
from insula.build.cache_prune import CacheFilter
from insula.build.options import BuildOptions
from insula.build.stage_machine import StepFailed
from insula.container.spec_limits import Ulimit
from insula.errors import InsulaError, InvalidArgument
from insula.image.registry.challenge import Credentials

CREDENTIALS_HEADER = "X-Registry-Config"
CREDENTIALS_MAX = 100
SECRETS_HEADER = "X-Insula-Build-Secrets"
AGENTS_HEADER = "X-Insula-Build-Ssh"
REFUSED = {
    "outputs": f"outputs belong to BuildKit: {BUILDKIT}",
    "session": f"sessions belong to BuildKit: {BUILDKIT}",
    "cgroupparent": "a cgroup of the host cannot be had: a machine has its own",
}
PRUNE_FILTERS = ("unused-for", "until", "id", "parent", "type", "description", "inuse", "shared", "private")


def read_options(call: Call) -> BuildOptions:
    """Raises InvalidArgument, NotImplemented."""
    for name, why in REFUSED.items():
        value = call.text(name)
        if value and value not in ("null", "[]"):
            raise errors.NotImplemented(why)
    if call.text("version") == "2":
        raise errors.NotImplemented("BuildKit's builder is not there", BUILDKIT)
    return BuildOptions(
        dockerfile=call.text("dockerfile"),
        remote=call.text("remote"),
        tags=tuple(dict.fromkeys(tag for tag in call.texts("t") if tag)),
        target=call.text("target"),
        arguments=_texts(call, "buildargs", optional=True),
        labels={name: value or "" for name, value in _texts(call, "labels").items()},
        no_cache=call.flag("nocache"),
        caches=tuple(_list(call, "cachefrom")),
        pull=call.flag("pull"),
        quiet=call.flag("q"),
        squash=call.flag("squash"),
        platforms=_platforms(call.text("platform")),
        network=call.text("networkmode"),
        hosts=tuple(call.texts("extrahosts")),
        memory=_number(call, "memory"),
        memory_swap=_number(call, "memswap"),
        cpu_shares=_number(call, "cpushares"),
        cpu_period=_number(call, "cpuperiod"),
        cpu_quota=_number(call, "cpuquota"),
        cpuset_cpus=call.text("cpusetcpus"),
        cpuset_mems=call.text("cpusetmems"),
        shm_size=_number(call, "shmsize"),
        ulimits=tuple(_ulimit(item) for item in _list(call, "ulimits", of=dict)),
        security_opt=tuple(_list(call, "securityopt")),
        isolation=call.text("isolation"),
        credentials=_credentials(call.request.headers.get(CREDENTIALS_HEADER, "")),
        secrets=_secrets(call.request.headers.get(SECRETS_HEADER, "")),
        agents=_agents(call.request.headers.get(AGENTS_HEADER, "")),
        id=call.text("buildid"),
    )


def _platforms(text: str) -> tuple[str, ...]:
    """One as clients send it, or several with commas between them, which is Insula's own."""
    if text.startswith("{"):
        return (read_platform(text) or "",)
    return tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))


def _number(call: Call, name: str) -> int:
    return call.integer(name, 0) or 0


def _json(call: Call, name: str) -> Any:
    text = call.text(name)
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"error reading {name}: it is not JSON") from error


def _texts(call: Call, name: str, *, optional: bool = False) -> dict[str, str | None]:
    """A JSON object of strings. optional: some may be null."""
    value = _json(call, name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidArgument(f"error reading {name}: {kind_of(value)} instead of an object")
    for item in value.values():
        if not isinstance(item, str) and not (optional and item is None):
            raise InvalidArgument(f"error reading {name}: {kind_of(item)} instead of a string")
    return value


def _list(call: Call, name: str, of: type = str) -> list[Any]:
    value = _json(call, name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, of) for item in value):
        raise InvalidArgument(f"error reading {name}: it is no list of that kind")
    return value


def _ulimit(item: dict[str, Any]) -> Ulimit:
    name, soft, hard = item.get("Name"), item.get("Soft"), item.get("Hard")
    if not isinstance(name, str) or type(soft) is not int or type(hard) is not int:
        raise InvalidArgument("error reading ulimits: each has a Name, a Soft and a Hard")
    return Ulimit(name, soft, hard)


def _credentials(text: str) -> dict[str, Credentials]:
    """By the registry's domain: base64url of a JSON object, a registry's address to Docker's AuthConfig."""
    if not text:
        return {}
    try:
        document = read_object(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError as error:
        raise InvalidArgument(f"the header {CREDENTIALS_HEADER} cannot be read") from error
    if len(document) > CREDENTIALS_MAX:
        raise InvalidArgument(f"the header {CREDENTIALS_HEADER} has more than {CREDENTIALS_MAX} registries")
    return {registry_of(address): read_credentials(item) for address, item in document.items()}


def _secrets(text: str) -> dict[str, bytes]:
    """By id, of Insula's own command: base64 of a JSON object of base64."""
    if not text:
        return {}
    try:
        document = read_object(base64.b64decode(text, validate=True))
        return {str(id): base64.b64decode(value, validate=True) for id, value in document.items()}
    except (ValueError, TypeError, InsulaError) as error:
        raise InvalidArgument(f"the header {SECRETS_HEADER} cannot be read") from error


def _agents(text: str) -> dict[str, str]:
    """By id, of Insula's own command: base64 of a JSON object, ids to paths of sockets on this host. Whoever may
    speak to the daemon may mount any socket that it can use."""
    if not text:
        return {}
    try:
        document = read_object(base64.b64decode(text, validate=True))
    except (ValueError, InsulaError) as error:
        raise InvalidArgument(f"the header {AGENTS_HEADER} cannot be read") from error
    if not all(isinstance(path, str) for path in document.values()):
        raise InvalidArgument(f"the header {AGENTS_HEADER} has something else than paths")
    return {str(id): path for id, path in document.items()}


class _Stream:
    """The answer, which begins with its first line."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.response: StreamResponse | None = None

    async def send(self, line: dict[str, Any]) -> None:
        if self.response is None:
            self.response = await self._call.stream(JSON_TYPE)
        await self.response.write(json.dumps(line).encode() + b"\r\n")


async def build(call: Call) -> StreamResponse:
    """A client that goes away ends the build."""
    options = read_options(call)
    stream = _Stream(call)
    try:
        await call.engine.builds.build(options, call.chunks(), stream.send)
    except InsulaError as error:
        if stream.response is None:
            raise
        detail: dict[str, Any] = {"message": str(error)}
        if isinstance(error, StepFailed):
            detail = {"code": error.code, "message": error.message}
        await stream.send({"errorDetail": detail, "error": detail["message"]})
    assert stream.response is not None
    return stream.response


def _cache_filter(call: Call) -> CacheFilter:
    """Raises InvalidArgument, NotImplemented."""
    filters = call.filters()
    check_known(filters, PRUNE_FILTERS)
    for name in ("max-used-space", "min-free-space"):
        if _number(call, name):
            raise errors.NotImplemented(f"build prune with {name} is not there yet", "use reserved-space")
    until = [*filters.get("until", ()), *filters.get("unused-for", ())]
    if len(until) > 1:
        raise InvalidArgument("more than one until filter specified")
    shared, private = read_flag(filters, "shared"), read_flag(filters, "private")
    if private is not None:
        if shared is not None and shared == private:
            raise InvalidArgument("the filters shared and private exclude each other")
        shared = not private
    return CacheFilter(
        until_ns=parse_moment(until[0]) if until else 0,
        ids=tuple(filters.get("id", ())),
        parents=tuple(filters.get("parent", ())),
        kinds=tuple(filters.get("type", ())),
        descriptions=tuple(filters.get("description", ())),
        in_use=read_flag(filters, "inuse"),
        shared=shared,
        keep=_number(call, "keep-storage") or _number(call, "reserved-space"),
    )


async def prune(call: Call) -> StreamResponse:
    pruned = await call.engine.builds.prune(_cache_filter(call), every=call.flag("all"))
    return call.json({"CachesDeleted": list(pruned.ids) or None, "SpaceReclaimed": pruned.reclaimed})


async def cancel(call: Call) -> StreamResponse:
    id = call.text("id")
    if not id:
        raise InvalidArgument("build ID not provided")
    await call.engine.builds.cancel(id)
    return call.empty(204)


async def no_session(call: Call) -> StreamResponse:
    raise errors.NotImplemented("sessions of BuildKit are not there", BUILDKIT)


ROUTES = (
    Route("POST", "/build", build, stream=True),
    Route("POST", "/build/prune", prune),
    Route("POST", "/build/cancel", cancel),
    Route("POST", "/session", no_session),
    Route("POST", "/grpc", no_session),
)
