"""Which networks a container is on from its next start: changed while it does not run. A running one is refused, for
no network device comes to or goes from a running machine yet."""

from dataclasses import replace

from insula.container.leases import wishes
from insula.container.lifecycle import Container
from insula.errors import Conflict, Forbidden, InvalidArgument
from insula.network.endpoint import EndpointSpec
from insula.network.network import NONE


async def connect(container: Container, wish: EndpointSpec) -> None:
    """Raises Conflict if it runs, InvalidArgument, Forbidden if it is on it already."""
    _check_stopped(container)
    spec = container.record.spec
    if spec.network_mode == NONE:
        raise InvalidArgument(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode"
        )
    if wish.network in (known.network for known in wishes(spec)):
        raise Forbidden(
            f"endpoint with name {container.record.name} already exists in network {wish.network}"
        )
    await container.change(spec=replace(spec, endpoints=(*spec.endpoints, wish)))


async def disconnect(container: Container, names: tuple[str, ...]) -> None:
    """Raises Conflict if it runs, Forbidden if it is not on the network of these names."""
    _check_stopped(container)
    spec = container.record.spec
    left = tuple(wish for wish in wishes(spec) if wish.network not in names)
    if len(left) == len(wishes(spec)):
        raise Forbidden(f"container {container.id} is not connected to network {names[0]}")
    mode = left[0].network if left else NONE
    await container.change(spec=replace(spec, endpoints=left, network_mode=mode))


def _check_stopped(container: Container) -> None:
    if container.is_live:
        raise Conflict(f"container {container.id[:12]} is running")
