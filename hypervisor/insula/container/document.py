"""Frozen dataclasses ⇄ what JSON can hold, for the records: by their declared types, whatever is nested in them.

What the types do not say is refused when it is read: a record is written by this program alone. A field
that an older record lacks gets its default. The raw echoes (dict) are passed on as they are, and not copied.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
Reader = Callable[[Any], Any]


def to_document(item: Any) -> dict[str, Any]:
    """A dataclass as a dict."""
    return {field.name: _plain(getattr(item, field.name)) for field in fields(item)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_document(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def from_document(kind: type[T], document: dict[str, Any]) -> T:
    """The dataclass that `to_document` was given."""
    values = dict(document)
    for name, read in _readers(cast(Any, kind)).items():
        if name in values:
            values[name] = read(values[name])
    return kind(**values)


@cache
def _readers(kind: Any) -> dict[str, Reader]:
    """Of the fields whose values are not what JSON has for them. Made once: a daemon's start reads every record."""
    readers = {name: _reader(type_) for name, type_ in get_type_hints(kind).items()}
    return {name: read for name, read in readers.items() if read is not None}


def _reader(kind: Any) -> Reader | None:
    """How JSON's value becomes one of a type; None if it is one."""
    origin = get_origin(kind)
    if origin in (UnionType, Union):
        return _optional_reader(kind)
    if origin is tuple:
        return _tuple_reader(get_args(kind))
    if isinstance(kind, type) and is_dataclass(kind):
        return partial(from_document, kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return None


def _optional_reader(kind: Any) -> Reader | None:
    inner = [part for part in get_args(kind) if part is not NoneType]
    if len(inner) != 1:
        raise TypeError(f"a record cannot hold {kind}")
    read = _reader(inner[0])
    if read is None:
        return None
    return lambda value: None if value is None else read(value)


def _tuple_reader(parts: tuple[Any, ...]) -> Reader:
    if len(parts) == 2 and parts[1] is Ellipsis:
        read = _reader(parts[0])
        return tuple if read is None else lambda value: tuple(map(read, value))
    readers = [_reader(part) for part in parts]
    return lambda value: tuple(
        item if read is None else read(item) for read, item in zip(readers, value, strict=True)
    )
