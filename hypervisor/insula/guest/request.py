"""What is asked of `Guests.open`: a platform, limits, disks. Decided by container/plan.py."""

from dataclasses import dataclass
from pathlib import Path

from insula.errors import InvalidArgument
from insula.machine.shares import Share
from insula.machine.spec import BLOCK_DISKS, LAYER_DISKS, NO_THROTTLE, NO_WEIGHTS, Throttle, Weights


@dataclass(frozen=True, slots=True)
class GuestRequest:
    """A guest to be had. memory: the container's limit in bytes, 0 for none; cpus: its limit, 0 for none;
    layers: read-only disks, lowest first; writable: the disk that takes the writes; throttle: most traffic of all
    of them; weights: its part of the host; fresh: a boot of its own instead of a clone (a clone shares its
    template's kernel address layout); kernel: another kernel image than the platform's; shares: what the guest is
    to mount of the host's; blocks: further disks that take writes, of volumes."""

    platform: str
    memory: int
    cpus: float
    layers: tuple[Path, ...]
    writable: Path | None
    fresh: bool = False
    throttle: Throttle = NO_THROTTLE
    weights: Weights = NO_WEIGHTS
    kernel: Path | None = None
    shares: tuple[Share, ...] = ()
    blocks: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if len(self.layers) > LAYER_DISKS:
            raise InvalidArgument(f"a machine has {LAYER_DISKS} layer disks, not {len(self.layers)}")
        if len(self.blocks) > BLOCK_DISKS:
            raise InvalidArgument(
                f"a container has {BLOCK_DISKS} block volumes at most, not {len(self.blocks)}"
            )
