import os
import subprocess
import sys

import pytest

from insula.errors import NotFound
from insula.machine.host_usage import read_host_usage


def test_a_process_s_memory_and_time() -> None:
    script = (
        "import time; held = bytearray(b'x') * (50 << 20)\n"
        "while time.process_time() < 0.5: pass\n"
        "print('ready', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        usage = read_host_usage(child.pid)
        child.kill()
    assert usage.resident > 50 << 20
    assert usage.proportional is not None and 50 << 20 < usage.proportional <= usage.resident + (8 << 20)
    assert usage.cpu_ns >= 400_000_000


def test_what_has_ended_is_not_found() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(NotFound):
        read_host_usage(child.pid)
    assert read_host_usage(os.getpid()).resident > 0
