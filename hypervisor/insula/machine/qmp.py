"""QEMU's monitor: qemu.qmp's client, and the few commands that a machine needs.

Connects to the machine's QMP socket by path, so a later daemon can connect too. Whatever QEMU answers is checked
for its type before use; a lost monitor is Unavailable, a refused command Internal with QEMU's own words.
"""

import asyncio
import base64
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from qemu.qmp import QMPClient, QMPError
from qemu.qmp.qmp_client import ExecuteError

from insula.errors import Internal, Unavailable
from insula.machine.spec import Throttle

CONNECT_TIMEOUT = 30.0
COMMAND_TIMEOUT = 30.0
CONSOLE_TAIL = 1 << 16
THROTTLE_MAX = 10**15  # QEMU takes no rate above (include/qemu/throttle.h)

logging.getLogger("qemu").setLevel(
    logging.CRITICAL
)  # what matters is raised, and told once, where it is handled


class Monitor:
    """One connection to one QEMU's monitor; made by `open_monitor`."""

    def __init__(self, client: QMPClient) -> None:
        self._client = client

    async def execute(self, command: str, **arguments: Any) -> Any:
        """Runs one command and returns its answer. Underscores in names become hyphens."""
        return await self._execute(
            command, {key.replace("_", "-"): value for key, value in arguments.items()}
        )

    async def _execute(self, command: str, arguments: dict[str, Any]) -> Any:
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                return await self._client.execute(command, arguments)
        except ExecuteError as error:
            raise Internal(f"QEMU refused {command}: {error}") from error
        except (QMPError, OSError, EOFError, TimeoutError) as error:
            raise Unavailable(f"QEMU's monitor did not answer {command}: {error!r}") from error

    async def attach_disk(self, disk: str, descriptor: int, *, read_only: bool) -> None:
        """Puts a raw image, given by descriptor, in the place of a disk's placeholder."""
        self._send(descriptor)
        given = await self.execute("add-fd")
        number = given["fdset-id"]
        node = f"{disk}-{number}"
        file = {"driver": "file", "filename": f"/dev/fdset/{number}", "locking": "off", "discard": "unmap"}
        await self.execute(
            "blockdev-add", driver="raw", node_name=node, read_only=read_only, discard="unmap", file=file
        )
        await self.execute("qom-set", path=f"/machine/peripheral/{disk}", property="drive", value=node)

    async def throttle(self, disk: str, limits: Throttle) -> None:
        """Holds a disk to limits that it shares with all others held to them: the group is one. QEMU does so
        below whatever the guest's kernel does. Limits of zero let it go again."""
        rates = {
            "bps": 0, "bps_rd": limits.read_bps, "bps_wr": limits.write_bps,
            "iops": 0, "iops_rd": limits.read_iops, "iops_wr": limits.write_iops,
        }  # fmt: skip
        bounded = {name: min(rate, THROTTLE_MAX) for name, rate in rates.items()}
        await self._execute("block_set_io_throttle", {"id": disk, "group": "disks", **bounded})

    async def save(self, descriptor: int) -> None:
        """Stops the machine and writes its device state (not its shared RAM) to a descriptor."""
        await self.execute("stop")
        self._send(descriptor)
        await self.execute("getfd", fdname="state")
        await self._migrate("migrate", "fd:state")

    async def restore(self, descriptor: int) -> None:
        """Loads a saved device state from a descriptor that QEMU has inherited; the machine then runs."""
        await self._migrate("migrate-incoming", f"fd:{descriptor}")
        await self.execute("cont")  # it was saved stopped, and is restored so

    async def _migrate(self, command: str, uri: str) -> None:
        """The RAM is not in the state (x-ignore-shared): it is the file that all clones map."""
        capabilities = [{"capability": name, "state": True} for name in ("events", "x-ignore-shared")]
        with self._client.listener("MIGRATION") as events:
            await self.execute("migrate-set-capabilities", capabilities=capabilities)
            await self.execute(command, uri=uri)
            async with asyncio.timeout(COMMAND_TIMEOUT):
                async for event in events:
                    data = event["data"]
                    status = data["status"] if isinstance(data, dict) else None
                    if status == "completed":
                        return
                    if status == "failed":
                        raise Internal("QEMU could not save or load the machine's state")

    async def is_left(self, port: str) -> bool:
        """Whether nobody is at the other end of a port's socket, as far as QEMU has seen."""
        ports = await self.execute("query-chardev")
        return any(one["label"] == port and one["filename"].startswith("disconnected:") for one in ports)

    async def console(self) -> bytes:
        """The last of what the guest wrote to its console, at most 64 KiB."""
        text = await self.execute("ringbuf-read", device="console", size=CONSOLE_TAIL, format="base64")
        return base64.b64decode(text)

    async def stopped(self) -> str:
        """Returns, with the event's name, once the guest has panicked, powered off or rebooted."""
        with self._client.listener(("SHUTDOWN", "GUEST_PANICKED")) as events:
            status = await self.execute("query-status")
            if status["status"] in ("shutdown", "guest-panicked"):
                return str(status["status"])
            async for event in events:
                return str(event["event"])
        raise Unavailable("QEMU's monitor is gone")

    def _send(self, descriptor: int) -> None:
        try:
            self._client.send_fd_scm(descriptor)
        except (QMPError, OSError) as error:
            raise Unavailable(f"QEMU's monitor took no descriptor: {error!r}") from error

    async def close(self) -> None:
        with suppress(QMPError, OSError, EOFError, asyncio.CancelledError):
            await self._client.disconnect()


@asynccontextmanager
async def open_monitor(path: Path) -> AsyncIterator[Monitor]:
    """Connects to a listening QMP socket; QEMU may not yet be there to accept, so this may wait for it."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, str(path))
    except OSError as error:
        connection.close()
        raise Unavailable(f"no QEMU listens at {path}: {error.strerror}") from error
    client = QMPClient("machine")
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await client.connect(connection)
    except (QMPError, OSError, EOFError, TimeoutError) as error:
        connection.close()
        raise Unavailable(f"QEMU's monitor at {path} did not answer: {error!r}") from error
    monitor = Monitor(client)
    try:
        yield monitor
    finally:
        await monitor.close()
