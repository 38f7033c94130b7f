import pytest

from insula.api.selection import Selection, encode_event, without_tag
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
        ({"image": ["busy"]}, []),
        ({"image": ["sha256:1234"]}, [TAG]),
        ({"container": ["we"]}, [DIE, EXEC]),
        ({"event": ["exec_create: ls"]}, []),
        ({"event": ["exec_create: ls -l"]}, [EXEC]),
        ({"event": ["exec_start", "exec_create: ls"]}, [EXEC]),
        ({"event": ["exec"]}, []),
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


def test_replay_is_for_who_names_a_moment() -> None:
    assert [Selection(*moments, {}).replays for moments in ((0, 0), (1, 0), (0, 1))] == [False, True, True]


def test_image_create_came_with_a_version() -> None:
    made = Event("image", "create", "sha256:1", {"name": "x"}, 1)
    assert [Selection(0, 0, {}, (1, minor)).takes(made) for minor in (45, 46)] == [False, True]


@pytest.mark.parametrize(
    "name,bare",
    [
        ("busybox", "busybox"),
        ("busybox:1", "busybox"),
        ("host:5000/a/b:1", "host:5000/a/b"),
        ("host:5000/a", "host:5000/a"),
        ("a@sha256:12", "a"),
        ("sha256:12", "sha256:12"),
        ("", ""),
    ],
)
def test_names_without_tags(name: str, bare: str) -> None:
    assert without_tag(name) == bare


def test_an_event_has_its_old_fields_too() -> None:
    document = encode_event(DIE)
    assert (document["status"], document["id"], document["from"]) == ("die", "abcdef", "busybox:latest")
    assert document["Actor"] == {"ID": "abcdef", "Attributes": DIE.attributes}
    assert (document["scope"], document["time"], document["timeNano"]) == ("local", 0, 5)
    assert "from" not in encode_event(TAG)
