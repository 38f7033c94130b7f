"""The API in front of containers whose agents are plain processes: everything but the machine is real, so the
docker command can run, attach and exec without a boot."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plain_daemon import Daemon

from insula.api.engine import DoctorRow, Engine
from insula.api.server import ApiServer
from insula.build.builds import Builds
from insula.container.spec import ContainerSpec
from insula.container.view import Created
from insula.errors import InvalidArgument, NotFound
from insula.image.reference import Reference
from insula.image.registry.origin import RegistrySettings
from insula.image.registry.progress import Line


class NoHost:
    """Nothing but containers."""

    def info(self) -> dict[str, Any]:
        return {"Pool": []}

    async def doctor(self) -> Sequence[DoctorRow]:
        return [DoctorRow("host", "ok", "plain")]

    async def bootstrap(self, what: str, platforms: Sequence[str]) -> AsyncIterator[str]:
        yield f"begun with {what}"
        raise InvalidArgument("no further")

    async def fill_pool(self, platform: str) -> int:
        return 0

    def loop_delays(self) -> dict[str, Any]:
        return {}

    async def walls(self) -> list[str]:
        return []


class NoRegistries:
    """Has heard of none."""

    settings = RegistrySettings()

    async def pull(self, reference: Reference, *wanted: Any, **how: Any) -> AsyncIterator[Line]:
        if reference.path:
            raise NotFound(f"pull access denied for {reference.familiar_name}, repository does not exist")
        yield Line("never")


@dataclass(frozen=True, slots=True)
class Ran:
    status: int
    out: bytes
    err: bytes


class PlainEngine:
    """The server, and clients that do not block its loop."""

    def __init__(self, daemon: Daemon, engine: Engine, path: Path) -> None:
        self.daemon = daemon
        self.engine = engine
        self.path = path
        self.env = {"PATH": os.environ["PATH"], "DOCKER_HOST": f"unix://{path}", "HOME": str(path.parent),
                    "DOCKER_CONFIG": str(path.parent), "TERM": "xterm"}  # fmt: skip

    async def docker(self, *args: str, input: bytes | None = None) -> Ran:
        child = await asyncio.create_subprocess_exec(
            "docker", *args, env=self.env, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await child.communicate(input)
        assert child.returncode is not None
        return Ran(child.returncode, out, err)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(self.path))

    async def send(
        self, method: str, path: str, body: bytes = b"", *headers: str
    ) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        """The head of the answer, and the connection after it."""
        reader, writer = await self.connect()
        kind = ["Content-Type: application/json", f"Content-Length: {len(body)}"] if body else []
        lines = [f"{method} {path} HTTP/1.1", "Host: docker", *kind, *headers]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        return await reader.readuntil(b"\r\n\r\n"), reader, writer

    async def ask(self, path: str, method: str = "GET", body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of a whole answer."""
        head, reader, writer = await self.send(method, path, body, "Connection: close")
        found = await reader.read()
        writer.close()
        if b"transfer-encoding: chunked" in head.lower():
            found = unchunk(found)
        return int(head.split()[1]), found


def unchunk(data: bytes) -> bytes:
    whole = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        whole, data = whole + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return whole


def join_none(daemon: Daemon) -> None:
    """Plain agents have no network devices: containers that ask for Docker's default network are made on none."""
    create = daemon.containers.create

    async def made(spec: ContainerSpec) -> Created:
        default = spec.network_mode in ("", "default", "bridge")
        return await create(replace(spec, network_mode="none") if default else spec)

    daemon.containers.create = made  # type: ignore[method-assign]


@asynccontextmanager
async def serve_plain(daemon: Daemon, folder: Path) -> AsyncIterator[PlainEngine]:
    path = folder / "docker.sock"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind(str(path))
    listener.listen(64)
    registries: Any = NoRegistries()
    engine = Engine(
        daemon.paths,
        daemon.events,
        daemon.images,
        daemon.networks,
        daemon.volumes,
        daemon.containers,
        Builds(daemon.containers, registries),
        NoHost(),
        "id",
        registries,
    )  # type: ignore[arg-type]
    join_none(daemon)
    server = ApiServer(engine)
    await server.open(listener)
    try:
        yield PlainEngine(daemon, engine, path)
    finally:
        await server.close()
        listener.close()
