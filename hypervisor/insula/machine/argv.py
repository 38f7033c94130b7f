"""The command line of QEMU: a machine's shape in, words out. Pure, and golden-tested.

It is one for template, clone and cold boot: only the mapping of the RAM and `-incoming` may differ, for a saved
state fits no other shape. Each section is one function.
"""

from insula.machine.platform import Bus
from insula.machine.shares import FOLDER
from insula.machine.spec import LAYER_DISKS, NICS, Descriptors, MachineSpec

PLACEHOLDER_BYTES = 1 << 40
"""The guest goes on seeing a placeholder's size after its file is there, so it must be above any disk's."""

TRANSLATION_CACHE = 64
"""MiB of translated code under TCG: smaller is slower to start, larger costs memory in every machine."""

FULL = ",werror=report"
"""The guest is told that the host's disk is full: of its own accord QEMU would stop the machine, for good."""

CONSOLE_BYTES = 1 << 16
TAGS = ("binds", "volumes")


def argv(name: str, spec: MachineSpec, fds: Descriptors) -> list[str]:
    """The words after the jail's: program first. name: the machine's id, by which it is found again."""
    return [
        f"/usr/bin/{spec.platform.qemu}",
        *_process(name),
        *_board(spec, fds),
        *_boot(spec, fds),
        *_console(spec.platform.console_device),
        *_control(spec.platform.bus, fds),
        *_disks(spec.platform.bus, spec.blocks),
        *_network(spec, fds),
        *_shares(spec),
        *_incoming(fds),
    ]


def _process(name: str) -> list[str]:
    """A machine that ends or panics pauses, so that its last words can be read before it is killed."""
    sandbox = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
    return [
        "-name", f"insula-{name}", "-sandbox", sandbox, "-nodefaults", "-no-user-config", "-display", "none",
        "-action", "reboot=shutdown,shutdown=pause,panic=pause",
    ]  # fmt: skip


def _board(spec: MachineSpec, fds: Descriptors) -> list[str]:
    accelerator = "kvm" if spec.accelerator == "kvm" else f"tcg,thread=multi,tb-size={TRANSLATION_CACHE}"
    share = "off" if fds.ram_private else "on"
    ram = f"memory-backend-file,id=ram,size={spec.memory}M,mem-path=/proc/self/fd/{fds.ram},share={share}"
    return [
        "-M", spec.platform.machine, "-accel", accelerator, "-cpu", spec.platform.tuning(spec.accelerator).cpu,
        "-smp", str(spec.cpus), "-m", f"{spec.memory}M", "-object", ram,
        *(word for setting in spec.platform.bus.settings for word in ("-global", setting)),
    ]  # fmt: skip


def _boot(spec: MachineSpec, fds: Descriptors) -> list[str]:
    command_line = spec.platform.tuning(spec.accelerator).command_line
    return [
        "-kernel", f"/proc/self/fd/{fds.kernel}", "-initrd", f"/proc/self/fd/{fds.initramfs}",
        "-append", command_line,
    ]  # fmt: skip


def _console(device: str) -> list[str]:
    """The guest's console goes round in a ring of QEMU's: bounded, and read by QMP when something failed.

    device: what shows it where a machine has no serial port of its own."""
    shown = ["-device", f"{device},chardev=console"] if device else ["-serial", "chardev:console"]
    return ["-chardev", f"ringbuf,id=console,size={CONSOLE_BYTES}", *shown]


def _control(bus: Bus, fds: Descriptors) -> list[str]:
    return [
        "-chardev", f"socket,id=qmp,fd={fds.qmp},server=on,wait=off", "-mon", "chardev=qmp,mode=control",
        "-device", f"virtio-serial-{bus.suffix},id=serial,max_ports=2",
        "-chardev", f"socket,id=agent,fd={fds.agent},server=on,wait=off",
        "-device", "virtserialport,id=agent-port,chardev=agent,name=insula.agent",
        "-device", f"virtio-rng-{bus.suffix},id=rng",
    ]  # fmt: skip


def _disks(bus: Bus, blocks: int) -> list[str]:
    words = []
    layers = [f"layer{n}" for n in range(LAYER_DISKS)]
    for disk in (*layers, "writable", *(f"block{n}" for n in range(blocks))):
        read_only, errors = ("on", "") if disk in layers else ("off", FULL)
        words += [
            "-blockdev",
            f"driver=null-co,node-name={disk}-empty,size={PLACEHOLDER_BYTES},read-zeroes=on,read-only={read_only}",
            "-device", f"virtio-blk-{bus.suffix},id={disk},drive={disk}-empty{errors},serial={disk}",
        ]  # fmt: skip
    return words


FIRST_MAC = "52:54:00:12:34:"
"""The agent tells the devices apart by the last octet; a container's own MAC comes with its lease."""


def _network(spec: MachineSpec, fds: Descriptors) -> list[str]:
    """On taps of the machine's own, or on hubs with nothing else on them: then it has no network."""
    words = []
    for n in range(NICS):
        words += [
            "-netdev", f"tap,id=net{n},fd={fds.taps[n]}" if spec.taps else f"hubport,id=net{n},hubid={n}",
            "-device", f"virtio-net-{spec.platform.bus.suffix},id=nic{n},netdev=net{n},mac={FIRST_MAC}{n:02x}",
        ]  # fmt: skip
    return words


def _shares(spec: MachineSpec) -> list[str]:
    """Two devices on one folder: what the host's user has goes through `binds`, volumes through `volumes`. With
    ids of its own QEMU gives files the owners that the guest says; else it can give none, and keeps a volume's in
    xattrs."""
    models = ("passthrough", "passthrough") if spec.own_ids else ("none", "mapped-xattr")
    words = []
    for tag, model in zip(TAGS, models, strict=True):
        words += [
            "-fsdev", f"local,id={tag},path=/{FOLDER},security_model={model},multidevs=remap",
            "-device", f"virtio-9p-{spec.platform.bus.suffix},id={tag}-device,fsdev={tag},mount_tag={tag}",
        ]  # fmt: skip
    return words


def _incoming(fds: Descriptors) -> list[str]:
    """A clone waits for its state, which the monitor gives it (Monitor.restore)."""
    return [] if fds.state is None else ["-incoming", "defer"]
