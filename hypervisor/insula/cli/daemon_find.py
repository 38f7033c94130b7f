"""The daemon that is there, or a new one (daemon_start.py), but none for an address that was named with -H."""

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from insula.cli.client import Client, connect
from insula.cli.failure import Disconnected, Failure
from insula.run_folder import SOCKET_NAME, SOCKET_PATH_MAX

if TYPE_CHECKING:
    from insula.paths import Paths

NOBODY = (FileNotFoundError, ConnectionRefusedError)


def open_client(run: str, find_paths: Callable[[], "Paths"]) -> Client:
    """A client of this user's daemon, which is started if it has to be. run: the run directory.

    Raises Failure, Disconnected."""
    address = f"{run}/{SOCKET_NAME}"
    if len(os.fsencode(address)) > SOCKET_PATH_MAX:
        raise Failure(
            f"the run directory {run} is too long for a socket's path (set INSULA_RUN to a shorter one)"
        )
    end = try_connect(address)
    if end is None:
        from insula.cli.daemon_start import start_and_connect

        end = start_and_connect(find_paths(), address)
    return Client(address, end)


def try_connect(address: str) -> socket.socket | None:
    """None if nobody listens. Raises Disconnected for what a new daemon would not mend."""
    try:
        return connect(address)
    except NOBODY:
        return None
    except OSError as error:
        raise Disconnected(f"cannot connect to the daemon at {address}: {error.strerror or error}") from error
