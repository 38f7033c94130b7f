import io
import tarfile
from pathlib import Path

import pytest

from insula.agent.tree import Entry, Kind, decode_entry
from insula.build.copying import Copy, Copying, Wish, tree_of
from insula.build.file_tree import FileTree
from insula.build.patterns import Ignore
from insula.errors import InvalidArgument


def tar_of(members: dict[str, bytes | str | None], **more: tarfile.TarInfo) -> bytes:
    """Names → content, a link's target (text), or None for a folder."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in members.items():
            item = tarfile.TarInfo(name)
            item.uid, item.gid, item.mtime = 5, 6, 1000
            if content is None:
                item.type, item.mode = tarfile.DIRTYPE, 0o750
            elif isinstance(content, str):
                item.type, item.linkname = tarfile.SYMTYPE, content
            else:
                item.size = len(content)
            tar.addfile(item, io.BytesIO(content if isinstance(content, bytes) else b""))
        for item in more.values():
            tar.addfile(item)
    return data.getvalue()


@pytest.fixture
def tree(tmp_path: Path) -> FileTree:
    path = tmp_path / "context"
    path.write_bytes(
        tar_of({
            "./a": b"A", "d": None, "d/one.txt": b"1", "d/two.txt": b"22", "d/sub/deep.md": b"deep", "link": "d",
            "d/out": "../../../a", "b[1]": b"odd",
        })
    )  # fmt: skip
    return FileTree(path, "the build context")


def take(tree: FileTree, *sources: str, **wish: object) -> Copy:
    copying = Copying("COPY", Wish(**wish))  # type: ignore[arg-type]
    for source in sources:
        copying.take(tree, source)
    return copying.finish()


def paths(copy: Copy) -> list[str]:
    return [item.entry.path.decode() for item in copy.items]


def test_files_folders_and_patterns(tree: FileTree) -> None:
    assert paths(take(tree, "a")) == ["a"] and take(tree, "a").single
    assert paths(take(tree, "/d/")) == ["one.txt", "out", "sub", "sub/deep.md", "two.txt"]
    assert paths(take(tree, "d/*.txt")) == ["one.txt", "two.txt"]
    assert paths(take(tree, "*/one.txt")) == ["one.txt", "one.txt"]  # by the link, too
    assert paths(take(tree, "link/sub")) == ["deep.md"]
    assert paths(take(tree, "d/out")) == ["out"] and take(tree, "d/out").items[0].entry.size == 1
    assert paths(take(tree, "b\\[1\\]")) == ["b[1]"]
    assert take(tree, "d").kind == "dir" and take(tree, "a", "d").kind == "multi"


def test_owners_modes_parents_and_excludes(tree: FileTree) -> None:
    entry = take(tree, "a").items[0].entry
    assert (entry.uid, entry.gid, entry.mode, entry.mtime_seconds) == (0, 0, 0o644, 1000)
    entry = take(tree, "a", owner=None, mode=0o4700).items[0].entry
    assert (entry.uid, entry.gid, entry.mode) == (5, 6, 0o4700)
    assert paths(take(tree, "d/sub/deep.md", "d/one.txt", parents=True)) == [
        "d",
        "d/sub",
        "d/sub/deep.md",
        "d/one.txt",
    ]
    assert paths(take(tree, "d/./sub/deep.md", parents=True)) == ["sub", "sub/deep.md"]
    assert paths(take(tree, "d", excludes=("**/*.md", "one*"))) == ["out", "sub", "two.txt"]


def test_digests_go_by_content_and_not_by_time(tree: FileTree, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(tar_of({"a": b"A"}).replace(b"0000001750", b"0000001751"))
    again = tmp_path / "again"
    again.write_bytes(tar_of({"a": b"B"}))
    with pytest.raises(InvalidArgument, match="checksum"):
        FileTree(other, "it")  # a time changed by hand
    assert take(tree, "a").digest() == take(tree, "a").digest()
    assert take(tree, "a").digest() != take(FileTree(again, "it"), "a").digest()
    assert take(tree, "a").digest() != take(tree, "a", mode=0o600).digest()


@pytest.mark.parametrize(
    "source,why",
    [
        ("../a", "COPY failed: forbidden path outside the build context: ../a"),
        ("x/../../a", "forbidden path"),
        (
            "nothing",
            "COPY failed: file not found in build context or excluded by .dockerignore: stat nothing",
        ),
        ("d/*.zip", "COPY failed: no source files were specified"),
        ("[", "syntax error in pattern"),
    ],
)
def test_refused(tree: FileTree, source: str, why: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        take(tree, source)
    assert why in str(caught.value)


def test_hard_links_stay_links_within_one_copy(tmp_path: Path) -> None:
    link = tarfile.TarInfo("d/second")
    link.type, link.linkname = tarfile.LNKTYPE, "d/first"
    path = tmp_path / "t"
    path.write_bytes(tar_of({"d": None, "d/first": b"same"}, link=link))
    first, second = take(FileTree(path, "it"), "d").items
    assert (second.entry.kind, second.entry.link) == (Kind.HARD_LINK, b"first") and first.entry.size == 4
    alone = take(FileTree(path, "it"), "d/second").items[0]
    assert alone.entry.kind is Kind.FILE and b"".join(tree_of([alone])).count(b"same") == 1


def test_the_tree_that_is_sent(tree: FileTree) -> None:
    copying = Copying("COPY", Wish())
    copying.take(tree, "d/one.txt")
    copying.take_text("text", b"hello")
    data = b"".join(tree_of(copying.finish().items))
    entries: list[Entry] = []
    content = b""
    while data:
        size = int.from_bytes(data[:4], "little")
        entries.append(decode_entry(data[4 : 4 + size]))
        stored = entries[-1].stored
        content += data[4 + size : 4 + size + stored]
        data = data[4 + size + stored :]
    assert [(e.kind, e.path) for e in entries] == [
        (Kind.FILE, b"one.txt"),
        (Kind.FILE, b"text"),
        (Kind.END, b""),
    ]
    assert content == b"1hello"


def test_ignored_files_are_gone_and_folders_stay_where_something_does(tree: FileTree) -> None:
    tree.drop_ignored(Ignore(["d", "!d/sub", "a"]))
    assert sorted(tree.members) == ["", "b[1]", "d", "d/sub", "d/sub/deep.md", "link"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/../x"])
def test_names_that_lead_out(tmp_path: Path, name: str) -> None:
    path = tmp_path / "t"
    path.write_bytes(tar_of({name: b""}))
    with pytest.raises(InvalidArgument, match="leads out"):
        FileTree(path, "it")


def test_cut_off_and_damaged(tmp_path: Path) -> None:
    whole = tar_of({"big": bytes(5000)})
    for number, data in enumerate((whole[:3000], b"no tar at all" * 100, whole[:100])):
        path = tmp_path / str(number)
        path.write_bytes(data)
        with pytest.raises(InvalidArgument):
            FileTree(path, "it")


def test_links_that_go_round(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(tar_of({"a": "b", "b": "a", "up": "/../../x"}))
    found = FileTree(path, "it")
    assert found.resolve("a") is None and found.resolve("up") is None and found.glob("a/*") == []
