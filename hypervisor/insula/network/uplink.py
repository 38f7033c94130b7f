"""The way out of Insula's network name space: pasta, an ordinary program that carries packets as host sockets.

It gets no port of its own accord and no way to the host's loopback (`--no-map-gw`). Without it, networks work and
nothing leads out of them: one line says so.
"""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from insula import process
from insula.errors import InsulaError
from insula.network.child import READY, find_child, start_child
from insula.network.namespace import NETWORK_ID, NameSpaces, make_tun_reachable
from insula.network.nft import UPLINK
from insula.process import HeldProcess

log = logging.getLogger(__name__)


class Uplink:
    """One pasta for one run directory; outlives the daemon, found again by its process file."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "pasta.pid"
        self._held: HeldProcess | None = None
        self._watch: asyncio.Task[None] | None = None
        self.reason = "it has not been started"

    async def open(self, spaces: NameSpaces) -> None:
        """Never raises: `reason` is empty where there is an uplink."""
        try:
            pid = find_child(self._file, str(spaces.network))
            if pid is None:
                pid = await start_child("insula.network.uplink", [str(spaces.pid)], self._file)
            self._held = HeldProcess(pid)
        except (InsulaError, OSError) as error:
            self._fail(str(error))
            return
        self.reason = ""
        self._watch = asyncio.create_task(self._wait(self._held))

    async def _wait(self, held: HeldProcess) -> None:
        await held.wait()
        words = await asyncio.to_thread(self._file.with_suffix(".log").read_text, errors="replace")
        self._fail(words.strip().rpartition("\n")[2][:300] or "pasta has ended")

    def _fail(self, reason: str) -> None:
        self.reason = reason
        log.warning("containers reach each other, but nothing outside: %s", reason)

    def end(self) -> None:
        """Kills it: nobody needs it any more."""
        if self._held is not None:
            self._held.send(signal.SIGKILL)
            self._file.unlink(missing_ok=True)

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait((self._watch,))
        if self._held is not None:
            self._held.close()


def pasta_argv(spaces: NameSpaces) -> list[str]:
    """Pure but for finding the tool. Raises Unavailable."""
    return [
        process.tool("pasta"), "--config-net", "--netns", str(spaces.network), "--userns", str(spaces.user),
        "--ns-ifname", UPLINK, "--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none",
        "--no-map-gw", "--quiet", "--foreground",
    ]  # fmt: skip


def main() -> None:
    """`python -m insula.network.uplink READY HOLDER`: becomes pasta, as the user of the name spaces."""
    ready, spaces = int(sys.argv[1]), NameSpaces(int(sys.argv[2]))
    try:
        argv = pasta_argv(spaces)
        if os.geteuid() == 0:
            make_tun_reachable()
            os.setgroups([])
            os.setresgid(NETWORK_ID, NETWORK_ID, NETWORK_ID)
            os.setresuid(NETWORK_ID, NETWORK_ID, NETWORK_ID)
    except (OSError, InsulaError) as error:
        os.write(ready, str(error).encode())
        raise SystemExit(1) from error
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.write(ready, READY)
    os.close(ready)
    os.execv(argv[0], argv)


if __name__ == "__main__":
    main()
