"""The host's cgroups of machines, made by their own code in a privileged container, whose guest is a host with all
controllers of version 2: the kernel there holds a process to what a machine is given."""

from pathlib import Path

import pytest
from python_image import load_python_image
from words import Words

from boot_paths import make_folder

pytestmark = [pytest.mark.boot, pytest.mark.amd64]

SOURCE = Path(__file__).resolve().parents[2] / "hypervisor" / "insula"

SCRIPT = """
import re, subprocess, sys
from pathlib import Path
sys.path.insert(0, "/opt")
from insula.machine import host_cgroup, host_oom
from insula.errors import Unavailable
from insula.machine.spec import Weights

top = Path("/sys/fs/cgroup")
print("crowded:", host_cgroup.find_parent().obstacle)

(top / "all").mkdir()
for pid in (top / "cgroup.procs").read_text().split():
    (top / "all" / "cgroup.procs").write_text(pid)
parent = host_cgroup.find_parent().folder
print("parent:", parent)

host_cgroup.OVERHEAD = 8 << 20
machine = Path("/tmp/0123456789abcdef")
machine.mkdir()
hog = "import sys; sys.stdin.readline(); sys.stdin.readline(); kept = bytearray(64 << 20); print('alive')"
process = subprocess.Popen([sys.executable, "-c", hog], stdin=subprocess.PIPE, text=True)
process.stdin.write("up\\n")
process.stdin.flush()
host_cgroup.put_into_cgroup(parent, machine / "cgroup", process.pid, 24, 2)
folder = parent / machine.name
print("limits:", *((folder / name).read_text().strip() for name in ("memory.max", "pids.max", "cpu.max")))
print("in it:", (folder / "cgroup.procs").read_text().split() == [str(process.pid)])
host_cgroup.weigh_cgroup(machine / "cgroup", Weights(cpu=33, io=44))
print("weights:", (folder / "cpu.weight").read_text().strip())
host_cgroup.weigh_cgroup(machine / "cgroup", Weights())
print("weights:", (folder / "cpu.weight").read_text().strip())
print("well:", host_cgroup.was_short_of_memory(machine / "cgroup"))
process.stdin.write("go\\n")
process.stdin.close()
print("ended:", process.wait())
print("killed for memory:", host_cgroup.was_short_of_memory(machine / "cgroup"))
told = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
pid = int(re.findall(r"Killed process (\\d+) \\(python3", told)[-1])  # the kernel's number, not this name space's
print("told by the log:", host_oom.was_killed(pid), host_oom.was_killed(1))
host_cgroup.leave_cgroup(machine / "cgroup")
print("left:", [path.name for path in parent.iterdir() if path.is_dir()])
host_cgroup.leave_cgroup(machine / "cgroup")

parent.rmdir()
sleeper = subprocess.Popen(["sleep", "100"])
host_cgroup.put_into_cgroup(parent, machine / "cgroup", sleeper.pid, 24, 1)
print("made anew:", (folder / "cgroup.procs").read_text().split() == [str(sleeper.pid)])
try:
    host_cgroup.put_into_cgroup(parent, machine / "cgroup", sleeper.pid, 24, 1)
except Unavailable as error:
    print("twice:", error)
"""

SAID = """\
crowded: /sys/fs/cgroup takes none: processes live in it
parent: /sys/fs/cgroup/insula
limits: 33554432 256 300000 100000
in it: True
weights: 33
weights: 100
well: False
ended: -9
killed for memory: True
told by the log: True False
left: []
made anew: True
twice: the machine 0123456789abcdef cannot be put into the cgroup /sys/fs/cgroup/insula/0123456789abcdef: File exists
"""


def test_a_machine_is_held_to_its_cgroup(docker: Words) -> None:
    folder = make_folder()
    with load_python_image(docker, folder) as image:
        options = ("--privileged", "-u", "0", "-i", "-v", f"{SOURCE}:/opt/insula:ro")
        assert docker.run(*options, image, "python3", "-", input=SCRIPT.encode()) == SAID
