"""Uncompressed streams: told apart, bounded, and damage noticed."""

import gzip
import hashlib
import io
import os

import pytest
import zstandard

from insula.errors import InvalidArgument
from insula.image.decompress import Uncompressed

DATA = os.urandom(300_000) + bytes(3_000_000)
ZSTD = zstandard.ZstdCompressor()
FORMS = {
    "": DATA,
    "gzip": gzip.compress(DATA),
    "zstd": ZSTD.compress(DATA),
}


def read_all(data: bytes, limit: int = 1 << 30, step: int = 100_000) -> bytes:
    stream = Uncompressed(io.BytesIO(data), "it", limit)
    out = b""
    while chunk := stream.read(step):
        assert len(chunk) <= step
        out += chunk
    assert stream.digest == "sha256:" + hashlib.sha256(out).hexdigest()
    return out


@pytest.mark.parametrize("form", FORMS)
def test_forms_are_told_apart(form: str) -> None:
    assert Uncompressed(io.BytesIO(FORMS[form]), "it", 1 << 30).compression == form
    assert read_all(FORMS[form]) == DATA


def test_members_and_frames_follow_each_other() -> None:
    assert read_all(gzip.compress(b"one") + gzip.compress(b"two") + bytes(700)) == b"onetwo"
    assert read_all(ZSTD.compress(b"one") + ZSTD.compress(b"two")) == b"onetwo"


@pytest.mark.parametrize("form", FORMS)
def test_more_than_the_limit_is_refused(form: str) -> None:
    with pytest.raises(InvalidArgument, match="it unfolds to more than 1 MiB"):
        read_all(FORMS[form], limit=1 << 20)


@pytest.mark.parametrize("data", [FORMS["gzip"][:-9], FORMS["gzip"][:30], FORMS["gzip"][:-5] + b"xxxxx"])
def test_damaged_gzip(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="gzip stream is"):
        read_all(data)


@pytest.mark.parametrize(
    "data", [FORMS["zstd"][:6] + b"\xff" * 500, ZSTD.compress(b"x" * 999) + FORMS["zstd"][:6] + b"\xff" * 99]
)
def test_damaged_zstd(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="zstd stream is"):
        read_all(data)


@pytest.mark.parametrize("magic", [b"BZh91AY", b"\xfd7zXZ\0", b"\x04\x22\x4d\x18"])
def test_other_compressions_are_named(magic: bytes) -> None:
    with pytest.raises(InvalidArgument, match="it is compressed with"):
        read_all(magic + bytes(100))
