import os

import pytest

from insula.machine.host_oom import names, was_killed

TEXT = "Out of memory: Killed process 4711 (qemu-system-x86) total-vm:1kB, anon-rss:2kB"


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (f"3,100,50000000,-;{TEXT}", True),
        (f"3,100,50000000,-,caller=T1;Memory cgroup {TEXT[0].lower()}{TEXT[1:]}", True),
        (f"3,100,9000000,-;{TEXT}", False),  # long ago
        (f"11,100,50000000,-;{TEXT}", False),  # a program's word, not the kernel's
        ("3,100,50000000,-;Out of memory: Killed process 47110 (x)", False),
        ("3,100,50000000,-;oom-kill:constraint=CONSTRAINT_MEMCG", False),
        (TEXT, False),
        ("a,b,c,-;" + TEXT, False),
        ("", False),
    ],
)
def test_whom_a_record_names(record: str, found: bool) -> None:
    assert names(record, 4711, 10.0) is found


def test_nobody_has_killed_this_process() -> None:
    assert was_killed(os.getpid()) is False
