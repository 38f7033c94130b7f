"""What others see of a container: frozen copies, made when asked for. The API's encoder reads these."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from insula.agent.process_table import ContainerProcess as ContainerProcess
from insula.agent.process_table import ProcessTable as ProcessTable
from insula.container.execs import Exec
from insula.container.health import Health
from insula.container.leases import NO_LEASES, Leases
from insula.container.lifecycle import Container
from insula.container.linking import shown_links
from insula.container.mount_point import MountPoint as MountPoint
from insula.container.record import Record
from insula.container.settings import Settings
from insula.container.spec import ContainerSpec, ExecSpec
from insula.container.state import Status
from insula.container.waiting import WaitCondition as WaitCondition
from insula.paths import Paths


@dataclass(frozen=True, slots=True)
class WaitResult:
    """How a wait ended. error: why there is no proper exit code, or empty."""

    exit_code: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Created:
    """What create answers."""

    id: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StateView:
    """Docker's State. status: its words only (created, running, paused, restarting, exited, removing, dead); running:
    paused and restarting are, too; pid: of the machine's QEMU on the host, 0 if it does not run. Times are Unix
    nanoseconds, 0 is never."""

    status: str
    running: bool
    pid: int
    exit_code: int
    error: str
    oom_killed: bool
    started_ns: int
    finished_ns: int
    health: Health | None = None


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ContainerView:
    """One container, equal to itself only: while nothing changes it may be the same object each time, so that what is
    made of it can be kept by it. name: without the slash; image: as it was asked for; settings: image and request
    merged; log_path: of the json-file driver alone, as with Docker; origin: where its machine came from ('pool',
    'template', 'cold'), empty if it does not run; links: of the default network, as inspect has them."""

    id: str
    name: str
    created_ns: int
    spec: ContainerSpec
    settings: Settings
    image: str
    image_id: str
    platform: str
    state: StateView
    log_path: Path | None
    exec_ids: tuple[str, ...]
    origin: str = ""
    failed_start: Path | None = None
    leases: Leases = NO_LEASES
    machine_end: Path | None = None
    restart_count: int = 0
    mounts: tuple[MountPoint, ...] = ()
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExecView:
    """One exec. exit_code: None until it has ended; pid: its number with the agent, 0 before the start."""

    id: str
    container_id: str
    spec: ExecSpec
    running: bool
    exit_code: int | None
    pid: int
    can_remove: bool = False


class Views:
    """The views of containers. Most containers of a long list lie still, and what is said of one that does is made
    once: it is the same object each time it is asked for."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._kept: WeakKeyDictionary[Container, tuple[Record, ContainerView]] = WeakKeyDictionary()

    def of(self, container: Container) -> ContainerView:
        """How it stands now."""
        if not lies_still(container):
            return make_view(container, self._paths)
        kept = self._kept.get(container)
        if kept is None or kept[0] is not container.record:
            kept = self._kept[container] = container.record, make_view(container, self._paths)
        return kept[1]


def lies_still(container: Container) -> bool:
    """Whether a container's record alone says how it stands: no machine, nothing under way, no file that may go, no
    names of others."""
    record, exit = container.record, container.record.exit
    return (
        container.status in (Status.CREATED, Status.EXITED)
        and container.status is record.status
        and container.guest is None
        and not (record.links or exit.error or exit.by_machine or container.execs.running_ids())
    )


def make_view(container: Container, paths: Paths) -> ContainerView:
    """How it stands now, looked up anew."""
    record, guest, exit = container.record, container.guest, container.record.exit
    status = shown_status(container)
    return ContainerView(
        id=record.id,
        name=record.name,
        created_ns=record.created_ns,
        spec=record.spec,
        settings=record.settings,
        image=record.spec.image,
        image_id=record.image_id,
        platform=record.platform,
        state=StateView(
            status=str(status),
            running=status in (Status.RUNNING, Status.PAUSED, Status.RESTARTING),
            pid=guest.machine.pid if guest is not None else 0,
            exit_code=exit.exit_code,
            error=exit.error,
            oom_killed=exit.oom_killed,
            started_ns=exit.started_ns,
            finished_ns=exit.finished_ns,
            health=record.health,
        ),
        log_path=container.log.path if container.log and record.spec.log_driver == "json-file" else None,
        exec_ids=container.execs.running_ids(),
        origin=guest.origin if guest is not None else "",
        leases=record.leases,
        failed_start=existing(paths.failed_start, record.id) if exit.error and not exit.by_machine else None,
        machine_end=existing(paths.machine_end, record.id) if exit.by_machine else None,
        restart_count=record.restart_count,
        mounts=record.mounts,
        links=shown_links(container.parts.registry, record),
    )


def existing(name: Callable[[str], Path], id: str) -> Path | None:
    """A file of the container's, if it is there."""
    path = name(id)
    return path if path.exists() else None


def shown_status(container: Container) -> Status:
    """In Docker's words, which have none for a beginning and for an end under way."""
    if container.status is Status.STOPPING:
        return Status.RUNNING
    if container.status is not Status.STARTING:
        return container.status
    before = container.before
    if before.starts_again:
        return Status.RESTARTING
    if before.status in (Status.RUNNING, Status.PAUSED):
        return before.status
    return Status.EXITED if before.exit.finished_ns else Status.CREATED


def view_exec(item: Exec) -> ExecView:
    record = item.record
    return ExecView(
        id=record.id,
        container_id=record.container_id,
        spec=record.spec,
        running=item.process is not None,
        exit_code=record.exit_code,
        pid=record.number,
        can_remove=record.exit_code is not None,
    )
