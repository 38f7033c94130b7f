"""The files of one log: the one being written, and full ones, which keep the name of their generation for good.

    log.json         being written
    log.json.7       full; no file ever has another's name
    log.json.7.gz    the same, compressed; there whole before the plain one goes (both: the plain one is read)
    log.json.7.new   being compressed; worth nothing

So a reader finds each generation at every instant, whatever a writer was killed in, and `tidy` undoes halves.
"""

import gzip
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

BLOCK = 1 << 20
COMPRESSION = 6
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)
"""What reading a compressed file may raise after a power cut, besides OSError."""


def rotated(path: Path, generation: int) -> Path:
    """The name of a full file, from its rotation on."""
    return path.with_name(f"{path.name}.{generation}")


def compressed(path: Path, generation: int) -> Path:
    return path.with_name(f"{path.name}.{generation}.gz")


def unfinished(path: Path, generation: int) -> Path:
    return path.with_name(f"{path.name}.{generation}.new")


def find_generations(path: Path) -> list[int]:
    """Those of the full files that are there, in either form, oldest first."""
    return sorted({generation for generation, end in _find_names(path) if end != "new"})


def _find_names(path: Path) -> list[tuple[int, str]]:
    """Generation and form ('', 'gz', 'new') of every full file."""
    found = []
    prefix = path.name + "."
    for name in os.listdir(path.parent) if path.parent.exists() else ():
        number, _, form = name.removeprefix(prefix).partition(".")
        if name.startswith(prefix) and number.isascii() and number.isdigit() and form in ("", "gz", "new"):
            found.append((int(number), form))
    return found


def tidy(path: Path, keep: int) -> None:
    """Takes away what a killed writer left half done, and all full files but the youngest `keep`."""
    names = _find_names(path)
    drop(path, keep)
    whole = {generation for generation, form in names if form == "gz"}
    for generation, form in names:
        if form == "new":
            unfinished(path, generation).unlink(missing_ok=True)
        elif form == "" and generation in whole:
            rotated(path, generation).unlink(missing_ok=True)


def drop(path: Path, keep: int) -> None:
    """Takes away all full files but the youngest `keep`."""
    generations = find_generations(path)
    for generation in generations[: max(0, len(generations) - keep)]:
        rotated(path, generation).unlink(missing_ok=True)
        compressed(path, generation).unlink(missing_ok=True)


def compress(path: Path, generation: int, stop: Callable[[], bool]) -> bool:
    """Compresses one full file, block by block. False if told to stop, which leaves it as it was. Raises OSError."""
    target = unfinished(path, generation)
    try:
        with rotated(path, generation).open("rb") as source, gzip.open(target, "wb", COMPRESSION) as packed:
            os.fchmod(packed.fileno(), os.fstat(source.fileno()).st_mode & 0o777)
            while block := source.read(BLOCK):
                if stop():
                    return False
                packed.write(block)
        _sync(target)
        target.rename(compressed(path, generation))
    finally:
        target.unlink(missing_ok=True)
    rotated(path, generation).unlink(missing_ok=True)
    return True


def _sync(path: Path) -> None:
    """Before the plain file goes: a power cut must not leave neither."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_generation(path: Path, generation: int) -> BinaryIO | None:
    """A full file, in whichever form it is. None if it is gone."""
    try:
        return rotated(path, generation).open("rb")
    except FileNotFoundError:
        pass
    try:
        return cast(BinaryIO, gzip.open(compressed(path, generation), "rb"))
    except FileNotFoundError:
        return None
