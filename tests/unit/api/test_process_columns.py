import time
from dataclasses import replace

import pytest

from insula.api.process_columns import (
    COLUMNS,
    Facts,
    clock_text,
    elapsed_text,
    parse_ps,
    short_clock,
    show_processes,
    start_text,
    terminal_text,
)
from insula.container.view import ContainerProcess, ProcessTable
from insula.errors import InvalidArgument

SECOND = 10**9
NOW = int(time.mktime((2026, 6, 15, 14, 30, 0, 0, 0, -1))) * SECOND
MAIN = ContainerProcess(
    pid=1, parent=0, group=1, session=1, uid=0, gid=0, state="S", foreground=False, terminal=0, nice=0, threads=1,
    started_ns=NOW - 100 * SECOND, age_ns=100 * SECOND, user_ns=4 * SECOND, system_ns=SECOND, virtual_bytes=8 << 20,
    resident_bytes=2 << 20, name="sleep", command=("sleep", "600"), command_cut=False,
)  # fmt: skip
CHILD = replace(
    MAIN, pid=9, parent=1, uid=1000, gid=100, state="R", foreground=True, terminal=136 << 8, nice=5, threads=3,
    command=("sh", "-c", "a\tb"), started_ns=NOW - SECOND, age_ns=SECOND, user_ns=0, system_ns=SECOND // 2,
)  # fmt: skip


def show(arguments: str, *processes: ContainerProcess) -> tuple[list[str], list[list[str]]]:
    return show_processes(ProcessTable(processes or (MAIN,), False, NOW), parse_ps(arguments), 64 << 20)


def test_the_default() -> None:
    assert show("-ef", MAIN, CHILD) == (
        ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"],
        [
            ["root", "1", "0", "5", "14:28", "?", "00:00:05", "sleep 600"],
            ["1000", "9", "1", "50", "14:29", "pts/0", "00:00:00", "sh -c a?b"],
        ],
    )


def test_the_form_of_bsd() -> None:
    assert show("aux", MAIN, CHILD) == (
        ["USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND"],
        [
            ["root", "1", "5.0", "3.1", "8192", "2048", "?", "Ss", "14:28", "0:05", "sleep 600"],
            ["1000", "9", "50.0", "3.1", "8192", "2048", "pts/0", "RNl+", "14:29", "0:00", "sh -c a?b"],
        ],
    )


@pytest.mark.parametrize(
    ("arguments", "titles"),
    [
        ("-e", ["PID", "TTY", "TIME", "CMD"]),
        ("-A", ["PID", "TTY", "TIME", "CMD"]),
        ("ax", ["PID", "TTY", "STAT", "TIME", "COMMAND"]),
        ("-e -f", ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]),
        ("-eopid,user", ["PID", "USER"]),
        ("-eo pid,user", ["PID", "USER"]),
        ("-o pid -o user,comm", ["PID", "USER", "COMMAND"]),
        ("axo pid,args", ["PID", "COMMAND"]),
        ("o pid", ["PID"]),
        ("--format pid,rss", ["PID", "RSS"]),
        ("--format=pid,rss", ["PID", "RSS"]),
        ("-o pid,comm=a,b", ["PID", "a,b"]),
        ("-o user,pid=PID", ["USER", "PID"]),
    ],
)
def test_what_is_understood(arguments: str, titles: list[str]) -> None:
    found, rows = show(arguments)
    assert found == titles and len(rows[0]) == len(titles)


def test_the_ways_to_say_the_same() -> None:
    assert show("aux") == show("-aux") == show("u ax") == show("auxww")
    assert show("-ef") == show("-fe") == show("-efww") == show("-A -f")


def test_only_what_needs_it_asks_for_the_memory() -> None:
    assert parse_ps("aux").needs_memory and parse_ps("-o pid,pmem").needs_memory
    assert not parse_ps("-ef").needs_memory


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("-efL", "'-efL' is not understood (supported are -ef, aux, and -o"),
        ("auxf", "'auxf' is not understood"),
        ("--sort=pid", "'--sort=pid' is not understood"),
        ("-", "'-' is not understood"),
        ("-p 1", "'-p' is not understood"),
        ("-eo", "a list of columns must follow -eo"),
        ("--format", "a list of columns must follow --format"),
        ("-ef -o pid", "conflicting format options"),
        ("-o user,comm", "Couldn't find PID field in ps output"),
        ("-o pid=X,user", "Couldn't find PID field in ps output"),
        ("-o pid,nothing", 'unknown user-defined format specifier "nothing"'),
        ("-o pid,", None),
        ("-o ,pid", 'unknown user-defined format specifier ""'),
        ("-o pid,comm=", "has an empty title"),
        ("-eo pid,uid=PID", 'specifying "uid=PID" is not allowed'),
        ("x" * 5000, "too long"),
    ],
)  # fmt: skip
def test_what_is_not(arguments: str, words: str | None) -> None:
    if words is None:
        parse_ps(arguments)
        return
    with pytest.raises(InvalidArgument) as caught:
        parse_ps(arguments)
    assert words in str(caught.value)


def test_every_column_shows_something() -> None:
    titles, (row,) = show("-o " + ",".join(COLUMNS))
    assert len(titles) == len(row) == len(COLUMNS)
    assert all(row)


def test_what_has_no_arguments_shows_its_name() -> None:
    kernel = replace(MAIN, command=())
    zombie = replace(kernel, state="Z")
    assert show("-o pid,args,comm", kernel)[1] == [["1", "[sleep]", "sleep"]]
    assert show("-o pid,args,comm", zombie)[1] == [["1", "[sleep] <defunct>", "sleep <defunct>"]]


def test_a_guest_cannot_move_the_cursor_or_break_the_calendar() -> None:
    hostile = replace(
        MAIN, name="\x1b[2J", command=("\udcff", "a\nb"), started_ns=(1 << 64) - 1, age_ns=1 << 63
    )
    _, ((pid, args, comm, *rest),) = show("-o pid,args,comm,stime,lstart,etime,c,pcpu,tty", hostile)
    assert (pid, args, comm) == ("1", "? a?b", "?[2J")
    assert all(rest)


def test_times() -> None:
    assert [clock_text(s * SECOND) for s in (0, 61, 3600, 90061)] == [
        "00:00:00",
        "00:01:01",
        "01:00:00",
        "1-01:01:01",
    ]
    assert [short_clock(s * SECOND) for s in (5, 61, 7322)] == ["0:05", "1:01", "122:02"]
    assert [elapsed_text(s * SECOND) for s in (5, 61, 3661, 90061)] == [
        "00:05",
        "01:01",
        "01:01:01",
        "1-01:01:01",
    ]


def test_starts() -> None:
    facts = Facts(NOW, 0)
    days = {0: "14:30", 1: "Jun14", 40: "May06", 400: "2025"}
    for back, text in days.items():
        assert start_text(replace(MAIN, started_ns=NOW - back * 86400 * SECOND), facts) == text


def test_terminals() -> None:
    names = {0: "?", 136 << 8: "pts/0", 136 << 8 | 7: "pts/7", 4 << 8 | 1: "tty1", 4 << 8 | 64: "ttyS0",
             5 << 8 | 1: "console", 204 << 8: "?"}  # fmt: skip
    assert {device: terminal_text(device) for device in names} == names
