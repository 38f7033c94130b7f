"""stop, kill and restart: what a user does to a container that runs.

Whatever is paused is unpaused first: a guest whose processors stand still takes no signal. Each of these tells the
restart policy that the end is the user's own.
"""

import asyncio
from contextlib import suppress

from insula.agent.session import GuestFailure
from insula.container.lifecycle import Container
from insula.container.signals import parse_signal
from insula.container.state import Move, Status
from insula.errors import Conflict, InsulaError, NotModified

STOP_TIMEOUT = 10
KILL_PATIENCE = 10.0  # for a guest that was told to kill, before its machine is
SIGKILL = 9


async def stop(container: Container, timeout: int | None, signal: str | None) -> None:
    """Signals, then kills after timeout seconds (None: the container's own; -1: never). Raises NotModified."""
    number = parse_signal(signal or container.record.settings.stop_signal or "TERM")
    await container.settled()
    container.check(Move.STOP)
    if timeout is None:
        own = container.record.spec.stop_timeout
        timeout = STOP_TIMEOUT if own is None else own
    await container.end_for_good()
    await _signal(container, number)
    if not await container.ended(None if timeout < 0 else timeout):
        await _kill(container)
    container.publish("stop")


async def kill(container: Container, signal: str) -> None:
    """Raises Conflict if it does not run, InvalidArgument for no signal."""
    number = parse_signal(signal or "KILL")
    await container.settled()
    container.check(Move.KILL)
    own = container.record.settings.stop_signal
    if number == SIGKILL or not own or parse_signal(own) == number:
        await container.end_for_good()
    else:
        await container.touch()
    if number == SIGKILL:
        await _kill(container)
        return
    resting = container.status is Status.RESTARTING
    await _signal(container, number)
    if resting and container.is_ending:
        await container.ended(None)


async def restart(container: Container, timeout: int | None, signal: str | None) -> None:
    """stop, if it runs, and start. One with --rm is kept over it. What fails says that it was the restart."""
    container.kept += 1
    try:
        with suppress(NotModified):
            await stop(container, timeout, signal)
        with suppress(NotModified):  # somebody else has started it meanwhile
            await container.start()
    except InsulaError as error:
        error.message = f"Cannot restart container {container.id[:12]}: {error.message}"
        raise
    finally:
        container.kept -= 1
    container.publish("restart")


async def _kill(container: Container) -> None:
    """Returns when it has ended. A pause meanwhile would keep it from dying, and is refused."""
    container.killers += 1
    try:
        await _signal(container, SIGKILL)
        await container.ended(None)
    finally:
        container.killers -= 1


async def _signal(container: Container, number: int) -> None:
    """A machine whose agent cannot even kill is itself killed."""
    if container.status not in (Status.RUNNING, Status.PAUSED):
        return
    guest = container.guest
    try:
        async with asyncio.timeout(KILL_PATIENCE):
            if container.status is Status.PAUSED:
                with suppress(Conflict):  # it has just been unpaused, or has ended
                    await container.unpause()
            await _send(container, number)
    except (InsulaError, TimeoutError):
        if number == SIGKILL and guest is not None and container.guest is guest:
            guest.kill()


async def _send(container: Container, number: int) -> None:
    running = container.running
    if running is None or container.status is not Status.RUNNING:
        return
    container.publish("kill", signal=str(number))
    with container.pausing.sending(), suppress(GuestFailure):  # it has just ended by itself
        await running.guest.session.signal(running.main.number, number)
    if number == SIGKILL:
        await running.main.exit()
