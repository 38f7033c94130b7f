"""What is stored of a container: enough for the next daemon to go on as if it had been there all along.

Written before the act it describes. The order that matters: `guest` and `boot` before the machine is told to
boot, an exit before the guest is told to forget it or is killed. A record that says "starting" may or may not
have booted; the guest itself says which (the boot number in its welcome).
"""

from dataclasses import dataclass, field, replace
from typing import Any

from insula.container.document import from_document, to_document
from insula.container.health import Health
from insula.container.leases import NO_LEASES, Leases
from insula.container.mount_point import MountPoint
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec, ExecSpec
from insula.container.state import ExitState, Status

CONTAINER = "container"
EXEC = "exec"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One container. guest: what adoption needs, None if it has no machine; boot and main: the boot's and the
    main process's number; log_base: where each stream of this run begins in the log; health: None if it has no
    check; restart_count: how often the restart policy has started it since the user did; stopped: the user has sent
    it a signal since; leases: its place in networks, while it runs; links: of the default network, the
    other's id and the alias; mounts: what it has mounted."""

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
    health: Health | None = None
    restart_count: int = 0
    stopped: bool = False
    leases: Leases = NO_LEASES
    links: tuple[tuple[str, str], ...] = ()
    mounts: tuple[MountPoint, ...] = ()

    def to_document(self) -> dict[str, Any]:
        return to_document(self)

    @property
    def starts_again(self) -> bool:
        """Whether a start out of this is the restart policy's own."""
        return self.status is Status.RESTARTING or (self.status is Status.STARTING and self.restart_count > 0)

    def with_status(self, status: Status, exit: ExitState) -> "Record":
        """Standing thus, without a machine."""
        return replace(self, status=status, exit=exit, guest=None, leases=NO_LEASES)


def record_from_document(document: dict[str, Any]) -> Record:
    """The record that `to_document` gave."""
    return from_document(Record, document)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRecord:
    """One exec. number: its process in the guest, 0 before the start; exit_code: None until it has ended."""

    id: str
    container_id: str
    spec: ExecSpec
    number: int = 0
    exit_code: int | None = None

    def to_document(self) -> dict[str, Any]:
        return to_document(self)


def exec_from_document(document: dict[str, Any]) -> ExecRecord:
    return from_document(ExecRecord, document)
