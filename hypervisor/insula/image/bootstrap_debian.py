"""The first stage of `insula bootstrap debian`: Debian's essential packages, extracted and not yet configured.

mmdebstrap downloads (signatures checked) and extracts them for any architecture without running one of their
programs. The maintainer scripts are the second stage: SECOND_STAGE, run as root in a container of the first
stage's image, in a machine of its own platform, with no network. What that container's files then are is
imported as debian:bookworm. Refused: platforms that Debian has no packages for.
"""

import os
from pathlib import Path

from insula.errors import Unavailable
from insula.image.blobs import STAGING_PREFIX
from insula.image.bootstrap import DEBIAN as ARCHITECTURES
from insula.image.bootstrap import SUITE
from insula.image.change import Change
from insula.image.record import Image
from insula.image.reference import ImagePlatform, parse_platform
from insula.image.store import ImageStore
from insula.packages import KEYRING, find_mirror
from insula.paths import Paths
from insula.process import run, tool
from insula.thread import in_thread

DEBIAN = f"debian:{SUITE}"
SECONDS = 1200.0
HOOKS = "/usr/share/mmdebstrap/hooks/merged-usr"

SECOND_STAGE = """\
set -eu
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true LC_ALL=C.UTF-8
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
dpkg --force-depends --install /var/cache/apt/archives/*.deb
dpkg --configure -a
rm -rf /var/cache/apt/archives/*.deb /var/cache/apt/*.bin /var/log/dpkg.log /var/log/bootstrap.log
find /var/lib/apt/lists /var/log/apt -type f -delete
dpkg --audit
"""
"""Run by `/bin/sh -c` as root; ends with status 0 when every package is configured."""

FINISHED = ('CMD ["bash"]', "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")


def make_debian_change(platform: ImagePlatform) -> Change:
    """What the finished root file system is imported as: debian:bookworm, beside its other platforms."""
    return Change(DEBIAN, str(platform), "insula bootstrap debian", FINISHED, beside=True)


def debian_architecture(platform: ImagePlatform) -> str:
    """Debian's name for it. Raises Unavailable for what this suite is not made for."""
    architecture, suite = ARCHITECTURES.get(str(platform), ("", ""))
    if suite != SUITE:
        raise Unavailable(f"Debian {SUITE} is not made for {platform}")
    return architecture


async def bootstrap_first_stage(store: ImageStore, paths: Paths, platform: str) -> Image:
    """The first stage's image, tagged insula/debian-first-stage:ARCHITECTURE. Raises Unavailable."""
    wanted = parse_platform(platform)
    architecture = debian_architecture(wanted)
    archive = paths.staging / f"{STAGING_PREFIX}debian-{wanted.architecture}-{os.getpid()}.tar"
    try:
        await _extract(paths, architecture, archive)
        change = Change(
            f"insula/debian-first-stage:{wanted.architecture}", str(wanted), "first stage", FINISHED
        )
        return await store.import_file(archive, change)
    finally:
        await in_thread(archive.unlink, missing_ok=True)


async def _extract(paths: Paths, architecture: str, archive: Path) -> None:
    mirror = await find_mirror(paths)
    sources = [f"deb [signed-by={KEYRING}] {mirror.archive} {SUITE} main"]
    if mirror.security:
        sources.append(f"deb [signed-by={KEYRING}] {mirror.security} {SUITE}-security main")
    argv = [
        tool("mmdebstrap"), "--quiet", f"--mode={'root' if os.geteuid() == 0 else 'unshare'}", "--variant=extract",
        f"--architectures={architecture}", "--include=?essential", "--include=apt,base-passwd,libc-bin,mawk",
        f"--hook-dir={HOOKS}", "--skip=cleanup/apt,output/dev", "--format=tar", SUITE, str(archive), *sources,
    ]  # fmt: skip
    finished = await run(argv, timeout=SECONDS, check=False)
    if finished.status != 0:
        said = finished.stderr[-500:].decode(errors="replace").strip().replace("\n", "; ")
        raise Unavailable(f"mmdebstrap made no first stage for {architecture}: {said}")
