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
NO_NETWORKS = "networks are not there yet"
NO_VOLUMES = "volumes and bind mounts are not there yet"
NO_DEVICES = "a machine has no device of the host; its kernel's own are there with --privileged"
WINDOWS = "for Windows containers"

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
    Field("Healthcheck", "object", LATER, "health checks are not there yet", neutral=({"Test": ["NONE"]},)),
    Field("ArgsEscaped", "bool", MEANINGLESS, WINDOWS),
    Field("Image", "string"),
    Field("Volumes", "map", LATER, NO_VOLUMES),
    Field("WorkingDir", "string"),
    Field("Entrypoint", "words"),
    Field("NetworkDisabled", "bool", note="the same as network none"),
    Field("MacAddress", "string", LATER, NO_NETWORKS),
    Field("OnBuild", "strings", MEANINGLESS, "only a build reads it"),
    Field("Labels", "labels"),
    Field("StopSignal", "string"),
    Field("StopTimeout", "int"),
    Field("Shell", "strings", MEANINGLESS, "only a build and a health check read it"),
)

HOST_CONFIG = (
    Field("Binds", "strings", note=f"read; refused for now: {NO_VOLUMES}"),
    Field("ContainerIDFile", "string", note="the client writes it"),
    Field("LogConfig", "object", note="json-file and none; max-size, max-file"),
    Field("NetworkMode", "string", note=f"none; default and bridge give loopback only so far: {NO_NETWORKS}"),
    Field("PortBindings", "map", note=f"read; refused for now: {NO_NETWORKS}"),
    Field(
        "RestartPolicy", "object", LATER, "restart policies are not there yet",
        neutral=({"Name": "no"}, {"Name": ""}, {"Name": "no", "MaximumRetryCount": 0},
                 {"Name": "", "MaximumRetryCount": 0}),
    ),
    Field("AutoRemove", "bool"),
    Field("VolumeDriver", "string", LATER, NO_VOLUMES, neutral=("local",)),
    Field("VolumesFrom", "strings", LATER, NO_VOLUMES),
    Field("ConsoleSize", "list"),
    Field("Annotations", "labels", note="kept and shown"),
    Field("CapAdd", "strings", LATER, "capabilities cannot be chosen yet; --privileged has all of the guest's"),
    Field("CapDrop", "strings", LATER, "capabilities cannot be chosen yet"),
    Field("CgroupnsMode", "string", MEANINGLESS, "a machine has cgroups of its own", neutral=("private",)),
    Field("Dns", "strings", LATER, NO_NETWORKS),
    Field("DnsOptions", "strings", LATER, NO_NETWORKS),
    Field("DnsSearch", "strings", LATER, NO_NETWORKS),
    Field("ExtraHosts", "strings", LATER, "extra hosts are not there yet"),
    Field("GroupAdd", "strings", LATER, "further groups are not there yet; --user takes one group"),
    Field("IpcMode", "string", MEANINGLESS, "the machine's own", neutral=("private", "shareable")),
    Field("Cgroup", "string", REFUSED, "each container has a machine of its own"),
    Field("Links", "strings", LATER, NO_NETWORKS),
    Field("OomScoreAdj", "int", LATER, "the score cannot be adjusted yet"),
    Field("PidMode", "string", MEANINGLESS, "the machine's own"),
    Field("Privileged", "bool", note="inside the guest only"),
    Field("PublishAllPorts", "bool", LATER, NO_NETWORKS),
    Field("ReadonlyRootfs", "bool"),
    Field("SecurityOpt", "strings", LATER, "security options are not there yet", neutral=(["label=disable"],)),
    Field("StorageOpt", "labels", LATER, "the writable layer's size cannot be chosen yet"),
    Field("Tmpfs", "labels"),
    Field("UTSMode", "string", MEANINGLESS, "the machine's own"),
    Field("UsernsMode", "string", MEANINGLESS, "the machine's own"),
    Field("ShmSize", "int"),
    Field("Sysctls", "labels", LATER, "sysctls are not there yet"),
    Field("Runtime", "string", MEANINGLESS, "there is one way to run a container here", neutral=("insula",)),
    Field("Isolation", "string", note="default, or fresh: a boot of its own instead of a clone"),
    Field("CpuShares", "int", LATER, "--cpus limits, shares do not yet"),
    Field("Memory", "int"),
    Field("NanoCpus", "int"),
    Field("CgroupParent", "string", MEANINGLESS, "it is a cgroup of the host"),
    Field("BlkioWeight", "int", LATER, "limits of disk traffic are not there yet"),
    Field("BlkioWeightDevice", "list", LATER, "limits of disk traffic are not there yet"),
    Field("BlkioDeviceReadBps", "list", LATER, "limits of disk traffic are not there yet"),
    Field("BlkioDeviceWriteBps", "list", LATER, "limits of disk traffic are not there yet"),
    Field("BlkioDeviceReadIOps", "list", LATER, "limits of disk traffic are not there yet"),
    Field("BlkioDeviceWriteIOps", "list", LATER, "limits of disk traffic are not there yet"),
    Field("CpuPeriod", "int", LATER, "use --cpus"),
    Field("CpuQuota", "int", LATER, "use --cpus"),
    Field("CpuRealtimePeriod", "int", LATER, "use --cpus"),
    Field("CpuRealtimeRuntime", "int", LATER, "use --cpus"),
    Field("CpusetCpus", "string", LATER, "use --cpus"),
    Field("CpusetMems", "string", LATER, "a machine has one memory node"),
    Field("Devices", "list", REFUSED, NO_DEVICES),
    Field("DeviceCgroupRules", "strings", REFUSED, NO_DEVICES),
    Field("DeviceRequests", "list", REFUSED, NO_DEVICES),
    Field("KernelMemory", "int", REFUSED, "use --memory: a machine's limit counts its kernel's memory"),
    Field("KernelMemoryTCP", "int", REFUSED, "use --memory: a machine's limit counts its kernel's memory"),
    Field("MemoryReservation", "int", LATER, "use --memory"),
    Field("MemorySwap", "int", LATER, "use --memory: a machine has no swap", neutral=(-1,)),
    Field("MemorySwappiness", "int", MEANINGLESS, "a machine has no swap", neutral=(-1,), empty_counts=True),
    Field("OomKillDisable", "bool", LATER, "out-of-memory kills cannot be turned off"),
    Field("PidsLimit", "int"),
    Field("Ulimits", "list", LATER, "ulimits are not there yet"),
    Field("CpuCount", "int", MEANINGLESS, WINDOWS),
    Field("CpuPercent", "int", MEANINGLESS, WINDOWS),
    Field("IOMaximumIOps", "int", MEANINGLESS, WINDOWS),
    Field("IOMaximumBandwidth", "int", MEANINGLESS, WINDOWS),
    Field("Mounts", "list", note="tmpfs; bind and volume are refused for now"),
    Field("MaskedPaths", "strings", LATER, "masked paths are Docker's default", empty_counts=True),
    Field("ReadonlyPaths", "strings", LATER, "read-only paths are Docker's default", empty_counts=True),
    Field("Init", "bool"),
)  # fmt: skip

ENDPOINT = (
    Field("IPAMConfig", "object", LATER, NO_NETWORKS),
    Field("Links", "strings", LATER, NO_NETWORKS),
    Field("Aliases", "strings", LATER, NO_NETWORKS),
    Field("MacAddress", "string", LATER, NO_NETWORKS),
    Field("DriverOpts", "labels", LATER, NO_NETWORKS),
    Field("GwPriority", "int", LATER, NO_NETWORKS),
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
