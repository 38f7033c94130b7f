import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest

from insula.container.document import from_document, to_document


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Inner:
    words: tuple[str, ...] = ()
    colour: Colour = Colour.RED


@dataclass(frozen=True, slots=True)
class Outer:
    one: Inner = Inner()
    many: tuple[Inner, ...] = ()
    maybe: Inner | None = None
    pair: tuple[int, int] = (0, 0)
    words: tuple[str, ...] | None = None
    raw: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Odd:
    either: int | str = 0


def test_what_is_nested_comes_back() -> None:
    for item in (
        Outer(),
        Outer(
            Inner(("a",)), (Inner(), Inner(("b", "c"))), Inner(("d",)), (1, 2), ("x",), {"l": [1, {"m": []}]}
        ),
    ):
        again = from_document(Outer, json.loads(json.dumps(to_document(item))))
        assert again == item
        assert type(again.one.colour) is Colour


def test_an_older_record_gets_defaults() -> None:
    assert from_document(Outer, {"pair": [3, 4]}) == Outer(pair=(3, 4))


def test_what_was_never_written_is_refused() -> None:
    for kind, document in ((Outer, {"other": 1}), (Outer, {"pair": [1, 2, 3]}), (Odd, {"either": 1})):
        with pytest.raises((TypeError, ValueError, KeyError)):
            from_document(kind, document)
