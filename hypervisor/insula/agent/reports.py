"""What the agent sends: docs/protocol.md §3, types 65 to 74, and the steps of §4.

All of it comes from a guest that may be hostile; what decodes here is in range, not true.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self

from insula.agent.fields import U64, Reader, pack_list, pack_string
from insula.agent.messages import STDERR, STDOUT, Fixed, Message, read_data
from insula.agent.process_table import ProcessesAnswer
from insula.agent.usage import UsageAnswer

DETAIL_MAX = 256
PROCESSES_MAX = 256

_STATE = struct.Struct("<IBBQQQQQQ")
_WELCOME = struct.Struct("<HBI")
_REPLY = struct.Struct("<IHi")
_OUTPUT = struct.Struct("<IBQ")
_EXIT = struct.Struct("<IBIBQ")


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A process that the agent has, as WELCOME lists it."""

    process: int
    ended: bool
    tty: bool
    input_taken: int
    input_limit: int
    stdout_acknowledged: int
    stdout_end: int
    stderr_acknowledged: int
    stderr_end: int

    def encode(self) -> bytes:
        return _STATE.pack(*[getattr(self, name) for name in self.__match_args__])

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        process, ended, tty, *offsets = reader.unpack(_STATE)
        if not process or ended > 1 or tty > 1:
            raise reader.fail(f"the process {process} with the flags {ended}, {tty}")
        return cls(process, bool(ended), bool(tty), *offsets)


@dataclass(frozen=True, slots=True)
class Welcome:
    TYPE: ClassVar[int] = 65
    version: int
    booted: bool
    boot_number: int
    processes: tuple[ProcessState, ...] = ()

    def encode(self) -> bytes:
        head = _WELCOME.pack(self.version, self.booted, self.boot_number)
        return head + pack_list(process.encode() for process in self.processes)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        reader = Reader(payload, "Welcome")
        version, state, boot_number = reader.unpack(_WELCOME)
        processes = reader.items(lambda: ProcessState.decode(reader), PROCESSES_MAX)
        reader.end()
        if state > 1 or bool(boot_number) != bool(state):
            raise reader.fail(f"the state {state} with the boot number {boot_number}")
        if len({process.process for process in processes}) != len(processes):
            raise reader.fail("a process twice")
        return cls(version, bool(state), boot_number, processes)


class Step(IntEnum):
    """What the agent was doing when it failed (docs/protocol.md §4)."""

    REQUEST = 0
    IDENTITY = 1
    DISKS = 2
    MOUNT = 3
    FILES = 4
    NETWORK = 5
    SYSCTL = 6
    CGROUP = 7
    NAMESPACES = 8
    ROOT = 9
    DEVICES = 10
    USER = 11
    DIRECTORY = 12
    LIMITS = 13
    SECCOMP = 14
    EXEC = 15
    TERMINAL = 16
    MODULE = 17
    TREE = 18


@dataclass(frozen=True, slots=True)
class Reply:
    TYPE: ClassVar[int] = 66
    request: int
    step: Step
    errno: int
    detail: str = ""

    def encode(self) -> bytes:
        return _REPLY.pack(self.request, self.step, self.errno) + pack_string(self.detail)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        reader = Reader(payload, "Reply")
        request, step, errno = reader.unpack(_REPLY)
        detail = reader.string(DETAIL_MAX)
        reader.end()
        if step > max(Step) or errno < 0:
            raise reader.fail(f"the step {step}, the error {errno}")
        return cls(request, Step(step), errno, detail)


@dataclass(frozen=True, slots=True)
class Output:
    TYPE: ClassVar[int] = 67
    process: int
    stream: int
    offset: int
    data: bytes

    def encode(self) -> bytes:
        return _OUTPUT.pack(self.process, self.stream, self.offset) + self.data

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        reader = Reader(payload, "Output")
        process, stream, offset = reader.unpack(_OUTPUT)
        return cls(process, _stream(reader, stream), offset, read_data(reader))


@dataclass(frozen=True, slots=True)
class OutputEnd(Fixed):
    TYPE: ClassVar[int] = 68
    LAYOUT: ClassVar = _OUTPUT
    process: int
    stream: int
    offset: int

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        reader = Reader(payload, "OutputEnd")
        process, stream, offset = reader.unpack(_OUTPUT)
        reader.end()
        return cls(process, _stream(reader, stream), offset)


@dataclass(frozen=True, slots=True)
class Credit(Fixed):
    TYPE: ClassVar[int] = 69
    LAYOUT: ClassVar = struct.Struct("<IQ")
    process: int
    limit: int


class ExitKind(IntEnum):
    EXITED = 0
    KILLED = 1


@dataclass(frozen=True, slots=True)
class Exited:
    """value: the exit status, or the signal's number."""

    TYPE: ClassVar[int] = 70
    process: int
    kind: ExitKind
    value: int
    oom: bool
    core_dumped: bool
    clock_ns: int

    def encode(self) -> bytes:
        flags = self.oom | self.core_dumped << 1
        return _EXIT.pack(self.process, self.kind, self.value, flags, self.clock_ns)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        reader = Reader(payload, "Exit")
        process, kind, value, flags, clock_ns = reader.unpack(_EXIT)
        reader.end()
        if kind > 1 or flags > 3 or value > 255:
            raise reader.fail(f"the kind {kind}, the value {value}, the flags {flags}")
        return cls(process, ExitKind(kind), value, bool(flags & 1), bool(flags & 2), clock_ns)


@dataclass(frozen=True, slots=True)
class Oom(Fixed):
    TYPE: ClassVar[int] = 71
    LAYOUT: ClassVar = U64
    count: int


@dataclass(frozen=True, slots=True)
class Connected(Fixed):
    """The container has connected to a socket of the host's. process: the agent's own number for the connection;
    mount: which of the boot document's."""

    TYPE: ClassVar[int] = 74
    LAYOUT: ClassVar = struct.Struct("<II")
    process: int
    mount: int


def _stream(reader: Reader, stream: int) -> int:
    if stream not in (STDOUT, STDERR):
        raise reader.fail(f"the stream {stream}")
    return stream


Answer = Reply | UsageAnswer | ProcessesAnswer
"""What a request may be answered by: REPLY, or where it asks for something, that."""

_TYPES: tuple[type[Message], ...] = (
    Welcome, Reply, Output, OutputEnd, Credit, Exited, Oom, UsageAnswer, ProcessesAnswer, Connected,
)  # fmt: skip
REPORTS = {message.TYPE: message for message in _TYPES}
