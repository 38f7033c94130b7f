"""The daemon's end of netd: starts it, or finds it running, asks one thing at a time, notices its death.

Raises Unavailable where the host has no network name spaces to give; then there are no networks, and the daemon goes
on without.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from insula.errors import Internal, Unavailable
from insula.network.child import find_child, start_child
from insula.network.message import receive, send
from insula.network.namespace import NameSpaces, hold_namespaces, name_of
from insula.process import HeldProcess

ANSWER_TIMEOUT = 30.0

log = logging.getLogger(__name__)


class NetdClient:
    """A connection to one netd process. Not for two callers at once but by `call`, which takes turns."""

    def __init__(self, spaces: NameSpaces, held: HeldProcess, connection: socket.socket) -> None:
        self.spaces = spaces
        self.held = held
        self._connection = connection
        self._turn = asyncio.Lock()
        self._number = 0

    async def call(self, what: str, descriptors: Sequence[int] = (), **words: Any) -> Any:
        return (await self._exchange(what, descriptors, words))[0]

    async def taps(self, names: list[str]) -> list[int]:
        """New taps outside any network, as descriptors for QEMU; the caller closes them."""
        _, descriptors = await self._exchange("taps", (), {"names": names})
        if len(descriptors) != len(names):
            for descriptor in descriptors:
                os.close(descriptor)
            raise Internal(f"netd gave {len(descriptors)} taps, not {len(names)}")
        return descriptors

    async def _exchange(
        self, what: str, descriptors: Sequence[int], words: dict[str, Any]
    ) -> tuple[Any, list[int]]:
        """Raises Unavailable if netd is gone, Internal with its words if it could not."""
        async with self._turn:
            self._number += 1
            try:
                send(self._connection, {"id": self._number, "do": what, **words}, list(descriptors))
                async with asyncio.timeout(ANSWER_TIMEOUT):
                    answer, given = await self._answer(self._number)
            except (OSError, ValueError, TimeoutError) as error:
                raise Unavailable(f"netd does not answer: {error or 'in time'}") from error
        if "error" in answer:
            raise Internal(f"netd: {what}: {str(answer['error'])[:500]}")
        return answer.get("ok"), given

    async def _answer(self, number: int) -> tuple[dict[str, Any], list[int]]:
        """The answer of that number; one that nobody awaited any more is dropped."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                answer, given = receive(self._connection)
            except BlockingIOError:
                ready = asyncio.Event()
                loop.add_reader(self._connection, ready.set)
                try:
                    await ready.wait()
                finally:
                    loop.remove_reader(self._connection)
                continue
            if answer is None:
                raise ConnectionError("it is gone")
            if answer.get("id") == number:
                return answer, given
            for descriptor in given:
                os.close(descriptor)

    def close(self) -> None:
        """Lets go; netd and everything in it go on."""
        self.held.close()
        self._connection.close()


async def open_netd(folder: Path, run: Path) -> NetdClient:
    """The netd of this run directory, started if there is none. folder: where its files are. Raises Unavailable."""
    name = name_of(run)
    folder.mkdir(mode=0o700, exist_ok=True)
    spaces = await hold_namespaces(folder, name)
    file, path = folder / "netd.pid", folder / "netd.sock"
    pid = find_child(file, name)
    if pid is not None and (connection := await _connect(path)) is not None:
        return NetdClient(spaces, HeldProcess(pid), connection)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen(4)
        words = [name, str(spaces.pid), str(listener.fileno())]
        pid = await start_child("insula.network.netd", words, file, (listener.fileno(),))
    connection = await _connect(path)
    if connection is None:
        raise Unavailable(
            "netd ended as soon as it was started", f"its words are in {file.with_suffix('.log')}"
        )
    return NetdClient(spaces, HeldProcess(pid), connection)


async def _connect(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, str(path))
    except OSError:
        connection.close()
        return None
    return connection
