"""The one table of architectures, read from images/platforms.toml.

A platform is named as in OCI ('linux/amd64'). What differs between architectures is a value in the table, never
a condition in the code. Refused: a platform without a row, by name, with the rows there are.
"""

import functools
import os
import tomllib
from dataclasses import dataclass
from typing import Any, Literal

from insula.errors import InvalidArgument
from insula.paths import SOURCE_ROOT

Accelerator = Literal["kvm", "tcg"]


@dataclass(frozen=True, slots=True)
class Tuning:
    """What depends on the accelerator: QEMU's CPU model and further words of the kernel's command line."""

    cpu: str
    command_line: str


@dataclass(frozen=True, slots=True)
class Bus:
    """How a machine's virtio devices are attached. suffix: of QEMU's device names; settings: `-global` words;
    modules: of the guest's kernel, where it has them as modules."""

    suffix: str
    settings: tuple[str, ...]
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Platform:
    """One row of the table.

    debian: Debian's name of the architecture; hosts: `uname -m` of hosts whose KVM may serve it, the first its own
    guests'; packages: what brings its QEMU; memory_limit: MiB that its machines can have at most."""

    name: str
    debian: str
    hosts: tuple[str, ...]
    qemu: str
    packages: tuple[str, ...]
    machine: str
    bus: Bus
    kernel: str
    suite: str
    zig: str
    console: str
    console_device: str
    firmware: tuple[str, ...]
    memory_limit: int
    decompress_kernel: bool
    stub_kernel_in_clones: bool
    modules: tuple[str, ...]
    tcg: Tuning
    kvm: Tuning

    def tuning(self, accelerator: Accelerator) -> Tuning:
        return self.kvm if accelerator == "kvm" else self.tcg

    @property
    def install(self) -> str:
        """The command that brings its QEMU."""
        return f"apt-get install {' '.join(self.packages)}"

    @property
    def native(self) -> bool:
        """Whether the host's processors can run it themselves."""
        return os.uname().machine in self.hosts


@functools.cache
def platforms() -> dict[str, Platform]:
    """All rows, by name."""
    table = tomllib.loads((SOURCE_ROOT / "images" / "platforms.toml").read_text())
    common = table.pop("common")
    buses = {name: _bus(bus) for name, bus in table.pop("bus").items()}
    return {name: _row(name, row, common, buses[row["bus"]]) for name, row in table.items()}


def find_platform(name: str) -> Platform:
    """The row of a platform. Raises InvalidArgument, naming those there are."""
    try:
        return platforms()[name]
    except KeyError:
        there = ", ".join(platforms())
        raise InvalidArgument(f"no machine can be made for platform {name}", f"there are: {there}") from None


def host_platform() -> Platform:
    """The row of the host's own architecture; the first row where the host's has none."""
    rows = list(platforms().values())
    return next((row for row in rows if row.native), rows[0])


def _bus(bus: dict[str, Any]) -> Bus:
    return Bus(bus["suffix"], tuple(bus["settings"]), tuple(bus["modules"]))


def _row(name: str, row: dict[str, Any], common: dict[str, Any], bus: Bus) -> Platform:
    def tuning(accelerator: str, shared: str) -> Tuning:
        own = row[accelerator]
        words = f"console={row['console']} {common['command_line']} {shared} {own['command_line']}"
        return Tuning(own["cpu"], " ".join(words.split()))

    return Platform(
        name=name,
        debian=row["debian"],
        hosts=tuple(row["hosts"]),
        qemu=row["qemu"],
        packages=tuple(row["packages"]),
        machine=row["machine"],
        bus=bus,
        kernel=row["kernel"],
        suite=row.get("suite", common["suite"]),
        zig=row["zig"],
        console=row["console"],
        console_device=row.get("console_device", ""),
        firmware=tuple(row["firmware"]),
        memory_limit=row.get("memory_limit", common["memory_limit"]),
        decompress_kernel=row["decompress_kernel"],
        stub_kernel_in_clones=row["stub_kernel_in_clones"],
        modules=(*bus.modules, *common["modules"]),
        tcg=tuning("tcg", common["command_line_tcg"]),
        kvm=tuning("kvm", ""),
    )
