"""`docker network connect` and `disconnect`: which networks a container is on, at once if it runs (relinking.py), and
from its next start on."""

import logging
from dataclasses import replace

from insula.container.leases import check_networks, is_private, proper, wishes
from insula.container.lifecycle import Container
from insula.container.relinking import link, unlink
from insula.container.spec import ContainerSpec
from insula.container.state import Move, Status
from insula.errors import Forbidden, InsulaError, InvalidArgument, NotFound
from insula.network.endpoint import Endpoint, EndpointSpec
from insula.network.network import NONE

log = logging.getLogger(__name__)

PRIVATE = "container cannot be connected to multiple networks with one of the networks in private (none) mode"


async def connect(container: Container, wish: EndpointSpec, names: tuple[str, ...]) -> None:
    """names: the network's name and id. Raises Conflict if it is paused or ends, InvalidArgument, Forbidden if it has
    it already."""
    await container.settled()
    container.check(Move.NETWORK)
    if container.status is Status.RUNNING:
        running = container.handles(Move.NETWORK)
        with container.pausing.sending():  # it is not paused meanwhile
            async with running.joined.changing():
                endpoints = with_network(container, wish, names)
                await link(container, running.guest, running.joined, wish, endpoints=endpoints)
    else:
        container.parts.networks.check(wish)
        spec = replace(container.record.spec, endpoints=with_network(container, wish, names))
        check_networks(spec)
        await container.change(spec=spec)


async def disconnect(container: Container, names: tuple[str, ...]) -> None:
    """names: the network's name and id. Raises Conflict if it is paused or ends, Forbidden if it is not on it."""
    await container.settled()
    container.check(Move.NETWORK)
    if container.status is Status.RUNNING:
        running = container.handles(Move.NETWORK)
        with container.pausing.sending():
            async with running.joined.changing():
                endpoint = _held(container, running.joined.leases.endpoints, names)
                spec = without_network(container, (*names, endpoint.network))
                await unlink(
                    container,
                    running.guest,
                    running.joined,
                    endpoint,
                    endpoints=spec.endpoints,
                    left_mode=spec.left_mode,
                )
    else:
        await container.change(spec=without_network(container, names))


async def connect_none(container: Container) -> None:
    """The network `none`, which is to have no other. Raises InvalidArgument if it has one, Forbidden if it is on it,
    Conflict if it ends."""
    await container.settled()
    container.check(Move.NETWORK)
    spec = container.record.spec
    if is_private(spec):
        raise Forbidden(f"endpoint with name {container.record.name} already exists in network {NONE}")
    if wishes(spec):
        raise InvalidArgument(PRIVATE)
    await container.change(spec=replace(spec, network_mode=NONE, left_mode=False))


async def disconnect_none(container: Container) -> None:
    """Then it may be connected to others. Raises Forbidden if it is not on it, Conflict if it ends."""
    await container.settled()
    container.check(Move.NETWORK)
    if not is_private(container.record.spec):
        raise _absent(container, (NONE,))
    await container.change(spec=replace(container.record.spec, left_mode=True))


async def renamed(container: Container, old: str) -> None:
    """Others find a running container by its new name. What fails is told to the log."""
    if container.running is None:
        return
    joined, record = container.running.joined, container.record
    try:
        async with joined.changing():
            await joined.rename(old, record.name, record.spec.domainname)
            if container.record.guest is not None:
                await container.change(leases=joined.leases)
    except InsulaError as error:
        log.warning("container %s: others may find it by its former name: %s", container.id[:12], error)


async def unlink_alias(container: Container, alias: str) -> None:
    """Raises NotFound if it has no such link."""
    links = container.record.links
    left = tuple(link for link in links if link[1] != alias)
    if not alias or left == links:
        raise NotFound(f"No such link: /{container.record.name}/{alias[:80]}")
    await container.change(links=left)


def with_network(
    container: Container, wish: EndpointSpec, names: tuple[str, ...]
) -> tuple[EndpointSpec, ...]:
    """The endpoints of its spec, and this one. Raises InvalidArgument, Forbidden."""
    spec = container.record.spec
    if is_private(spec):
        raise InvalidArgument(PRIVATE)
    if any(known.network in names for known in wishes(spec)):
        raise Forbidden(
            f"endpoint with name {container.record.name} already exists in network {wish.network}"
        )
    return (*spec.endpoints, wish)


def without_network(container: Container, names: tuple[str, ...]) -> ContainerSpec:
    """Raises Forbidden if it is on no network of these names."""
    spec = container.record.spec
    left = tuple(wish for wish in wishes(spec) if wish.network not in names)
    if len(left) == len(wishes(spec)):
        raise _absent(container, names)
    left_mode = spec.left_mode or proper(spec.network_mode) in names
    return replace(spec, endpoints=left, left_mode=left_mode)


def _held(container: Container, endpoints: tuple[Endpoint, ...], names: tuple[str, ...]) -> Endpoint:
    for endpoint in endpoints:
        if endpoint.network in names or endpoint.network_id in names:
            return endpoint
    raise _absent(container, names)


def _absent(container: Container, names: tuple[str, ...]) -> Forbidden:
    return Forbidden(f"container {container.id} is not connected to network {names[0]}")
