"""Which handler answers a path: a table for each noun, one look-up by method and first word.

A name in a path may hold slashes (images do), so `{name:path}` takes as much as it can. What is not in the table,
path or method, is Docker's 404 "page not found".
"""

import re
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass

from aiohttp.web import StreamResponse

from insula.api.call import Call
from insula.errors import NotFound

Handler = Callable[[Call], Coroutine[None, None, StreamResponse]]
VARIABLE = re.compile(r"\{(\w+)(:path)?\}")


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint: method, path with `{name}` or `{name:path}`, handler. stream: it serves its client alone, so
    it ends with the client; anything else is carried through, whether the client waits or not."""

    method: str
    path: str
    handler: Handler
    stream: bool = False


class Router:
    """Finds the handler of a request. Routes that come first win."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[tuple[str, str], Route] = {}
        self._patterns: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = {}
        for route in routes:
            if "{" not in route.path:
                self._fixed.setdefault((route.method, route.path), route)
            else:
                key = (route.method, route.path.split("/", 2)[1])
                self._patterns.setdefault(key, []).append((compile_path(route.path), route))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route and the names in the path. Raises NotFound."""
        if route := self._fixed.get((method, path)):
            return route, {}
        parts = path.split("/", 2)
        for pattern, route in self._patterns.get((method, parts[1] if len(parts) > 1 else ""), ()):
            if match := pattern.fullmatch(path):
                return route, match.groupdict()
        raise NotFound("page not found")


def compile_path(path: str) -> re.Pattern[str]:
    """`/images/{name:path}/json` as a pattern."""
    literals = VARIABLE.split(path)
    pattern = re.escape(literals[0])
    for name, deep, literal in zip(literals[1::3], literals[2::3], literals[3::3], strict=True):
        pattern += f"(?P<{name}>{'.+' if deep else '[^/]+'})" + re.escape(literal)
    return re.compile(pattern, re.DOTALL)
