"""JSON values read strictly against the field tables: wrong types are refused, in the words that clients know.

Names match without regard to case, as Docker's own decoder does it; what no table lists is named in a warning.
"""

from collections.abc import Callable, Sequence
from typing import Any

from insula import errors
from insula.api.call import kind_of
from insula.api.fields import Answer, Field
from insula.errors import InvalidArgument

INT_LIMIT = 1 << 63
GO_TYPES = {
    "string": "string", "bool": "bool", "int": "int64", "strings": "[]string", "words": "[]string",
    "list": "[]object", "map": "map[string]struct {}", "labels": "map[string]string", "object": "object",
}  # fmt: skip


def _all_strings(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


CHECKS: dict[str, Callable[[Any], bool]] = {
    "string": lambda v: isinstance(v, str),
    "bool": lambda v: isinstance(v, bool),
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool) and -INT_LIMIT <= v < INT_LIMIT,
    "strings": lambda v: isinstance(v, list) and _all_strings(v),
    "words": lambda v: isinstance(v, str) or (isinstance(v, list) and _all_strings(v)),
    "list": lambda v: isinstance(v, list),
    "map": lambda v: isinstance(v, dict),
    "labels": lambda v: isinstance(v, dict) and _all_strings(v.values()),
    "object": lambda v: isinstance(v, dict),
}


def check(where: str, kind: str, value: Any) -> None:
    """Raises InvalidArgument if a value is not of its field's type. None is always the default."""
    if value is not None and not CHECKS[kind](value):
        raise InvalidArgument(
            f"invalid JSON: json: cannot unmarshal {kind_of(value)} into Go struct field {where} "
            f"of type {GO_TYPES[kind]}"
        )


def read_section(
    where: str, fields: Sequence[Field], document: dict[str, Any], warnings: list[str]
) -> dict[str, Any]:
    """The known fields of an object, by their proper names and of their types; what is not done is answered.

    Raises InvalidArgument for wrong types and what is refused, NotImplemented for what comes later."""
    by_name = {field.name.lower(): field for field in fields}
    found: dict[str, Any] = {}
    for name, value in document.items():
        field = by_name.get(name.lower())
        if field is None:
            if value:
                warnings.append(f"{where}.{name[:80]} is not known and was ignored")
            continue
        check(f"{where}.{field.name}", field.kind, value)
        found[field.name] = value
        if field.answer is not Answer.DONE and field.asks(value):
            answer_field(where, field, warnings)
    return found


def answer_field(where: str, field: Field, warnings: list[str]) -> None:
    """What a request that uses this field is told."""
    if field.answer is Answer.REFUSED:
        raise InvalidArgument(f"{where}.{field.name} cannot be had", field.note)
    if field.answer is Answer.LATER:
        raise errors.NotImplemented(f"{where}.{field.name} is not supported yet", field.note)
    warnings.append(f"{where}.{field.name} has no effect: {field.note}")
