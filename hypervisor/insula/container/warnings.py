"""What create and update warn of: what was asked for, is kept, and has less effect than its user may think. Pure."""

from insula.container.security import parse_security
from insula.container.spec import ContainerSpec
from insula.container.spec_limits import NO_DEVICE_LIMITS

NO_SWAP = "Memory limited without swap: a machine has none, so HostConfig.MemorySwap has no further effect."
ANY_DEVICE = (
    "Limits of a device's traffic apply to all of the container's own disks together, whichever device is named: a "
    "machine has no disk of the host."
)


def warnings_of(spec: ContainerSpec) -> tuple[str, ...]:
    """One sentence each."""
    found = []
    if spec.memory_swap > spec.memory:
        found.append(NO_SWAP)
    if spec.device_limits != NO_DEVICE_LIMITS:
        found.append(ANY_DEVICE)
    if spec.privileged and spec.cap_drop:
        found.append("HostConfig.CapDrop has no effect: a privileged container has every capability.")
    for option in parse_security(spec.security_opt).ignored:
        found.append(
            f"The security option {option} has no effect: a guest's kernel has neither SELinux nor AppArmor."
        )
    return tuple(found)
