"""Writers of one log, killed one after the other: `killed_log.py FOLDER SEED KILLS FILES`.

Each life goes on with one output where the log ends, as a guest does, and is killed at some line of the log's own
code, or has written half of a write. Prints, as JSON, for each life what was acknowledged and where the next one
found the log's end; and at last, when all has been written, what the log holds.
"""

import json
import os
import random
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from insula.container.log_file import LogFile
from insula.container.log_options import LogLimits
from insula.container.log_reader import LogCursor

OUTPUT = b"".join(b"line %d %s\n" % (n, b"x" * (n * 7919 % 97)) for n in range(6000))
CODE = ("log_file.py", "log_rotation.py")
WHOLE_LIFE = 12_000
"""Lines of code within which a life ends: it takes five or so to write the whole output."""


def main(folder: str, seed: str, kills: str, files: str) -> None:
    rng = random.Random(int(seed))
    path = Path(folder) / "log.json"
    limits = LogLimits(size=3000, files=int(files), compress=True)
    lives = []
    for number in range(int(kills) + 1):
        pipe_in, pipe_out = os.pipe()
        child = os.fork()
        if child == 0:
            life(LogFile(path, limits), rng, number < int(kills), pipe_out)
            os._exit(0)
        os.close(pipe_out)
        with open(pipe_in, "rb") as pipe:
            told = [int(line) for line in pipe.read().split()]
        _, status = os.waitpid(child, 0)
        rng.random()
        log = LogFile(path, limits)
        ends = log.open({})
        log.close()
        names = sorted(item.name for item in path.parent.iterdir())
        lives.append(
            {"status": status, "acknowledged": told[-1] if told else 0, "found": ends[0], "names": names}
        )
        if ends[0] == len(OUTPUT):
            break
    print(json.dumps({"lives": lives, "held": read(LogFile(path, limits)).decode(), "length": len(OUTPUT)}))


def life(log: LogFile, rng: random.Random, dies: bool, told: int) -> None:
    if dies:
        die_in(rng.randrange(1, WHOLE_LIFE), rng.random() < 0.5)
    at, _ = log.open({"app": "test"})
    generation = log.generation
    while at < len(OUTPUT):
        size = rng.randrange(1, 2000)
        log.write([(1, OUTPUT[at : at + size])])
        at += size
        while log.unwritten:
            log.write_on()
        os.write(told, b"%d\n" % log.ends[0])
        if log.generation != generation:
            generation = log.generation
            log.compress()
    log.flush()


def die_in(lines: int, torn: bool) -> None:
    """After so many lines of the log's code; if torn, in the middle of the next write to a file."""
    left = lines
    write = os.write

    def count(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith(CODE):
            return None
        if event == "line":
            left -= 1
            if left == 0 and not torn:
                os.kill(os.getpid(), signal.SIGKILL)
        return count

    def write_torn(fd: int, data: Any) -> int:
        if left <= 0 and len(data) > 20:
            write(fd, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return write(fd, data)

    if torn:
        os.write = write_torn
    sys.settrace(count)


def read(log: LogFile) -> bytes:
    cursor, held = LogCursor(log), b""
    while entries := cursor.read():
        held += b"".join(entry.data for entry in entries)
    cursor.close()
    return held


if __name__ == "__main__":
    main(*sys.argv[1:])
