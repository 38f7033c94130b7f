"""A container nobody asked for, run in a clone before it is needed.

Under emulation the first run of any code path costs its translation, and a guest's first mount, fork and exec cost
tens of milliseconds each. So a pool clone runs a whole container once, from boot document to exit, on disks of
its own, and is then idle again; what follows is the real container's second run of everything. The disks are
small and shared (read-only layer) or thrown away (writable); nothing of the rehearsal is left in the guest.
"""

import asyncio
import contextlib
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from insula import process
from insula.agent.boot_document import BootDocument
from insula.agent.session import Session
from insula.errors import Unavailable
from insula.guest.blank_disk import SIZE, VERSION, copy_sparse, make_blank
from insula.locks import lock_of
from insula.machine.machine import Machine
from insula.machine.platform import Platform
from insula.paths import SOURCE_ROOT, Paths

TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Stage:
    """The disks of a platform's rehearsals."""

    layer: Path
    blank: Path


async def open_stage(paths: Paths, platform: Platform) -> Stage:
    """The rehearsal's disks, made once for each build of its program. Raises Unavailable if that is not built."""
    program = SOURCE_ROOT / "guest-agent" / "out" / platform.debian / "rehearsal"
    if not program.exists():
        raise Unavailable(
            f"the rehearsal program for {platform.name} is not built ({program})", "make agents"
        )
    content = await asyncio.to_thread(program.read_bytes)
    layer = paths.kernels / f"rehearsal-{hashlib.sha256(content).hexdigest()[:16]}.squashfs"
    blank = paths.kernels / f"rehearsal-{VERSION}.ext4"
    async with lock_of(layer):
        if not layer.exists():
            await _make_layer(paths, content, layer)
    async with lock_of(blank):
        if not blank.exists():
            await make_blank(blank, SIZE, paths.staging)
    return Stage(layer, blank)


async def _make_layer(paths: Paths, program: bytes, layer: Path) -> None:
    tree = paths.staging / f"{layer.stem}-tree"
    made = paths.staging / layer.name
    shutil.rmtree(tree, ignore_errors=True)
    made.unlink(missing_ok=True)
    for folder in ("bin", "etc", "dev", "proc", "sys", "tmp", "root"):
        (tree / folder).mkdir(parents=True)
    (tree / "bin" / "rehearsal").write_bytes(program)
    (tree / "bin" / "rehearsal").chmod(0o755)
    (tree / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tree / "etc" / "group").write_text("root:x:0:\n")
    argv = [process.tool("mksquashfs"), str(tree), str(made), "-noI", "-noD", "-noF", "-noX", "-all-root"]
    await process.run([*argv, "-no-progress", "-quiet"], timeout=60)
    made.rename(layer)
    shutil.rmtree(tree)


async def rehearse(
    paths: Paths, machine: Machine, session: Session, stage: Stage, document: BootDocument
) -> None:
    """Runs the document's container once in an idle guest, with layer 0 and the writable disk, and stops it."""
    scratch = paths.staging / f"rehearsal-{machine.id}.ext4"
    await asyncio.to_thread(copy_sparse, stage.blank, scratch)
    try:
        await machine.attach_disk("layer0", stage.layer, read_only=True)
        await machine.attach_disk("writable", scratch, read_only=False)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scratch)  # QEMU holds it; it goes with the machine, or with the next disk in its place
    async with asyncio.timeout(TIMEOUT):
        main = await session.boot(document)
        async for chunk in main:
            main.acknowledge(chunk.stream, chunk.offset + len(chunk.data))
        await main.exit()
        session.release(main.number)
        await session.stop()
