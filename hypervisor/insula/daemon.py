"""The daemon: wires the parts, serves them on a socket, and lets go of everything when told to end.

    paths → database → events → images, registries → guests → containers → API

One a run directory, held by a lock. The socket listens before adoption and is answered after it, so a client that
comes early waits instead of failing. Ends on SIGTERM or SIGINT: machines go on, the next daemon adopts them.
Refuses a second start, and a start as a part of which nothing could be kept (database, folders).
"""

import argparse
import asyncio
import fcntl
import gc
import json
import logging
import logging.handlers
import os
import queue
import resource
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from insula.api.delays import LoopDelays, TimedSelector
from insula.api.engine import DoctorRow, Engine
from insula.api.server import ApiServer
from insula.build.builds import Builds
from insula.config import read_config
from insula.container.bootstrap import PLATFORMS as DEBIAN_PLATFORMS
from insula.container.bootstrap import bootstrap_debian
from insula.container.containers import Containers
from insula.container.log_options import LogLimits
from insula.container.rehearsal import make_rehearsal
from insula.database import Database
from insula.errors import Conflict, InsulaError, InvalidArgument, Unavailable
from insula.events import EventBus
from insula.guest.doctor import Finding, examine, walls
from insula.guest.guests import Guests
from insula.image.bootstrap import bootstrap_busybox
from insula.image.registry.origin import RegistrySettings
from insula.image.registry.registries import Registries
from insula.image.store import ImageStore
from insula.machine.host_cgroup import find_parent
from insula.machine.platform import host_platform
from insula.network.host import host_subnets
from insula.network.networks import Networks
from insula.paths import Paths, find_paths
from insula.volume.volumes import Volumes

LOG_BYTES = 4 << 20
BACKLOG = 512
READY = b"ready\n"
ENGINE = "engine"

log = logging.getLogger("insula.daemon")


class DaemonHost:
    """What the API asks beyond containers and images."""

    def __init__(
        self,
        paths: Paths,
        images: ImageStore,
        guests: Guests,
        containers: Containers,
        delays: LoopDelays,
        warm_up: asyncio.Task[None],
    ) -> None:
        self._paths = paths
        self._images = images
        self._guests = guests
        self._containers = containers
        self._bootstrapping = asyncio.Lock()  # two at a time would take each other's interim image away
        self._delays = delays
        self._warm_up = warm_up

    def info(self) -> dict[str, Any]:
        return self._guests.info()

    async def doctor(self) -> list[DoctorRow]:
        return [shown(row) for row in await examine(self._paths, await self._guests.forge.cgroups())]

    async def bootstrap(self, what: str, platforms: Sequence[str]) -> AsyncIterator[str]:
        if what == "debian":
            async with self._bootstrapping, aclosing(self._bootstrap_debian(platforms)) as lines:
                async for line in lines:
                    yield line
            return
        for platform in platforms or ("linux/amd64", "linux/arm64"):
            yield f"Getting Debian's busybox-static for {platform}"
        made = await bootstrap_busybox(self._images, self._paths, *([tuple(platforms)] if platforms else []))
        for image in made:
            yield f"Made {what}:latest for {image.platform} ({image.id[7:19]})"

    def _bootstrap_debian(self, platforms: Sequence[str]) -> AsyncGenerator[str, None]:
        wanted = tuple(platforms) or DEBIAN_PLATFORMS
        return bootstrap_debian(self._containers, self._images, self._paths, wanted)

    async def fill_pool(self, platform: str) -> int:
        if not platform:
            raise InvalidArgument("no platform is given", "for example linux/amd64")
        return await self._guests.fill(platform)

    def loop_delays(self) -> dict[str, Any]:
        return self._delays.take()

    async def walls(self) -> list[str]:
        """KVM counts once it has been proved, which the warm-up does."""
        uses_kvm = False
        if self._warm_up.done():
            with suppress(InsulaError):
                uses_kvm = await self._guests.forge.accelerator(host_platform()) == "kvm"
        return ["name=seccomp,profile=builtin", *walls(uses_kvm, await self._guests.forge.cgroups())]


def shown(row: Finding) -> DoctorRow:
    return DoctorRow(row.subject, row.state, row.text, row.hint)


# -- what a daemon holds


@contextmanager
def hold_lock(paths: Paths) -> Iterator[None]:
    """The run directory is this daemon's. Raises Conflict if it is another's."""
    fd = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"a daemon is running already for {paths.run} (pid {read_pid(paths)})") from error
        staged = paths.run / "daemon.pid.new"
        staged.write_text(f"{os.getpid()}\n")
        staged.rename(paths.pid_file)
        yield
    finally:
        os.close(fd)


def read_pid(paths: Paths) -> str:
    try:
        return paths.pid_file.read_text().strip() or "unknown"
    except OSError:
        return "unknown"


def bind_socket(paths: Paths) -> socket.socket:
    """Listens on the socket, for this user alone. Only under the lock: a socket that is there is nobody's."""
    paths.socket.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        listener.bind(str(paths.socket))
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    return listener


@asynccontextmanager
async def open_engine(paths: Paths, delays: LoopDelays, choices: RegistrySettings) -> AsyncIterator[Engine]:
    """All parts, adopted and ready; detached from when the context is left, in reverse. choices: of the command line,
    before those of the configuration."""
    config = read_config(paths.config)
    events = EventBus()
    async with AsyncExitStack() as held:
        database = Database(paths.database)
        await database.open()
        held.push_async_callback(database.close)
        images = ImageStore(paths, database, events)
        await images.open()
        held.push_async_callback(images.close)
        mirror = choices.mirror or config.registry_mirror
        settings = RegistrySettings(mirror, (*config.registry_insecure, *choices.insecure))
        registries = Registries(images, settings)
        held.push_async_callback(registries.close)
        networks = Networks(paths, database, events)
        await networks.open(await asyncio.to_thread(host_subnets))
        held.push_async_callback(networks.close)
        volumes = Volumes(paths, database, events)
        await volumes.open()
        guests = Guests(paths, config, make_rehearsal, networks.wiring)
        held.push_async_callback(guests.close)
        limits = LogLimits(config.logs_size, config.logs_files)
        containers = Containers(paths, database, events, images, guests, networks, volumes, limits)
        known = await containers.load()
        await guests.start(known)
        await containers.open()
        held.push_async_callback(containers.close)
        warm_up = asyncio.create_task(guests.warm_up())  # may fetch a kernel and prove KVM: not waited for
        held.push_async_callback(end_task, warm_up)
        builds = Builds(containers, registries)
        await builds.open()
        held.push_async_callback(builds.close)
        host = DaemonHost(paths, images, guests, containers, delays, warm_up)
        id = await engine_id(database)
        yield Engine(paths, events, images, networks, volumes, containers, builds, host, id, registries)


async def end_task(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def engine_id(database: Database) -> str:
    """This state root's own id, made once."""
    fresh = secrets.token_hex(16)

    def find(transaction: Any) -> str:
        known = transaction.find(ENGINE, "id")
        if known is None:
            transaction.put(ENGINE, "id", {"id": fresh})
            return fresh
        return str(known["id"])

    return await database.run(find)


# -- its life


async def serve(paths: Paths, delays: LoopDelays, ready_fd: int | None, choices: RegistrySettings) -> None:
    """From the lock to the last detach. Raises what makes a start impossible."""
    began = time.monotonic()
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    with hold_lock(paths):
        listener = bind_socket(paths)
        try:
            async with open_engine(paths, delays, choices) as engine:
                server = ApiServer(engine)
                await server.open(listener)
                gc.collect()
                gc.freeze()  # what is there now stays: no full collection has to walk it again
                announce(ready_fd, READY)
                log.info("ready after %.2f s on %s", time.monotonic() - began, paths.socket)
                await ending.wait()
                log.info("ending: machines go on")
                await server.close()
        finally:
            listener.close()
            paths.socket.unlink(missing_ok=True)
            paths.pid_file.unlink(missing_ok=True)


def announce(ready_fd: int | None, words: bytes) -> None:
    """Tells whoever started this daemon that it can connect, or why not."""
    if ready_fd is not None:
        with suppress(OSError):
            os.write(ready_fd, words)
            os.close(ready_fd)


@contextmanager
def open_log(path: Path, debug: bool, foreground: bool) -> Iterator[None]:
    """The bounded log file, written by a thread of its own; on the terminal too in the foreground."""
    layout = logging.Formatter(
        "%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S"
    )
    handlers: list[logging.Handler] = [
        logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
    ]
    if foreground:
        handlers.append(logging.StreamHandler())
    for handler in handlers:
        handler.setFormatter(layout)
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    root = logging.getLogger()
    root.addHandler(entrance := logging.handlers.QueueHandler(waiting))
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    logging.getLogger("asyncio").setLevel(logging.INFO)
    logging.getLogger("qemu").setLevel(logging.WARNING)
    listener = logging.handlers.QueueListener(waiting, *handlers)
    listener.start()
    try:
        yield
    finally:
        root.removeHandler(entrance)
        listener.stop()


def raise_limits() -> None:
    """Each machine holds a dozen descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("insula daemon", description="Runs the daemon in the foreground.")
    parser.add_argument("--debug", action="store_true", help="log the command line of every child")
    parser.add_argument(
        "--doctor", action="store_true", help="print what the host has and lacks, as JSON, and end"
    )
    parser.add_argument(
        "--ready-fd", type=int, help="descriptor that is told 'ready', or why there is no start"
    )
    parser.add_argument(
        "--registry-mirror", default="", metavar="URL", help="what answers for docker.io, alone"
    )
    parser.add_argument(
        "--insecure-registry", action="append", default=[], metavar="HOST|NETWORK",
        help="a registry that may be spoken to without HTTPS (may be repeated)",
    )  # fmt: skip
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Runs the daemon until it is told to end. The exit status."""
    arguments = parse_arguments(argv)
    paths = find_paths()
    os.umask(0o077)
    if arguments.doctor:
        paths.make()
        rows = asyncio.run(examine(paths, find_parent()))
        print(json.dumps([shown(row).to_document() for row in rows]))
        return 0
    raise_limits()
    delays = LoopDelays()
    foreground = arguments.ready_fd is None
    choices = RegistrySettings(arguments.registry_mirror, tuple(arguments.insecure_registry))
    try:
        paths.make()
        with open_log(paths.daemon_log, arguments.debug, foreground):
            with asyncio.Runner(
                loop_factory=lambda: asyncio.SelectorEventLoop(TimedSelector(delays))
            ) as runner:
                runner.run(serve(paths, delays, arguments.ready_fd, choices))
    except InsulaError as error:
        announce(arguments.ready_fd, f"{error}\n".encode())
        print(f"insula: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        told = Unavailable(f"the daemon cannot start: {error}")
        announce(arguments.ready_fd, f"{told}\n".encode())
        print(f"insula: {told}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
