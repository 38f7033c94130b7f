"""The converter's jail, from inside: the real command with another program in it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from insula.image.jail import JailLimits, jail_argv

PROBE = """
import json, os, resource, socket
def tried(work):
    try:
        work()
        return "done"
    except OSError as error:
        return error.strerror
print(json.dumps({
    "uid": os.getuid(), "groups": os.getgroups(), "root": sorted(os.listdir("/")), "pids": [p for p in os.listdir("/proc") if p.isdigit()],
    "environment": sorted(os.environ), "home": tried(lambda: os.listdir("/home")), "etc": tried(lambda: os.listdir("/etc")),
    "write": [tried(lambda p=p: open(p + "/x", "w")) for p in ("/", "/usr", "/insula", "/insula/source/insula", "/dev")],
    "net": tried(lambda: socket.create_connection(("127.0.0.1", 22), 1)), "interfaces": [n for _, n in socket.if_nameindex()],
    "setuid": tried(lambda: os.setuid(12345)), "caps": [line for line in open("/proc/self/status") if line.startswith("Cap")],
    "privileges": [line.split()[1] for line in open("/proc/self/status") if line.startswith("NoNewPrivs")],
    "memory": resource.getrlimit(resource.RLIMIT_AS)[1], "cpu": resource.getrlimit(resource.RLIMIT_CPU)[1],
    "output": resource.getrlimit(resource.RLIMIT_FSIZE)[1], "package": tried(lambda: __import__("insula.image.convert")),
}))
"""


@pytest.fixture(scope="module")
def inside() -> dict:
    argv = jail_argv("{}", JailLimits(memory=1 << 30, seconds=77, output=1 << 20))
    at = argv.index("-c")
    code = argv[at + 1].partition("from insula")[0] + PROBE.strip().replace("\n", "\n")
    argv[at + 1] = code.replace("; import json", "\nimport json")
    finished = subprocess.run(argv, capture_output=True, text=True, env={"SECRET": "1"})
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_nothing_of_the_host_is_seen(inside: dict) -> None:
    assert inside["home"] == inside["etc"] == "No such file or directory"
    assert not {"home", "etc", "var", "tmp", "work", "run"} & set(inside["root"])
    assert len(inside["pids"]) <= 2
    assert "SECRET" not in inside["environment"]
    assert inside["interfaces"] == ["lo"] and inside["net"] != "done"


def test_nothing_can_be_written(inside: dict) -> None:
    assert "done" not in inside["write"]


def test_no_privilege(inside: dict) -> None:
    assert inside["uid"] != 0
    assert inside["setuid"] != "done"
    assert inside["groups"] in ([], [65534]) or os.geteuid() != 0
    assert {line.split()[1].strip("0") for line in inside["caps"] if not line.startswith("CapBnd")} == {""}
    assert inside["privileges"] == ["1"]


def test_limits(inside: dict) -> None:
    assert (inside["memory"], inside["cpu"], inside["output"]) == (1 << 30, 77, 1 << 20)
    assert inside["package"] == "done"


def test_a_layer_that_costs_too_much_time_is_refused(tmp_path: Path) -> None:
    argv = jail_argv("{}", JailLimits(seconds=1))
    argv[argv.index("-c") + 1] = "while True: pass"
    assert subprocess.run(argv, stderr=subprocess.DEVNULL).returncode in (137, 152, -9, -24)
