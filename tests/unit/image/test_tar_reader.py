"""The tar reader against Python's own writer, GNU tar's forms, and noise: an entry, an end or InvalidArgument."""

import io
import os
import tarfile

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from image_tars import file, folder, make_tar, symlink

from insula.errors import InvalidArgument
from insula.image.decompress import Uncompressed
from insula.image.tar_reader import Entry, TarReader, shown


def read(data: bytes) -> list[tuple[Entry, bytes]]:
    reader = TarReader(Uncompressed(io.BytesIO(data), "it", 1 << 30), "it")
    return [(entry, reader.read_data(entry.size) if entry.extents is None else b"") for entry in reader]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_formats(format: int) -> None:
    long = "d" * 90 + "/" + "e" * 90
    entries = [
        ("a", file(b"x" * 1000, uid=5, mtime=12)),
        (long, file(b"y")),
        ("l", symlink("t" * 99)),
        ("d", folder()),
    ]
    found = read(make_tar(*entries, format=format))
    assert [(e.name, e.kind, data) for e, data in found] == [
        (b"a", "file", b"x" * 1000),
        (long.encode(), "file", b"y"),
        (b"l", "symlink", b""),
        (b"d/", "dir", b""),
    ]
    assert (found[0][0].uid, found[0][0].mtime) == (5, 12)


def test_large_numbers_and_long_links() -> None:
    entries = [("a", file(uid=3_000_000_000, mtime=1e11)), ("l" * 300, symlink("t" * 3000))]
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        (a, _), (long, _) = read(make_tar(*entries, format=format))
        assert (a.uid, a.mtime) == (3_000_000_000, 0xFFFFFFFF)
        assert (long.name, long.link) == (b"l" * 300, b"t" * 3000)


def header(**fields: object) -> bytes:
    info = tarfile.TarInfo("f")
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def patched(at: int, data: bytes) -> bytes:
    block = bytearray(header())
    block[at : at + len(data)] = data
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"x" * 512, "checksum"),
        (header()[:300], "truncated"),
        (header(size=10), "truncated"),
        (patched(124, b"99999999999\0"), "size is not a number"),
        (patched(124, b"\xff" * 12), "size is -1"),
        (patched(124, b"\x80" + b"\xff" * 11), "size is"),
        (patched(156, b"Z"), "unknown type"),
        (patched(156, b"x") + bytes(512), "ends after an extended header"),
        (header(type=b"x", size=4) + b"zzzz" + bytes(508) + header(), "damaged pax"),
        (header(type=b"x", size=8) + b"99 a=b\n\0" + bytes(504) + header(), "damaged pax"),
        (header(type=b"x", size=9) + b"9 size=x\n" + bytes(503) + header(), "where a number belongs"),
        (header(type=b"x", size=1 << 30), "an extended header of"),
        (header(type=b"L", size=1 << 17), "an extended header of"),
        ((header(type=b"x", size=6) + b"6 a=b\n" + bytes(506)) * 20 + header(), "too many extended headers"),
        (header(type=b"g", size=1 << 40), "truncated"),
        (make_tar(("f", file(pax_headers={"GNU.sparse.major": "1", "GNU.sparse.realsize": "5"}))), "damaged map"),
        (
            make_tar(("f", file(b"1\n5\n9\n".ljust(512, b"\0"), pax_headers={"GNU.sparse.major": "1", "GNU.sparse.realsize": "5"}))),
            "damaged map",
        ),
        (
            make_tar(("f", file(b"999999999\n".ljust(512, b"\0"), pax_headers={"GNU.sparse.major": "1", "GNU.sparse.realsize": "5"}))),
            "999999999 pieces",
        ),
        (make_tar(("f", file(pax_headers={"GNU.sparse.map": "0,5,3,5", "GNU.sparse.size": "9"}))), "damaged map"),
        (make_tar(("f", file(pax_headers={"SCHILY.xattr.user.x": "v" * 70_000}))), "too large"),
    ],
)  # fmt: skip
def test_refused(data: bytes, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        read(data + bytes(1024) if "truncated" not in why and "ends" not in why else data)


def test_truncated_zstd_is_noticed() -> None:
    data = zstandard.ZstdCompressor().compress(make_tar(("a", file(os.urandom(500_000)))))
    for end in (200, 1000, 131_500, len(data) - 2000):
        with pytest.raises(InvalidArgument, match="truncated"):
            read(data[:end])


def test_data_that_is_not_read_is_skipped() -> None:
    reader = TarReader(
        Uncompressed(io.BytesIO(make_tar(("a", file(b"x" * 5000)), ("b", file(b"y")))), "it", 1 << 30), "it"
    )
    names = []
    for entry in reader:
        names.append(entry.name)
        reader.read_data(7)
    assert names == [b"a", b"b"]


GOOD = make_tar(
    ("a", file(b"x" * 700)),
    ("n" * 200, file(b"y", pax_headers={"SCHILY.xattr.user.a": "b"})),
    ("l", symlink("a")),
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=6),
    st.integers(0, len(GOOD)),
)
def test_noise_is_read_or_refused(changes: list[tuple[int, int]], end: int) -> None:
    data = bytearray(GOOD)
    for at, value in changes:
        data[at] = value
    try:
        assert len(read(bytes(data[:end]))) <= 10
    except InvalidArgument as error:
        assert len(error.message) < 400


def test_names_in_messages_are_printable_and_short() -> None:
    assert shown(b"a\n\x1b[31m\xff") == repr("a\\n\\x1b[31m\\xff")
    assert len(shown(b"x" * 5000)) < 200
