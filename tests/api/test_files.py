"""The endpoints of a container's files, over plain agents: their files are this host's, in a temporary folder."""

import asyncio
import base64
import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
import zstandard
from plain_engine import PlainEngine

from insula.api.archives import format_mtime
from insula.container import file_guest, trees
from insula.errors import Unavailable

SLEEP = ("sleep", "1000")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Some files as a container's."""
    place = tmp_path / "tree"
    (place / "d").mkdir(parents=True)
    (place / "d" / "f").write_bytes(b"content")
    (place / "link").symlink_to("d/f")
    (place / "far").symlink_to(f"{place}/link")
    (place / "dangling").symlink_to("no/../where/at/all")
    (place / "set").write_bytes(b"")
    (place / "set").chmod(0o6755)
    return place


async def made(plain: PlainEngine, *, start: bool, **spec: object) -> str:
    make = plain.daemon.start if start else plain.daemon.create
    return await make(*SLEEP, **spec)


def archive_path(id: str, path: Path | str, **query: str) -> str:
    more = "".join(f"&{name}={value}" for name, value in query.items())
    return f"/containers/{id}/archive?path={path}{more}"


async def stat_of(plain: PlainEngine, id: str, path: Path | str) -> tuple[int, dict[str, object]]:
    head, _, writer = await plain.send("HEAD", archive_path(id, path), b"", "Connection: close")
    writer.close()
    lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
    encoded = lines.get(b"X-Docker-Container-Path-Stat")
    return int(head.split()[1]), json.loads(base64.b64decode(encoded)) if encoded else {}


def members(data: bytes) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            found[member.name] = file.read() if file else b""
    return found


def pack(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size, info.uid, info.gid = (
                kind,
                link,
                len(content),
                os.getuid(),
                os.getgid(),
            )
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


BOTH_STANDINGS = pytest.mark.parametrize("start", [True, False], ids=["running", "created"])


@BOTH_STANDINGS
async def test_what_a_path_is(plain: PlainEngine, tree: Path, start: bool) -> None:
    id = await made(plain, start=start)
    status, found = await stat_of(plain, id, tree / "d")
    assert (status, found["name"], found["mode"]) == (
        200,
        "d",
        0x80000000 | (tree / "d").stat().st_mode & 0o777,
    )
    assert str(found["mtime"]).endswith("Z")
    for name, target in (("link", "d/f"), ("far", "d/f"), ("dangling", "where/at/all")):
        _, found = await stat_of(plain, id, tree / name)
        assert (found["name"], found["linkTarget"]) == (name, str(tree / target))
        assert int(str(found["mode"])) >> 27 == 1
    _, found = await stat_of(plain, id, tree / "set")
    assert found["mode"] == 1 << 23 | 1 << 22 | 0o755
    assert (await stat_of(plain, id, f"{tree}/d/."))[1]["name"] == "."


async def test_what_is_not_there(plain: PlainEngine, tree: Path) -> None:
    id = await made(plain, start=True)
    assert (await stat_of(plain, id, tree / "none"))[0] == 404
    assert (await stat_of(plain, id, tree / "d/f/below"))[0] == 400
    status, said = await plain.ask(archive_path(id, tree / "none"))
    assert (status, json.loads(said)["message"]) == (
        404,
        f"Could not find the file {tree}/none in container {id}",
    )
    for method in ("HEAD", "GET", "PUT"):
        assert (await plain.ask(f"/containers/{id}/archive", method))[0] == 400
        assert (await plain.ask(archive_path("nobody", "/"), method))[0] == 404
    for verb in ("changes", "export"):
        assert (await plain.ask(f"/containers/nobody/{verb}"))[0] == 404
    assert (await plain.ask(archive_path(id, "/proc/version")))[0] == 404  # the kernel's, and no file


@BOTH_STANDINGS
async def test_an_archive_out_of_it(plain: PlainEngine, tree: Path, start: bool) -> None:
    id = await made(plain, start=start)
    status, data = await plain.ask(archive_path(id, tree / "d"))
    assert (status, members(data)) == (200, {"d": b"", "d/f": b"content"})
    assert set(members((await plain.ask(archive_path(id, f"{tree}/d/.")))[1])) == {".", "./f"}
    assert members((await plain.ask(archive_path(id, tree / "d/f")))[1]) == {"f": b"content"}
    with tarfile.open(fileobj=io.BytesIO((await plain.ask(archive_path(id, tree / "link")))[1])) as archive:
        (member,) = archive
        assert (member.issym(), member.linkname) == (True, "d/f")
    assert "archive-path" in plain.daemon.actions(id)


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("identity", False),
        ("br, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.00", False),
    ],
)
async def test_an_archive_is_compressed_if_asked(
    plain: PlainEngine, tree: Path, accepted: str, packed: bool
) -> None:
    id = await made(plain, start=True)
    (tree / "d" / "f").write_bytes(b"0123456789" * 100_000)
    asked = (f"Accept-Encoding: {accepted}", "Connection: close")
    head, reader, writer = await plain.send("GET", f"/v1.24{archive_path(id, tree / 'd')}", b"", *asked)
    raw = await reader.read()
    writer.close()
    data = b""
    while raw and (size := int(raw.partition(b"\r\n")[0], 16)):
        at = raw.index(b"\r\n") + 2
        data, raw = data + raw[at : at + size], raw[at + size + 2 :]
    assert (b"content-encoding: gzip" in head.lower()) is packed
    assert (len(data) < 100_000) is packed
    assert members(gzip.decompress(data) if packed else data)["d/f"] == b"0123456789" * 100_000


@BOTH_STANDINGS
@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress])
async def test_an_archive_into_it(plain: PlainEngine, tree: Path, start: bool, compress: object) -> None:
    id = await made(plain, start=start)
    data = compress(pack(("a/b", b"B"), ("d/f", b"new")))  # type: ignore[operator]
    assert (await plain.ask(archive_path(id, tree), "PUT", data))[0] == 200
    assert ((tree / "a" / "b").read_bytes(), (tree / "d" / "f").read_bytes()) == (b"B", b"new")
    assert (await plain.ask(archive_path(id, tree / "d" / "."), "PUT", pack(("g", b"G"))))[0] == 200
    assert (tree / "d" / "g").read_bytes() == b"G"
    assert plain.daemon.actions(id).count("extract-to-dir") == 2


async def test_an_archive_that_may_not_be_put(plain: PlainEngine, tree: Path) -> None:
    id = await made(plain, start=True)

    async def put(path: Path, data: bytes, **query: str) -> tuple[int, str]:
        status, said = await plain.ask(archive_path(id, path, **query), "PUT", data)
        return status, json.loads(said)["message"] if said else ""

    assert (await put(tree / "none", pack(("a", b""))))[0] == 404
    assert await put(tree / "d/f", pack(("a", b""))) == (400, "extraction point is not a directory")
    for hostile in (
        pack(("../a", b"")),
        pack(("a", b""), kind=tarfile.LNKTYPE, link="../../a"),
        b"rubbish" * 100,
    ):
        assert (await put(tree / "d", hostile))[0] == 400
    assert not (tree / "a").exists()
    keep = {"noOverwriteDirNonDir": "1"}
    status, said = await put(tree, pack(("d", b"file")), **keep)
    assert (status, said) == (400, f'cannot overwrite directory "d" with non-directory "{tree}"')
    status, said = await put(tree, pack(("set", b""), kind=tarfile.DIRTYPE), **keep)
    assert (status, said) == (400, f'cannot overwrite non-directory "set" with directory "{tree}"')
    assert await put(tree, pack(("d", b"file"))) == (200, "") and (tree / "d").read_bytes() == b"file"
    locked = await made(plain, start=False, read_only=True)
    status, raw = await plain.ask(archive_path(locked, tree), "PUT", pack(("x", b"")))
    assert (status, json.loads(raw)["message"]) == (403, "container rootfs is marked read-only")


async def test_links_in_an_archive_are_content(plain: PlainEngine, tree: Path) -> None:
    id = await made(plain, start=True)
    assert (
        await plain.ask(archive_path(id, tree), "PUT", pack(("out", b""), kind=tarfile.SYMTYPE, link="/../x"))
    )[0] == 200
    assert (tree / "out").readlink() == Path("/../x")


async def test_the_containers_user_may_be_whose_it_is(plain: PlainEngine, tree: Path) -> None:
    own = f"{os.getuid()}:{os.getgid()}"
    id = await made(plain, start=True, user=own)
    assert (await plain.ask(archive_path(id, tree, copyUIDGID="1"), "PUT", pack(("mine", b""))))[0] == 200
    assert (tree / "mine").stat().st_uid == os.getuid()
    stranger = await made(plain, start=False, user="no-such-user")
    status, said = await plain.ask(archive_path(stranger, tree, copyUIDGID="1"), "PUT", pack(("a", b"")))
    assert (status, b"unable to find user no-such-user" in said) == (400, True)


async def test_a_paused_container_is_told_of(plain: PlainEngine, tree: Path) -> None:
    id = await made(plain, start=True)
    await plain.daemon.containers.pause(id)
    status, said = await plain.ask(archive_path(id, tree))
    assert (status, b"is paused" in said) == (409, True)
    await plain.daemon.containers.unpause(id)


async def test_a_large_upload_that_is_refused_is_told_why(plain: PlainEngine, tree: Path) -> None:
    (tree / "big").write_bytes(bytes(50 << 20))
    id = await made(plain, start=False, read_only=True)
    ran = await plain.docker("cp", str(tree / "big"), f"{id}:{tree}/d/")
    assert ran.status == 1 and b"marked read-only" in ran.err, ran


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "1970-01-01T00:00:00Z"), (-5, "1969-12-31T23:59:55Z"), (1, "1970-01-01T00:00:01Z"),
     (1 << 62, "9999-12-31T23:59:59Z"), (-1 << 62, "1000-01-01T00:00:00Z")],
)  # fmt: skip
def test_any_time_can_be_told(seconds: int, told: str) -> None:
    assert format_mtime(seconds * 10**9) == told


# -- the guest that has the files of one that does not run


async def test_one_guest_serves_all_who_come(plain: PlainEngine, tree: Path) -> None:
    id = await made(plain, start=False)
    await asyncio.gather(*(plain.ask(archive_path(id, tree)) for _ in range(8)))
    assert len(plain.daemon.guests.opened) == 1


async def test_a_start_goes_on_with_it(plain: PlainEngine, tree: Path) -> None:
    """What was written is on the disk first, and nobody is at the files any more."""
    id = await made(plain, start=False)
    await plain.ask(archive_path(id, tree), "PUT", pack(("a", b"")))
    (before,) = plain.daemon.guests.opened
    await plain.daemon.containers.start(id)
    assert before.session.stops == 1 and not before.machine.held.gone
    assert (await plain.ask(archive_path(id, tree)))[0] == 200
    assert plain.daemon.guests.opened == [before]
    await plain.daemon.containers.kill(id)
    await plain.daemon.containers.wait(id)
    assert before.machine.held.gone


async def test_a_start_ends_it_that_needs_another_machine(plain: PlainEngine, tree: Path) -> None:
    id = await made(plain, start=False, memory=64 << 20)
    await plain.ask(archive_path(id, tree), "PUT", pack(("a", b"")))
    (before,) = plain.daemon.guests.opened
    await plain.daemon.containers.start(id)
    assert before.session.stops == 1 and before.machine.held.gone
    assert len(plain.daemon.guests.opened) == 2


async def test_it_goes_by_itself(plain: PlainEngine, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_guest, "LINGER", 0.01)
    id = await made(plain, start=False)
    for count in (1, 2, 3):
        assert (await stat_of(plain, id, tree))[0] == 200
        guest = plain.daemon.guests.opened[-1]
        await guest.machine.held.wait()
        assert (guest.session.stops, len(plain.daemon.guests.opened)) == (1, count)


async def stalled_download(plain: PlainEngine, id: str, tree: Path) -> asyncio.StreamWriter:
    """A client that reads nothing of a large archive."""
    with (tree / "big").open("wb") as file:
        for _ in range(64):
            file.write(os.urandom(1 << 20))
    _, _, writer = await plain.send("GET", archive_path(id, tree / "big"))
    return writer


@pytest.mark.parametrize("verb", ["start", "remove", "force"])
async def test_a_client_that_reads_nothing_is_not_waited_for_for_ever(
    plain: PlainEngine, tree: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(file_guest, "PATIENCE", 0.3)
    id = await made(plain, start=False)
    writer = await stalled_download(plain, id, tree)
    containers = plain.daemon.containers
    async with asyncio.timeout(20):
        await (containers.start(id) if verb == "start" else containers.remove(id, force=verb == "force"))
    assert plain.daemon.guests.opened[0].machine.held.gone
    writer.close()


async def test_a_daemons_end_ends_it(plain: PlainEngine, tree: Path) -> None:
    id = await made(plain, start=False)
    writer = await stalled_download(plain, id, tree)
    (guest,) = plain.daemon.guests.opened
    async with asyncio.timeout(20):
        await plain.daemon.restart()
    assert guest.machine.held.gone
    writer.close()


async def until_forgotten(plain: PlainEngine) -> None:
    """Until the guest runs nothing but the main process."""
    guest = plain.daemon.guests.opened[-1]
    async with asyncio.timeout(20):
        while len(guest.session._processes) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("way", ["GET", "PUT"])
async def test_a_client_that_vanishes_leaves_nothing(plain: PlainEngine, tree: Path, way: str) -> None:
    id = await made(plain, start=True)
    if way == "GET":
        writer = await stalled_download(plain, id, tree)
        writer.transport.abort()
    else:
        _, writer = await plain.connect()
        head = f"PUT {archive_path(id, tree)} HTTP/1.1\r\nHost: d\r\nContent-Length: 100000\r\n\r\n"
        writer.write(head.encode() + pack(("part", b"x" * 50_000))[:20_000])
        await writer.drain()
        guest = plain.daemon.guests.opened[-1]
        while len(guest.session._processes) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        writer.transport.abort()
    writer.close()
    await until_forgotten(plain)
    assert (await plain.ask(archive_path(id, tree / "d")))[0] == 200


async def test_a_guest_that_stalls_is_given_up_on(
    plain: PlainEngine, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "STALL_SECONDS", 0.3)
    monkeypatch.setattr(trees, "END_SECONDS", 0.3)
    id = await made(plain, start=True)
    guest = plain.daemon.guests.opened[-1]
    visit = file_guest.Visit(guest.session)
    (tree / "big").write_bytes(os.urandom(1 << 20))
    begun = trees.tree_process(visit, lambda s, n: s.tree_read(n, str(tree / "big").lstrip("/")))
    with pytest.raises(Unavailable, match="has sent nothing"):
        async with begun as process:
            await guest.pause()
            async for _ in trees.output_of(visit, process):
                pass
    await guest.resume()
    assert (await stat_of(plain, id, tree))[0] == 200
