"""One program for the agent to run (docs/protocol.md §6): what SPAWN carries, and a boot document's main.

Decided by container/plan.py and validated where it is built (InvalidArgument), so that what is encoded is
always something the agent can parse. It refuses a process without a program, which the wire could carry.
"""

from dataclasses import dataclass
from enum import IntFlag

from insula.agent.fields import (
    I32,
    U8,
    U16,
    U16_MAX,
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
from insula.errors import InvalidArgument

ARGUMENTS_MAX, ENVIRONMENT_MAX, ARGUMENT_MAX = 1_024, 4_096, 131_072
PATH_MAX, USER_MAX, GROUPS_MAX, LIMITS_MAX, SECCOMP_MAX = 4_095, 256, 1_024, 16, 65_536


class ProcessFlag(IntFlag):
    TTY = 1
    STDIN = 2
    NO_NEW_PRIVILEGES = 4
    PRIVILEGED = 8
    OUTSIDE = 16  # beside the container, in the agent's own namespaces


NO_FLAGS = ProcessFlag(0)


@dataclass(frozen=True, slots=True)
class Limit:
    """One rlimit: its number as in setrlimit(2), and both values."""

    resource: int
    soft: int
    hard: int

    def __post_init__(self) -> None:
        check_number("the number of a limit", self.resource, 0, LIMITS_MAX - 1)
        check_number("a hard limit", self.hard, 0, U64_MAX)
        check_number("a soft limit", self.soft, 0, self.hard)

    def encode(self) -> bytes:
        return U8.pack(self.resource) + U64.pack(self.soft) + U64.pack(self.hard)

    @classmethod
    def decode(cls, reader: Reader) -> "Limit":
        return cls(reader.u8(), reader.u64(), reader.u64())


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The five sets of capabilities(7), as bits."""

    bounding: int = 0
    effective: int = 0
    permitted: int = 0
    inheritable: int = 0
    ambient: int = 0

    def __post_init__(self) -> None:
        for bits in self._sets():
            check_number("a set of capabilities", bits, 0, U64_MAX)

    def _sets(self) -> tuple[int, ...]:
        return self.bounding, self.effective, self.permitted, self.inheritable, self.ambient

    def encode(self) -> bytes:
        return b"".join(U64.pack(bits) for bits in self._sets())

    @classmethod
    def decode(cls, reader: Reader) -> "Capabilities":
        return cls(*(reader.u64() for _ in range(5)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One program to run. number: chosen by the host, not 0. rows and columns: of the tty; 0 leaves them.
    user: 'name', 'uid', 'name:group', …; empty: 0:0. seccomp: a classic BPF program, or empty."""

    number: int
    arguments: tuple[str, ...]
    environment: tuple[str, ...] = ()
    flags: ProcessFlag = NO_FLAGS
    rows: int = 0
    columns: int = 0
    directory: str = "/"
    user: str = ""
    groups: tuple[str, ...] = ()
    capabilities: Capabilities = Capabilities()
    limits: tuple[Limit, ...] = ()
    seccomp: bytes = b""
    oom_score_adj: int = 0
    umask: int = 0o022

    def __post_init__(self) -> None:
        check_number("a process's number", self.number, 1, U32_MAX)
        check_flags("a process's flags", self.flags, sum(ProcessFlag))
        check_number("a terminal's rows", self.rows, 0, U16_MAX)
        check_number("a terminal's columns", self.columns, 0, U16_MAX)
        check_texts("arguments", self.arguments, ARGUMENTS_MAX, ARGUMENT_MAX)
        if not self.arguments or not self.arguments[0]:
            raise InvalidArgument('exec: "": executable file not found in $PATH', "name the program to run")
        check_texts("environment entries", self.environment, ENVIRONMENT_MAX, ARGUMENT_MAX)
        check_text("a working directory", self.directory, PATH_MAX)
        check_text("a user", self.user, USER_MAX)
        check_texts("groups", self.groups, GROUPS_MAX, USER_MAX)
        check_count("limits", self.limits, LIMITS_MAX)
        check_bytes("a seccomp program", self.seccomp, SECCOMP_MAX)
        if len(self.seccomp) % 8:
            raise InvalidArgument("a seccomp program is not of whole instructions")
        check_number("oom_score_adj", self.oom_score_adj, -1_000, 1_000)
        check_number("a umask", self.umask, 0, 0o777)

    def encode(self) -> bytes:
        return b"".join((
            U32.pack(self.number), U32.pack(self.flags), U16.pack(self.rows), U16.pack(self.columns),
            pack_strings(self.arguments), pack_strings(self.environment),
            pack_string(self.directory), pack_string(self.user), pack_strings(self.groups),
            self.capabilities.encode(), pack_list(limit.encode() for limit in self.limits),
            pack_bytes(self.seccomp), I32.pack(self.oom_score_adj), U32.pack(self.umask),
        ))  # fmt: skip

    @classmethod
    def read(cls, reader: Reader) -> "ProcessSpec":
        """The spec at the reader's place."""
        number, flags = reader.u32(), ProcessFlag(reader.u32())
        rows, columns = reader.u16(), reader.u16()
        arguments = reader.items(lambda: reader.string(ARGUMENT_MAX), ARGUMENTS_MAX)
        environment = reader.items(lambda: reader.string(ARGUMENT_MAX), ENVIRONMENT_MAX)
        directory, user = reader.string(PATH_MAX), reader.string(USER_MAX)
        groups = reader.items(lambda: reader.string(USER_MAX), GROUPS_MAX)
        capabilities = Capabilities.decode(reader)
        limits = reader.items(lambda: Limit.decode(reader), LIMITS_MAX)
        seccomp = reader.data(SECCOMP_MAX)
        return cls(
            number=number, arguments=arguments, environment=environment, flags=flags,
            rows=rows, columns=columns, directory=directory, user=user, groups=groups,
            capabilities=capabilities, limits=limits, seccomp=seccomp,
            oom_score_adj=reader.i32(), umask=reader.u32(),
        )  # fmt: skip

    @classmethod
    def decode(cls, payload: bytes) -> "ProcessSpec":
        """The spec that is exactly this payload. Raises Internal if it is none."""
        with malformed("process"):
            reader = Reader(payload, "process")
            spec = cls.read(reader)
            reader.end()
            return spec
