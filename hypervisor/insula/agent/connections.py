"""Connections that a container makes to sockets of the host's, as a session is told of them: each is two directions,
a process's output and input, and waits here until somebody carries it. The guest is hostile: there are at most
CONNECTIONS_MAX at a time, and their numbers are the agent's own.
"""

import asyncio
from collections import deque

from insula.agent.connection import again
from insula.agent.reports import Connected
from insula.agent.streams import Process, Sender
from insula.errors import InsulaError, Internal

OWN_NUMBERS = 3 << 30
"""From here on the processes' numbers are the agent's."""
CONNECTIONS_MAX = 64


class Connections:
    """One session's. processes: all of it, by number; a connection is among them until it is released."""

    def __init__(self, sender: Sender, processes: dict[int, Process]) -> None:
        self._sender = sender
        self._processes = processes
        self._waiting: deque[tuple[int, Process]] = deque()
        self._changed = asyncio.Event()  # or failure
        self._failure: InsulaError | None = None

    def take(self, message: Connected) -> None:
        """Raises Internal on a breach."""
        number = message.process
        held = sum(known >= OWN_NUMBERS for known in self._processes)
        if number < OWN_NUMBERS or number in self._processes or held >= CONNECTIONS_MAX:
            raise Internal("the guest's agent tells of a connection that it cannot have")
        process = self._processes[number] = Process(self._sender, number, tty=True)
        self._waiting.append((message.mount, process))
        self._changed.set()

    async def next(self) -> tuple[int, Process]:
        """Raises the session's failure."""
        while not self._waiting:
            if self._failure is not None:
                raise again(self._failure)
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()

    def fail(self, failure: InsulaError) -> None:
        """Nothing more will come."""
        self._failure = failure
        self._changed.set()
