import json
from dataclasses import replace

from insula.container.record import ExecRecord, Record, exec_from_document, record_from_document
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec, ExecSpec, MountRequest
from insula.container.state import ExitState, Status


def test_records_come_back() -> None:
    spec = ContainerSpec(
        image="i", cmd=("a", "b"), env=("A=1",), labels={"x": "y"}, tmpfs={"/run": "ro"},
        mounts=(MountRequest("tmpfs", "", "/m"),), raw_config={"Cmd": ["a", "b"]},
    )  # fmt: skip
    record = Record(
        id="1" * 64, name="n", created_ns=5, spec=spec, settings=Settings(cmd=("a",), labels={"x": "y"}),
        image_id="sha256:0", platform="linux/amd64", status=Status.RUNNING, exit=ExitState(3, "e", True, 1, 2),
        guest={"machine": "m", "slot": 4}, boot=7, main=1, log_base=(10, 20),
    )  # fmt: skip
    assert record_from_document(json.loads(json.dumps(record.to_document()))) == record
    ended = record.with_status(Status.EXITED, ExitState(0))
    assert (ended.guest, ended.status, ended.boot) == (None, Status.EXITED, 7)


def test_exec_records_come_back() -> None:
    record = ExecRecord(id="e", container_id="c", spec=ExecSpec(cmd=("ls",), env=("A=1",)), number=4)
    for each in (record, replace(record, exit_code=0)):
        assert exec_from_document(json.loads(json.dumps(each.to_document()))) == each
