"""The patterns of a Dockerfile and of a `.dockerignore`, with what is wrong in them as a user's mistake."""

import re
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

from insula import patterns
from insula.errors import InvalidArgument
from insula.patterns import IGNORE_MAX as IGNORE_MAX
from insula.patterns import Ignore as Ignore
from insula.patterns import has_wildcards as has_wildcards

P = ParamSpec("P")
T = TypeVar("T")


def _checked(make: Callable[P, T]) -> Callable[P, T]:
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return make(*args, **kwargs)
        except patterns.BadPattern as error:
            raise InvalidArgument(str(error)) from error

    return checked


@_checked
def compile_match(pattern: str) -> re.Pattern[str]:
    """As Go's `filepath.Match`. Raises InvalidArgument."""
    return patterns.compile_match(pattern)


@_checked
def make_ignore(lines: Iterable[str]) -> Ignore:
    """Raises InvalidArgument."""
    return Ignore(lines)


@_checked
def read_ignore(raw: bytes) -> Ignore:
    """Of a `.dockerignore`'s bytes. Raises InvalidArgument."""
    return patterns.read_ignore(raw)
