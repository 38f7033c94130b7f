"""`ps_args` and the columns of `top`, as procps shows them; no `ps` is run anywhere. Pure.

Understood: `-ef` and its like, `aux` and its like, and lists of columns (`-o`, `-eo`, `axo`, `--format`), with titles
of one's own after `=`. All of a container's processes are always shown, so what only selects (`-e`, `a`, `x`) changes
nothing; whatever else ps can do is refused, naming what is there. Numbers are the container's own; users and groups
are numbers too, but for root's: only the container's files could name them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from insula.container.view import ContainerProcess, ProcessTable
from insula.errors import InvalidArgument

SECOND = 1_000_000_000
KIB = 1024
ARGUMENTS_MAX = 4096


@dataclass(frozen=True, slots=True)
class Facts:
    """now_ns: the guest's clock at the reading; memory: the machine's, in bytes."""

    now_ns: int
    memory: int


Show = Callable[[ContainerProcess, Facts], str]


# -- values


def clock_text(nanoseconds: int) -> str:
    """Processor time: `[days-]hours:minutes:seconds`."""
    days, rest = divmod(nanoseconds // SECOND, 86400)
    text = f"{rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
    return f"{days}-{text}" if days else text


def short_clock(nanoseconds: int) -> str:
    """The same, as the BSD forms have it: `minutes:seconds`."""
    seconds = nanoseconds // SECOND
    return f"{seconds // 60}:{seconds % 60:02}"


def elapsed_text(nanoseconds: int) -> str:
    """`[[days-]hours:]minutes:seconds`."""
    text = clock_text(nanoseconds)
    return text.removeprefix("00:") if "-" not in text else text


def moment_text(form: str, moment_ns: int) -> str:
    """In the host's time zone. A guest can say any moment: what no calendar has is a question mark."""
    try:
        return time.strftime(form, time.localtime(moment_ns // SECOND))
    except (ValueError, OverflowError, OSError):
        return "?"


def start_text(process: ContainerProcess, facts: Facts) -> str:
    """The time of the day, or the day, or the year, as far back as it is."""
    started, now = process.started_ns, facts.now_ns
    for same, form in (("%Y%j", "%H:%M"), ("%Y", "%b%d")):
        if moment_text(same, started) == moment_text(same, now):
            return moment_text(form, started)
    return moment_text("%Y", started)


def terminal_text(device: int) -> str:
    """A terminal's name by its device number (proc(5))."""
    major, minor = device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF00
    if 136 <= major <= 143:
        return f"pts/{minor + (major - 136) * 256}"
    if major == 4:
        return f"tty{minor}" if minor < 64 else f"ttyS{minor - 64}"
    return {(5, 0): "tty", (5, 1): "console"}.get((major, minor), "?")


def user_text(number: int) -> str:
    return "root" if number == 0 else str(number)


def state_text(process: ContainerProcess) -> str:
    """The state's letter and ps's marks behind it."""
    marks = (
        ("<", process.nice < 0), ("N", process.nice > 0), ("s", process.pid == process.session),
        ("l", process.threads > 1), ("+", process.foreground),
    )  # fmt: skip
    return process.state + "".join(mark for mark, shown in marks if shown)


def clean(text: str) -> str:
    """A guest's own text: nothing that moves a cursor, nothing that is no character."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def name_text(process: ContainerProcess) -> str:
    return clean(process.name) + (" <defunct>" if process.state == "Z" else "")


def command_text(process: ContainerProcess) -> str:
    """The arguments, or the name where there are none."""
    if process.command:
        return clean(" ".join(process.command))
    return f"[{clean(process.name)}]" + (" <defunct>" if process.state == "Z" else "")


def used_percent(process: ContainerProcess) -> float:
    """Of one processor, over the process's whole life."""
    return 100 * (process.user_ns + process.system_ns) / max(process.age_ns, SECOND)


def memory_percent(process: ContainerProcess, facts: Facts) -> str:
    return f"{min(99.9, 100 * process.resident_bytes / max(facts.memory, 1)):.1f}"


# -- columns, each with its title and all of its names

_TABLE: tuple[tuple[str, str, Show], ...] = (
    ("pid", "PID", lambda p, _: str(p.pid)),
    ("ppid", "PPID", lambda p, _: str(p.parent)),
    ("pgid pgrp", "PGID", lambda p, _: str(p.group)),
    ("sid sess session", "SID", lambda p, _: str(p.session)),
    ("user euser uname", "USER", lambda p, _: user_text(p.uid)),
    ("uid euid", "UID", lambda p, _: str(p.uid)),
    ("group egroup", "GROUP", lambda p, _: user_text(p.gid)),
    ("gid egid", "GID", lambda p, _: str(p.gid)),
    ("comm ucmd ucomm", "COMMAND", lambda p, _: name_text(p)),
    ("args command", "COMMAND", lambda p, _: command_text(p)),
    ("cmd", "CMD", lambda p, _: command_text(p)),
    ("c", "C", lambda p, _: str(min(99, int(used_percent(p))))),
    ("%cpu pcpu", "%CPU", lambda p, _: f"{used_percent(p):.1f}"),
    ("%mem pmem", "%MEM", memory_percent),
    ("vsz vsize", "VSZ", lambda p, _: str(p.virtual_bytes // KIB)),
    ("rss rssize rsz", "RSS", lambda p, _: str(p.resident_bytes // KIB)),
    ("tty tt", "TT", lambda p, _: terminal_text(p.terminal)),
    ("tname", "TTY", lambda p, _: terminal_text(p.terminal)),
    ("stat", "STAT", lambda p, _: state_text(p)),
    ("state s", "S", lambda p, _: p.state),
    ("time cputime", "TIME", lambda p, _: clock_text(p.user_ns + p.system_ns)),
    ("bsdtime", "TIME", lambda p, _: short_clock(p.user_ns + p.system_ns)),
    ("etime", "ELAPSED", lambda p, _: elapsed_text(p.age_ns)),
    ("etimes", "ELAPSED", lambda p, _: str(p.age_ns // SECOND)),
    ("stime", "STIME", start_text),
    ("start_time", "START", start_text),
    ("lstart", "STARTED", lambda p, _: moment_text("%a %b %e %H:%M:%S %Y", p.started_ns)),
    ("ni nice", "NI", lambda p, _: str(p.nice)),
    ("nlwp thcount", "NLWP", lambda p, _: str(p.threads)),
)
COLUMNS = {name: (title, show) for names, title, show in _TABLE for name in names.split()}
FULL = "user=UID,pid,ppid,c,stime,tname,time,cmd"
USER = "user,pid,%cpu,%mem,vsz,rss,tname,stat,start_time,bsdtime,command"
PLAIN, BSD_PLAIN = "pid,tname,time,comm=CMD", "pid,tname,stat,bsdtime,command"
SUPPORTED = f"supported are -ef, aux, and -o, -eo or axo with a list of {', '.join(COLUMNS)}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which columns, each with its title."""

    columns: tuple[tuple[str, Show], ...]

    @property
    def needs_memory(self) -> bool:
        return any(show is memory_percent for _, show in self.columns)


def parse_ps(text: str) -> Wanted:
    """ps's arguments. Raises InvalidArgument for what is not understood, naming what is."""
    if len(text) > ARGUMENTS_MAX:
        raise InvalidArgument("ps: the arguments are too long")
    words = text.split()
    lists: list[str] = []
    forms: set[str] = set()
    while words:
        word = words.pop(0)
        listed = _read_word(word, forms)
        if listed is None:
            continue
        if not listed and not words:
            raise InvalidArgument(f"ps: a list of columns must follow {word[:80]}", SUPPORTED)
        lists.append(listed or words.pop(0))
    if lists and forms - {"bsd"}:
        raise InvalidArgument("ps: conflicting format options", SUPPORTED)
    if not lists:
        forms_of = (("full", FULL), ("user", USER), ("bsd", BSD_PLAIN))
        lists = [next((listed for form, listed in forms_of if form in forms), PLAIN)]
        return Wanted(_read_list(lists[0], own=True))
    columns = tuple(column for listed in lists for column in _read_list(listed, own=False))
    if "PID" not in (title for title, _ in columns):
        raise InvalidArgument("Couldn't find PID field in ps output", "add pid to the list of columns")
    return Wanted(columns)


def _read_word(word: str, forms: set[str]) -> str | None:
    """Adds the form that an option asks for. The list of columns that it carries, empty if that follows; None if
    it has none."""
    if word.startswith("--"):
        name, equals, listed = word.partition("=")
        if name != "--format" or (equals and not listed):
            raise _unknown(word)
        return listed
    dash, letters = word.startswith("-"), word.removeprefix("-")
    bsd = not dash or (set(letters) <= set("auxw") and "x" in letters)  # as ps itself takes -aux
    known = {"u": "user"} if bsd else {"f": "full"}
    if bsd:
        forms.add("bsd")
    for number, letter in enumerate(letters):
        if letter == "o":
            return letters[number + 1 :]
        if letter in known:
            forms.add(known[letter])
        elif letter not in ("axgw" if bsd else "eAaw"):
            raise _unknown(word)
    if not letters:
        raise _unknown(word)
    return None


def _unknown(word: str) -> InvalidArgument:
    return InvalidArgument(f"ps: {word[:80]!r} is not understood", SUPPORTED)


def _read_list(text: str, *, own: bool) -> tuple[tuple[str, Show], ...]:
    """`name,name=TITLE`. A title goes on to the end, commas and all, unless the list is one of ours."""
    found = []
    while text:
        item, _, rest = text.partition(",")
        name, equals, title = item.partition("=")
        if equals and not own:
            title, rest = text.partition("=")[2], ""
            if not title:
                raise InvalidArgument(f"ps: the column {name[:80]!r} has an empty title")
            if title.startswith("PID") and name != "pid":
                raise InvalidArgument(f'specifying "{name[:80]}={title[:80]}" is not allowed')
        if name not in COLUMNS:
            raise InvalidArgument(f'error: unknown user-defined format specifier "{name[:80]}"', SUPPORTED)
        text = rest
        found.append((clean(title) or COLUMNS[name][0], COLUMNS[name][1]))
    return tuple(found)


def show_processes(table: ProcessTable, wanted: Wanted, memory: int) -> tuple[list[str], list[list[str]]]:
    """Titles and rows. memory: the machine's, in bytes, where it is needed."""
    facts = Facts(table.clock_ns, memory)
    rows = [[show(process, facts) for _, show in wanted.columns] for process in table.processes]
    return [title for title, _ in wanted.columns], rows
