from pathlib import Path
from typing import Any

import pytest

from insula.api.fields import SECTIONS, Answer, Field, render_table
from insula.api.typed import CHECKS, read_section
from insula.errors import InvalidArgument, NotImplemented

PAGE = Path(__file__).resolve().parents[3] / "docs" / "compatibility.md"
ALL = [(section, field) for section, fields in SECTIONS.items() for field in fields]
ASKING: dict[str, Any] = {
    "string": "x", "bool": True, "int": 7, "strings": ["x"], "words": ["x"], "list": [{}], "map": {"x": {}},
    "labels": {"x": "y"}, "object": {"x": 1},
}  # fmt: skip
EMPTY: dict[str, Any] = {
    "string": "", "bool": False, "int": 0, "strings": [], "words": [], "list": [], "map": {}, "labels": {},
    "object": {},
}  # fmt: skip


def test_the_page_shows_the_table() -> None:
    assert render_table() in PAGE.read_text()


@pytest.mark.parametrize("section,field", ALL, ids=lambda v: getattr(v, "name", v))
def test_every_field_answers(section: str, field: Field) -> None:
    warnings: list[str] = []

    def ask() -> dict[str, Any]:
        return read_section(section, [field], {field.name: ASKING[field.kind]}, warnings)

    if field.answer is Answer.REFUSED:
        with pytest.raises(InvalidArgument, match=field.name):
            ask()
    elif field.answer is Answer.LATER:
        with pytest.raises(NotImplemented, match=field.name):
            ask()
    else:
        assert ask() == {field.name: ASKING[field.kind]}
        assert bool(warnings) == (field.answer is Answer.MEANINGLESS)


@pytest.mark.parametrize("section,field", ALL, ids=lambda v: getattr(v, "name", v))
def test_defaults_pass_in_silence(section: str, field: Field) -> None:
    warnings: list[str] = []
    values = [None, *field.neutral] + ([] if field.empty_counts else [EMPTY[field.kind]])
    for value in values:
        assert read_section(section, [field], {field.name: value}, warnings) == {field.name: value}
    assert warnings == []


@pytest.mark.parametrize("section,field", ALL, ids=lambda v: getattr(v, "name", v))
def test_wrong_types_are_refused_by_the_field_s_name(section: str, field: Field) -> None:
    for kind, value in ASKING.items():
        if not CHECKS[field.kind](value):
            with pytest.raises(InvalidArgument, match=f"{section}.{field.name} of type"):
                read_section(section, [field], {field.name: value}, [])
        else:
            assert kind in (field.kind, "string", "strings", "words", "list", "map", "labels", "object")


def test_unknown_fields_are_named() -> None:
    warnings: list[str] = []
    assert read_section("Config", [], {"Odd": 1, "Null": None}, warnings) == {}
    assert warnings == ["Config.Odd is not known and was ignored"]


def test_answers_that_refuse_say_why() -> None:
    assert [field.name for _, field in ALL if field.answer is not Answer.DONE and not field.note] == []
