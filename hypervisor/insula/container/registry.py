"""Which containers there are, by id and by name. Names are taken and given back without an await in between."""

import re
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from insula.container.record import Record
from insula.errors import Conflict, InvalidArgument, NotFound

ID = re.compile(r"[0-9a-f]{64}")
PREFIX = re.compile(r"[0-9a-f]{1,64}")


class Recorded(Protocol):
    """Whatever has a container's record."""

    record: Record


T = TypeVar("T", bound=Recorded)


class Registry(Generic[T]):
    """All containers of one daemon."""

    def __init__(self) -> None:
        self._items: dict[str, T] = {}
        self._names: dict[str, str] = {}

    def reserve(self, name: str, id: str) -> None:
        """Takes a name. Raises Conflict if another container has it."""
        holder = self._names.setdefault(name, id)
        if holder != id:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
                "You have to remove (or rename) that container to be able to reuse that name."
            )

    def release(self, name: str, id: str) -> None:
        if self._names.get(name) == id:
            del self._names[name]

    def is_free(self, name: str) -> bool:
        return name not in self._names

    def add(self, item: T) -> None:
        """Its name has been reserved."""
        self._items[item.record.id] = item

    def forget(self, record: Record) -> None:
        self._items.pop(record.id, None)
        self.release(record.name, record.id)

    def find(self, reference: str) -> T:
        """By id, name, or an id's unique prefix, in this order. Raises NotFound, InvalidArgument."""
        name = reference.removeprefix("/")
        id = name if name in self._items else self._names.get(name)
        if id is not None and id in self._items:
            return self._items[id]
        found = [id for id in self._items if id.startswith(name)] if PREFIX.fullmatch(name) else []
        if len(found) > 1:
            raise InvalidArgument(
                f"multiple IDs found with provided prefix: {name}", "give more of the container's id"
            )
        if not found:
            raise NotFound(f"No such container: {reference[:200]}")
        return self._items[found[0]]

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._items.values()))
