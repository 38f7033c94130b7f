"""What one QEMU takes of the host, as the host's /proc has it. Blocking: for a thread.

This is the other side of what its guest counts: the guest's idle memory, emulation and device work are in it.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from insula.errors import NotFound

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class HostUsage:
    """cpu_ns: processor time of all its threads since it began. resident, proportional: memory in bytes, pages that
    are shared with others (a template's) counted whole, or in part; proportional is None where the host does not tell
    it to this user."""

    cpu_ns: int
    resident: int
    proportional: int | None


def read_host_usage(pid: int) -> HostUsage:
    """Raises NotFound if there is no such process (any more)."""
    folder = Path(f"/proc/{pid}")
    try:
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        cpu_ns = (int(fields[11]) + int(fields[12])) * TICK_NS
        resident = int((folder / "statm").read_text().split()[1]) * PAGE
        return HostUsage(cpu_ns, resident, _proportional(folder))
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NotFound(f"process {pid} has ended") from error


def _proportional(folder: Path) -> int | None:
    try:
        lines = (folder / "smaps_rollup").read_text().splitlines()
    except PermissionError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), None)
