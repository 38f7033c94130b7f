"""How a container comes to be: the image found, everything checked that a start would find wrong, its volumes made,
the record written. What fails leaves nothing behind.
"""

import asyncio
import secrets
import shutil
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from insula.container.leases import check_networks
from insula.container.lifecycle import Container
from insula.container.linking import resolve_links
from insula.container.log_attributes import read_attributes
from insula.container.mount_point import MountPoint
from insula.container.mounting import make_mount_points, remove_made, wants_filling
from insula.container.names import make_name
from insula.container.parts import Parts
from insula.container.record import Record
from insula.container.security import parse_security
from insula.container.settings import merge_settings
from insula.container.spec import ContainerSpec


async def create_container(parts: Parts, spec: ContainerSpec) -> Container:
    """It is in the registry when this returns. Raises NotFound (image), Conflict (name), InvalidArgument,
    NotImplemented, Unavailable."""
    image = parts.images.find(spec.image, spec.platform)
    await _check_start(parts, spec, str(image.platform))
    id = secrets.token_hex(32)
    record = Record(
        id=id,
        name=spec.name or make_name(parts.registry.is_free),
        created_ns=time.time_ns(),
        spec=spec,
        settings=merge_settings(spec, image.config, id),
        image_id=image.id,
        platform=str(image.platform),
    )
    record = replace(record, links=resolve_links(parts.registry, record))
    await read_attributes(record)  # or refused here, rather than at each start
    parts.registry.reserve(record.name, id)
    try:
        return await _keep(parts, record)
    except BaseException:
        parts.registry.release(record.name, id)
        raise


async def _keep(parts: Parts, record: Record) -> Container:
    def mounts_of(reference: str) -> tuple[MountPoint, ...]:
        mounts: tuple[MountPoint, ...] = parts.registry.find(reference).record.mounts
        return mounts

    with ExitStack() as claims:
        points, made = await make_mount_points(record.spec, record.settings, parts.volumes, mounts_of, claims)
        record = replace(record, mounts=points)
        try:
            container = Container(parts, record)
            if await wants_filling(points, parts.volumes):
                await _fill(container)
            await container.save(record)
        except BaseException:
            claims.close()
            await remove_made(parts.volumes, made)
            raise
        parts.registry.add(container)
    return container


async def _fill(container: Container) -> None:
    """New volumes get the image's files, as in Docker before anybody knows of the container; what fails leaves
    nothing of it."""
    try:
        await container.file_guest.fill()
    except BaseException:
        await container.file_guest.end(at_once=True)
        await asyncio.to_thread(shutil.rmtree, container.parts.paths.container(container.id), True)
        raise


async def _check_start(parts: Parts, spec: ContainerSpec, platform: str) -> None:
    """What else would be found wrong first at the start. Raises InvalidArgument, Unavailable."""
    check_networks(spec)
    if parse_security(spec.security_opt).seccomp:
        await parts.filter(platform, spec)
    if spec.kernel:
        await parts.guests.check_kernel(platform, Path(spec.kernel))
