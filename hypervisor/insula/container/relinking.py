"""Networks that come to a running container, and go: a device of its machine, which waited with a tap outside every
network, is put into one and given to the container; and taken back.

The record says first what is to be, with the device noted as unsettled, so that a daemon that dies in between leaves
the next one what to do (`settle`). On the way out nothing depends on the guest: its tap leaves the network whatever
it answers. Default route, published ports and the container's files of names follow; those that it has changed itself
are left alone.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from insula.container.leases import NO_LEASES, Leases, link_of
from insula.container.name_files import name_files, renew
from insula.container.networking import Joined
from insula.container.standing import Standing
from insula.errors import InsulaError
from insula.guest.guest import Guest
from insula.network.endpoint import Endpoint, EndpointSpec

log = logging.getLogger(__name__)


async def link(standing: Standing, guest: Guest, joined: Joined, wish: EndpointSpec, **spec: Any) -> None:
    """The container is on this network from now on. spec: what becomes of fields of its spec. To be called within
    `Joined.changing`. Raises InsulaError; then nothing has changed."""
    record, before = standing.record, joined.leases
    undone = {name: getattr(record.spec, name) for name in spec}
    nic = before.free_nic()
    endpoint = joined.choose(wish, record.spec, record.settings, record.name)
    joined.leases = replace(before.with_endpoint(nic, endpoint), unsettled=(nic,))
    try:
        await _record(standing, joined.leases, **spec)
        await joined.put_on(nic, endpoint, record.spec.domainname)
        await guest.session.set_link(link_of(joined.leases, nic))
    except BaseException:
        await joined.take_off(nic)
        joined.networks.release(endpoint)
        joined.leases = before
        with suppress(InsulaError):
            await guest.session.unlink(nic)
        with suppress(InsulaError):
            await _record(standing, before, **undone)
        raise
    await _follow(standing, guest, joined, before)


async def unlink(standing: Standing, guest: Guest, joined: Joined, network: Endpoint, **spec: Any) -> None:
    """The container is on this network no more. spec: as of `link`. To be called within `Joined.changing`. Raises
    InsulaError if it cannot be recorded; then nothing has changed."""
    before = joined.leases
    nic = next(nic for nic, endpoint in before.placed if endpoint == network)
    after = replace(before.without_nic(nic), unsettled=(nic,))
    undone = {name: getattr(standing.record.spec, name) for name in spec}
    try:
        await _record(standing, after, **spec)
    except InsulaError:
        with suppress(InsulaError):
            await _record(standing, before, **undone)
        raise
    joined.leases = after
    await _told(standing, guest.session.unlink(nic))
    await joined.take_off(nic)
    joined.networks.release(network)
    await _follow(standing, guest, joined, before)


async def settle(standing: Standing, guest: Guest, joined: Joined) -> None:
    """After an adoption: the guest is told what an earlier daemon may not have told it."""
    leases = joined.leases
    if not leases.unsettled:
        return
    held = dict(leases.placed)
    for nic in leases.unsettled:
        if nic not in held:
            await _told(standing, guest.session.unlink(nic))
    await _set_links(standing, guest, leases, held)
    await _settled(standing, joined)


async def _follow(standing: Standing, guest: Guest, joined: Joined, before: Leases) -> None:
    """What depends on which networks there are. What fails is told to the log: the change itself has been made."""
    after = joined.leases
    others = dict(after.placed).keys() & dict(before.placed).keys()
    changed = [nic for nic in others if link_of(after, nic).routes != link_of(before, nic).routes]
    await _set_links(standing, guest, after, changed)
    await _told(standing, joined.aim_ports())
    record, search = standing.record, joined.networks.search
    old, new = (name_files(record.spec, record.settings, leases, search) for leases in (before, after))
    await _told(standing, renew(guest.session, old, new))
    await _settled(standing, joined)


async def _set_links(standing: Standing, guest: Guest, leases: Leases, nics: Iterable[int]) -> None:
    """Those that lead out last: a default route that moves replaces the one that there is."""
    for link in sorted((link_of(leases, nic) for nic in nics), key=lambda link: len(link.routes)):
        await _told(standing, guest.session.set_link(link))


async def _settled(standing: Standing, joined: Joined) -> None:
    joined.leases = replace(joined.leases, unsettled=())
    await _told(standing, _record(standing, joined.leases))


async def _told(standing: Standing, step: Any) -> None:
    """What comes after the change itself."""
    try:
        await step
    except InsulaError as error:
        log.warning("container %s: its networks have changed, but: %s", standing.id[:12], error)


async def _record(standing: Standing, leases: Leases, **spec: Any) -> None:
    """A run that has ended meanwhile has no leases any more."""
    record = standing.record
    held = leases if record.guest is not None else NO_LEASES
    await standing.change(spec=replace(record.spec, **spec), leases=held)
