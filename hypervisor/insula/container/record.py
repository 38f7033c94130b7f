"""What is stored of a container: enough for the next daemon to go on as if it had been there all along.

Written before the act it describes. The order that matters: `guest` and `boot` before the machine is told to
boot, an exit before the guest is told to forget it or is killed. A record that says "starting" may or may not
have booted; the guest itself says which (the boot number in its welcome).
"""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from insula.container.settings import Settings
from insula.container.spec import ContainerSpec, ExecSpec, MountRequest
from insula.container.state import ExitState, Status

CONTAINER = "container"
EXEC = "exec"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One container. guest: what adoption needs, None if it has no machine; boot and main: the boot's and the
    main process's number; log_base: where each stream of this run begins in the log."""

    id: str
    name: str
    created_ns: int
    spec: ContainerSpec
    settings: Settings
    image_id: str
    platform: str
    status: Status = Status.CREATED
    exit: ExitState = field(default_factory=ExitState)
    guest: dict[str, Any] | None = None
    boot: int = 0
    main: int = 0
    log_base: tuple[int, int] = (0, 0)

    def to_document(self) -> dict[str, Any]:
        document = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in ("spec", "settings", "exit"):
            document[name] = shallow_document(document[name])
        document["spec"]["mounts"] = [asdict(mount) for mount in self.spec.mounts]
        return document

    def with_status(self, status: Status, exit: ExitState) -> "Record":
        """Standing thus, without a machine."""
        return replace(self, status=status, exit=exit, guest=None)


def record_from_document(document: dict[str, Any]) -> Record:
    """The record that `to_document` gave."""
    spec = document["spec"]
    spec["mounts"] = [MountRequest(**mount) for mount in spec["mounts"]]
    return Record(
        **document
        | {
            "spec": ContainerSpec(**_tuples(spec)),
            "settings": Settings(**_tuples(document["settings"])),
            "status": Status(document["status"]),
            "exit": ExitState(**document["exit"]),
            "log_base": tuple(document["log_base"]),
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRecord:
    """One exec. number: its process in the guest, 0 before the start; exit_code: None until it has ended."""

    id: str
    container_id: str
    spec: ExecSpec
    number: int = 0
    exit_code: int | None = None

    def to_document(self) -> dict[str, Any]:
        document = {item.name: getattr(self, item.name) for item in fields(self)}
        return document | {"spec": shallow_document(self.spec)}


def exec_from_document(document: dict[str, Any]) -> ExecRecord:
    return ExecRecord(**document | {"spec": ExecSpec(**_tuples(document["spec"]))})


def shallow_document(item: Any) -> dict[str, Any]:
    """A dataclass's fields; unlike `asdict` it does not copy what they hold (the database encodes at once)."""
    return {field.name: getattr(item, field.name) for field in fields(item)}


def _tuples(document: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where the specs have tuples; only the raw echoes keep theirs (they are dicts)."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
