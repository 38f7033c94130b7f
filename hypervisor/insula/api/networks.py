"""Endpoints of networks."""

import asyncio
from typing import Any

from aiohttp.web import StreamResponse

from insula.api.call import Call
from insula.api.decode_network import decode_endpoint, decode_network
from insula.api.encode_network import NONE_ID, encode_network, none_network
from insula.api.fields import ENDPOINT
from insula.api.filters import has_label
from insula.api.moments import parse_moment
from insula.api.router import Route
from insula.api.typed import check, read_section
from insula.errors import Forbidden, InvalidArgument
from insula.network.endpoint import Endpoint
from insula.network.host import host_subnets
from insula.network.network import DEFAULT, NONE, Network

FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")
PRUNE_FILTERS = ("label", "label!", "until")


async def list_(call: Call) -> StreamResponse:
    filters = call.filters()
    for name in filters:
        if name not in FILTERS:
            raise InvalidArgument(f"invalid filter '{name[:80]}'")
    found = [encode_network(network, {}, call.version) for network in call.engine.networks.all()]
    return call.json([document for document in [*found, none_network()] if takes(document, filters, call)])


def takes(document: dict[str, Any], filters: dict[str, list[str]], call: Call) -> bool:
    """OR within a key but for labels, AND across keys."""
    for name, values in filters.items():
        if not values:
            continue
        if name == "label":
            if not all(has_label(document["Labels"] or {}, value) for value in values):
                return False
        elif name == "dangling":
            if is_dangling(document, call) != (read_bool(values[0])):
                return False
        elif name == "type":
            if kind_of_network(document) not in check_types(values):
                return False
        elif not any(matches(document, name, value) for value in values):
            return False
    return True


def matches(document: dict[str, Any], name: str, value: str) -> bool:
    if name == "id":
        return str(document["Id"]).startswith(value)
    return value in document["Name"] if name == "name" else bool(document[name.capitalize()] == value)


def kind_of_network(document: dict[str, Any]) -> str:
    return "builtin" if document["Name"] in (DEFAULT, NONE) else "custom"


def check_types(values: list[str]) -> list[str]:
    for value in values:
        if value not in ("builtin", "custom"):
            raise InvalidArgument(f"invalid filter: 'type'='{value[:40]}'")
    return values


def read_bool(text: str) -> bool:
    if text.lower() not in ("1", "true", "0", "false"):
        raise InvalidArgument(f"invalid filter 'dangling=[{text[:40]}]'")
    return text.lower() in ("1", "true")


def is_dangling(document: dict[str, Any], call: Call) -> bool:
    if kind_of_network(document) == "builtin":
        return False
    network = call.engine.networks.find(document["Id"])
    return not call.engine.networks.members(network)


async def inspect(call: Call) -> StreamResponse:
    if call.names["id"] in (NONE, NONE_ID):
        return call.json(none_network())
    network = call.engine.networks.find(call.names["id"])
    return call.json(encode_network(network, named_members(call, network), call.version))


def named_members(call: Call, network: Network) -> dict[str, tuple[str, Endpoint]]:
    members = call.engine.networks.members(network)
    names = {view.id: view.name for view in call.engine.containers.list() if view.id in members}
    return {id: (names.get(id, ""), endpoint) for id, endpoint in members.items()}


async def create(call: Call) -> StreamResponse:
    spec = decode_network(await call.document())
    network = await call.engine.networks.create(spec, await asyncio.to_thread(host_subnets))
    return call.json({"Id": network.id, "Warning": ""}, 201)


async def remove(call: Call) -> StreamResponse:
    if call.names["id"] in (NONE, NONE_ID):
        raise Forbidden(f"{NONE} is a pre-defined network and cannot be removed")
    await call.engine.networks.remove(call.names["id"])
    return call.empty()


async def prune(call: Call) -> StreamResponse:
    filters = call.filters()
    for name in filters:
        if name not in PRUNE_FILTERS:
            raise InvalidArgument(f"invalid filter '{name[:80]}'")
    until = parse_moment((filters.get("until") or [""])[0])
    chosen = [
        network.id
        for network in call.engine.networks.all()
        if (not until or network.created_ns < until)
        and all(has_label(network.spec.labels, label) for label in filters.get("label", ()))
        and not any(has_label(network.spec.labels, label) for label in filters.get("label!", ()))
    ]
    removed = await call.engine.networks.prune((), chosen)
    return call.json({"NetworksDeleted": removed or None})


async def connect(call: Call) -> StreamResponse:
    document = await call.document()
    check("NetworkConnect.Container", "string", document.get("Container"))
    check("NetworkConnect.EndpointConfig", "object", document.get("EndpointConfig"))
    warnings: list[str] = []
    settings = read_section("EndpointSettings", ENDPOINT, document.get("EndpointConfig") or {}, warnings)
    view = call.engine.containers.inspect(document.get("Container") or "")
    if call.names["id"] in (NONE, NONE_ID):
        await call.engine.containers.connect_none(view.id)
        return call.empty(200)
    network = call.engine.networks.find(call.names["id"])
    wish = decode_endpoint(network.name, settings)
    await call.engine.containers.connect(view.id, wish, (network.name, network.id))
    return call.empty(200)


async def disconnect(call: Call) -> StreamResponse:
    document = await call.document()
    check("NetworkDisconnect.Container", "string", document.get("Container"))
    check("NetworkDisconnect.Force", "bool", document.get("Force"))
    view = call.engine.containers.inspect(document.get("Container") or "")
    if call.names["id"] in (NONE, NONE_ID):
        await call.engine.containers.disconnect_none(view.id)
        return call.empty(200)
    network = call.engine.networks.find(call.names["id"])
    await call.engine.containers.disconnect(view.id, (network.name, network.id))
    return call.empty(200)


ROUTES = (
    Route("GET", "/networks", list_),
    Route("GET", "/networks/", list_),
    Route("POST", "/networks/create", create),
    Route("POST", "/networks/prune", prune),
    Route("GET", "/networks/{id}", inspect),
    Route("DELETE", "/networks/{id}", remove),
    Route("POST", "/networks/{id}/connect", connect),
    Route("POST", "/networks/{id}/disconnect", disconnect),
)
