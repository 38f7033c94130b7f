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
    PAUSED = "paused"  # its machine's processors stand still
    STOPPING = "stopping"  # the main process has ended, the machine is being taken down; shown as running
    RESTARTING = "restarting"  # it has ended, and rests until the restart policy starts it again
    EXITED = "exited"
    REMOVING = "removing"
    DEAD = "dead"  # its removal failed; it can only be removed again


class Move(StrEnum):
    START = "start"
    STARTED = "be started"
    FAIL = "fail to start"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    SLEEP = "be adopted paused"
    WAKE = "wake up"  # be unpaused after that
    END = "end"
    EXIT = "exit"
    REST = "rest"
    AGAIN = "be started again"
    STOP = "stop"
    KILL = "kill"
    EXEC = "exec"
    TOP = "top"
    ATTACH = "attach"
    RESIZE = "resize"
    UPDATE = "update"
    COPY = "copy files of"
    NETWORK = "change networks of"
    REMOVE = "remove"
    KEEP = "be kept"  # a removal failed


S, M = Status, Move
MOVES: dict[tuple[Status, Move], Status] = {
    (S.CREATED, M.START): S.STARTING,
    (S.EXITED, M.START): S.STARTING,
    (S.RESTARTING, M.AGAIN): S.STARTING,
    (S.STARTING, M.STARTED): S.RUNNING,
    (S.STARTING, M.SLEEP): S.PAUSED,
    (S.STARTING, M.FAIL): S.CREATED,
    (S.STARTING, M.EXIT): S.EXITED,
    (S.STARTING, M.REST): S.RESTARTING,
    (S.RUNNING, M.PAUSE): S.PAUSED,
    (S.PAUSED, M.UNPAUSE): S.RUNNING,
    (S.PAUSED, M.WAKE): S.STARTING,
    (S.RUNNING, M.END): S.STOPPING,
    (S.PAUSED, M.END): S.STOPPING,
    **{(status, M.EXIT): S.EXITED for status in (S.RUNNING, S.PAUSED, S.STOPPING, S.RESTARTING)},
    **{(status, M.REST): S.RESTARTING for status in (S.RUNNING, S.PAUSED, S.STOPPING, S.EXITED)},
    **{(status, M.STOP): status for status in (S.RUNNING, S.PAUSED, S.STOPPING, S.RESTARTING)},
    **{(status, M.KILL): status for status in (S.RUNNING, S.PAUSED, S.RESTARTING)},
    (S.RUNNING, M.EXEC): S.RUNNING,
    (S.RUNNING, M.TOP): S.RUNNING,
    **{(status, M.RESIZE): status for status in (S.RUNNING, S.PAUSED)},
    **{(status, M.ATTACH): status for status in (S.CREATED, S.STARTING, S.RUNNING, S.STOPPING, S.EXITED)},
    **{(status, M.UPDATE): status for status in S if status not in (S.REMOVING, S.DEAD)},
    **{(status, M.COPY): status for status in S if status not in (S.PAUSED, S.REMOVING, S.DEAD)},
    **{(status, M.NETWORK): status for status in (S.CREATED, S.RUNNING, S.RESTARTING, S.EXITED)},
    (S.CREATED, M.REMOVE): S.REMOVING,
    (S.EXITED, M.REMOVE): S.REMOVING,
    (S.DEAD, M.REMOVE): S.REMOVING,
    (S.REMOVING, M.KEEP): S.DEAD,
}
LIVE = frozenset({S.STARTING, S.RUNNING, S.PAUSED, S.STOPPING, S.RESTARTING})
"""A run is under way, its beginning and its end included, or will be."""


@dataclass(frozen=True, slots=True)
class ExitState:
    """How a container stands, besides its status. Times are Unix nanoseconds, 0 is never. by_machine: its machine has
    ended it, and not its program; error says how."""

    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_ns: int = 0
    finished_ns: int = 0
    by_machine: bool = False


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
        if operation is Move.UPDATE:
            text = f'Cannot update container {id}: container is marked for removal and cannot be "update"'
            return Conflict(text)
        return Conflict(f"cannot {operation} container {short}: container is marked for removal")
    return _while_it_lives(status, operation, id) or _otherwise(status, operation, id)


def _while_it_lives(status: Status, operation: Move, id: str) -> InsulaError | None:
    """What only some of the live statuses refuse, each with words of its own."""
    short = id[:12]
    if operation is Move.REMOVE and status in LIVE:
        if status is Status.PAUSED:
            reason = "container is paused and must be unpaused first"
        else:
            shown = status if status is Status.RESTARTING else Status.RUNNING
            reason = f"container is {shown}: stop the container before removing or force remove"
        return Conflict(f"cannot remove container {short}: {reason}")
    if status is Status.PAUSED:
        return {
            Move.START: Conflict("cannot start a paused container, try unpause instead"),
            Move.PAUSE: Conflict(f"container {id} is already paused"),
            Move.EXEC: Conflict(f"Container {id} is paused, unpause the container before exec"),
            Move.TOP: Conflict(f"Container {id} is paused, unpause the container before top"),
            Move.ATTACH: Conflict(f"container {id} is paused, unpause the container before attach"),
            Move.COPY: Conflict(f"Container {id} is paused, unpause the container before copying its files"),
            Move.NETWORK: Conflict(
                f"Container {id} is paused, unpause the container before changing its networks"
            ),
        }.get(operation)
    if status is Status.RESTARTING and operation in (
        Move.EXEC, Move.TOP, Move.RESIZE, Move.PAUSE, Move.ATTACH,
    ):  # fmt: skip
        return Conflict(f"Container {id} is restarting, wait until the container is running")
    return None


def _otherwise(status: Status, operation: Move, id: str) -> InsulaError:
    short, live = id[:12], status in LIVE
    if (operation is Move.START and live) or (operation is Move.STOP and not live):
        return NotModified(f"container {short} is already {'started' if live else 'stopped'}")
    if operation in (Move.UNPAUSE, Move.WAKE):
        return Conflict(f"Container {id} is not paused")
    if operation is Move.KILL:
        return Conflict(f"cannot kill container: {short}: container {id} is not running")
    if operation in (Move.EXEC, Move.TOP, Move.RESIZE, Move.PAUSE, Move.NETWORK):
        return Conflict(f"container {id} is not running")
    return Conflict(f"container {short} cannot {operation}: it is {status}")
