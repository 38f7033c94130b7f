"""Volumes: names, options, records and folders; what an interrupted daemon leaves."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from insula.database import Database
from insula.errors import Conflict, InvalidArgument, NotFound, NotImplemented
from insula.events import EventBus
from insula.paths import Paths
from insula.volume.source import find_source
from insula.volume.volume import ANONYMOUS, Kind, VolumeSpec
from insula.volume.volumes import Volumes


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[tuple[Volumes, Paths, Database]]:
    paths = Paths(tmp_path / "home", tmp_path / "run")
    paths.make()
    database = Database(paths.database)
    await database.open()
    volumes = Volumes(paths, database, EventBus())
    await volumes.open()
    yield volumes, paths, database
    await database.close()


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a"}, {"name": "a b"}, {"name": "../a"}, {"name": "-a"}, {"name": "a/b"}, {"name": "n" * 256},
        {"name": "aa\n"}, {"options": {"odd": "x"}}, {"options": {"type": "none", "o": "bind"}},
        {"options": {"type": "none", "o": "bind", "device": "relative"}},
        {"options": {"type": "none", "o": "bind,odd", "device": "/d"}}, {"options": {"device": "/d"}},
        {"labels": {"k": "v" * 5000}}, {"labels": {"k\0": "v"}},
    ],
)  # fmt: skip
def test_what_is_no_volume(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        VolumeSpec(**fields)


def test_other_drivers_and_types_are_refused_by_name() -> None:
    with pytest.raises(NotFound, match='plugin "odd" not found'):
        VolumeSpec("aa", "odd")
    with pytest.raises(NotImplemented, match="type nfs"):
        VolumeSpec("aa", options={"type": "nfs", "o": "addr=x", "device": ":/x"})
    assert VolumeSpec("aa", options={"type": "tmpfs", "device": "tmpfs"}).kind is Kind.TMPFS
    assert VolumeSpec("aa", options={"type": "none", "o": "rbind,ro", "device": "/d"}).kind is Kind.BIND


async def test_it_is_there_after_a_restart(opened: tuple[Volumes, Paths, Database]) -> None:
    volumes, paths, database = opened
    made = await volumes.create(VolumeSpec("kept", labels={"k": "v"}))
    anonymous = await volumes.create(VolumeSpec())
    assert made.mountpoint == paths.volumes / "kept" / "_data"
    assert made.mountpoint.stat().st_mode & 0o7777 == 0o755
    assert made.mountpoint.parent.stat().st_mode & 0o077 == 0
    assert anonymous.anonymous and ANONYMOUS in anonymous.spec.labels and len(anonymous.name) == 64
    again = Volumes(paths, database, EventBus())
    await again.open()
    assert sorted(again.all(), key=lambda v: v.created_ns) == [made, anonymous]
    assert again.find("kept") == made


async def test_a_second_create_gives_the_first_ones(opened: tuple[Volumes, Paths, Database]) -> None:
    volumes, _, _ = opened
    made = await volumes.create(VolumeSpec("one"))
    assert await volumes.create(VolumeSpec("one", labels={"other": "x"})) is made
    with pytest.raises(Conflict):
        await volumes.create(VolumeSpec("one", options={"type": "tmpfs", "device": "tmpfs"}))


async def test_it_is_made_and_removed_by_many_at_once(opened: tuple[Volumes, Paths, Database]) -> None:
    """Whatever comes last, folders and records agree."""
    volumes, paths, database = opened

    async def come_and_go() -> None:
        for _ in range(5):
            await volumes.create(VolumeSpec("busy"))
            with suppress(NotFound):
                await volumes.remove("busy")
            assert all(volume.mountpoint.is_dir() for volume in volumes.all())

    await asyncio.gather(*(come_and_go() for _ in range(8)))
    assert await database.run(lambda t: t.all("volume")) == {}
    assert list(paths.volumes.iterdir()) == []


async def test_what_somebody_has_or_is_about_to_have_is_not_removed(
    opened: tuple[Volumes, Paths, Database],
) -> None:
    volumes, paths, _ = opened
    await volumes.create(VolumeSpec("used"))
    await volumes.create(VolumeSpec("claimed"))
    volumes.users = lambda name: ["c" * 64] if name == "used" else []
    with pytest.raises(Conflict, match="volume is in use - "):
        await volumes.remove("used", force=True)
    with volumes.claimed("claimed"):
        with pytest.raises(Conflict):
            await volumes.remove("claimed")
        assert await volumes.prune(lambda volume: True) == ([], 0)
    (paths.volumes / "claimed" / "_data" / "file").write_bytes(b"x" * 10)
    assert await volumes.prune(lambda volume: True) == (["claimed"], 10)
    assert [path.name for path in paths.volumes.iterdir()] == ["used"]
    with pytest.raises(NotFound, match="no such volume"):
        await volumes.remove("claimed")
    await volumes.remove("claimed", force=True)


async def test_a_removal_follows_no_link(opened: tuple[Volumes, Paths, Database], tmp_path: Path) -> None:
    volumes, _, _ = opened
    made = await volumes.create(VolumeSpec("linked"))
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("")
    (made.mountpoint / "out").symlink_to(tmp_path / "kept")
    (made.mountpoint / "closed").mkdir(mode=0)
    await volumes.remove("linked")
    assert (tmp_path / "kept" / "file").exists()


async def test_what_a_daemon_left_in_the_middle_goes(opened: tuple[Volumes, Paths, Database]) -> None:
    volumes, paths, database = opened
    await volumes.create(VolumeSpec("known"))
    (paths.volumes / "unrecorded" / "_data").mkdir(parents=True)
    (paths.volumes / ".removed-x" / "_data").mkdir(parents=True)
    (paths.volumes / ".removed-x" / "_data" / "file").write_text("")
    (paths.volumes / "foreign" / "_data").mkdir(parents=True)
    (paths.volumes / "foreign" / "_data" / "file").write_text("somebody's")
    await Volumes(paths, database, EventBus()).open()
    assert sorted(path.name for path in paths.volumes.iterdir()) == ["foreign", "known"]


# -- sources


def test_a_sources_links_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    found = find_source(tmp_path / "link")
    status = (tmp_path / "real").stat()
    assert (found.path, found.identity, found.is_folder) == (
        (tmp_path / "real").resolve(), (status.st_dev, status.st_ino), True,
    )  # fmt: skip


def test_no_link_below_a_volume_leads_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "volume" / "a").mkdir(parents=True)
    (tmp_path / "volume" / "up").symlink_to("../beside")
    (tmp_path / "volume" / "root").symlink_to("/")
    (tmp_path / "volume" / "a" / "in").symlink_to("/a")
    volume = (tmp_path / "volume").resolve()
    assert find_source(tmp_path / "volume", "root").path == volume
    assert find_source(tmp_path / "volume", "a/in").path == volume / "a"
    assert find_source(tmp_path / "volume", "../..").path == volume
    for below in ("up", "none", "root/etc"):
        with pytest.raises(InvalidArgument, match="no such file"):
            find_source(tmp_path / "volume", below)


def test_what_is_neither_file_nor_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(NotImplemented, match="folders, plain files and sockets only"):
            find_source(path)
    with pytest.raises(InvalidArgument, match="bind source path does not exist"):
        find_source(tmp_path / "none")


def test_a_socket_is_told_with_its_mode_and_owner(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        (tmp_path / "s").chmod(0o660)
        found = find_source(tmp_path / "s")
        assert found.socket == (0o660, os.geteuid(), os.getegid()) and not found.is_folder
        with pytest.raises(NotImplemented, match="sockets only"):  # a guest may have made it
            find_source(tmp_path, "s")


# -- block volumes


def block(size: str) -> VolumeSpec:
    return VolumeSpec("db", options={"type": "block", "size": size})


async def test_a_block_volume_grows_and_does_not_shrink(opened: tuple[Volumes, Paths, Database]) -> None:
    volumes, paths, database = opened
    made = await volumes.create(block("16m"))
    assert (await volumes.create(VolumeSpec("db"))).size == 16 << 20
    assert (await volumes.create(block("0.03g"))).size == 31 << 20
    with pytest.raises(Conflict, match="does not shrink"):
        await volumes.create(block("16m"))
    assert made.mountpoint.stat().st_size == 31 << 20
    again = Volumes(paths, database, EventBus())
    await again.open()
    assert again.find("db").size == 31 << 20
    assert 0 < await again.size(again.find("db")) < 16 << 20
    await again.remove("db")
    assert list(paths.volumes.iterdir()) == []


async def test_one_holder_has_a_disk(opened: tuple[Volumes, Paths, Database]) -> None:
    volumes, _, _ = opened
    await volumes.create(block("16m"))
    with volumes.held("db", "one"):
        with volumes.held("db", "one"):
            assert volumes.holder("db") == "one"
        with pytest.raises(Conflict, match="attached to one"), volumes.held("db", "two"):
            pass
        assert volumes.holder("db") == "one"
    assert volumes.holder("db") == ""
    with volumes.held("db", "two"):
        pass


async def test_a_disk_whose_record_was_never_written_is_taken_away(
    opened: tuple[Volumes, Paths, Database],
) -> None:
    _, paths, database = opened
    (paths.volumes / "half").mkdir(parents=True)
    (paths.volumes / "half" / "_disk").touch()
    (paths.volumes / "half" / "_new").touch()
    (paths.volumes / "lost").mkdir()
    (paths.volumes / "lost" / "_disk").write_text("somebody's")
    await Volumes(paths, database, EventBus()).open()
    assert [path.name for path in paths.volumes.iterdir()] == ["lost"]
