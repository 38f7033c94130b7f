"""A daemon to be killed: `killed_daemon.py FOLDER COMMAND TTY` starts one container, says so, and sits there."""

import asyncio
import sys
from pathlib import Path

from plain_daemon import Daemon


async def main(folder: str, command: str, tty: str) -> None:
    daemon = Daemon(Path(folder))
    await daemon.open()
    id = await daemon.start("sh", "-c", command, tty=tty == "tty")
    print(id, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
