import pytest

from insula.agent.fields import (
    LIST_MAX,
    U8,
    U32,
    Reader,
    check_flags,
    check_number,
    check_text,
    malformed,
    pack_bytes,
    pack_list,
    pack_string,
    pack_strings,
)
from insula.errors import Internal, InvalidArgument


def test_every_shape_there_and_back() -> None:
    data = b"".join((
        U8.pack(255), U32.pack(7), pack_bytes(b"\0\1"), pack_string("grüß"), pack_strings(["a", ""]),
        pack_list([U8.pack(1), U8.pack(2)]), b"tail",
    ))  # fmt: skip
    reader = Reader(data, "thing")
    assert (reader.u8(), reader.u32(), reader.data(2), reader.string(6)) == (255, 7, b"\0\1", "grüß")
    assert reader.items(lambda: reader.string(1)) == ("a", "")
    assert reader.items(reader.u8) == (1, 2)
    assert reader.rest() == b"tail"
    reader.end()


def test_signed_and_wide_integers() -> None:
    reader = Reader(b"\xff\xff\xfe\xff\xff\xff" + b"\xff" * 8 + b"\xff" * 8, "thing")
    assert (reader.u16(), reader.i32(), reader.i64(), reader.u64()) == (0xFFFF, -2, -1, (1 << 64) - 1)


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"", lambda r: r.u8()),
        (b"\1\0\0", lambda r: r.u32()),
        (b"\2\0\0\0a", lambda r: r.data(9)),
        (b"\2\0\0\0ab", lambda r: r.data(1)),
        (b"\xff\xff\xff\xff", lambda r: r.data(1 << 40)),
        (b"\2\0\0\0a\0", lambda r: r.string(9)),
        (b"\2\0\0\0a", lambda r: r.items(r.u8)),
        (b"\2\0\0\0ab", lambda r: r.items(r.u8, 1)),
        ((LIST_MAX + 1).to_bytes(4, "little") + bytes(LIST_MAX + 1), lambda r: r.items(r.u8)),
        (b"ab", lambda r: (r.u8(), r.end())),
    ],
)
def test_what_does_not_fit_is_refused(data: bytes, read) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Internal, match="a malformed thing"):
        read(Reader(data, "thing"))


def test_a_refusing_spec_from_the_wire_is_the_peers_breach() -> None:
    for error in (InvalidArgument("no"), ValueError("no")):
        with pytest.raises(Internal, match="a malformed thing: no") as caught, malformed("thing"):
            raise error
        assert caught.value.__cause__ is error


def test_checks_name_what_is_wrong() -> None:
    check_number("n", 5, 5, 5)
    check_text("t", "", 0)
    check_flags("f", 3, 7)
    with pytest.raises(InvalidArgument, match=r"n is 6 \(1 to 5 is possible\)"):
        check_number("n", 6, 1, 5)
    with pytest.raises(InvalidArgument, match="t has 2 bytes"):
        check_text("t", "é", 1)
    with pytest.raises(InvalidArgument, match="and not empty"):
        check_text("t", "", 1, empty=False)
    with pytest.raises(InvalidArgument, match="f are 0x9, of which 0x8 means nothing"):
        check_flags("f", 9, 7)
