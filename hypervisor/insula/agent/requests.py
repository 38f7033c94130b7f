"""What the host sends: docs/protocol.md §3, types 1 to 23.

Those that begin with a request's number are answered by one REPLY; the others by nothing.
"""

import struct
from dataclasses import dataclass
from typing import ClassVar, Self

from insula.agent.boot_document import ENTROPY_MAX, BootDocument
from insula.agent.fields import U32, Reader, malformed, pack_bytes, pack_string
from insula.agent.limits import Limits
from insula.agent.link import Link
from insula.agent.messages import VERSION, Fixed, Message, read_data
from insula.agent.process_spec import PATH_MAX, ProcessSpec
from insula.agent.tree import WriteFlag

_INPUT = struct.Struct("<IQ")
_IDENTITY = struct.Struct("<IQ")
_PAIR = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Hello(Fixed):
    TYPE: ClassVar[int] = 1
    LAYOUT: ClassVar = struct.Struct("<H")
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Boot:
    TYPE: ClassVar[int] = 2
    request: int
    document: BootDocument

    def encode(self) -> bytes:
        return U32.pack(self.request) + self.document.encode()

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        return cls(Reader(payload, "Boot").u32(), BootDocument.decode(payload[U32.size :]))


@dataclass(frozen=True, slots=True)
class Spawn:
    TYPE: ClassVar[int] = 3
    request: int
    spec: ProcessSpec

    def encode(self) -> bytes:
        return U32.pack(self.request) + self.spec.encode()

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        return cls(Reader(payload, "Spawn").u32(), ProcessSpec.decode(payload[U32.size :]))


@dataclass(frozen=True, slots=True)
class Input:
    TYPE: ClassVar[int] = 4
    process: int
    offset: int
    data: bytes

    def encode(self) -> bytes:
        return _INPUT.pack(self.process, self.offset) + self.data

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        reader = Reader(payload, "Input")
        process, offset = reader.unpack(_INPUT)
        return cls(process, offset, read_data(reader))


@dataclass(frozen=True, slots=True)
class InputEnd(Fixed):
    TYPE: ClassVar[int] = 5
    LAYOUT: ClassVar = struct.Struct("<IQ")
    process: int
    offset: int


@dataclass(frozen=True, slots=True)
class Ack(Fixed):
    TYPE: ClassVar[int] = 6
    LAYOUT: ClassVar = struct.Struct("<IBQ")
    process: int
    stream: int
    offset: int


@dataclass(frozen=True, slots=True)
class Resume(Fixed):
    TYPE: ClassVar[int] = 7
    LAYOUT: ClassVar = struct.Struct("<IQQ")
    process: int
    stdout: int
    stderr: int


@dataclass(frozen=True, slots=True)
class Signal(Fixed):
    TYPE: ClassVar[int] = 8
    LAYOUT: ClassVar = struct.Struct("<III")
    request: int
    process: int
    signal: int


@dataclass(frozen=True, slots=True)
class Resize(Fixed):
    TYPE: ClassVar[int] = 9
    LAYOUT: ClassVar = struct.Struct("<IHH")
    process: int
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Release(Fixed):
    TYPE: ClassVar[int] = 10
    LAYOUT: ClassVar = U32
    process: int


@dataclass(frozen=True, slots=True)
class Freeze(Fixed):
    TYPE: ClassVar[int] = 11
    LAYOUT: ClassVar = U32
    request: int


@dataclass(frozen=True, slots=True)
class Thaw(Fixed):
    TYPE: ClassVar[int] = 12
    LAYOUT: ClassVar = U32
    request: int


@dataclass(frozen=True, slots=True)
class Sync(Fixed):
    TYPE: ClassVar[int] = 13
    LAYOUT: ClassVar = U32
    request: int


@dataclass(frozen=True, slots=True)
class Stop(Fixed):
    TYPE: ClassVar[int] = 14
    LAYOUT: ClassVar = U32
    request: int


@dataclass(frozen=True, slots=True)
class Identity:
    TYPE: ClassVar[int] = 15
    request: int
    clock_ns: int
    entropy: bytes

    def encode(self) -> bytes:
        return _IDENTITY.pack(self.request, self.clock_ns) + pack_bytes(self.entropy)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        reader = Reader(payload, "Identity")
        request, clock_ns = reader.unpack(_IDENTITY)
        message = cls(request, clock_ns, reader.data(ENTROPY_MAX))
        reader.end()
        return message


@dataclass(frozen=True, slots=True)
class TreeRead:
    TYPE: ClassVar[int] = 16
    request: int
    process: int
    path: str
    flags: int

    def encode(self) -> bytes:
        return _PAIR.pack(self.request, self.process) + pack_string(self.path) + U32.pack(self.flags)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        reader = Reader(payload, cls.__name__)
        request, process = reader.unpack(_PAIR)
        message = cls(request, process, reader.string(PATH_MAX), reader.u32())
        reader.end()
        return message


@dataclass(frozen=True, slots=True)
class TreeWrite:
    """owner: with WriteFlag.OWNED alone, whose everything is to be, as in a process."""

    TYPE: ClassVar[int] = 17
    request: int
    process: int
    path: str
    flags: int
    owner: str = ""

    def encode(self) -> bytes:
        owner = pack_string(self.owner) if self.flags & WriteFlag.OWNED else b""
        head = _PAIR.pack(self.request, self.process) + pack_string(self.path)
        return head + U32.pack(self.flags) + owner

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        reader = Reader(payload, cls.__name__)
        request, process = reader.unpack(_PAIR)
        path, flags = reader.string(PATH_MAX), reader.u32()
        owner = reader.string(PATH_MAX) if flags & WriteFlag.OWNED else ""
        reader.end()
        return cls(request, process, path, flags, owner)


@dataclass(frozen=True, slots=True)
class PowerOff(Fixed):
    TYPE: ClassVar[int] = 18
    LAYOUT: ClassVar = struct.Struct("<")


@dataclass(frozen=True, slots=True)
class Update:
    TYPE: ClassVar[int] = 19
    request: int
    limits: Limits

    def encode(self) -> bytes:
        return U32.pack(self.request) + self.limits.encode()

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        with malformed("Update"):
            reader = Reader(payload, "Update")
            message = cls(reader.u32(), Limits.decode(reader))
            reader.end()
            return message


@dataclass(frozen=True, slots=True)
class MeasureUsage(Fixed):
    TYPE: ClassVar[int] = 20
    LAYOUT: ClassVar = U32
    request: int


@dataclass(frozen=True, slots=True)
class ListProcesses(Fixed):
    TYPE: ClassVar[int] = 21
    LAYOUT: ClassVar = _PAIR
    request: int
    start: int


@dataclass(frozen=True, slots=True)
class SetLink:
    TYPE: ClassVar[int] = 22
    request: int
    link: Link

    def encode(self) -> bytes:
        return U32.pack(self.request) + self.link.encode()

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        with malformed("SetLink"):
            reader = Reader(payload, "SetLink")
            message = cls(reader.u32(), Link.decode(reader))
            reader.end()
            return message


@dataclass(frozen=True, slots=True)
class Unlink(Fixed):
    TYPE: ClassVar[int] = 23
    LAYOUT: ClassVar = struct.Struct("<IB")
    request: int
    nic: int


_TYPES: tuple[type[Message], ...] = (
    Hello, Boot, Spawn, Input, InputEnd, Ack, Resume, Signal, Resize, Release, Freeze, Thaw, Sync, Stop,
    Identity, TreeRead, TreeWrite, PowerOff, Update, MeasureUsage, ListProcesses,
    SetLink, Unlink,
)  # fmt: skip
REQUESTS = {message.TYPE: message for message in _TYPES}
