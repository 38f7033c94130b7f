"""Blobs appear whole or not at all."""

import io
from pathlib import Path

import pytest

from insula.errors import InvalidArgument, Unavailable
from insula.image.blobs import BlobStore
from insula.image.manifest import digest_of
from insula.paths import Paths


@pytest.fixture
def blobs(paths: Paths) -> BlobStore:
    store = BlobStore(paths)
    store.make()
    return store


def test_stored_once_under_its_digest(blobs: BlobStore, paths: Paths) -> None:
    digest = blobs.copy_from(io.BytesIO(b"content and more"), 7, None, "it")
    assert digest == digest_of(b"content") == blobs.write_bytes(b"content")
    assert blobs.path(digest).read_bytes() == b"content"
    assert not list(paths.staging.iterdir())


def test_another_digest_or_too_few_bytes_keep_nothing(blobs: BlobStore, paths: Paths) -> None:
    with pytest.raises(InvalidArgument, match="it has the digest"):
        blobs.copy_from(io.BytesIO(b"content"), 7, digest_of(b"other"), "it")
    with pytest.raises(InvalidArgument, match="it is truncated"):
        blobs.copy_from(io.BytesIO(b"content"), 8, None, "it")
    assert not [path for path in paths.home.rglob("*") if path.is_file()]


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:../../x", "md5:" + "0" * 64, "sha256:" + "A" * 64])
def test_a_digest_is_never_a_path(blobs: BlobStore, digest: str) -> None:
    with pytest.raises(InvalidArgument):
        blobs.path(digest)


def test_a_full_disk_is_unavailable_and_keeps_nothing(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def read(self, n: int = -1, /) -> bytes:
            raise OSError(28, "No space left on device")

    paths = Paths(tmp_path / "home", tmp_path / "run")
    blobs = BlobStore(paths)
    blobs.make()
    with pytest.raises(Unavailable, match="no space left for images"):
        blobs.copy_from(Full(), 5, None, "it")
    assert not list(paths.staging.iterdir())


def test_garbage_is_what_nobody_wants(blobs: BlobStore) -> None:
    kept, gone = blobs.write_bytes(b"kept"), blobs.write_bytes(b"gone!")
    assert blobs.remove_others({kept}) == 5
    assert blobs.has(kept) and not blobs.has(gone)
