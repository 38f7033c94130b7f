"""info, doctor: documents of any shape as rows, and a doctor where no daemon can start."""

import json
from collections.abc import Callable
from typing import Any

INFO = {
    "ServerVersion": "0.1.0", "MemTotal": 8 << 30, "SecurityOptions": ["name=kvm", "name=seccomp"],
    "Insula": {"Accelerators": {"linux/amd64": "kvm"}, "Pool": [{"Ready": 2}]},
    "Warnings": ["no networks\x1b[2J"],
}  # fmt: skip


def test_info(engine: Any, answer: Callable[..., bytes]) -> None:
    engine.on("GET /info", answer(INFO))
    ran = engine.insula("info")
    rows = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in ran.out.splitlines()}
    assert (rows["Memory"], rows["Security"]) == ("8GiB", "name=kvm, name=seccomp")
    assert rows["linux/amd64"] == "kvm"
    assert "\x1b" not in ran.err and "no networks" in ran.err
    assert json.loads(engine.insula("info", "--format", "json").out) == INFO
    assert engine.insula("system", "info", "-f", "{{.MemTotal}}").out == f"{8 << 30}\n"


def test_doctor_tells_what_is_missing_by_its_status(engine: Any, answer: Callable[..., bytes]) -> None:
    row = {"Subject": "qemu-system-arm", "State": "missing", "Text": "not found", "Hint": "apt install x"}
    engine.on("GET /insula/doctor", answer([row]))
    ran = engine.insula("doctor")
    assert (ran.status, ran.out) == (1, "qemu-system-arm   missing   not found (apt install x)\n")


def test_doctor_without_a_daemon_looks_itself(engine: Any) -> None:
    engine.path = engine.path.with_name("nobody")
    ran = engine.insula("doctor", "-f", "json")
    rows = json.loads(ran.out)
    assert {"Subject", "State", "Text", "Hint"} <= set(rows[0])
    assert ran.err.startswith("insula: cannot connect")
