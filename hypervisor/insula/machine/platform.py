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
class Platform:
    """One row of the table. debian: Debian's name of the architecture; host: `uname -m` of such a host."""

    name: str
    debian: str
    host: str
    qemu: str
    package: str
    machine: str
    kernel: str
    suite: str
    zig: str
    console: str
    firmware: tuple[str, ...]
    decompress_kernel: bool
    stub_kernel_in_clones: bool
    modules: tuple[str, ...]
    tcg: Tuning
    kvm: Tuning

    def tuning(self, accelerator: Accelerator) -> Tuning:
        return self.kvm if accelerator == "kvm" else self.tcg

    @property
    def native(self) -> bool:
        """Whether the host has this architecture."""
        return os.uname().machine == self.host


@functools.cache
def platforms() -> dict[str, Platform]:
    """All rows, by name."""
    table = tomllib.loads((SOURCE_ROOT / "images" / "platforms.toml").read_text())
    common = table.pop("common")
    return {name: _row(name, row, common) for name, row in table.items()}


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


def _row(name: str, row: dict[str, Any], common: dict[str, Any]) -> Platform:
    def tuning(accelerator: str, shared: str) -> Tuning:
        own = row[accelerator]
        words = f"console={row['console']} {common['command_line']} {shared} {own['command_line']}"
        return Tuning(own["cpu"], " ".join(words.split()))

    return Platform(
        name=name,
        debian=row["debian"],
        host=row["host"],
        qemu=row["qemu"],
        package=row["package"],
        machine=row["machine"],
        kernel=row["kernel"],
        suite=row.get("suite", common["suite"]),
        zig=row["zig"],
        console=row["console"],
        firmware=tuple(row["firmware"]),
        decompress_kernel=row["decompress_kernel"],
        stub_kernel_in_clones=row["stub_kernel_in_clones"],
        modules=tuple(row.get("modules", common["modules"])),
        tcg=tuning("tcg", common["command_line_tcg"]),
        kvm=tuning("kvm", ""),
    )
