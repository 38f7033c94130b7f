"""Compressed contexts and archives: decoded in the converter's jail, to the last byte or not at all."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from image_tars import file, make_tar

from insula.errors import InvalidArgument, Unavailable
from insula.image.store import ImageStore

DATA = make_tar(("a", file(b"A" * 100_000)))


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
async def test_unfolded(store: ImageStore, tmp_path: Path, packed: Callable[[bytes], bytes]) -> None:
    source, plain = tmp_path / "s", tmp_path / "p"
    source.write_bytes(b"before" + packed(DATA) + b"after")
    await store.steps.unfold(source, plain, "it", (6, len(packed(DATA))))
    assert plain.read_bytes() == DATA
    plain.unlink()
    source.write_bytes(packed(DATA)[:-20])
    if (
        packed is zstandard.compress
    ):  # the library takes a frame that is cut off for the end: the tar inside tells
        await store.steps.unfold(source, plain, "it")
        assert len(plain.read_bytes()) < len(DATA)
        return
    with pytest.raises(InvalidArgument, match=r"truncated|damaged"):
        await store.steps.unfold(source, plain, "it")


async def test_what_is_not_there(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        await store.steps.unfold(tmp_path / "none", tmp_path / "p", "it")


async def test_memory_has_a_limit(store: ImageStore, tmp_path: Path) -> None:
    """xz may ask its reader for gigabytes of memory: that ends the jail's process, not the daemon."""
    raw = bytearray(lzma.compress(b"x"))
    end = 12 + (raw[12] + 1) * 4
    assert raw[14:16] == b"\x21\x01"  # the block's only filter, and its one byte: the size of the dictionary
    raw[16] = 39  # 3 GiB
    raw[end - 4 : end] = zlib.crc32(raw[12 : end - 4]).to_bytes(4, "little")
    (source := tmp_path / "s").write_bytes(raw)
    with pytest.raises(InvalidArgument, match="too much memory"):
        await store.steps.unfold(source, tmp_path / "p", "it")
