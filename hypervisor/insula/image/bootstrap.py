"""`insula bootstrap busybox`: an image out of Debian's busybox-static, for each platform, with no root.

The package's archive is read member by member, never unpacked. The applet names stand in the binary itself, so
that a foreign binary need not run. The layer is reproducible: one time for all files, that of the package's
binary. Refused: a package without the binary, or a binary without the applets that make a system.
"""

import asyncio
import json
import re
import secrets
import tarfile
from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from insula.errors import Internal, Unavailable
from insula.image.blobs import STAGING_PREFIX
from insula.image.decompress import Uncompressed
from insula.image.manifest import digest_of
from insula.image.record import Image
from insula.image.reference import ImagePlatform, parse_platform
from insula.image.store import ImageStore
from insula.image.tar_reader import FILE, TarReader
from insula.packages import fetch_package
from insula.paths import Paths
from insula.process import CLEAN_ENVIRONMENT, TAIL, tool
from insula.thread import in_thread

BUSYBOX = "busybox:latest"
PLATFORMS = ("linux/amd64", "linux/arm64")
BINARY_MAX = 16 << 20
PACKAGE_MAX = 64 << 20
SUITE = "bookworm"
DEBIAN = {
    "linux/amd64": ("amd64", SUITE),
    "linux/arm64": ("arm64", SUITE),
    "linux/386": ("i386", SUITE),
    "linux/arm/v7": ("armhf", SUITE),
    "linux/ppc64le": ("ppc64el", SUITE),
    "linux/s390x": ("s390x", SUITE),
    "linux/riscv64": ("riscv64", "trixie"),
}
"""Platform → Debian's name of the architecture, and the suite that its packages are of."""
NEEDED = {"sh", "ls", "cat", "mount", "uname", "sleep", "true"}
APPLET = re.compile(rb"[a-z0-9_.+-]{1,32}")
FOLDERS = {
    "bin": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "proc": 0o755, "root": 0o700, "run": 0o755,
    "sbin": 0o755, "sys": 0o755, "tmp": 0o1777, "usr": 0o755, "usr/bin": 0o755, "usr/sbin": 0o755, "var": 0o755,
    "var/spool": 0o755, "var/tmp": 0o1777,
}  # fmt: skip
USERS = (
    ("root", 0, "/root", "/bin/sh"),
    ("daemon", 1, "/usr/sbin", "/bin/false"),
    ("bin", 2, "/bin", "/bin/false"),
    ("sys", 3, "/dev", "/bin/false"),
    ("mail", 8, "/var/spool/mail", "/bin/false"),
    ("www-data", 33, "/var/www", "/bin/false"),
    ("nobody", 65534, "/nonexistent", "/bin/false"),
)
OS_RELEASE = """\
NAME="BusyBox"
ID=busybox
PRETTY_NAME="BusyBox of Debian (busybox-static)"
"""


async def bootstrap_busybox(
    store: ImageStore, paths: Paths, platforms: Sequence[str] = PLATFORMS
) -> tuple[Image, ...]:
    """Makes busybox:latest for some platforms and gives its images. Raises NotFound, Unavailable."""
    staged: list[Path] = []
    items = []
    try:
        for text in platforms:
            platform = parse_platform(text)
            if str(platform) not in DEBIAN:
                raise Unavailable(
                    f"Debian has no busybox-static for {platform}", f"there is {', '.join(DEBIAN)}"
                )
            package = await fetch_package(paths, "busybox-static", *DEBIAN[str(platform)])
            layer = paths.staging / f"{STAGING_PREFIX}{secrets.token_hex(8)}"
            staged.append(layer)
            binary, time = await _read_binary(package)
            data = make_busybox_layer(binary, time)
            await in_thread(layer.write_bytes, data)
            items.append((_make_config(platform, digest_of(data), time), [layer], [BUSYBOX]))
        return await store.add_images(items)
    finally:
        for path in staged:
            await in_thread(path.unlink, missing_ok=True)


async def _read_binary(package: Path) -> tuple[bytes, int]:
    """The busybox binary of a package, and its time."""
    child = await asyncio.create_subprocess_exec(
        tool("dpkg-deb"), "--fsys-tarfile", str(package), env=CLEAN_ENVIRONMENT,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None and child.stderr is not None
    try:
        archive = await _read_up_to(child.stdout, PACKAGE_MAX)
        error = (await child.stderr.read(TAIL)).decode(errors="replace")
        if await child.wait() != 0:
            raise Unavailable(f"the package {package.name} cannot be read: {error.strip()}")
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return await in_thread(_find_binary, BytesIO(archive), package.name)


async def _read_up_to(stream: asyncio.StreamReader, limit: int) -> bytes:
    data = bytearray()
    while chunk := await stream.read(1 << 16):
        data += chunk
        if len(data) > limit:
            raise Unavailable(f"a package unfolds to more than {limit >> 20} MiB")
    return bytes(data)


def _find_binary(archive: BinaryIO, what: str) -> tuple[bytes, int]:
    reader = TarReader(Uncompressed(archive, what, PACKAGE_MAX), what)
    for entry in reader:
        if entry.kind == FILE and entry.name in (b"./bin/busybox", b"./usr/bin/busybox"):
            return reader.read_data(min(entry.size, BINARY_MAX)), entry.mtime
    raise Unavailable(f"the package {what} has no busybox binary")


def find_applets(binary: bytes) -> list[str]:
    """The applets that a busybox binary names: a sorted run of NUL-ended words, from `[` on.

    Raises Internal if it has none, or not those that make a system."""
    start = binary.find(b"[\0[[\0")  # what stands before it is anything: a linker may leave no gap
    words = binary[start : start + (1 << 15)].split(b"\0") if start >= 0 else []
    applets = words[:2]
    for word in words[2:]:
        if not APPLET.fullmatch(word) or (word < applets[-1] and len(applets) > 2):
            break
        applets.append(word)
    names = [word.decode() for word in applets]
    if not set(names) >= NEEDED:
        raise Internal("the busybox binary's list of applets was not found")
    return names


def make_busybox_layer(binary: bytes, time: int) -> bytes:
    """The root file system's tar: the same bytes for the same binary and time."""
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:

        def add(name: str, type_: bytes, mode: int, data: bytes = b"", link: str = "") -> None:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime, info.size, info.linkname = type_, mode, time, len(data), link
            info.uname = info.gname = ""
            archive.addfile(info, BytesIO(data))

        for name, mode in FOLDERS.items():
            add(name, tarfile.DIRTYPE, mode)
        add("bin/busybox", tarfile.REGTYPE, 0o755, binary)
        for applet in find_applets(binary):
            if applet != "busybox":
                add(f"bin/{applet}", tarfile.LNKTYPE, 0o755, link="bin/busybox")
        add("usr/bin/env", tarfile.SYMTYPE, 0o777, link="../../bin/env")
        for name, text in _system_files().items():
            add(name, tarfile.REGTYPE, 0o644, text.encode())
    return out.getvalue()


def _system_files() -> dict[str, str]:
    passwd = [f"{name}:x:{id}:{id}:{name}:{home}:{shell}\n" for name, id, home, shell in USERS]
    group = [f"{name if name != 'nobody' else 'nogroup'}:x:{id}:\n" for name, id, *_ in USERS]
    return {
        "etc/group": "".join(group),
        "etc/os-release": OS_RELEASE,
        "etc/passwd": "".join(passwd),
    }


def _make_config(platform: ImagePlatform, diff_id: str, time: int) -> bytes:
    created = datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    document = {
        "architecture": platform.architecture,
        "os": platform.os,
        **({"variant": platform.variant} if platform.variant else {}),
        "created": created,
        "config": {
            "Cmd": ["sh"],
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": created, "created_by": "insula bootstrap busybox"}],
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
