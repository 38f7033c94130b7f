import itertools

import pytest

from insula.container.state import MOVES, Move, Status, move
from insula.errors import Conflict, NotModified

ID = "0123456789ab" * 5 + "cdef"


@pytest.mark.parametrize(("status", "operation"), list(itertools.product(Status, Move)))
def test_every_pair_is_allowed_or_refused(status: Status, operation: Move) -> None:
    if (status, operation) in MOVES:
        assert move(status, operation, ID) is MOVES[status, operation]
    else:
        with pytest.raises((Conflict, NotModified)) as refused:
            move(status, operation, ID)
        assert ID[:12] in refused.value.message or (status, operation) == (Status.PAUSED, Move.START)


def test_every_status_can_be_reached_and_left() -> None:
    assert {status for status, _ in MOVES} == set(Status)
    assert set(MOVES.values()) == set(Status)


@pytest.mark.parametrize(
    ("status", "operation", "kind", "words"),
    [
        (Status.RUNNING, Move.START, NotModified, "already started"),
        (Status.EXITED, Move.STOP, NotModified, "already stopped"),
        (Status.RUNNING, Move.REMOVE, Conflict, "stop the container before removing or force remove"),
        (Status.REMOVING, Move.REMOVE, Conflict, "already in progress"),
        (Status.REMOVING, Move.START, Conflict, "marked for removal"),
        (Status.EXITED, Move.KILL, Conflict, "is not running"),
        (Status.CREATED, Move.EXEC, Conflict, "is not running"),
        (Status.PAUSED, Move.START, Conflict, "cannot start a paused container, try unpause instead"),
        (Status.PAUSED, Move.PAUSE, Conflict, f"container {ID} is already paused"),
        (Status.PAUSED, Move.EXEC, Conflict, f"Container {ID} is paused, unpause the container before exec"),
        (Status.PAUSED, Move.REMOVE, Conflict, "container is paused and must be unpaused first"),
        (Status.RUNNING, Move.UNPAUSE, Conflict, f"Container {ID} is not paused"),
        (Status.EXITED, Move.PAUSE, Conflict, f"container {ID} is not running"),
        (Status.RESTARTING, Move.START, NotModified, "already started"),
        (Status.RESTARTING, Move.EXEC, Conflict, f"Container {ID} is restarting, wait until"),
        (Status.RESTARTING, Move.REMOVE, Conflict, "container is restarting: stop the container"),
        (Status.REMOVING, Move.UPDATE, Conflict, 'container is marked for removal and cannot be "update"'),
    ],
)
def test_dockers_words(status: Status, operation: Move, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        move(status, operation, ID)
