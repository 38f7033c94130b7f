"""The processes of a container, as `ps` and `top` show them (docs/protocol.md §10): the agent's answers to PROCESSES.

They come in pages, in the order of the guest's own ids, and `collect` makes the table of them. Who is whose parent is
told in those ids, which are meaningless to anybody else, and is put into the container's own here. All of it is the
guest's word: bounded, not true.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self

from insula.agent.fields import Reader, pack_bytes, pack_list

NAME_MAX, COMMAND_MAX, PAGE_MAX = 64, 4_096, 4_096
TABLE_MAX = 4_096  # processes beyond which a table is cut

_HEAD = struct.Struct("<IQQI")
_ROW = struct.Struct("<7IBBIiIQQQQQ")
_FOREGROUND, _CUT = 1, 2


@dataclass(frozen=True, slots=True)
class Row:
    """One process on the wire. id, parent: as the agent sees them; pid, group, session: as the container does, 0 for
    what is outside of it. terminal: the device's number as in proc(5). state: proc(5)'s letter. command: the
    arguments, each with a NUL behind it."""

    id: int
    parent: int
    pid: int
    group: int
    session: int
    uid: int
    gid: int
    state: str
    foreground: bool
    cut: bool
    terminal: int
    nice: int
    threads: int
    start_ns: int
    user_ns: int
    system_ns: int
    virtual_bytes: int
    resident_bytes: int
    name: bytes
    command: bytes

    def encode(self) -> bytes:
        ids = (self.id, self.parent, self.pid, self.group, self.session, self.uid, self.gid)
        flags = self.foreground * _FOREGROUND | self.cut * _CUT
        numbers = _ROW.pack(
            *ids, ord(self.state), flags, self.terminal, self.nice, self.threads, self.start_ns,
            self.user_ns, self.system_ns, self.virtual_bytes, self.resident_bytes,
        )  # fmt: skip
        return numbers + pack_bytes(self.name) + pack_bytes(self.command)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        id, parent, pid, group, session, uid, gid, state, flags, *rest = reader.unpack(_ROW)
        if not id or not pid or not chr(state).isascii() or not chr(state).isalpha() or flags > 3:
            raise reader.fail(f"the process {id}, {pid} with the state {state} and the flags {flags}")
        terminal, nice, threads, start_ns, user_ns, system_ns, virtual_bytes, resident_bytes = rest
        return cls(
            id, parent, pid, group, session, uid, gid, chr(state), bool(flags & _FOREGROUND), bool(flags & _CUT),
            terminal, nice, threads, start_ns, user_ns, system_ns, virtual_bytes, resident_bytes,
            reader.data(NAME_MAX), reader.data(COMMAND_MAX),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProcessesAnswer:
    """A page. next: where the following one begins; 0: this was the last."""

    TYPE: ClassVar[int] = 73
    request: int
    clock_ns: int
    uptime_ns: int
    next: int
    rows: tuple[Row, ...]

    def encode(self) -> bytes:
        head = _HEAD.pack(self.request, self.clock_ns, self.uptime_ns, self.next)
        return head + pack_list(row.encode() for row in self.rows)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        reader = Reader(payload, "ProcessesAnswer")
        request, clock_ns, uptime_ns, after = reader.unpack(_HEAD)
        rows = reader.items(lambda: Row.decode(reader), PAGE_MAX)
        reader.end()
        ids = [row.id for row in rows]
        if ids != sorted(set(ids)):
            raise reader.fail("processes that are not in order")
        if after and (not rows or after <= ids[-1]):
            raise reader.fail(f"a page that is followed by {after}")
        return cls(request, clock_ns, uptime_ns, after, rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerProcess:
    """One process of the container, in its own numbers. parent, group, session: 0 is outside of the container.
    uid, gid: the effective ones. state: proc(5)'s letter. terminal: major << 8 | minor, as proc(5) has it; 0: none.
    started_ns: since 1970, by the guest's clock; age_ns: how long it has run. command: its arguments (none: a zombie
    or what has wiped them; cut: not all), name: the kernel's, at most 15 bytes."""

    pid: int
    parent: int
    group: int
    session: int
    uid: int
    gid: int
    state: str
    foreground: bool
    terminal: int
    nice: int
    threads: int
    started_ns: int
    age_ns: int
    user_ns: int
    system_ns: int
    virtual_bytes: int
    resident_bytes: int
    name: str
    command: tuple[str, ...]
    command_cut: bool


@dataclass(frozen=True, slots=True)
class ProcessTable:
    """cut: there are more. clock_ns: the guest's wall clock when it was read, in nanoseconds since 1970."""

    processes: tuple[ContainerProcess, ...]
    cut: bool
    clock_ns: int


def collect(pages: Iterable[ProcessesAnswer], cut: bool) -> ProcessTable:
    """The table that these pages make, of at most TABLE_MAX processes."""
    found = [(page, row) for page in pages for row in page.rows]
    pids = {row.id: row.pid for _, row in found}
    processes = tuple(_process(page, row, pids) for page, row in found[:TABLE_MAX])
    clock_ns = found[0][0].clock_ns if found else 0
    return ProcessTable(processes, cut or len(found) > TABLE_MAX, clock_ns)


def _process(page: ProcessesAnswer, row: Row, pids: dict[int, int]) -> ContainerProcess:
    age_ns = max(0, page.uptime_ns - row.start_ns)
    return ContainerProcess(
        pid=row.pid, parent=pids.get(row.parent, 0), group=row.group, session=row.session, uid=row.uid,
        gid=row.gid, state=row.state, foreground=row.foreground, terminal=row.terminal, nice=row.nice,
        threads=row.threads, started_ns=max(0, page.clock_ns - age_ns), age_ns=age_ns, user_ns=row.user_ns,
        system_ns=row.system_ns, virtual_bytes=row.virtual_bytes, resident_bytes=row.resident_bytes,
        name=_text(row.name), command=tuple(_text(word) for word in _words(row.command)),
        command_cut=row.cut,
    )  # fmt: skip


def _words(command: bytes) -> list[bytes]:
    return command.removesuffix(b"\0").split(b"\0") if command else []


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
