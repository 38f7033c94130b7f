"""What all filters share: which are known, and how labels and yes-or-no values are matched. Docker's words. Pure."""

from collections.abc import Collection, Mapping, Sequence

from insula.errors import InvalidArgument

Filters = Mapping[str, Sequence[str]]


def check_known(filters: Filters, known: Collection[str]) -> None:
    """Raises InvalidArgument for a filter that is not known."""
    for name in filters:
        if name not in known:
            raise InvalidArgument(f"invalid filter '{name[:80]}'")


def has_labels(labels: Mapping[str, str], wanted: Sequence[str]) -> bool:
    """Whether all that is wanted, `key` or `key=value`, is among the labels."""
    return all(has_label(labels, label) for label in wanted)


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def read_flag(filters: Filters, name: str) -> bool | None:
    """A filter that is true or false; None if it is not given. Raises InvalidArgument if it is both or neither."""
    if name not in filters:
        return None
    values = set(filters[name])
    no, yes = bool(values & {"0", "false"}), bool(values & {"1", "true"})
    if no == yes:
        shown = f"={' '.join(sorted(values))[:80]}" if values else ""
        raise InvalidArgument(f"invalid filter '{name}{shown}'")
    return yes
