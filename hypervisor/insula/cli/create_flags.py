"""The flags of `run` and `create`: a table. What a flag becomes in the request is decided in create.py.

Also names what the daemon does not do yet: it is passed on, so that its answer (not there yet, use this instead) is
the same for every client.
"""

from insula.cli.flags import BOOL, MANY, NUMBER, TEXT, Flag

CREATE_FLAGS = (
    Flag("add-host", "", MANY, "Add a name to /etc/hosts (name:address)"),
    Flag("annotation", "", MANY, "Keep an annotation with the container"),
    Flag("attach", "a", MANY, "Attach to stdin, stdout or stderr"),
    Flag("cap-add", "", MANY, "Add capabilities"),
    Flag("cap-drop", "", MANY, "Drop capabilities"),
    Flag("cidfile", "", TEXT, "Write the container's id to a file"),
    Flag("cgroupns", "", TEXT, "Cgroup namespace (a machine has its own)"),
    Flag("cpus", "", TEXT, "Number of CPUs, for example 1.5"),
    Flag("cpu-shares", "c", NUMBER, "CPU weight"),
    Flag("device", "", MANY, "Add a device of the host"),
    Flag("dns", "", MANY, "DNS servers"),
    Flag("dns-option", "", MANY, "DNS options"),
    Flag("dns-search", "", MANY, "DNS search domains"),
    Flag("domainname", "", TEXT, "The container's domain name"),
    Flag("entrypoint", "", TEXT, "Replace the image's entry point"),
    Flag("env", "e", MANY, "Set an environment variable (NAME=VALUE, or NAME to pass yours on)"),
    Flag("env-file", "", MANY, "Read environment variables from a file"),
    Flag("expose", "", MANY, "Note a port as used"),
    Flag("group-add", "", MANY, "Add further groups"),
    Flag("hostname", "h", TEXT, "The container's host name"),
    Flag("init", "", BOOL, "Run an init that forwards signals and reaps"),
    Flag("interactive", "i", BOOL, "Keep stdin open"),
    Flag("ipc", "", TEXT, "IPC namespace (a machine has its own)"),
    Flag("isolation", "", TEXT, "default, or fresh: a boot of its own instead of a clone"),
    Flag("label", "l", MANY, "Set a label (KEY=VALUE)"),
    Flag("label-file", "", MANY, "Read labels from a file"),
    Flag("log-driver", "", TEXT, "json-file or none"),
    Flag("log-opt", "", MANY, "Options of the log (max-size=10m, max-file=3)"),
    Flag("memory", "m", TEXT, "Memory limit (512m, 2g)"),
    Flag("memory-reservation", "", TEXT, "Soft memory limit"),
    Flag("memory-swap", "", TEXT, "Limit of memory and swap together; -1 for none"),
    Flag("name", "", TEXT, "The container's name"),
    Flag("network", "", TEXT, "Network to join; none for a loopback only"),
    Flag("no-healthcheck", "", BOOL, "Leave out the image's health check"),
    Flag("oom-kill-disable", "", BOOL, "No out-of-memory kills"),
    Flag("pid", "", TEXT, "PID namespace (a machine has its own)"),
    Flag("pids-limit", "", NUMBER, "Most processes at a time; -1 for no limit"),
    Flag("platform", "", TEXT, "Platform of the image (linux/arm64)"),
    Flag("privileged", "", BOOL, "All capabilities and devices, inside the guest"),
    Flag("publish", "p", MANY, "Publish a port ([address:]port:port[/udp])"),
    Flag("publish-all", "P", BOOL, "Publish all exposed ports"),
    Flag("pull", "", TEXT, "missing or never (there are no registries yet)"),
    Flag("quiet", "q", BOOL, "Say nothing of a pull"),
    Flag("read-only", "", BOOL, "Mount the root file system read-only"),
    Flag("restart", "", TEXT, "Restart policy (no, always, unless-stopped, on-failure[:N])"),
    Flag("rm", "", BOOL, "Remove the container when it has exited"),
    Flag("runtime", "", TEXT, "Runtime (there is one)"),
    Flag("security-opt", "", MANY, "Security options"),
    Flag("shm-size", "", TEXT, "Size of /dev/shm"),
    Flag("stop-signal", "", TEXT, "Signal that asks the container to stop"),
    Flag("stop-timeout", "", NUMBER, "Seconds from that signal to SIGKILL"),
    Flag("sysctl", "", MANY, "Set a kernel parameter of the machine"),
    Flag("tmpfs", "", MANY, "Mount a tmpfs (/path[:options])"),
    Flag("tty", "t", BOOL, "Give it a terminal"),
    Flag("user", "u", TEXT, "User (name or id, [:group])"),
    Flag("userns", "", TEXT, "User namespace (a machine has its own)"),
    Flag("uts", "", TEXT, "UTS namespace (a machine has its own)"),
    Flag("volume", "v", MANY, "Mount a folder or a volume (source:target[:ro])"),
    Flag("volumes-from", "", MANY, "Mount the volumes of another container"),
    Flag("workdir", "w", TEXT, "Working directory"),
)

RUN_FLAGS = (
    *CREATE_FLAGS,
    Flag("detach", "d", BOOL, "Run in the background and print the container's id"),
    Flag("detach-keys", "", TEXT, "Keys that leave the container running (ctrl-p,ctrl-q)"),
    Flag("sig-proxy", "", BOOL, "Pass signals on to the container (default true)"),
)

HOST_LISTS = {
    "add-host": "ExtraHosts", "cap-add": "CapAdd", "cap-drop": "CapDrop", "dns": "Dns", "dns-option": "DnsOptions",
    "dns-search": "DnsSearch", "group-add": "GroupAdd", "security-opt": "SecurityOpt", "volume": "Binds",
    "volumes-from": "VolumesFrom",
}  # fmt: skip
HOST_TEXTS = {
    "cgroupns": "CgroupnsMode", "ipc": "IpcMode", "isolation": "Isolation", "network": "NetworkMode",
    "pid": "PidMode", "runtime": "Runtime", "userns": "UsernsMode", "uts": "UTSMode",
}  # fmt: skip
HOST_BOOLS = {
    "init": "Init", "oom-kill-disable": "OomKillDisable", "privileged": "Privileged",
    "publish-all": "PublishAllPorts", "read-only": "ReadonlyRootfs", "rm": "AutoRemove",
}  # fmt: skip
HOST_NUMBERS = {"cpu-shares": "CpuShares", "pids-limit": "PidsLimit"}
HOST_SIZES = {"memory": "Memory", "memory-reservation": "MemoryReservation", "memory-swap": "MemorySwap",
              "shm-size": "ShmSize"}  # fmt: skip
HOST_PAIRS = {"annotation": "Annotations", "sysctl": "Sysctls"}
CONFIG_TEXTS = {"domainname": "Domainname", "hostname": "Hostname", "stop-signal": "StopSignal", "user": "User",
                "workdir": "WorkingDir"}  # fmt: skip
