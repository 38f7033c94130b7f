"""Lines of progress, as Docker's clients read them, from several pieces of work to one reader.

A reader that is slow is told less, not later: a line that only says how far something has come takes the place of
the one before it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

COUNTED = ("Downloading", "Pushing", "Compressing")


@dataclass(slots=True)
class Line:
    """One line. subject: what it is about (a layer's first digits, a tag), or empty; current, total: bytes, or 0."""

    status: str
    subject: str = ""
    current: int = 0
    total: int = 0
    aux: dict[str, object] = field(default_factory=dict)


class Lines:
    """What was said and not read yet."""

    def __init__(self) -> None:
        self._waiting: deque[Line] = deque()
        self._counted: dict[str, Line] = {}
        self._news = asyncio.Event()

    def put(self, status: str, subject: str = "", current: int = 0, total: int = 0) -> None:
        self.add(Line(status, subject, current, total))

    def add(self, line: Line) -> None:
        waiting = self._counted.get(line.subject)
        if waiting is not None and line.status == waiting.status and line.status in COUNTED:
            waiting.current, waiting.total = line.current, line.total
            return
        self._waiting.append(line)
        if line.status in COUNTED:
            self._counted[line.subject] = line
        else:
            self._counted.pop(line.subject, None)
        self._news.set()

    async def follow(self, work: "asyncio.Task[None]") -> AsyncGenerator[Line, None]:
        """Every line until the work has ended; raises what it raises. The work ends with the reader."""
        try:
            while True:
                while self._waiting:
                    line = self._waiting.popleft()
                    if self._counted.get(line.subject) is line:
                        del self._counted[line.subject]
                    yield line
                if work.done():
                    work.result()
                    return
                self._news.clear()
                news = asyncio.ensure_future(self._news.wait())
                await asyncio.wait({news, work}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
        finally:
            work.cancel()
            await asyncio.wait([work])
