"""Templates: machines frozen after their boot, so that booting is paid once.

A template is the RAM of a machine stopped at agent-idle and its device state. Its key is everything that shapes
the machine. It is built once however many ask at the same time, in the staging folder, and renamed into place
whole. Clones map its RAM copy-on-write from a file in memory that is sealed against every change, so no jail can
write a template. What has not been used for longest is evicted when templates exceed their size.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import weakref
from pathlib import Path

from insula.machine.argv import argv
from insula.machine.spec import NICS, Descriptors, MachineSpec
from insula.paths import Paths

FORMAT = "1"
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
CHUNK = 1 << 20


class Template:
    """A frozen machine. ram, state: sealed files in memory. They are this object's, and closed when nobody holds it
    any more: an eviction takes nothing from a clone in the making."""

    def __init__(self, key: str, memory: int) -> None:
        """memory: in MiB. Both files are empty and not sealed yet."""
        self.key = key
        self.ram = make_ram(f"template-{key[:8]}", memory)
        self.state = os.memfd_create("state", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.fchmod(self.state, 0o600)
        self._closing = [weakref.finalize(self, os.close, each) for each in (self.ram, self.state)]

    def seal(self) -> None:
        """From here on nobody can change it. No machine may still map its RAM for writing."""
        for each in (self.ram, self.state):
            fcntl.fcntl(each, fcntl.F_ADD_SEALS, SEALS)

    def open_state(self) -> int:
        """A descriptor of the state with an offset of its own; the caller closes it."""
        return os.open(f"/proc/self/fd/{self.state}", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """At once, whoever holds it: for what never became a template."""
        for each in self._closing:
            each()


def template_key(spec: MachineSpec) -> str:
    """The digest of everything that shapes a machine: two shapes with one key make interchangeable clones."""
    none = Descriptors(
        qmp=0, agent=0, kernel=0, initramfs=0, ram=0, ram_private=True, state=0, taps=(0,) * NICS
    )
    cpu = _host_cpu() if spec.accelerator == "kvm" else ""
    words = [FORMAT, spec.qemu_build, spec.kernel.digest, cpu, *argv("", spec, none)]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]


def _host_cpu() -> str:
    """Under KVM `-cpu host` means this processor."""
    lines = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0].splitlines()
    return "\n".join(line for line in lines if line.startswith(("model name", "flags", "microcode")))


def make_ram(name: str, mebibytes: int) -> int:
    """A file in memory for a machine's RAM; other ids (the jail's) may open it by descriptor."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, mebibytes << 20)
    os.fchmod(descriptor, 0o666)
    return descriptor


def read_template(paths: Paths, key: str) -> Template | None:
    """A template from the disk, loaded into sealed memory; or None. Blocks: for a thread."""
    folder = paths.templates / key
    try:
        memory = int(json.loads((folder / "template.json").read_text())["memory"])
        state = (folder / "state").read_bytes()
        source = os.open(folder / "ram", os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    template = Template(key, memory)
    try:
        os.pwrite(template.state, state, 0)
        _copy_extents(source, template.ram)
        template.seal()
    except BaseException:
        template.close()
        raise
    finally:
        os.close(source)
    touch_template(paths, key)
    return template


def write_template(paths: Paths, template: Template, memory: int) -> None:
    """Seals what a frozen machine left and keeps it under its key, whole or not at all.

    The machine must be dead: a seal against writing needs that no writable mapping is left. Blocks: for a
    thread."""
    template.seal()
    made = paths.staging / f"template-{template.key}"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(mode=0o700)
    with open(made / "ram", "wb") as out:
        out.truncate(memory << 20)
        _copy_extents(template.ram, out.fileno())
        os.fsync(out.fileno())  # a name must not be on the disk before what it names
    _write(made / "state", os.pread(template.state, os.fstat(template.state).st_size, 0))
    _write(made / "template.json", json.dumps({"memory": memory}).encode())
    folder = paths.templates / template.key
    shutil.rmtree(folder, ignore_errors=True)
    made.rename(folder)


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def _copy_extents(source: int, target: int) -> None:
    """Copies what is allocated and leaves holes holes."""
    position, end = 0, os.fstat(source).st_size
    while position < end:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole is left
            return
        stop = os.lseek(source, start, os.SEEK_HOLE)
        while start < stop:
            chunk = os.pread(source, min(CHUNK, stop - start), start)
            os.pwrite(target, chunk, start)
            start += len(chunk)
        position = stop


def touch_template(paths: Paths, key: str) -> None:
    """Marks a template as used now."""
    with contextlib.suppress(OSError):
        os.utime(paths.templates / key)


def template_sizes(paths: Paths) -> dict[str, int]:
    """Allocated bytes of each template on disk, least recently used first. Blocks: for a thread."""
    folders = sorted(paths.templates.iterdir(), key=lambda folder: folder.stat().st_mtime)
    return {folder.name: sum(f.stat().st_blocks * 512 for f in folder.iterdir()) for folder in folders}


def evict_templates(paths: Paths, limit: int, in_use: set[str]) -> list[str]:
    """Removes the least recently used templates until the rest fits `limit` bytes; returns their keys."""
    sizes = template_sizes(paths)
    total, gone = sum(sizes.values()), []
    for key, size in sizes.items():
        if total <= limit:
            break
        if key not in in_use:
            shutil.rmtree(paths.templates / key, ignore_errors=True)
            total -= size
            gone.append(key)
    return gone
