"""`insula bootstrap debian`: its second stage, in a machine of each platform, with no root on this host.

    first stage (image/bootstrap_debian.py) → container of it → tar on its standard output → debian:bookworm

The container has no network, no log, and goes with its exit; the interim image goes after it, whatever happens.
The tar is an archive from a guest, so it is imported as any user's is. Refused: a second stage that ends with
another status than 0, takes longer than SECONDS, or writes more than an import may hold.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

from insula.container.attach import AttachRequest
from insula.container.containers import Containers
from insula.container.spec import ContainerSpec
from insula.errors import InsulaError, NotFound, Unavailable
from insula.image.bootstrap import SUITE
from insula.image.bootstrap_debian import (
    DEBIAN,
    SECOND_STAGE,
    bootstrap_first_stage,
    debian_architecture,
    make_debian_change,
)
from insula.image.record import Image
from insula.image.reference import ImagePlatform, parse_platform
from insula.image.store import ImageStore
from insula.paths import Paths

PLATFORMS = ("linux/amd64", "linux/arm64")
SECONDS = 3600.0
STDERR_KEPT = 8192
STDERR_SHOWN = 500
STDOUT = 1
UNSYNCED = ("DPKG_FORCE=unsafe-io",)  # the container's disk goes with it: nothing on it needs to be synced

# What the programs say goes to stderr: stdout is the archive's alone. The second stage runs in a shell of its
# own, so that its `set` and `export` end with it. Left out is what the guest gives every container; what lies
# below its mounts is empty folders, in place of mount points that change while they are read. A layer without
# extended attributes has none to list: tar's warning for each of its folders would drown what is worth keeping.
SCRIPT = """\
exec 3>&1 1>&2
/bin/sh -c "$1" || exit
cd /
own=run/insula-bootstrap
mkdir -p $own/below/proc $own/below/sys $own/below/dev && chmod 755 $own/below/* || exit
tar --create --numeric-owner --xattrs --one-file-system --sort=name \\
    --exclude=./proc --exclude=./sys --exclude=./dev --exclude=./.dockerenv --exclude=./$own \\
    --exclude=./etc/hostname --exclude=./etc/hosts --exclude=./etc/resolv.conf \\
    --file=- . -C /$own/below dev proc sys >&3 2>$own/said
status=$?
grep -v 'listxattr[at]*: Operation not supported' $own/said
exit $status
"""

log = logging.getLogger(__name__)


async def bootstrap_debian(
    containers: Containers, images: ImageStore, paths: Paths, platforms: Sequence[str] = PLATFORMS
) -> AsyncGenerator[str, None]:
    """Makes debian:bookworm for some platforms, one after the other, and yields what it does.

    Raises InvalidArgument, Unavailable."""
    wanted = dict.fromkeys(parse_platform(platform) for platform in platforms)
    for platform in wanted:
        debian_architecture(platform)  # before minutes are spent on the others
    for platform in wanted:
        yield f"Getting and extracting Debian {SUITE}'s essential packages for {platform}"
        first = await bootstrap_first_stage(images, paths, str(platform))
        try:
            yield f"Configuring them in a machine of {platform}"
            made = await import_second_stage(containers, images, first, platform)
        finally:
            await _remove_interim(containers, images, first)
        yield f"Made {DEBIAN} for {made.platform} ({made.id[7:19]})"


async def import_second_stage(
    containers: Containers, images: ImageStore, first: Image, platform: ImagePlatform
) -> Image:
    """The image of what a first stage's container has become. Raises Unavailable, InvalidArgument."""
    try:
        async with (
            asyncio.timeout(SECONDS),
            aclosing(read_second_stage(containers, first, SECOND_STAGE)) as archive,
        ):
            return await images.import_(archive, make_debian_change(platform))
    except TimeoutError as error:
        raise Unavailable(
            f"the second stage of {DEBIAN} for {platform} took more than {SECONDS} s"
        ) from error


async def read_second_stage(containers: Containers, first: Image, script: str) -> AsyncGenerator[bytes, None]:
    """Runs a script in a container of an image, and gives the tar of its files then. The container is gone when
    this ends. Raises Unavailable at the end if anything in it has failed: the archive is then not to be used."""
    spec = ContainerSpec(
        image=first.id, platform=str(first.platform), entrypoint=("/bin/sh",), cmd=("-c", SCRIPT, "sh", script),
        user="0:0", env=UNSYNCED, attach_stdout=True, attach_stderr=True, auto_remove=True, network_mode="none",
        log_driver="none",
    )  # fmt: skip
    id = (await containers.create(spec)).id
    said = bytearray()
    try:
        async with containers.attach(id, AttachRequest(stdout=True, stderr=True)) as attachment:
            exit = asyncio.ensure_future(containers.wait(id, "next-exit"))
            try:
                await containers.start(id)
                async for stream, data in attachment.output():
                    if stream == STDOUT:
                        yield data
                    else:
                        said += data
                        del said[:-STDERR_KEPT]
                result = await exit
            finally:
                exit.cancel()
        if result.exit_code != 0 or result.error:
            raise _failed(first, result.exit_code, result.error, bytes(said))
    finally:
        with suppress(NotFound):  # it has gone with its exit
            await containers.remove(id, force=True)


def _failed(first: Image, status: int, error: str, said: bytes) -> Unavailable:
    lines = said.decode(errors="replace").strip().replace("\n", "; ")
    shown = "".join(char if char.isprintable() else " " for char in lines)[-STDERR_SHOWN:]
    return Unavailable(
        f"the second stage of {DEBIAN} for {first.platform} ended with status {status}: {error or shown}"
    )


async def _remove_interim(containers: Containers, images: ImageStore, first: Image) -> None:
    """Somebody else may have taken it away, or may use it: neither is this one's failure."""
    try:
        await images.remove(first.id, force=True, in_use=containers.images_in_use())
    except InsulaError as error:
        log.warning("the interim image %s stays: %s", first.id[7:19], error)
