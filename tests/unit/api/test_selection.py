import pytest

from insula.api.selection import Selection, encode_event
from insula.events import Event

DIE = Event(
    "container", "die", "abcdef", {"name": "web", "image": "busybox:latest", "exitCode": "3", "l": "1"}, 5
)
EXEC = Event("container", "exec_create: ls -l", "abcdef", {"name": "web", "image": "busybox:latest"}, 6)
TAG = Event("image", "tag", "sha256:1234", {"name": "busybox:latest"}, 7)


@pytest.mark.parametrize(
    "filters,taken",
    [
        ({}, [DIE, EXEC, TAG]),
        ({"type": ["image"]}, [TAG]),
        ({"type": ["image", "container"], "event": ["die"]}, [DIE]),
        ({"event": ["exec_create"]}, [EXEC]),
        ({"container": ["abc"]}, [DIE, EXEC]),
        ({"container": ["web"]}, [DIE, EXEC]),
        ({"container": ["/web", "other"]}, [DIE, EXEC]),
        ({"container": ["other"]}, []),
        ({"image": ["busybox"]}, [DIE, EXEC, TAG]),
        ({"image": ["busybox:latest"]}, [DIE, EXEC, TAG]),
        ({"image": ["busy*"]}, [DIE, EXEC, TAG]),
        ({"image": ["debian"]}, []),
        ({"label": ["l"]}, [DIE]),
        ({"label": ["l=1", "exitCode=3"]}, [DIE]),
        ({"label": ["l=2"]}, []),
        ({"scope": ["local"]}, [DIE, EXEC, TAG]),
        ({"scope": ["swarm"]}, []),
        ({"network": ["x"]}, []),
        ({"node": ["x"]}, []),
    ],
)
def test_or_within_a_key_and_across_keys(filters: dict[str, list[str]], taken: list[Event]) -> None:
    selection = Selection(0, 0, filters)
    assert [event for event in (DIE, EXEC, TAG) if selection.takes(event)] == taken


def test_until_ends_it() -> None:
    assert [event.time_ns for event in (DIE, EXEC, TAG) if Selection(0, 6, {}).takes(event)] == [5, 6]


def test_an_event_has_its_old_fields_too() -> None:
    document = encode_event(DIE)
    assert (document["status"], document["id"], document["from"]) == ("die", "abcdef", "busybox:latest")
    assert document["Actor"] == {"ID": "abcdef", "Attributes": DIE.attributes}
    assert (document["scope"], document["time"], document["timeNano"]) == ("local", 0, 5)
    assert "from" not in encode_event(TAG)
