"""The guest's kernel and initramfs: Debian's own package, prepared once.

The package is fetched for the platform's architecture by a private apt state, its signature checked there. From
it are kept the kernel image (x86: the ELF inside, which boots by PVH) and the few modules that a guest needs,
in dependency order. The initramfs is those modules and the agent. Both lie under names made of the digest of
everything they were made from, so they are rebuilt exactly when an input changes.
"""

import hashlib
import io
import json
import logging
import lzma
import shutil
import subprocess
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from insula import packages, process
from insula.errors import InsulaError, Internal, Unavailable
from insula.locks import lock_of
from insula.machine.initramfs import CpioWriter
from insula.machine.platform import Platform
from insula.machine.spec import Kernel
from insula.paths import SOURCE_ROOT, Paths
from insula.thread import in_thread

FORMAT = "1"
"""Goes into every digest: raise it when this file makes something else from the same inputs."""

KERNEL_MAX = 512 << 20
ELF = b"\x7fELF"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Provision:
    """A prepared kernel package: kernel image and modules, in loading order. gap: why it may lack security updates
    (packages.find_gap); empty if it came with them."""

    folder: Path
    version: str
    digest: str
    modules: tuple[Path, ...]
    gap: str


def agent_binary(platform: Platform) -> Path:
    """The guest agent of a platform. Raises Unavailable if it was not built."""
    path = SOURCE_ROOT / "guest-agent" / "out" / platform.debian / "insula-agent"
    if not path.exists():
        raise Unavailable(f"the guest agent for {platform.name} is not built ({path})", "make agents")
    return path


@dataclass(frozen=True, slots=True)
class OwnKernel:
    """A kernel that a user has named (machine/own_kernel.py). image: the copy that boots; digest: of its content;
    version: as it tells itself."""

    image: Path
    digest: str
    version: str


async def open_kernel(paths: Paths, platform: Platform, own_kernel: OwnKernel | None = None) -> Kernel:
    """The kernel and initramfs of a platform, made if they are not there yet.

    own_kernel: boots instead, with the modules of the platform's only if they are of its very version. Made once,
    however many ask. Raises Unavailable if the package cannot be had or the agent is not built."""
    async with lock_of(paths.kernels / platform.debian):
        provision = find_provision(paths, platform)
        if provision is None:
            provision = await _provision(paths, platform)
        elif provision.gap:
            provision = await _catch_up(paths, platform, provision)
        return await in_thread(_initramfs, paths, platform, provision, own_kernel)


def find_provision(paths: Paths, platform: Platform) -> Provision | None:
    """The newest prepared kernel of a platform, or None."""
    pointer = paths.kernels / f"{platform.debian}.json"
    try:
        known = json.loads(pointer.read_text())
    except FileNotFoundError:
        return None
    if known["inputs"] != _inputs(platform):
        return None
    folder = paths.kernels / known["folder"]
    modules = tuple(folder / "modules" / name for name in known["modules"])
    return Provision(folder, known["version"], known["digest"], modules, known.get("gap", "not known"))


def _inputs(platform: Platform) -> list[str]:
    return [FORMAT, platform.suite, platform.kernel, str(platform.decompress_kernel), *platform.modules]


async def _catch_up(paths: Paths, platform: Platform, provision: Provision) -> Provision:
    """Takes the newer kernel in place of one that came without security updates, once they can be had. What goes
    wrong with it is told, and no reason not to start."""
    try:
        if await packages.find_gap(paths, platform.debian, platform.suite):
            return provision
        return await _provision(paths, platform)
    except InsulaError as error:
        log.warning("%s: the kernel still lacks security updates: %s", platform.name, error)
        return provision


async def _provision(paths: Paths, platform: Platform) -> Provision:
    real = await packages.find_dependency(
        paths, platform.kernel, "linux-image-", platform.debian, platform.suite
    )
    deb = await packages.fetch_package(paths, real, platform.debian, platform.suite)
    gap = await packages.find_gap(paths, platform.debian, platform.suite)
    work = paths.staging / f"kernel-{platform.debian}"
    await in_thread(shutil.rmtree, work, True)
    await process.run([process.tool("dpkg-deb"), "-x", str(deb), str(work)], timeout=120)
    if not (work / "lib").exists():  # packages of Debian 13 and newer
        (work / "lib").symlink_to("usr/lib")
    version = _only(work / "lib" / "modules", "*").name
    await process.run([process.tool("depmod"), "-b", str(work), version], timeout=120)
    record = {"inputs": _inputs(platform), "version": version, "package": deb.name, "gap": gap}
    await in_thread(_keep, paths, platform, work, deb, record)
    made = find_provision(paths, platform)
    assert made is not None
    return made


def _keep(paths: Paths, platform: Platform, work: Path, deb: Path, record: dict[str, Any]) -> None:
    """Keeps kernel and modules of the unpacked package, with what is known of it, and drops the rest."""
    version = record["version"]
    digest = hashlib.sha256(deb.read_bytes()).hexdigest()
    folder = paths.kernels / f"{platform.debian}-{version}-{digest[:12]}"
    made = paths.staging / folder.name
    shutil.rmtree(made, ignore_errors=True)
    (made / "modules").mkdir(parents=True)
    # Debian's architectures differ in whether theirs is compressed, and so in its name
    image = _only(work / "boot", f"vmlinu[xz]-{version}").read_bytes()
    (made / "kernel").write_bytes(decompressed_kernel(image) if platform.decompress_kernel else image)
    (made / "kernel").chmod(0o644)
    names = []
    for number, source in enumerate(_module_order(work / "lib" / "modules" / version, platform.modules)):
        name = f"{number:02}-{source.name.split('.')[0]}.ko"
        (made / "modules" / name).write_bytes(decompressed(source.read_bytes()))
        names.append(name)
    shutil.rmtree(folder, ignore_errors=True)
    made.rename(folder)
    pointer = paths.staging / f"{platform.debian}.json"
    pointer.write_text(
        json.dumps(record | {"folder": folder.name, "digest": digest, "modules": names}, indent=1)
    )
    pointer.rename(paths.kernels / pointer.name)
    shutil.rmtree(work, ignore_errors=True)


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise Internal(f"the kernel package has {len(found)} of {folder.name}/{pattern} instead of one")
    return found[0]


def _module_order(tree: Path, wanted: tuple[str, ...]) -> list[Path]:
    """The wanted modules and what they depend on, dependencies first; those built in need no loading."""
    needs: dict[str, list[str]] = {}
    place: dict[str, str] = {}
    for line in (tree / "modules.dep").read_text().splitlines():
        file, _, rest = line.partition(":")
        needs[file] = rest.split()
        place[_module_name(file)] = file
    built_in = {_module_name(line) for line in (tree / "modules.builtin").read_text().splitlines()}
    order: list[str] = []
    for name in wanted:
        if name in built_in:
            continue
        if name not in place:
            raise Internal(f"the kernel {tree.name} has no module {name}")
        for file in (*reversed(needs[place[name]]), place[name]):
            if file not in order:
                order.append(file)
    return [tree / file for file in order]


def _module_name(file: str) -> str:
    return Path(file).name.split(".")[0].replace("-", "_")


def decompressed(data: bytes) -> bytes:
    """A file as it was before gzip, xz, zstd or lz4, but no more of it than a kernel may have; unchanged if it is
    none of these."""
    if data[:2] == b"\x1f\x8b":
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data, KERNEL_MAX)
    if data[:6] == b"\xfd7zXZ\0":
        return lzma.LZMADecompressor().decompress(data, KERNEL_MAX)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read(KERNEL_MAX)
    if data[:4] in (b"\x02\x21\x4c\x18", b"\x04\x22\x4d\x18"):
        return _lz4(data)
    return data


def _lz4(data: bytes) -> bytes:
    with tempfile.TemporaryFile() as given:
        given.write(data)
        given.seek(0)
        with subprocess.Popen([process.tool("lz4"), "-dc"], stdin=given, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            found = child.stdout.read(KERNEL_MAX)
            child.kill()
    return found


def decompressed_kernel(image: bytes) -> bytes:
    """The ELF kernel inside a bzImage. Where the payload lies is in the setup header
    (https://docs.kernel.org/arch/x86/boot.html: setup_sects, payload_offset, payload_length).

    Raises Internal if what comes out is no ELF file."""
    if image[:4] == ELF:
        return image
    setup = (image[0x1F1] or 4) * 512 + 512
    offset = setup + int.from_bytes(image[0x248:0x24C], "little")
    length = int.from_bytes(image[0x24C:0x250], "little")
    payload = image[offset : offset + length]
    # the last four bytes hold the size of the kernel and are no part of the compressed stream
    kernel = decompressed(payload[:-4] if payload[:2] == b"\x1f\x8b" else payload)
    if kernel[:4] != ELF:
        raise Internal("the kernel image holds no ELF kernel in a compression known here")
    return kernel


def _initramfs(
    paths: Paths, platform: Platform, provision: Provision, own_kernel: OwnKernel | None
) -> Kernel:
    agent = agent_binary(platform).read_bytes()
    image, version, modules = provision.folder / "kernel", provision.version, provision.modules
    parts = [FORMAT.encode(), provision.digest.encode(), hashlib.sha256(agent).digest()]
    if own_kernel is not None:
        image, version = own_kernel.image, own_kernel.version
        modules = modules if version == provision.version else ()
        parts.append(f"{own_kernel.digest} {len(modules)}".encode())
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()
    target = paths.kernels / f"initramfs-{platform.debian}-{digest[:16]}"
    if not target.exists():
        made = paths.staging / target.name
        made.write_bytes(_cpio(agent, modules))
        made.chmod(0o644)
        made.rename(target)
    return Kernel(image, target, digest, version)


def _cpio(agent: bytes, modules: tuple[Path, ...]) -> bytes:
    out = io.BytesIO()
    cpio = CpioWriter(out)
    for folder in ("dev", "proc", "sys", "run", "modules"):
        cpio.add_folder(folder)
    # the kernel opens /dev/console for PID 1 before anything is mounted
    cpio.add_character_device("dev/console", 5, 1)
    cpio.add_file("init", agent, 0o755)
    for module in modules:
        cpio.add_file(f"modules/{module.name}", module.read_bytes(), 0o644)
    cpio.close()
    return out.getvalue()
