"""Layers made one: what is gone is gone, what is gone from the base is marked, links and contents are kept."""

import io
import tarfile
from pathlib import Path

from image_tars import file, folder, link, make_tar, symlink

from insula.agent.tar import tar_from_tree
from insula.build.file_tree import FileTree
from insula.build.squash import _pieces, items_of, merge


async def merged(place: Path, *layers: bytes) -> dict[str, tarfile.TarInfo | bytes]:
    """Names to contents of files, and to headers of the rest."""
    trees = []
    for number, layer in enumerate(layers):
        (path := place / f"{number}.tar").write_bytes(layer)
        trees.append(FileTree(path, "a layer"))
    data = b"".join([piece async for piece in tar_from_tree(_pieces(items_of(merge(trees))))])
    found: dict[str, tarfile.TarInfo | bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for info in archive:
            content = archive.extractfile(info) if info.isfile() else None
            found[info.name] = content.read() if content is not None else info
    return found


async def test_later_layers_win_and_what_they_take_away_is_gone(tmp_path: Path) -> None:
    first = make_tar(("d", folder(mode=0o700)), ("d/a", file(b"a")), ("d/b", file(b"b")), ("e", file(b"e")))
    second = make_tar(("d", folder(mode=0o755)), ("d/.wh.a", file()), ("d/c", file(b"c")), (".wh.e", file()))
    third = make_tar(("e", file(b"again")), ("f", symlink("e")))
    found = await merged(tmp_path, first, second, third)
    assert list(found) == ["d", "d/.wh.a", "d/b", "d/c", "e", "f"]
    assert (found["d/b"], found["e"], found["d/.wh.a"]) == (b"b", b"again", b"")
    mode, target = found["d"], found["f"]
    assert isinstance(mode, tarfile.TarInfo) and mode.mode == 0o755
    assert isinstance(target, tarfile.TarInfo) and target.linkname == "e"


async def test_a_folder_made_anew_hides_the_base(tmp_path: Path) -> None:
    gone = make_tar((".wh.d", file()))
    again = make_tar(("d", folder()), ("d/x", file(b"x")))
    assert list(await merged(tmp_path, gone, again)) == ["d", "d/.wh..wh..opq", "d/x"]
    opaque = make_tar(("d", folder()), ("d/.wh..wh..opq", file()), ("d/y", file(b"y")))
    assert list(await merged(tmp_path, gone, again, opaque)) == ["d", "d/.wh..wh..opq", "d/y"]


async def test_a_file_in_a_folder_s_place(tmp_path: Path) -> None:
    first = make_tar(("d", folder()), ("d/a", file(b"a")), ("dd", file(b"")))
    assert await merged(tmp_path, first, make_tar(("d", file(b"f")))) == {"d": b"f", "dd": b""}


async def test_links_stay_links_when_the_first_name_goes(tmp_path: Path) -> None:
    first = make_tar(("a", file(b"same")), ("b", link("a")), ("c", link("a")))
    found = await merged(tmp_path, first, make_tar((".wh.a", file())))
    assert list(found) == [".wh.a", "b", "c"]
    assert found["b"] == b"same"
    other = found["c"]
    assert isinstance(other, tarfile.TarInfo) and other.islnk() and other.linkname == "b"


def test_marks_of_what_the_base_never_had_go(tmp_path: Path) -> None:
    (path := tmp_path / "t").write_bytes(
        make_tar(
            ("d", folder()),
            ("d/.wh.new", file()),
            (".wh.old", file()),
            ("e", folder()),
            ("e/.wh..wh..opq", file()),
        )
    )
    found = merge([FileTree(path, "a layer")])
    assert len(found.marks) == 3
    found.keep_marks({"old", "d"})
    assert found.marks == [".wh.old"] and set(found.names) == {"d", "e", ".wh.old"}
