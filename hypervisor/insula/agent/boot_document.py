"""What a container is to the agent: one boot document (docs/protocol.md §5), and a process (§6).

The specs are decided by container/plan.py and validated where they are built (InvalidArgument), so that what
is encoded is always something the agent can parse; whether it can be *done* the agent finds out by doing it.
`decode` is the reverse, for the vectors and for reading the document kept with a failed start.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from insula.agent.fields import (
    LIST_MAX,
    U8,
    U8_MAX,
    U32,
    U32_MAX,
    U64,
    U64_MAX,
    Reader,
    check_bytes,
    check_count,
    check_flags,
    check_number,
    check_text,
    check_texts,
    malformed,
    pack_bytes,
    pack_list,
    pack_string,
    pack_strings,
)
from insula.agent.limits import NO_LIMITS, Limits
from insula.agent.link import Address as Address
from insula.agent.link import Link as Link
from insula.agent.link import Route as Route
from insula.agent.process_spec import PATH_MAX
from insula.agent.process_spec import Capabilities as Capabilities
from insula.agent.process_spec import Limit as Limit
from insula.agent.process_spec import ProcessFlag as ProcessFlag
from insula.agent.process_spec import ProcessSpec as ProcessSpec
from insula.agent.wire import PAYLOAD_MAX
from insula.errors import InvalidArgument

DOCUMENT_MAX = PAYLOAD_MAX - U32.size  # the request's number travels in front of it
IDS, NOBODY = 1 << 16, 65_534
SOCKETS_MAX = 8
HOST_NAME_MAX, ENTROPY_MAX, CONTENT_MAX, LAYERS_MAX, RESERVED_MAX = 64, 512, 65_536, 16, 4_096


class BootFlag(IntFlag):
    READ_ONLY = 1
    PRIVILEGED = 2
    INIT = 4
    DISPOSABLE = 8  # the writable disk is thrown away afterwards: no barriers, no sync
    FILES = 16  # the disks are mounted, and that is all: no main process


NO_FLAGS = BootFlag(0)


class MountKind(IntEnum):
    TMPFS = 1
    SHARE = 2
    BIND = 3
    SOCKET = 4
    DISK = 5


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount on top of the standard ones. source: of a share its tag, of a bind a path in the container, of a disk
    its name. flags: mount(2)'s MS_ bits; of a disk beside them its size; of a socket its mode and owner."""

    kind: MountKind
    source: str
    target: str
    flags: int = 0
    data: str = ""

    def __post_init__(self) -> None:
        if self.kind not in tuple(MountKind):
            raise InvalidArgument(f"a mount of the unknown kind {self.kind}")
        check_text("a mount's source", self.source, PATH_MAX)
        check_text("a mount's target", self.target, PATH_MAX, empty=False)
        check_number("a mount's flags", self.flags, 0, U64_MAX)
        check_text("a mount's data", self.data, PATH_MAX)

    def encode(self) -> bytes:
        return b"".join((
            U8.pack(self.kind), pack_string(self.source), pack_string(self.target), U64.pack(self.flags),
            pack_string(self.data),
        ))  # fmt: skip

    @classmethod
    def decode(cls, reader: Reader) -> "Mount":
        kind, source, target = reader.u8(), reader.string(PATH_MAX), reader.string(PATH_MAX)
        return cls(MountKind(kind), source, target, reader.u64(), reader.string(PATH_MAX))


@dataclass(frozen=True, slots=True)
class File:
    """A file of the agent's that is bound over a path of the container's (/etc/hosts and the like)."""

    path: str
    content: bytes
    mode: int = 0o644

    def __post_init__(self) -> None:
        check_text("a file's path", self.path, PATH_MAX, empty=False)
        check_number("a file's mode", self.mode, 0, 0o7777)
        check_bytes(f"the content of {self.path}", self.content, CONTENT_MAX)

    def encode(self) -> bytes:
        return pack_string(self.path) + U32.pack(self.mode) + pack_bytes(self.content)

    @classmethod
    def decode(cls, reader: Reader) -> "File":
        path, mode = reader.string(PATH_MAX), reader.u32()
        return cls(path, reader.data(CONTENT_MAX), mode)


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A setting below /proc/sys; the path is relative, with `/` between its parts."""

    path: str
    value: str

    def __post_init__(self) -> None:
        check_text("a sysctl's name", self.path, PATH_MAX, empty=False)
        if self.path.startswith("/") or ".." in self.path.split("/"):
            raise InvalidArgument(f"the sysctl {self.path!r} is not below /proc/sys")
        check_text(f"the value of {self.path}", self.value, PATH_MAX)

    def encode(self) -> bytes:
        return pack_string(self.path) + pack_string(self.value)

    @classmethod
    def decode(cls, reader: Reader) -> "Sysctl":
        return cls(reader.string(PATH_MAX), reader.string(PATH_MAX))


@dataclass(frozen=True, slots=True, kw_only=True)
class BootDocument:
    """All of one container. number: chosen by the host, not 0. disks: False in plain-process mode only.
    layers: indices of the read-only disks, lowest first. writable: which upper directory of the ext4 disk is this
    boot's, those of lower numbers lie below it; None: a tmpfs. clock_ns: 0 leaves the clock. shm: bytes of
    /dev/shm."""

    number: int
    main: ProcessSpec
    clock_ns: int = 0
    entropy: bytes = b""
    hostname: str = ""
    domainname: str = ""
    disks: bool = True
    layers: tuple[int, ...] = ()
    writable: int | None = None
    flags: BootFlag = NO_FLAGS
    mounts: tuple[Mount, ...] = ()
    masked: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    links: tuple[Link, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()
    limits: Limits = NO_LIMITS
    shm: int = 0

    def __post_init__(self) -> None:
        check_number("a boot's number", self.number, 1, U32_MAX)
        check_bytes("entropy", self.entropy, ENTROPY_MAX)
        check_text("a host name", self.hostname, HOST_NAME_MAX)
        check_text("a domain name", self.domainname, HOST_NAME_MAX)
        self._check_disks()
        check_flags("a boot's flags", self.flags, sum(BootFlag))
        for what, items in (
            ("mounts", self.mounts), ("files", self.files), ("links", self.links), ("sysctls", self.sysctls),
        ):  # fmt: skip
            check_count(what, items)
        check_texts("masked paths", self.masked, LIST_MAX, PATH_MAX)
        check_texts("read-only paths", self.read_only, LIST_MAX, PATH_MAX)
        check_number("a boot's clock", self.clock_ns, 0, U64_MAX)
        check_number("the size of /dev/shm", self.shm, 0, U64_MAX)

    def _check_disks(self) -> None:
        check_count("layers", self.layers, LAYERS_MAX)
        for index in self.layers:
            check_number("a layer's disk", index, 0, U8_MAX)
        if self.writable is not None:
            check_number("the upper directory", self.writable, 0, U8_MAX)
        mounts = any(mount.kind is not MountKind.SOCKET for mount in self.mounts)
        if not self.disks and (self.layers or self.writable is not None or mounts):
            raise InvalidArgument(
                "a container without disks has no layers, writable disk or mounts but sockets"
            )

    def encode(self) -> bytes:
        """The document as a BOOT frame carries it. Raises InvalidArgument if it does not fit into one."""
        writable = (0, 0) if self.writable is None else (1, self.writable)
        data = b"".join((
            U32.pack(self.number), U64.pack(self.clock_ns), pack_bytes(self.entropy),
            pack_string(self.hostname), pack_string(self.domainname),
            U8.pack(int(self.disks)), pack_list(U8.pack(index) for index in self.layers),
            bytes(writable), U32.pack(self.flags),
            pack_list(mount.encode() for mount in self.mounts),
            pack_strings(self.masked), pack_strings(self.read_only),
            pack_list(file.encode() for file in self.files),
            pack_list(link.encode() for link in self.links),
            pack_list(sysctl.encode() for sysctl in self.sysctls),
            self.limits.encode(), U64.pack(self.shm), self.main.encode(), pack_bytes(b""),
        ))  # fmt: skip
        if len(data) > DOCUMENT_MAX:
            raise InvalidArgument(
                f"the container's boot document takes {len(data)} bytes ({DOCUMENT_MAX} at most)",
                "shorten its arguments, environment or hosts",
            )
        return data

    @classmethod
    def decode(cls, payload: bytes) -> "BootDocument":
        """The document that is exactly this payload. Raises Internal if it is none."""
        with malformed("boot document"):
            reader = Reader(payload, "boot document")
            document = _read_document(reader)
            reader.end()
            return document


def disk_mount(disk: str, target: str, size: int, flags: int) -> Mount:
    """A folder of a disk's own file system, which grows to `size` bytes if it is smaller."""
    return Mount(MountKind.DISK, disk, target, flags | size >> 20 << 32)


def socket_mount(target: str, mode: int, user: int, group: int) -> Mount:
    """A socket whose connections the agent carries. Ids that a machine has not are shown as nobody's."""
    user, group = (id if id < IDS else NOBODY for id in (user, group))
    return Mount(MountKind.SOCKET, "", target, mode & 0o7777 | user << 16 | group << 32)


def _read_document(reader: Reader) -> BootDocument:
    number, clock_ns, entropy = reader.u32(), reader.u64(), reader.data(ENTROPY_MAX)
    hostname, domainname = reader.string(HOST_NAME_MAX), reader.string(HOST_NAME_MAX)
    root, layers = reader.u8(), reader.items(reader.u8, LAYERS_MAX)
    kind, index = reader.u8(), reader.u8()
    if root > 1 or kind > 1 or (not kind and index):
        raise reader.fail(f"a root of the kind {root}, a writable disk of the kind {kind}, {index}")
    flags = reader.u32()
    check_flags("a boot's flags", flags, sum(BootFlag))
    mounts = reader.items(lambda: Mount.decode(reader))
    masked = reader.items(lambda: reader.string(PATH_MAX))
    read_only = reader.items(lambda: reader.string(PATH_MAX))
    files = reader.items(lambda: File.decode(reader))
    links = reader.items(lambda: Link.decode(reader))
    sysctls = reader.items(lambda: Sysctl.decode(reader))
    limits, shm = Limits.decode(reader), reader.u64()
    main = ProcessSpec.read(reader)
    if reader.data(RESERVED_MAX):
        raise reader.fail("something in a field that is reserved")
    return BootDocument(
        number=number, main=main, clock_ns=clock_ns, entropy=entropy, hostname=hostname,
        domainname=domainname, disks=bool(root), layers=layers, writable=index if kind else None,
        flags=BootFlag(flags), mounts=mounts, masked=masked, read_only=read_only, files=files, links=links,
        sysctls=sysctls, limits=limits, shm=shm,
    )  # fmt: skip
