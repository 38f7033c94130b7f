"""Every field of Config, HostConfig and NetworkingConfig, and what Insula answers to it: one table.

`done`: it has its effect. `meaningless`: it says nothing about a machine of its own; echoed, and named in create's
warnings. `refused`: it cannot be had here; 400, with what to use instead. `later`: 501. A value that is Docker's
default passes for all of them. docs/compatibility.md shows this table, and a test compares the two.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Answer(StrEnum):
    DONE = "done"
    MEANINGLESS = "meaningless"
    REFUSED = "refused"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Field:
    """One field. kind: its JSON type (api/typed.py); neutral: values besides the empty ones that ask for nothing;
    note: for `done` a remark, else why not and what to use instead; empty_counts: an empty value asks, too."""

    name: str
    kind: str
    answer: Answer = Answer.DONE
    note: str = ""
    neutral: tuple[Any, ...] = ()
    empty_counts: bool = False

    def asks(self, value: Any) -> bool:
        """Whether a value asks for something that is not the default anyway."""
        if value is None or value in self.neutral:
            return False
        return True if self.empty_counts else bool(value)


DONE, MEANINGLESS, REFUSED, LATER = Answer.DONE, Answer.MEANINGLESS, Answer.REFUSED, Answer.LATER
LINKS = "on the default network: variables and hosts, as they are at the start; on others: a name for this container"
BINDS = (
    "ro, rw, nocopy, private, rprivate; z, Z have no effect, and a warning; cached, delegated, consistent have none; "
    "shared and slave are 400"
)
MOUNTS = (
    "bind, volume, tmpfs, with Docker's options; read-only is recursive unless it says otherwise; image, cluster and "
    "npipe are 501"
)
NO_DEVICES = "a machine has no device of the host; its kernel's own are there with --privileged"
OWN_DISKS = (
    "all of the container's own disks together, whichever is named, in the guest and in QEMU; the smallest"
)
LOGS = "json-file, local, none, with all options; bounded by default (64 MiB, two files: config.toml); others are 400"
WINDOWS = "for Windows containers"
NO_REALTIME = "kernel does not support CPU real-time scheduler; use --cpus"

CONFIG = (
    Field("Hostname", "string"),
    Field("Domainname", "string"),
    Field("User", "string"),
    Field("AttachStdin", "bool"),
    Field("AttachStdout", "bool"),
    Field("AttachStderr", "bool"),
    Field("ExposedPorts", "map", note="shown in inspect; publishing is HostConfig.PortBindings"),
    Field("Tty", "bool"),
    Field("OpenStdin", "bool"),
    Field("StdinOnce", "bool"),
    Field("Env", "strings"),
    Field("Cmd", "words"),
    Field("Healthcheck", "object", note="StartInterval from API 1.44 on"),
    Field("ArgsEscaped", "bool", MEANINGLESS, WINDOWS),
    Field("Image", "string"),
    Field("Volumes", "map", note="anonymous volumes; the image's too"),
    Field("WorkingDir", "string"),
    Field("Entrypoint", "words"),
    Field("NetworkDisabled", "bool", note="the same as network none"),
    Field("MacAddress", "string"),
    Field("OnBuild", "strings", MEANINGLESS, "only a build reads it"),
    Field("Labels", "labels"),
    Field("StopSignal", "string"),
    Field("StopTimeout", "int"),
    Field("Shell", "strings", note="a health check of the form CMD-SHELL goes by it, and by the image's"),
)

HOST_CONFIG = (
    Field("Binds", "strings", note=BINDS),
    Field("ContainerIDFile", "string", note="the client writes it"),
    Field("LogConfig", "object", note=LOGS),
    Field("NetworkMode", "string", note="a network, default, bridge or none; host and container: are refused"),
    Field("PortBindings", "map", note="tcp and udp; sctp is 501"),
    Field("RestartPolicy", "object"),
    Field("AutoRemove", "bool"),
    Field("VolumeDriver", "string", note="local; others are 404 when a volume is made"),
    Field("VolumesFrom", "strings"),
    Field("ConsoleSize", "list"),
    Field("Annotations", "labels", note="kept and shown; insula.kernel names a kernel image on this host to boot"),
    Field("CapAdd", "strings"),
    Field("CapDrop", "strings", note="with --privileged it has no effect, and a warning"),
    Field("CgroupnsMode", "string", MEANINGLESS, "a machine has cgroups of its own", neutral=("private",)),
    Field("Dns", "strings"),
    Field("DnsOptions", "strings"),
    Field("DnsSearch", "strings"),
    Field("ExtraHosts", "strings", note="host-gateway: TCP and UDP, to what listens on all of the host's addresses"),
    Field("GroupAdd", "strings", note="looked up in the container's own /etc/group"),
    Field("IpcMode", "string", MEANINGLESS, "the machine's own", neutral=("private", "shareable")),
    Field("Cgroup", "string", REFUSED, "each container has a machine of its own"),
    Field("Links", "strings", note=LINKS),
    Field("OomScoreAdj", "int"),
    Field("PidMode", "string", MEANINGLESS, "the machine's own"),
    Field("Privileged", "bool", note="inside the guest only"),
    Field("PublishAllPorts", "bool"),
    Field("ReadonlyRootfs", "bool"),
    Field(
        "SecurityOpt", "strings",
        note="no-new-privileges; seccomp: builtin, unconfined or a profile's JSON; label and apparmor have no "
        "effect, and a warning",
    ),
    Field("StorageOpt", "labels", note="size, from 32 MiB to 512 GiB: the writable layer's disk"),
    Field("Tmpfs", "labels", note="not over /proc or /dev"),
    Field("UTSMode", "string", MEANINGLESS, "the machine's own"),
    Field("UsernsMode", "string", MEANINGLESS, "the machine's own"),
    Field("ShmSize", "int"),
    Field("Sysctls", "labels", note="those of the container's own name spaces"),
    Field("Runtime", "string", MEANINGLESS, "there is one way to run a container here", neutral=("insula",)),
    Field("Isolation", "string", note="default, or fresh: a boot of its own instead of a clone"),
    Field("CpuShares", "int", note="cpu.weight in the guest; on the host too, where machines have cgroups"),
    Field(
        "Memory", "int",
        note="exact in the guest; the machine has the smallest class (256 MiB to 8 GiB) that is 96 MiB larger",
    ),
    Field(
        "NanoCpus", "int",
        note="exact in the guest; the machine has the smallest class (1, 2, 4, 8) that is not smaller",
    ),
    Field("CgroupParent", "string", MEANINGLESS, "it is a cgroup of the host"),
    Field("BlkioWeight", "int", note="io.weight in the guest; on the host too, where machines have cgroups"),
    Field("BlkioWeightDevice", "list", note="the container's own disks, whichever is named; the smallest counts"),
    Field("BlkioDeviceReadBps", "list", note=OWN_DISKS),
    Field("BlkioDeviceWriteBps", "list", note=OWN_DISKS),
    Field("BlkioDeviceReadIOps", "list", note=OWN_DISKS),
    Field("BlkioDeviceWriteIOps", "list", note=OWN_DISKS),
    Field("CpuPeriod", "int"),
    Field("CpuQuota", "int"),
    Field("CpuRealtimePeriod", "int", REFUSED, NO_REALTIME),
    Field("CpuRealtimeRuntime", "int", REFUSED, NO_REALTIME),
    Field(
        "CpusetCpus", "string",
        note="of the machine's processors: it has as many as the set names, of at most the host's",
    ),
    Field("CpusetMems", "string", note="0: a machine has one memory node"),
    Field("Devices", "list", REFUSED, NO_DEVICES),
    Field("DeviceCgroupRules", "strings", REFUSED, NO_DEVICES),
    Field("DeviceRequests", "list", REFUSED, NO_DEVICES),
    Field("KernelMemory", "int", REFUSED, "use --memory: a machine's limit counts its kernel's memory"),
    Field("KernelMemoryTCP", "int", REFUSED, "use --memory: a machine's limit counts its kernel's memory"),
    Field("MemoryReservation", "int", note="memory.low in the guest"),
    Field("MemorySwap", "int", note="a machine has no swap: above Memory a warning says so"),
    Field("MemorySwappiness", "int", MEANINGLESS, "a machine has no swap", neutral=(-1,), empty_counts=True),
    Field("OomKillDisable", "bool", MEANINGLESS, "cgroup v2 cannot turn out-of-memory kills off; use OomScoreAdj"),
    Field("PidsLimit", "int"),
    Field("Ulimits", "list"),
    Field("CpuCount", "int", MEANINGLESS, WINDOWS),
    Field("CpuPercent", "int", MEANINGLESS, WINDOWS),
    Field("IOMaximumIOps", "int", REFUSED, WINDOWS),
    Field("IOMaximumBandwidth", "int", REFUSED, WINDOWS),
    Field("Mounts", "list", note=MOUNTS),
    Field("MaskedPaths", "strings", note="an empty list: none"),
    Field("ReadonlyPaths", "strings", note="an empty list: none"),
    Field("Init", "bool"),
)  # fmt: skip

ENDPOINT = (
    Field("IPAMConfig", "object"),
    Field("Links", "strings", note=LINKS),
    Field("Aliases", "strings", note="on the default network 400, as with Docker"),
    Field("MacAddress", "string"),
    Field("DriverOpts", "labels", note="kept and shown"),
    Field("GwPriority", "int", note="the default route: the highest, then the first network by name"),
    *(
        Field(name, kind, MEANINGLESS, "the engine sets it")
        for name, kind in (
            ("NetworkID", "string"),
            ("EndpointID", "string"),
            ("Gateway", "string"),
            ("IPAddress", "string"),
            ("IPPrefixLen", "int"),
            ("IPv6Gateway", "string"),
            ("GlobalIPv6Address", "string"),
            ("GlobalIPv6PrefixLen", "int"),
            ("DNSNames", "strings"),
        )
    ),
)

SECTIONS = {"Config": CONFIG, "HostConfig": HOST_CONFIG, "NetworkingConfig.EndpointsConfig": ENDPOINT}


def render_table() -> str:
    """The tables of docs/compatibility.md."""
    parts = []
    for section, fields in SECTIONS.items():
        rows = [f"| `{f.name}` | {f.answer} | {f.note} |" for f in fields]
        parts.append("\n".join([f"### {section}", "", "| field | answer | |", "|---|---|---|", *rows, ""]))
    return "\n".join(parts)
