"""What may happen to a container, as a table; and how a container stands.

The rule: `MOVES` is the only place that says which operation a status allows and where it leads. Whatever is
not in it is refused with Conflict in Docker's words (or NotModified, for what is so already). Operations that
lead back to the same status (exec, kill …) are in the table too, so that asking "may I?" is one look-up.
Moves are made on the event loop's thread with no await between look-up and change: that is all the locking.
"""

from dataclasses import dataclass
from enum import StrEnum

from insula.errors import Conflict, InsulaError, NotModified


class Status(StrEnum):
    CREATED = "created"
    STARTING = "starting"  # shown as created or exited: Docker has no word for it
    RUNNING = "running"
    STOPPING = "stopping"  # the main process has ended, the machine is being taken down; shown as running
    EXITED = "exited"
    REMOVING = "removing"
    DEAD = "dead"  # its removal failed; it can only be removed again


class Move(StrEnum):
    START = "start"
    STARTED = "be started"
    FAIL = "fail to start"
    END = "end"
    EXIT = "exit"
    STOP = "stop"
    KILL = "kill"
    EXEC = "exec"
    RESIZE = "resize"
    REMOVE = "remove"
    KEEP = "be kept"  # a removal failed


S, M = Status, Move
MOVES: dict[tuple[Status, Move], Status] = {
    (S.CREATED, M.START): S.STARTING,
    (S.EXITED, M.START): S.STARTING,
    (S.STARTING, M.STARTED): S.RUNNING,
    (S.STARTING, M.FAIL): S.CREATED,
    (S.STARTING, M.EXIT): S.EXITED,
    (S.RUNNING, M.END): S.STOPPING,
    (S.RUNNING, M.EXIT): S.EXITED,
    (S.STOPPING, M.EXIT): S.EXITED,
    (S.RUNNING, M.STOP): S.RUNNING,
    (S.RUNNING, M.KILL): S.RUNNING,
    (S.STOPPING, M.STOP): S.STOPPING,
    (S.RUNNING, M.EXEC): S.RUNNING,
    (S.RUNNING, M.RESIZE): S.RUNNING,
    (S.CREATED, M.REMOVE): S.REMOVING,
    (S.EXITED, M.REMOVE): S.REMOVING,
    (S.DEAD, M.REMOVE): S.REMOVING,
    (S.REMOVING, M.KEEP): S.DEAD,
}


@dataclass(frozen=True, slots=True)
class ExitState:
    """How a container stands, besides its status. Times are Unix nanoseconds, 0 is never.

    pid: of its machine on the host, 0 if it does not run."""

    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_ns: int = 0
    finished_ns: int = 0


def move(status: Status, operation: Move, id: str) -> Status:
    """The status that an operation leads to. Raises Conflict or NotModified if it is not allowed."""
    found = MOVES.get((status, operation))
    if found is None:
        raise _refusal(status, operation, id)
    return found


def _refusal(status: Status, operation: Move, id: str) -> InsulaError:
    short = id[:12]
    if status is Status.REMOVING and operation is Move.REMOVE:
        return Conflict(f"removal of container {id} is already in progress")
    if status in (Status.REMOVING, Status.DEAD):
        return Conflict(f"cannot {operation} container {short}: container is marked for removal")
    running = status in (Status.STARTING, Status.RUNNING, Status.STOPPING)
    if (operation is Move.START and running) or (operation is Move.STOP and not running):
        return NotModified(f"container {short} is already {'started' if running else 'stopped'}")
    if operation is Move.REMOVE and running:
        return Conflict(
            f"cannot remove container {short}: container is running: "
            "stop the container before removing or force remove"
        )
    if operation is Move.KILL:
        return Conflict(f"cannot kill container: {short}: container {id} is not running")
    if operation in (Move.EXEC, Move.RESIZE):
        return Conflict(f"container {id} is not running")
    return Conflict(f"container {short} cannot {operation}: it is {status}")
