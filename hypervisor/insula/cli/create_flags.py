"""The flags of `run` and `create`: a table. What a flag becomes in the request is decided in create.py.

Also names what the daemon does not do yet: it is passed on, so that its answer (not there yet, use this instead) is
the same for every client.
"""

from insula.cli.flags import BOOL, MANY, NUMBER, TEXT, Flag

CREATE_FLAGS = (
    Flag("add-host", "", MANY, "Add a name to /etc/hosts (name:address)"),
    Flag("annotation", "", MANY, "Keep an annotation with the container"),
    Flag("attach", "a", MANY, "Attach to stdin, stdout or stderr"),
    Flag("blkio-weight", "", NUMBER, "Weight of disk traffic, 10 to 1000"),
    Flag("blkio-weight-device", "", MANY, "The same for a device (/dev/NAME:weight)"),
    Flag("cap-add", "", MANY, "Add capabilities"),
    Flag("cap-drop", "", MANY, "Drop capabilities"),
    Flag("cidfile", "", TEXT, "Write the container's id to a file"),
    Flag("cgroupns", "", TEXT, "Cgroup namespace (a machine has its own)"),
    Flag("cgroup-parent", "", TEXT, "Parent cgroup (a machine has its own)"),
    Flag("cpu-period", "", NUMBER, "Period of the CPU limit, microseconds"),
    Flag("cpu-quota", "", NUMBER, "CPU time in each period, microseconds"),
    Flag("cpu-rt-period", "", NUMBER, "Period of the real-time limit, microseconds"),
    Flag("cpu-rt-runtime", "", NUMBER, "Real-time in each period, microseconds"),
    Flag("cpus", "", TEXT, "Number of CPUs, for example 1.5"),
    Flag("cpu-shares", "c", NUMBER, "CPU weight"),
    Flag("cpuset-cpus", "", TEXT, "Processors that it may use (0-2,4)"),
    Flag("cpuset-mems", "", TEXT, "Memory nodes that it may use (0)"),
    Flag("device", "", MANY, "Add a device of the host"),
    Flag("device-cgroup-rule", "", MANY, "Allow devices by their numbers"),
    Flag("device-read-bps", "", MANY, "Most bytes read a second (/dev/NAME:10mb)"),
    Flag("device-read-iops", "", MANY, "Most reads a second (/dev/NAME:100)"),
    Flag("device-write-bps", "", MANY, "Most bytes written a second"),
    Flag("device-write-iops", "", MANY, "Most writes a second"),
    Flag("dns", "", MANY, "DNS servers"),
    Flag("dns-option", "", MANY, "DNS options"),
    Flag("dns-search", "", MANY, "DNS search domains"),
    Flag("domainname", "", TEXT, "The container's domain name"),
    Flag("entrypoint", "", TEXT, "Replace the image's entry point"),
    Flag("env", "e", MANY, "Set an environment variable (NAME=VALUE, or NAME to pass yours on)"),
    Flag("env-file", "", MANY, "Read environment variables from a file"),
    Flag("expose", "", MANY, "Note a port as used"),
    Flag("gpus", "", TEXT, "Add GPUs of the host"),
    Flag("group-add", "", MANY, "Add further groups"),
    Flag("health-cmd", "", TEXT, "Command that checks the container's health"),
    Flag("health-interval", "", TEXT, "Time from one check to the next (ms|s|m|h)"),
    Flag("health-retries", "", NUMBER, "Failures in a row that are unhealthy"),
    Flag("health-start-interval", "", TEXT, "Time from one check to the next in the start period (ms|s|m|h)"),
    Flag("health-start-period", "", TEXT, "Time at the start in which failures do not count (ms|s|m|h)"),
    Flag("health-timeout", "", TEXT, "Longest that one check may take (ms|s|m|h)"),
    Flag("hostname", "h", TEXT, "The container's host name"),
    Flag("init", "", BOOL, "Run an init that forwards signals and reaps"),
    Flag("interactive", "i", BOOL, "Keep stdin open"),
    Flag("ipc", "", TEXT, "IPC namespace (a machine has its own)"),
    Flag("isolation", "", TEXT, "default, or fresh: a boot of its own instead of a clone"),
    Flag("kernel", "", TEXT, "Boot this kernel image of the daemon's host"),
    Flag("label", "l", MANY, "Set a label (KEY=VALUE)"),
    Flag("label-file", "", MANY, "Read labels from a file"),
    Flag("log-driver", "", TEXT, "json-file or none"),
    Flag("log-opt", "", MANY, "Options of the log (max-size=10m, max-file=3)"),
    Flag("memory", "m", TEXT, "Memory limit (512m, 2g)"),
    Flag("memory-reservation", "", TEXT, "Soft memory limit"),
    Flag("memory-swap", "", TEXT, "Limit of memory and swap together; -1 for none"),
    Flag("memory-swappiness", "", NUMBER, "Use of swap (a machine has none)"),
    Flag("name", "", TEXT, "The container's name"),
    Flag("network", "", TEXT, "Network to join; none for a loopback only"),
    Flag("no-healthcheck", "", BOOL, "Leave out the image's health check"),
    Flag("oom-kill-disable", "", BOOL, "No out-of-memory kills"),
    Flag("oom-score-adj", "", NUMBER, "Who is killed first without memory, -1000 to 1000"),
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
    Flag("storage-opt", "", MANY, "Options of the writable layer (size=10G)"),
    Flag("sysctl", "", MANY, "Set a kernel parameter of the machine"),
    Flag("tmpfs", "", MANY, "Mount a tmpfs (/path[:options])"),
    Flag("tty", "t", BOOL, "Give it a terminal"),
    Flag("ulimit", "", MANY, "Set a resource limit (nofile=1024:2048)"),
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
    "device-cgroup-rule": "DeviceCgroupRules", "dns-search": "DnsSearch", "group-add": "GroupAdd", "volume": "Binds",
    "volumes-from": "VolumesFrom",
}  # fmt: skip
HOST_TEXTS = {
    "cgroup-parent": "CgroupParent", "cgroupns": "CgroupnsMode", "cpuset-cpus": "CpusetCpus",
    "cpuset-mems": "CpusetMems", "ipc": "IpcMode", "isolation": "Isolation", "network": "NetworkMode",
    "pid": "PidMode", "runtime": "Runtime", "userns": "UsernsMode", "uts": "UTSMode",
}  # fmt: skip
HOST_BOOLS = {
    "init": "Init", "oom-kill-disable": "OomKillDisable", "privileged": "Privileged",
    "publish-all": "PublishAllPorts", "read-only": "ReadonlyRootfs", "rm": "AutoRemove",
}  # fmt: skip
HOST_NUMBERS = {
    "blkio-weight": "BlkioWeight", "cpu-period": "CpuPeriod", "cpu-quota": "CpuQuota",
    "cpu-rt-period": "CpuRealtimePeriod", "cpu-rt-runtime": "CpuRealtimeRuntime", "cpu-shares": "CpuShares",
    "memory-swappiness": "MemorySwappiness", "oom-score-adj": "OomScoreAdj", "pids-limit": "PidsLimit",
}  # fmt: skip
HOST_SIZES = {"memory": "Memory", "memory-reservation": "MemoryReservation", "memory-swap": "MemorySwap",
              "shm-size": "ShmSize"}  # fmt: skip
HOST_PAIRS = {"sysctl": "Sysctls"}
CONFIG_TEXTS = {"domainname": "Domainname", "hostname": "Hostname", "stop-signal": "StopSignal", "user": "User",
                "workdir": "WorkingDir"}  # fmt: skip
