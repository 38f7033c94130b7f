"""`--sysctl`: which kernel parameters a container may set, and where they lie below /proc/sys. Pure.

Only those of its own name spaces, as in Docker: what else a machine's kernel has is not the container's to set, and
an image that needs it would run nowhere else. The words are runc's, which is who refuses them under Docker.
"""

import re

from insula.errors import InvalidArgument

COUNT_MAX, VALUE_MAX, PATH_MAX = 256, 1024, 200
IPC = frozenset({
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
    "kernel.shmmni", "kernel.shm_rmid_forced",
})  # fmt: skip
PREFIXES = ("fs.mqueue.", "net.")
UTS = "kernel.domainname"
NAME = re.compile(r"[A-Za-z0-9_@:+-]+(?:[./][A-Za-z0-9_@:+-]+)+", re.ASCII)
SWAPPED = {ord("."): "/", ord("/"): "."}
DEFAULTS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
"""As Docker sets them: any port and ICMP echo without a capability."""


def check_sysctls(sysctls: dict[str, str]) -> None:
    """Raises InvalidArgument."""
    if len(sysctls) > COUNT_MAX:
        raise InvalidArgument(f"more than {COUNT_MAX} sysctls")
    for name, value in sysctls.items():
        dotted = sysctl_path(name).translate(SWAPPED)
        if len(value) > VALUE_MAX or not value.isascii() or not value.isprintable():
            raise InvalidArgument(f'sysctl "{name[:PATH_MAX]}" cannot have the value {value[:80]!r}')
        if dotted == "kernel.hostname":
            raise InvalidArgument(
                'sysctl "kernel.hostname" is not allowed as it conflicts with the OCI "hostname" field',
                "use --hostname",
            )
        if dotted.startswith("user."):
            raise InvalidArgument(f"setting ucounts without a user namespace not allowed: {dotted}")
        if dotted not in IPC and dotted != UTS and not dotted.startswith(PREFIXES):
            raise InvalidArgument(f'sysctl "{dotted}" is not in a separate kernel namespace')


def sysctl_path(name: str) -> str:
    """Where it lies below /proc/sys. Names have dots between their parts, or slashes, where the first of either
    kind says which: a dot in a slashed name is part of a word (sysctl(8)). Raises InvalidArgument."""
    if len(name) > PATH_MAX or not NAME.fullmatch(name):
        raise InvalidArgument(f"sysctl '{name[:PATH_MAX]}' is not allowed")
    dot, slash = name.find("."), name.find("/")
    if slash < 0 or 0 <= dot < slash:
        return name.translate(SWAPPED)
    return name
