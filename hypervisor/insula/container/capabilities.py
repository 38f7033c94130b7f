"""Capability sets as Docker gives them: fourteen by default, all of them to a privileged container, and what
`--cap-add` and `--cap-drop` make of them. A name that is none is refused in Docker's words."""

from insula.agent.boot_document import Capabilities
from insula.errors import InvalidArgument

NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
"""In the order of their bits (capability.h)."""

DEFAULT = frozenset({
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
})  # fmt: skip
ALL = frozenset(NAMES)

EVERYTHING = "ALL"


def check_capabilities(added: tuple[str, ...], dropped: tuple[str, ...]) -> None:
    """Raises InvalidArgument for names that are none."""
    for field, names in (("CapAdd", added), ("CapDrop", dropped)):
        for name in names:
            if _plain(name) not in ALL | {EVERYTHING}:
                raise InvalidArgument(f'invalid {field}: unknown capability: "CAP_{_plain(name)[:80]}"')


def choose_capabilities(
    privileged: bool, added: tuple[str, ...] = (), dropped: tuple[str, ...] = ()
) -> frozenset[str]:
    """What a container's processes may have. To add ALL wins over to drop ALL, and a privileged container has
    everything, whatever is dropped: as Docker does it."""
    add, drop = frozenset(map(_plain, added)), frozenset(map(_plain, dropped))
    if privileged:
        return ALL
    if EVERYTHING in add:
        return ALL - drop
    if EVERYTHING in drop:
        return add
    return (DEFAULT - drop) | add


def _plain(name: str) -> str:
    """In capitals and without the prefix."""
    return name.upper().removeprefix("CAP_")


def make_capabilities(names: frozenset[str]) -> Capabilities:
    """The five sets for a process that may have these: nothing inheritable, nothing ambient."""
    bits = sum(1 << NAMES.index(name) for name in names)
    return Capabilities(bounding=bits, effective=bits, permitted=bits)
